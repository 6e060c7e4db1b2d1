"""`data.rows`: the search runs on a part of the development rows, the final fit on all."""

import numpy as np
import pandas as pd
import pytest

from hpsearch.data import load
from hpsearch.errors import DataError
from hpsearch.spec.data_spec import CrossValidationSpec, DataSpec
from hpsearch.spec.study_file import load_dict
from hpsearch.study.prepare import build_problem, load_data, resolve_study
from hpsearch.study.validation import check_study
from hpsearch.study.winner.final_fit import WinnerFit

N = 500
RANDOM = np.random.default_rng(3)
FRAME = pd.DataFrame(
    {
        "x": RANDOM.normal(size=N),
        "shop": [f"s{i % 25}" for i in range(N)],
        "day": pd.date_range("2024-01-01", periods=N).astype(str),
        "y": RANDOM.permutation(np.where(np.arange(N) % 5 == 0, "yes", "no")),
    }
)


def used_rows(dataset) -> np.ndarray:
    parts = [part for fold in dataset.folds for part in (fold.train, fold.validation)]
    return np.unique(np.concatenate(parts))


def test_the_sample_keeps_the_shares_of_the_classes_and_the_locked_rows(load_memory):
    options = {"target": "y", "drop": ["shop", "day"]}
    everything = load_memory(FRAME, **options)
    part = load_memory(FRAME, rows=100, **options)
    assert np.array_equal(everything.rows, part.rows)
    assert part.locked_rows is not None
    used = used_rows(part)
    assert np.array_equal(used, part.sample)
    assert (100, 20) == (len(used), int(part.target[used].sum()))
    assert "the search uses 100 of 400 development rows" in " ".join(part.notes)
    assert np.array_equal(used, used_rows(load_memory(FRAME, rows=100, **options)))
    assert not np.array_equal(used, used_rows(load_memory(FRAME, rows=100, seed=8, **options)))
    again = part.redraw_folds(99)
    assert set(used) == {row for fold in again for row in (*fold.train, *fold.validation)}


def test_the_sample_is_part_of_the_fingerprint(load_memory):
    options = {"target": "y", "drop": ["shop", "day"]}
    marks = [load_memory(FRAME, rows=rows, **options).fingerprint for rows in (100, 101, 399, None)]
    assert 3 == len(set(marks))
    assert marks[2] == marks[3]  # a sample of all rows is none


@pytest.mark.parametrize("rows", [60, 300])
def test_whole_groups_are_sampled(load_memory, rows):
    cv = CrossValidationSpec(kind="group", group="shop", folds=3)
    data = load_memory(FRAME, cv=cv, target="y", drop=["day"], rows=rows)
    used = used_rows(data)
    groups = data.split_inputs.groups
    assert set() == set(groups[used]) & set(np.delete(groups, used))
    assert 0.8 * rows < len(used) <= rows


def test_the_last_rows_of_a_time_series_are_sampled(load_memory):
    cv = CrossValidationSpec(kind="time_series", time="day", folds=3)
    data = load_memory(FRAME, cv=cv, target="y", drop=["shop"], rows=90)
    assert data.sample is not None
    assert np.array_equal(np.arange(310, 400), data.sample)
    assert set(used_rows(data)) <= set(data.sample)


def test_given_folds_are_not_sampled(tmp_path):
    folds = [(np.arange(0, 50), np.arange(50, 100))]
    with pytest.raises(DataError, match=r"data\.rows and given folds exclude each other"):
        load(
            DataSpec(target="y", drop=["shop", "day"], rows=20),
            task=None,
            cross_validation=None,
            seed=1,
            folder=tmp_path,
            arrays=FRAME,
            given_folds=folds,
        )


def test_the_final_fit_uses_all_development_rows(tmp_path):
    data = {"target": "y", "drop": ["shop", "day"], "rows": 100}
    file = load_dict({"data": data, "search_space": {"units": 4}, "training": {"epochs": 1}})
    checked = check_study(file)
    dataset = load_data(checked, FRAME)
    problem = build_problem(resolve_study(checked, dataset), dataset)
    nothing = {"choice": None, "history": None, "executor": None, "record": None}
    fit = WinnerFit(dataset=dataset, problem=problem, folder=tmp_path, **nothing)
    (fold,) = fit._full_problem.folds
    assert 400 == len(fold.train)
    assert 100 == len(used_rows(problem))
