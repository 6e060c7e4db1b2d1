"""Inference of undeclared text columns from all of their texts, with notes."""

from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from hpsearch.data.columns import CellCounts
from hpsearch.errors import DataError
from hpsearch.spec.data_spec import DataSpec

N = 60


def rows(cells: list[str], separator: str = ",") -> str:
    """A file whose column x holds the cells again and again."""
    lines = [separator.join(("x", "other", "y"))]
    for i in range(N):
        quoted = cells[i % len(cells)].replace('"', '""')
        lines.append(separator.join((f'"{quoted}"', str(i % 7), str(i % 2))))
    return "\n".join(lines) + "\n"


def column(data):
    return next(c for c in data.schema.columns if c.raw_name == "x")


@pytest.mark.parametrize(
    ("cells", "separator", "form", "values"),
    [
        (["1,250", "12", "3,000,000"], ",", "1,250.5", [1250, 12, 3000000]),
        (["0,5", "2,75"], ";", "1250,5", [0.5, 2.75]),
        (["-0,802", "1,195"], ";", "1250,5", [-0.802, 1.195]),
        (["1.250,5", "12"], ";", "1.250,5", [1250.5, 12]),
        (["250", "1.000", "4.250"], ";", "1.250,5", [250, 1000, 4250]),
        (["1 250,5", "1\u00a0000"], ";", "1 250,5", [1250.5, 1000]),
        (["$1,250.50", "-$3"], ",", "$1,250.5", [1250.5, -3]),
        (["12.5%", "7%"], ",", "1250.5%", [12.5, 7]),
    ],
)
def test_formatted_numbers_are_recognised_and_noted(load_file, cells, separator, form, values):
    data = load_file(rows(cells, separator), test_fraction=0)
    assert ("numeric", form) == (column(data).kind, column(data).format)
    np.testing.assert_allclose(np.resize(values, N), data.columns[:, 0], rtol=1e-6)
    assert any("data.columns.x.format" in note for note in data.notes)
    declared = load_file(rows(cells, separator), test_fraction=0, columns={"x": {"format": form}})
    np.testing.assert_array_equal(data.columns, declared.columns)


def test_what_may_be_a_thousand_or_a_fraction_is_refused_until_something_tells(load_file):
    with pytest.raises(DataError, match=r"'1,250' is 1\.25 or 1250: .*data\.columns\.x\.format"):
        load_file(rows(["1,250", "12,000"], ";"))
    other = rows(["1,250", "12,000"], ";").replace(";3;", ";3,5;").replace("other", "o")
    assert "1250,5" == column(load_file(other)).format


@pytest.mark.parametrize(
    "cells", [["007", "7", "012"], ["12E3", "1250", "13E7"], ["0x1F", "0x2A"], ["01", "02"]]
)
def test_codes_are_kept_as_they_are_and_noted(load_file, cells):
    data = load_file(rows(cells))
    assert set(cells) == set(column(data).vocabulary)
    if cells[0] != "0x1F":  # which is a text like any other
        assert any("codes like" in note and "{kind: numeric}" in note for note in data.notes)


def test_measurements_stay_numbers(load_file):
    for cells in (
        ["1.5e3", "2E-2"],
        ["1e+03", "5"],
        ["0.5", "0.25"],
        ["-0", "3"],
        ["1.250", "2.5"],
    ):
        assert ("numeric", "") == (
            column(load_file(rows(cells))).kind,
            column(load_file(rows(cells))).format,
        )


@pytest.mark.parametrize(
    "cells", [["3.1", "3.10"], ["007", "7"], ["89014103211118510720", "89014103211118510721"]]
)
def test_a_declared_category_is_what_the_file_spells(load_file, cells):
    data = load_file(rows(cells), columns={"x": {"kind": "categorical"}}, test_fraction=0)
    assert set(cells) == set(column(data).vocabulary)
    counts = CellCounts()
    number = float(cells[1])
    frame = pd.DataFrame({"x": [*cells, number], "other": [1, 2, 3]}, dtype=object)
    codes = data.schema.clean(frame, counts)[:, 0]
    assert codes[0] != codes[1]
    assert np.isnan(codes[2])  # 3.1 may be either, 7 too, and a float has no 20 digits


def test_truth_values_in_several_spellings_are_one_category(load_file):
    data = load_file(rows(["True", "TRUE", "no", "False", "yes"]), test_fraction=0)
    assert 2 == len(column(data).vocabulary)
    assert any("truth values in several spellings" in note for note in data.notes)
    served = data.schema.clean({"x": [True, "TRUE", 1, False, "No"], "other": [1] * 5})[:, 0]
    assert served[0] == served[1] == served[2] != served[3] == served[4]


def test_categories_that_differ_in_case_are_noted(load_file):
    assert any("'Red' and 'red'" in n for n in load_file(rows(["Red", "red", "blue"])).notes)


@pytest.mark.parametrize(
    ("cells", "remedy"),
    [
        (["31/12/2024", "01/02/2024"], r"format: DD/MM/YYYY\}$"),
        (["12/31/2024", "01/02/2024"], r"format: MM/DD/YYYY\}$"),
        (["01/02/2024", "03/04/2024"], "DD/MM/YYYY.* or .*MM/DD/YYYY"),
        (["31.12.2024", "01.02.2024"], r"DD\.MM\.YYYY"),
        (["2024-12-31T01:00:00+09:00", "2024-12-30"], "kind: date"),
        (["31/12/24", "30/12/24"], "years of two digits"),
    ],
)
def test_dates_are_refused_with_the_format_that_takes_them(load_file, cells, remedy):
    with pytest.raises(DataError, match=remedy):
        load_file(rows(cells))


EAST, WEST, ZULU = (f"2024-12-31T08:00:00{o}" for o in ("+09:00", "-05:00", "Z"))


@pytest.mark.parametrize(
    ("cells", "zone", "asked", "hours"),
    [  # the hours of the cells that are asked; None is refused
        ([EAST], None, [EAST, WEST, ZULU], [8, 8, 17]),
        ([ZULU], None, [EAST, WEST, ZULU], [23, 13, 8]),
        ([EAST, WEST], None, [EAST, WEST, ZULU], [8, 8, None]),
        ([EAST, ZULU], None, [EAST, WEST, ZULU], [8, 8, 8]),
        ([EAST, WEST], "Europe/Berlin", [EAST, WEST, ZULU], [0, 14, 9]),
        (["2048-07-01T08:00Z"], "America/New_York", ["2048-07-01T08:00Z", ZULU], [4, 3]),
        (["2024-12-31T08:00"], None, [EAST, WEST, ZULU], [8, 8, 8]),
        (["2024-12-31T08:00"], "Asia/Tokyo", ["2024-12-31T08:00", ZULU], [8, 17]),
    ],
)
@pytest.mark.parametrize("typed", [False, True])
def test_a_time_in_utc_is_read_on_the_clock_that_was_learned(
    load_file, cells, zone, asked, hours, typed
):
    spec = {"kind": "date"} | ({"zone": zone} if zone else {})
    data = load_file(rows(cells), columns={"x": spec}, test_fraction=0)
    hour = [c.name for c in data.schema.columns].index("x.hour")
    for text, expected in zip(asked, hours, strict=True):
        cell = datetime.fromisoformat(text) if typed else text
        table = {
            "x": [cell, None],
            **{c.raw_name: [0, 0] for c in data.schema.columns if c.raw_name != "x"},
        }
        if expected is None:
            with pytest.raises(DataError, match=r"is in UTC.*data\.columns\.x\.zone"):
                data.schema.clean(table)
        else:
            assert expected == data.schema.clean(table)[0, hour]
    noted = [note for note in data.notes if "data.columns.x.zone" in note]
    assert (len(cells) > 1 and zone is None) == bool(noted)


@pytest.mark.parametrize(
    ("labels", "task", "classes"),
    [
        (["0.0", "1.0", "2.0"], "multiclass", (0, 1, 2)),
        ([" a", "a ", "b"], "binary", ("a", "b")),
        (["yes", "Yes", "no"], "binary", ("Yes", "no")),
        (["01", "02", "03"], "multiclass", ("01", "02", "03")),
    ],
)
def test_labels_are_classes_however_they_are_spelled(load_file, labels, task, classes):
    lines = ["x,y", *(f"{i % 7},{labels[i % len(labels)]}" for i in range(N))]
    target = load_file("\n".join(lines)).schema.target
    assert (task, set(classes)) == (target.kind, set(target.classes))


@pytest.mark.parametrize("labels", [np.array([0.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0])])
def test_float_labels_of_an_array_are_classes(load_memory, labels):
    data = load_memory((np.random.default_rng(0).normal(size=(N, 2)), np.resize(labels, N)))
    assert "multiclass" == data.task


def test_a_target_of_formatted_numbers_is_a_regression(load_file):
    lines = ["x;y", *(f"{i % 7};{i},{i % 10}" for i in range(N))]
    data = load_file("\n".join(lines), test_fraction=0)
    assert "regression" == data.task
    assert 59.9 == pytest.approx(data.target.max())


def test_one_hot_targets_are_the_classes_of_one(load_memory):
    x = np.random.default_rng(0).normal(size=(N, 2))
    data = load_memory((x, np.eye(3)[np.arange(N) % 3]))
    assert ("multiclass", (0, 1, 2)) == (data.task, data.schema.target.classes)
    np.testing.assert_array_equal(np.eye(3)[data.rows % 3], data.target)
    assert any("task: multilabel makes each a separate label" in note for note in data.notes)
    names = ["cat", "dog", "owl"]
    frame = pd.DataFrame(np.eye(3)[np.arange(N) % 3], columns=names).assign(x=x[:, 0])
    named = load_memory(frame, target=names)
    assert ("cat", "dog", "owl") == named.schema.target.classes
    assert "multilabel" == load_memory((x, np.eye(3)[np.arange(N) % 3]), task="multilabel").task
    two = load_memory((x, np.eye(2)[np.arange(N) % 2]))
    np.testing.assert_array_equal(two.rows % 2, two.target[:, 0])


def test_pandas_categories_of_numbers_are_categories(load_memory):
    frame = pd.DataFrame(
        {"x": pd.Categorical(np.arange(N) % 3), "z": np.arange(N) % 7, "y": np.arange(N) % 2}
    )
    data = load_memory(frame, target="y")
    assert ("categorical", ("0", "1", "2")) == (column(data).kind, column(data).vocabulary)
    assert any("x: categories, as its type says" in note for note in data.notes)


def test_files_of_a_folder_decide_together(load_file, tmp_path):
    (tmp_path / "part-1.csv").write_text(
        "x,z,y\n" + "".join(f"{i % 3},{i % 7},{i % 2}\n" for i in range(N))
    )
    text = "x,z,y\n" + "".join(f"00{i % 3},{i % 7},{i % 2}\n" for i in range(N))
    data = load_file(text, name="part-2.csv", source="part-*.csv")
    assert {"0", "1", "2", "000", "001", "002"} == set(column(data).vocabulary)


def test_a_test_file_is_read_as_the_training_file(load_file, tmp_path):
    text = "x,other,y\n" + "3.10,1,0\n3.1,2,1\n" * 5
    (tmp_path / "test.csv").write_text(text, encoding="utf-8")
    data = load_file(rows(["3.1", "3.10", "v"]), test_source="test.csv")
    codes = data.locked_rows.read().columns[:, 0]
    assert ["3.10", "3.1"] == [column(data).vocabulary[int(c)] for c in codes[:2]]


def test_the_files_of_a_delta_table_with_a_broken_log_are_not_read_as_rows(load_file, tmp_path):
    table = pa.table({"x": np.arange(N) % 7, "y": np.arange(N) % 2})
    (tmp_path / "lake" / "_delta_log").mkdir(parents=True)
    parquet.write_table(table, tmp_path / "lake" / "rows.parquet")
    with pytest.raises(DataError, match="Delta table"):
        load_file("", name="unused", source="lake")


@pytest.mark.parametrize("form", ["1250", "1.250.5", "$1250.5%", "DD/MM", "1x250.5"])
def test_a_format_that_is_none_is_refused_with_those_that_are(form):
    with pytest.raises(ValueError, match="format"):
        DataSpec(columns={"x": {"format": form}})


def test_a_header_beyond_the_sample_and_one_with_a_line_end_are_read(load_file):
    names = [f"column_{i:06}" for i in range(6000)]
    lines = [",".join([*names, "y"])]
    lines += [",".join([*(str((i * k) % 9) for k in range(6000)), "ab"[i % 2]]) for i in range(20)]
    assert 6000 == load_file("\n".join(lines), cv=None, test_fraction=0, drop=[]).n_columns
    assert "a\nx" == load_file(rows(["1", "2"]).replace("x,", '"a\nx",', 1)).schema.columns[0].name
