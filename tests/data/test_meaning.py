"""A cell has the same meaning in every type; ambiguities are reported."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hpsearch.data import Dataset
from hpsearch.data.columns import CellCounts
from hpsearch.data.loading import load
from hpsearch.errors import DataError
from hpsearch.spec.data_spec import DataSpec

CATEGORICAL = {"c": {"kind": "categorical"}}
N_ROWS = 60


def csv_of(cells: list[str]) -> str:
    """A table with a column of these cells, semicolons between columns."""
    rows = [f"{cells[i % len(cells)]};{i / 7:.3f};{i % 2}" for i in range(N_ROWS)]
    return "\n".join(["c;n;y", *rows]) + "\n"


def load_frame(cells: Any, tmp_path, **data: Any) -> tuple[Dataset, pd.DataFrame]:
    frame = pd.DataFrame({"c": cells, "n": np.linspace(0, 1, N_ROWS), "y": np.arange(N_ROWS) % 2})
    spec = DataSpec(target="y", test_fraction=0, **data)
    found = load(spec, task=None, cross_validation=None, seed=0, folder=tmp_path, arrays=frame)
    return found, frame


def assert_reads_alike(dataset: Dataset, table: Any) -> None:
    """The schema makes of the table what the study was trained on, and knows all of it."""
    counts = CellCounts()
    served = dataset.schema.clean(table, counts)
    np.testing.assert_array_equal(dataset.columns, served[dataset.rows])
    assert {} == counts.unknown


@pytest.mark.parametrize("columns", [{}, CATEGORICAL])
@pytest.mark.parametrize("cells", [["1", "2", "3"], ["1.0", "2.0", "3.5"]])
def test_a_number_is_replaced_in_training_and_in_text(load_file, tmp_path, columns, cells):
    spec = {"c": {**columns.get("c", {}), "replace": {1: 2}}}
    dataset = load_file(csv_of(cells), columns=spec, test_fraction=0)
    text = pd.read_csv(tmp_path / "rows.csv", sep=";", dtype=str)
    assert_reads_alike(dataset, text)
    if cells[0] == "1" or not columns:  # of text as it is spelled, 1.0 is not 1
        assert 2 == len(np.unique(dataset.columns[:, 0]))


@pytest.mark.parametrize("spelling", ["True", "TRUE", "true"])
def test_a_declared_truth_value_is_the_file_s(load_file, spelling):
    text = csv_of([spelling, "no", "maybe"])
    replaced = load_file(text, columns={"c": {"replace": {True: "yes"}}})
    assert ("maybe", "no", "yes") == replaced.schema.columns[0].vocabulary
    missing = load_file(text, missing=[True])
    assert ("maybe", "no") == missing.schema.columns[0].vocabulary


ids = [12345678901234567890, 12345678901234567891]
EXACT = {
    "decimals": [Decimal(n) for n in ids],
    "whole numbers": [2**70, 2**70 + 1],
    "float32": np.array([0.1, 0.3], np.float32),
    "times": [dt.time(12, 0), dt.time(13, 30, 1)],
    "decimal fractions": [Decimal("1.50"), Decimal("2.25")],
}


@pytest.mark.parametrize("kind", EXACT)
def test_no_two_categories_become_one(tmp_path, kind):
    each = EXACT[kind]
    cells = np.tile(each, N_ROWS // 2) if kind == "float32" else list(each) * (N_ROWS // 2)
    dataset, frame = load_frame(cells, tmp_path, columns=CATEGORICAL)
    assert 2 == len(dataset.schema.columns[0].vocabulary)
    assert_reads_alike(dataset, frame)
    frame.to_csv(tmp_path / "out.csv", index=False)
    assert_reads_alike(dataset, pd.read_csv(tmp_path / "out.csv", dtype=str))


def test_a_float_that_may_be_several_whole_numbers_is_none_of_them(tmp_path):
    dataset, _ = load_frame([2**60, 2**60 + 1] * (N_ROWS // 2), tmp_path, columns=CATEGORICAL)
    counts = CellCounts()
    dataset.schema.clean({"c": [float(2**60)], "n": [0.0]}, counts)
    assert {"c": {str(2**60): 1}} == counts.unknown


def test_each_date_of_a_column_keeps_its_own_clock(tmp_path):
    zones = (dt.UTC, dt.timezone(dt.timedelta(hours=9)))
    cells = [dt.datetime(2024, 3, 1 + i % 20, 12, tzinfo=zones[i % 2]) for i in range(N_ROWS)]
    dataset, frame = load_frame(
        pd.Series(cells, dtype=object), tmp_path, columns={"c": {"kind": "date"}}
    )
    assert_reads_alike(dataset, frame)
    hour = [c.name for c in dataset.schema.columns].index("c.hour")
    assert {12.0} == set(dataset.columns[:, hour])


def test_categories_of_pandas_that_are_digits_stay_categories(tmp_path):
    cells = pd.Categorical(["1", "2", "3"] * (N_ROWS // 3))
    dataset, frame = load_frame(cells, tmp_path)
    assert ("1", "2", "3") == dataset.schema.columns[0].vocabulary
    assert any("categories, as its type says" in note for note in dataset.notes)
    assert_reads_alike(dataset, frame)


def test_whole_numbers_beside_a_blank_are_dates_still(load_file, tmp_path):
    dataset = load_file(
        csv_of(["20240301", "20240415", ""]), columns={"c": {"kind": "date"}}, test_fraction=0
    )
    assert_reads_alike(dataset, pd.read_csv(tmp_path / "rows.csv", sep=";"))


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["yes", "no", "NA"], "'NA' is a category like others; data.columns.c.missing: [NA]"),
        (["a", "b", "-"], "'-' is a category like others"),
        (["12,50", "1,250.5"], "looks like numbers"),
        (["1,25,000", "12,34,567"], "looks like numbers"),
        (["USD 12", "USD 13"], "looks like numbers"),
        (["12 kg", "7 kg"], "looks like numbers"),
        (["(12)", "-12%"], "looks like numbers"),
        (["2024-3-1", "2024-12-31"], "looks like dates"),
        (["1 Mar 2024", "2 April 2024"], "looks like dates"),
        (["12:30", "9:05"], "looks like times of day"),
        ([">100", "100"], "mostly numbers, but read as text because of '>100'"),
    ],
)
def test_what_a_column_of_texts_may_mean_is_told(load_file, cells, said):
    notes = load_file(csv_of(cells)).notes
    assert any(note.startswith("c: ") and said in note for note in notes), notes
    settled = load_file(csv_of(cells), columns=CATEGORICAL).notes
    assert not any("looks like" in n or "like others" in n for n in settled)


@pytest.mark.parametrize("cells", [["Bonn", "Köln"], ["A12", "B7"], ["x_1", "x_2"], ["A-1", "B-2"]])
def test_names_and_codes_are_no_numbers(load_file, cells):
    assert not any(note.startswith("c: ") for note in load_file(csv_of(cells)).notes)


def test_a_refused_date_is_told_its_own_format_alone(tmp_path):
    with pytest.raises(DataError, match=r"c: \{kind: date\}$"):
        load_frame(pd.date_range("2024-01-01", periods=N_ROWS), tmp_path)


def test_a_dropped_column_may_hold_anything(tmp_path):
    strange = {
        "ragged": [[1], [1, 2]] * (N_ROWS // 2),
        "bytes": [b"a"] * N_ROWS,
        "complex": [1j] * N_ROWS,
    }
    for name, cells in strange.items():
        with pytest.raises(DataError, match="column 'c'"):
            load_frame(cells, tmp_path)
        dataset, _ = load_frame(cells, tmp_path, drop=["c"])
        assert ["n"] == [c.name for c in dataset.schema.columns], name


TARGETS = [  # cells, what is declared, the task, the classes
    (["0.0", "1.0", "2.0"], {}, "multiclass", (0, 1, 2)),
    (["$5", "$7", "$9"], {}, "multiclass", (5, 7, 9)),
    (["5%", "7%", "12%"], {}, "multiclass", (5, 7, 12)),
    (["1,0", "2,0", "3,0"], {"decimal": ","}, "multiclass", (1, 2, 3)),
    (["1,5", "2,5", "3,7"], {}, "regression", ()),
    (["1,5", "2,5", "3,7"], {"decimal": ","}, "regression", ()),
    (["1e-3", "2e-3", "3e-3"], {}, "regression", ()),
    (["True", "False"], {"positive": True}, "binary", ("False", "True")),
    (["yes", "yes", "Yes", "no"], {"positive": "Yes"}, "binary", ("no", "yes")),
    (["0.0", "1.0", "2.0"], {"columns": {"y": {"replace": {2: 1}}}}, "binary", (0, 1)),
    (["1,250", "2,500"], {"columns": {"y": {"format": "1,250.5"}}}, "binary", (1250, 2500)),
    (["12345678901234567890", "12345678901234567891"], {}, "binary", None),
]


@pytest.mark.parametrize(("cells", "data", "task", "classes"), TARGETS)
def test_a_target_means_the_same_in_training_and_in_text(
    load_file, tmp_path, cells, data, task, classes
):
    rows = [f"{i / 7:.3f};{cells[i % len(cells)]}" for i in range(N_ROWS)]
    dataset = load_file("\n".join(["n;y", *rows]), test_fraction=0, **data)
    assert task == dataset.task
    assert classes in (None, dataset.schema.target.classes)
    text = pd.read_csv(tmp_path / "rows.csv", sep=";", dtype=str)
    np.testing.assert_array_equal(dataset.target, dataset.schema.encode_target(text)[dataset.rows])


def test_a_target_says_what_may_mean_missing(load_file):
    rows = [f"{i / 7:.3f};{['1.5', '2.5', '?'][i % 3]}" for i in range(N_ROWS)]
    assert any("y: '?' is a category like" in n for n in load_file("\n".join(["n;y", *rows])).notes)


def test_labels_of_several_types_are_classes(tmp_path):
    labels = np.array([1, "b"] * (N_ROWS // 2), object)
    arrays = (np.random.default_rng(0).normal(size=(N_ROWS, 2)), labels)
    found = load(
        DataSpec(), task=None, cross_validation=None, seed=0, folder=tmp_path, arrays=arrays
    )
    assert ("1", "b") == found.schema.target.classes
