"""The linear model beside the winner: fitted on the same rows, with the same weights."""

import numpy as np
import pytest

from hpsearch.study.evaluation import baseline


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
    name, expected = baseline(task, x, y, x, weights)
    assert np.array_equal(expected, baseline(task, x, spoiled, x, weights)[1])
    assert not np.allclose(expected, baseline(task, x, spoiled, x)[1])
    assert name == ("ridge" if task == "regression" else "logistic_regression")
