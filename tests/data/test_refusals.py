"""Data that no trial could learn from are refused before the first trial, with the remedy."""

import numpy as np
import pandas as pd
import pytest

from hpsearch.errors import DataError
from hpsearch.spec.data_spec import CrossValidationSpec

N = 60
RNG = np.random.default_rng(0)
NUMBERS = RNG.normal(size=N)


def frame(**columns) -> pd.DataFrame:
    """60 rows of two features and a binary target, but for what is given."""
    plain = {"x": NUMBERS[::-1], "z": RNG.normal(size=N), "y": np.arange(N) % 2}
    return pd.DataFrame({**plain, **columns})


STEPS = np.where(np.arange(N) < 30, 0.5, NUMBERS)
SIXTHS = np.arange(N) // 10


@pytest.mark.parametrize(
    ("table", "cv", "spec", "message"),
    [
        (frame(x=1.0, z=np.nan), {}, {}, "no column tells the rows apart: without a value z; with"),
        (frame().head(0), {}, {}, "there are no rows"),
        (frame(y=np.nan), {}, {"missing_target": "drop"}, "target 'y' has no value in any row"),
        (frame(y=pd.date_range("2024", periods=N)), {}, {}, "target 'y' holds dates: predict a"),
        (
            frame(y=STEPS),
            {"kind": "time_series", "folds": 3},
            {},
            r"fold 0 of 3: target 'y' is 0\.5 in all of its 12 training rows, so there is nothing",
        ),
        (
            frame(y=NUMBERS),
            {"kind": "time_series", "window": 1},
            {},
            "fold 0 of 5: target 'y' is .* in all of its 1 training rows",
        ),
        (
            frame(y=1e9 + NUMBERS),
            {"folds": 3},
            {},
            "Numbers are rounded to 7 digits: if they differ by less, subtract 1e[+]09 from them",
        ),
        (
            frame(y=1e-30 * NUMBERS),
            {"folds": 3},
            {},
            "the squares of such differences are 0 in float32. Multiply it, by 1e20 for instance",
        ),
        (
            frame(w=np.where(SIXTHS, 1, 1e39)),
            {},
            {"weights": "w"},
            r"weights 'w', row 1: 1e\+39 is not a weight; .* range of float32",
        ),
        (
            frame(w=["1.5", "2"] * 29 + ["1", "heavy"]),
            {},
            {"weights": "w"},
            "column 'w', row 60: 'heavy' is not a number. It is data.weights: each row needs a",
        ),
        (
            frame(y=SIXTHS),
            {"kind": "group", "group": "y"},
            {},
            "'y' is the target and cross_validation.group: give one of them another",
        ),
        (
            frame(y=NUMBERS),
            {"kind": "time_series", "time": "y"},
            {},
            "'y' is the target and cross_validation.time",
        ),
        (
            frame(y=SIXTHS),
            {"kind": "predefined", "column": "y"},
            {},
            "'y' is the target and cross_validation.column",
        ),
    ],
)
def test_rows_that_no_trial_could_learn_from_are_refused(load_memory, table, cv, spec, message):
    with pytest.raises(DataError, match=message):
        load_memory(table, target="y", cv=CrossValidationSpec(**cv), **spec)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "y is None: give"),
        (np.zeros((N, 2, 2)), r"y has shape \(60, 2, 2\): give \(n_rows,\), or"),
    ],
)
def test_a_target_that_is_none_is_refused(load_memory, y, message):
    with pytest.raises(DataError, match=message):
        load_memory((NUMBERS[:, None], y))


def test_numbers_of_a_kind_that_is_not_read_are_refused_with_those_that_are(load_memory):
    with pytest.raises(DataError, match=r"column 'x': .*; numbers, text, truth values and dates"):
        load_memory(frame(x=NUMBERS + 1j), target="y")
