"""The locked rows of a nested cross-validation's folds."""

import numpy as np
import pandas as pd
import pytest

from hpsearch.errors import DataError
from hpsearch.spec.data_spec import CrossValidationSpec


def outer_folds(load_memory, data, cv, folds=4):
    return [
        load_memory(data, target="y", outer_fold={"fold": k + 1, "folds": folds}, cv=cv)
        for k in range(folds)
    ]


def test_every_row_is_locked_once_and_groups_stay_together(load_memory):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": np.arange(80.0), "who": rng.integers(0, 16, 80)})
    frame["y"] = rng.normal(size=80)
    for kind in ("group", "leave_one_group_out"):
        cv = CrossValidationSpec(kind=kind, folds=3, group="who")
        locked = []
        for dataset in outer_folds(load_memory, frame, cv):
            test = dataset.locked_rows.read()
            locked += test.columns[:, 0].tolist()
            held = set(frame.who[test.columns[:, 0].astype(int)])
            assert not held & set(frame.who[dataset.rows])
        assert sorted(locked) == frame.x.tolist()


def test_in_a_time_series_the_locked_rows_come_after_all_others(load_memory):
    frame = pd.DataFrame({"x": np.arange(60.0), "day": np.arange(60), "y": np.arange(60.0)})
    cv = CrossValidationSpec(kind="time_series", folds=3, time="day", gap=2)
    for dataset in outer_folds(load_memory, frame, cv):
        test = dataset.locked_rows.read().columns[:, 0]
        assert dataset.columns[:, 0].max() + 2 < test.min()


def test_predefined_folds_say_nothing_of_outer_ones(load_memory):
    frame = pd.DataFrame({"x": np.arange(12.0), "f": np.arange(12) % 3, "y": np.arange(12.0)})
    with pytest.raises(DataError, match="nested cross-validation needs another kind"):
        outer_folds(load_memory, frame, CrossValidationSpec(kind="predefined", column="f"))
