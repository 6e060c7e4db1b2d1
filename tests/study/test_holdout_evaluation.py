"""Evaluation on the locked rows: intervals, and baselines on the same rows."""

import tracemalloc
from functools import partial

import numpy as np
import pytest

from hpsearch.study.winner.baselines import fit_estimator, make_estimators
from hpsearch.study.winner.holdout_metrics import compute_advantages, compute_metric_intervals
from hpsearch.training.metrics import METRICS

BASELINES = {
    "regression": ["ridge", "gradient_boosting", "constant"],
    "binary": ["logistic_regression", "gradient_boosting", "constant"],
    "multiclass": ["logistic_regression", "gradient_boosting", "constant"],
    "multilabel": ["logistic_regression", "gradient_boosting", "constant"],
}


def rows_of(task: str, n: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, 2) and targets (n, n_outputs) that depend on them."""
    x = np.random.default_rng(0).normal(size=(n, 2))
    y = x @ [[1.0], [-1.0]]
    if task == "regression":
        return x, np.hstack([y, 3 * y + 1])
    if task == "multiclass":
        return x, np.eye(3)[np.digitize(y[:, 0], [-1, 1])]
    return x, (np.hstack([y, -y]) > 0.5 if task == "multilabel" else y > 0).astype(float)


@pytest.mark.parametrize("name", range(3))
@pytest.mark.parametrize("task", BASELINES)
def test_rows_without_weight_do_not_move_a_baseline(task, name):
    estimators = make_estimators(task)
    assert BASELINES[task] == list(estimators)
    fit = partial(fit_estimator, estimators[BASELINES[task][name]], task)
    x, y = rows_of(task)
    weights = np.repeat([1.0, 0.0], 40)
    spoiled = y.copy()
    spoiled[40:] = y[0]
    expected = fit(x, y, weights)(x)
    assert y.shape == expected.shape
    np.testing.assert_allclose(expected, fit(x, spoiled, weights)(x), atol=1e-12)
    assert not np.allclose(expected, fit(x, spoiled)(x))


def test_a_baseline_learns_the_transformed_target_and_answers_in_its_own_unit():
    x, y = rows_of("regression")
    y = np.exp(y[:, :1])
    answer = fit_estimator(
        make_estimators("regression")["ridge"], "regression", x, y, None, ["log"]
    )
    assert np.abs(np.log(answer(x) / y)).max() < 0.1


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
    found = compute_metric_intervals([METRICS["rmse"], METRICS["mae"]], truth, prediction)
    np.testing.assert_allclose(np.percentile(scores, [2.5, 97.5]), found["mae"])
    assert ["rmse", "mae"] == list(found)


def test_intervals_of_many_rows_hold_one_resample_at_a_time():
    truth, prediction = told(30_000)
    tracemalloc.start()
    compute_metric_intervals([METRICS["mae"]], truth, prediction)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * truth.nbytes


def test_an_advantage_is_what_a_paired_bootstrap_by_hand_gives():
    truth, prediction = told(300)
    close, far = truth + 0.01, truth + 9.0
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, 300, 300) for _ in range(1000)]
    mae = METRICS["mae"]
    expected = [
        np.percentile(
            [mae(truth[d], other[d]) - mae(truth[d], prediction[d]) for d in draws], [2.5, 97.5]
        )
        for other in (close, far)
    ]
    found = compute_advantages(mae, truth, prediction, [close, far])
    np.testing.assert_allclose(expected, found)
    assert found[0][1] < 0 < found[1][0]


def test_an_advantage_is_positive_for_a_metric_that_is_maximized_too():
    truth = np.tile([[0.0], [1.0]], (50, 1))
    right, wrong = truth * 0.8 + 0.1, np.full_like(truth, 0.5)
    (found,) = compute_advantages(METRICS["roc_auc"], truth, right, [wrong])
    assert [0.5, 0.5] == found
