"""The linear model beside the winner: fitted on the same rows, with the same weights."""

import tracemalloc

import numpy as np
import pytest

from hpsearch.study.winner.holdout_metrics import compute_intervals, fit_linear
from hpsearch.training.metrics import METRICS


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_rows_without_weight_do_not_move_the_linear_model(task):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 2))
    y = x @ [[1.0], [-1.0]]
    if task != "regression":
        y = (y > 0).astype(float) if task == "binary" else np.eye(3)[np.digitize(y[:, 0], [-1, 1])]
    weights = np.repeat([1.0, 0.0], 40)
    spoiled = y.copy()
    spoiled[40:] = rng.permutation(y[40:])
    model = fit_linear(task, x, y, weights)
    expected = model.predict(x)
    assert y.shape == expected.shape
    assert np.array_equal(expected, fit_linear(task, x, spoiled, weights).predict(x))
    assert not np.allclose(expected, fit_linear(task, x, spoiled).predict(x))
    assert model.name == ("ridge" if task == "regression" else "logistic_regression")


def told(n: int) -> tuple[np.ndarray, np.ndarray]:
    """A regression's truth and predictions."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(n, 1))
    return truth, truth + rng.normal(size=(n, 1))


def test_an_interval_is_what_a_bootstrap_by_hand_gives():
    truth, prediction = told(300)
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, 300, 300) for _ in range(1000)]
    scores = [np.abs(truth[d] - prediction[d]).mean() for d in draws]
    found = compute_intervals([METRICS["rmse"], METRICS["mae"]], truth, prediction)
    np.testing.assert_allclose(np.percentile(scores, [2.5, 97.5]), found["mae"])
    assert ["rmse", "mae"] == list(found)


def test_intervals_of_many_rows_hold_one_resample_at_a_time():
    truth, prediction = told(30_000)
    tracemalloc.start()
    compute_intervals([METRICS["mae"]], truth, prediction)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * truth.nbytes
