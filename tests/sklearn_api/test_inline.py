"""Small tables are trained in the calling process, with the results of a worker's."""

import numpy as np
import pandas as pd
import pytest

from hpsearch.sklearn import KerasSearchClassifier
from hpsearch.sklearn.search_cv import INLINE_CELLS
from tests.sklearn_api.test_search_cv import TINY, X, Y

SMALL, LARGE = (pd.DataFrame(np.zeros((n, 2))) for n in (10, INLINE_CELLS))


@pytest.mark.parametrize(
    ("table", "options", "executor"),
    [
        (SMALL, {}, "inline"),
        (LARGE, {}, "processes"),
        (SMALL, {"model": lambda params, inputs, outputs: None}, "processes"),
        (SMALL, {"settings": {"budget.memory_gib": 2}}, "processes"),
    ],
)
def test_a_small_table_needs_no_worker(table, options, executor):
    assert executor == KerasSearchClassifier(**options)._choose_executor(table)


@pytest.mark.long
def test_a_worker_finds_the_same(tmp_path):
    settings = TINY["settings"]
    inline = KerasSearchClassifier(**TINY).fit(X, Y)
    apart = {**settings, "execution.executor": "processes"}
    worker = KerasSearchClassifier(**{**TINY, "settings": apart}).fit(X, Y)
    assert inline.best_params_ == worker.best_params_
    for name in ("mean_test_score", "split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(inline.cv_results_[name], worker.cv_results_[name])
    np.testing.assert_array_equal(inline.predict_proba(X), worker.predict_proba(X))
