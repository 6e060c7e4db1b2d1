"""An objective that is undefined on evaluation rows is refused before the first trial."""

import numpy as np
import pandas as pd
import pytest

import hpsearch
from hpsearch.errors import DataError
from hpsearch.study.prepare import load_data, resolve_study
from hpsearch.study.tune import read_spec

N = 240
X = np.random.default_rng(0).normal(size=(N, 2))
NUMBERS = X[:, 0].round(3)
QUIET = np.where((np.arange(N) >= 96) & (np.arange(N) < 128), 0.1, NUMBERS)  # fold 2 of 5
QUIET_AT_THE_END = np.where(np.arange(N) < 192, NUMBERS, 0.1)
MIXED = (NUMBERS > 0).astype(int)
ONE_AT_THE_END = np.where(np.arange(N) < 192, MIXED, 1)


def frame(**columns: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"a": X[:, 0], "b": X[:, 1], **columns})


def spec(metric: str, target: object = "y", **keys: object) -> dict:
    """A study of rows in the order of time, the last 48 of them locked."""
    return {
        "data": {"target": target, **keys},
        "cross_validation": {"kind": "time_series", "folds": 5},
        "objective": {"metric": metric},
        "search_space": {"units": [4, 8]},
        "budget": {"trials": 2},
        "training": {"epochs": 2},
        "selection": {"finalists": 0},
    }


@pytest.mark.parametrize(
    ("declared", "table", "message"),
    [
        (
            spec("r2"),
            frame(y=QUIET),
            "fold 2 of 5: its 32 validation rows show one value of a target for r2, .*: use fewer "
            "folds or another kind, or use an objective that is defined: mse, rmse, mae",
        ),
        (
            spec("r2", ["y", "z"]),
            frame(y=NUMBERS, z=QUIET),
            "fold 2 of 5: its 32 validation rows show one value of a target for r2",
        ),
        (
            spec("r2", weights="w"),
            frame(y=NUMBERS, w=np.where(QUIET == NUMBERS, 1, NUMBERS == NUMBERS[100])),
            "fold 2 of 5: its 32 validation rows show one value of a target for r2",
        ),
        (
            spec("r2"),
            frame(y=QUIET_AT_THE_END),
            r"the 48 locked rows show one value of a target for r2, .* \(data.test_fraction\), or",
        ),
        (
            spec("roc_auc"),
            frame(y=ONE_AT_THE_END),
            "the 48 locked rows show too few classes for roc_auc, .* is defined: accuracy",
        ),
        (
            spec("average_precision"),
            frame(y=1 - ONE_AT_THE_END),
            "the 48 locked rows show too few classes for average_precision",
        ),
        (
            spec("roc_auc"),
            frame(y=np.where(MIXED & (np.arange(N) < 192), 1 + np.arange(N) % 2, MIXED)),
            "the 48 locked rows show too few classes for roc_auc",
        ),
    ],
)
def test_an_objective_without_a_value_on_rows_that_judge_is_refused(declared, table, message):
    study = read_spec(declared)
    with pytest.raises(DataError, match=f"memory: {message}"):
        resolve_study(study, load_data(study, table))


@pytest.mark.parametrize(
    ("metric", "table"),
    [
        ("rmse", frame(y=QUIET)),
        ("mape", frame(y=QUIET - 0.1)),
        ("accuracy", frame(y=ONE_AT_THE_END)),
        ("log_loss", frame(y=ONE_AT_THE_END)),
        ("r2", frame(y=NUMBERS)),
    ],
)
def test_what_has_a_value_there_is_taken(metric, table):
    study = read_spec(spec(metric))
    dataset = load_data(study, table)
    assert metric == resolve_study(study, dataset).objective.metric
    assert 192 == dataset.n_rows


@pytest.mark.usefixtures("inline_workers")
def test_the_locked_rows_are_judged_by_what_has_a_value_on_them(tmp_path):
    table = frame(y=ONE_AT_THE_END)
    result = hpsearch.tune(spec("accuracy"), table, workers=1, offline=True, root=tmp_path)
    assert ["accuracy", "log_loss"] == list(result.test)
    assert ["accuracy", "log_loss"] == list(result.intervals)
    assert ["accuracy", "log_loss"] == list(result.baselines[0].metrics)
