"""Folders written by Spark, Hive and Arrow: partitions, markers, schemas with added columns."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, dataset, parquet

from hpsearch.data.sources import read_source
from hpsearch.errors import DataError
from hpsearch.spec.data_spec import ColumnSpec, DataSpec

ROWS = 24
TABLE = pa.table(
    {
        "size": pa.array([float(i % 7) + 0.5 for i in range(ROWS)]),
        "country": pa.array([("DE", "São Tomé", "a/b=c", None)[i % 4] for i in range(ROWS)]),
        "month": pa.array([1 + i % 2 for i in range(ROWS)]),
        "y": pa.array([("no", "yes")[i % 3 == 0] for i in range(ROWS)]),
    }
)


def read(folder: Path, source: str = "rows", **data):
    return read_source(DataSpec(source=source, target="y", **data), folder)


def sort_rows(table: pa.Table) -> list:
    return sorted(table.select(sorted(table.column_names)).to_pylist(), key=repr)


def write_hive(folder: Path, form: str = "parquet") -> None:
    dataset.write_dataset(
        TABLE,
        folder / "rows",
        format=form,
        partitioning=["country", "month"],
        partitioning_flavor="hive",
    )


@pytest.mark.parametrize("form", ["parquet", "csv", "feather"])
def test_partitions_are_columns_with_their_types(tmp_path, form):
    write_hive(tmp_path, form)
    found = read(tmp_path).table
    assert {"size", "y", "country", "month"} == set(found.column_names)
    assert pa.int64() == found.schema.field("month").type
    assert pa.string() == found.schema.field("country").type
    assert sort_rows(TABLE) == sort_rows(found)


def test_a_glob_keeps_the_partitions_that_it_matches(tmp_path):
    write_hive(tmp_path)
    found = read(tmp_path, "rows/country=*/month=2/*.parquet").table
    assert sort_rows(TABLE.filter(pa.compute.equal(TABLE["month"], 2))) == sort_rows(found)
    found = read(tmp_path, "rows/country=DE").table
    assert {"size", "y", "month"} == set(found.column_names)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["7", "-12", "0"], pa.int64()),
        (["1", "2.5"], pa.float64()),
        (["01", "02"], pa.string()),
        (["1.50", "2.5"], pa.string()),
        (["1", "x"], pa.string()),
        (["nan", "1.5"], pa.string()),
        (["2024-02-29", "2024-01-31"], pa.date32()),
        (["2023-02-29", "2024-01-31"], pa.string()),
    ],
)
def test_a_partitions_type_keeps_the_spelling(tmp_path, values, kind):
    for value in values:
        folder = tmp_path / "rows" / f"c={value}"
        folder.mkdir(parents=True)
        parquet.write_table(TABLE.select(["size", "y"]), folder / "a.parquet")
    found = read(tmp_path).table["c"]
    assert kind == found.type
    assert set(values) == {str(v) if kind != pa.float64() else f"{v:g}" for v in found.to_pylist()}


def test_a_partition_that_is_declared_categorical_is_text(tmp_path):
    write_hive(tmp_path)
    spec = DataSpec(source="rows", target="y", columns={"month": ColumnSpec(kind="categorical")})
    found = read_source(spec, tmp_path, ["month"]).table
    assert pa.string() == found.schema.field("month").type


def test_a_partition_that_stands_in_the_files_too_must_agree(tmp_path):
    folder = tmp_path / "rows" / "month=1"
    folder.mkdir(parents=True)
    first = TABLE.filter(pa.compute.equal(TABLE["month"], 1))
    parquet.write_table(first, folder / "a.parquet")
    assert first.column_names == read(tmp_path).table.column_names
    folder.rename(tmp_path / "rows" / "month=3")
    with pytest.raises(DataError, match=r"a\.parquet: column 'month' holds 1, .*month=3"):
        read(tmp_path)


def test_files_of_different_layouts_are_refused(tmp_path):
    write_hive(tmp_path)
    parquet.write_table(TABLE, tmp_path / "rows" / "zz.parquet")
    with pytest.raises(DataError, match=r"zz\.parquet is partitioned by nothing, and .*country"):
        read(tmp_path)


def test_hidden_and_uncommitted_files_are_left_out(tmp_path):
    folder = tmp_path / "rows"
    left = folder / "_temporary" / "0" / "task_1"
    left.mkdir(parents=True)
    (folder / ".hidden").mkdir()
    other = TABLE.rename_columns(["a", "b", "c", "y"])
    parquet.write_table(TABLE, folder / "part-0-tid-11-a.parquet")
    for path in (
        left / "part-1.parquet",
        folder / ".hidden" / "part.parquet",
        folder / ".part-0.parquet",
        folder / "_draft.parquet",
        folder / "part-0-tid-22-b.parquet",  # of a job that has begun and not committed
        folder / "part-0-tid-10-c.parquet",  # overwritten by job 11
    ):
        parquet.write_table(other, path)
    for name in ("_SUCCESS", "_started_11", "_started_22", "_started_10", "_committed_10"):
        (folder / name).touch()
    removed = {"added": ["part-0-tid-11-a.parquet"], "removed": ["part-0-tid-10-c.parquet"]}
    (folder / "_committed_11").write_text(json.dumps(removed))
    assert TABLE.equals(read(tmp_path).table)
    assert TABLE.equals(read(tmp_path, "rows/*.parquet").table)


def test_a_folder_without_a_file_to_read_says_what_it_holds(tmp_path):
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "part-0.orc").touch()
    with pytest.raises(DataError, match=r"no file to read .*it holds \.orc"):
        read(tmp_path)


def test_a_hudi_table_is_refused_by_name(tmp_path):
    folder = tmp_path / "rows"
    folder.mkdir()
    parquet.write_table(TABLE, folder / "a.parquet")
    (folder / ".hoodie").mkdir()
    with pytest.raises(DataError, match="a Hudi table, whose folder holds files of earlier versi"):
        read(tmp_path)
    with pytest.raises(DataError, match="rows is a Hudi table"):
        read(tmp_path, ".")


# ---- schemas that grew ----


def write_parts(folder: Path, *tables: pa.Table) -> None:
    (folder / "rows").mkdir()
    for i, table in enumerate(tables):
        parquet.write_table(table, folder / "rows" / f"part-{i}.parquet")


def test_columns_of_later_files_are_missing_in_earlier_ones(tmp_path):
    later = TABLE.append_column("rain", pa.array(np.arange(ROWS), pa.int32()))
    write_parts(tmp_path, TABLE, later.select(["rain", "y", "size", "month", "country"]))
    source = read(tmp_path)
    assert [*TABLE.column_names, "rain"] == source.table.column_names
    assert [None] * ROWS + list(range(ROWS)) == source.table["rain"].to_pylist()
    assert TABLE["size"].to_pylist() * 2 == source.table["size"].to_pylist()
    assert "'rain' is in 1 of 2 files (not in part-0.parquet)" in source.notes[0]


def test_a_file_without_the_target_is_refused(tmp_path):
    write_parts(tmp_path, TABLE, TABLE.drop_columns(["y"]))
    with pytest.raises(DataError, match=r"part-1\.parquet has no column 'y', the target"):
        read(tmp_path)


def test_names_that_differ_in_case_alone_are_refused(tmp_path):
    write_parts(tmp_path, TABLE, TABLE.rename_columns(["Size", "country", "month", "y"]))
    with pytest.raises(DataError, match=r"part-1\.parquet has the column 'Size', .* 'size'"):
        read(tmp_path)


WIDENING = {
    "integers": ([1, 2], pa.int32(), [3, 2**40], pa.int64(), pa.int64()),
    "floats": ([1, 2], pa.int64(), [0.5, 2.5], pa.float64(), pa.float64()),
    "precision": ([1.5, 2], pa.float32(), [0.1, 2.5], pa.float64(), pa.float64()),
    "missing": ([None, None], pa.null(), [1, 2], pa.int32(), pa.int32()),
    "text": (["a", "b"], pa.string(), ["c", None], pa.string_view(), pa.string()),
    "categories": (
        ["a", "b"],
        pa.dictionary(pa.int8(), pa.string()),
        ["c", "d"],
        pa.string(),
        pa.string(),
    ),
}


@pytest.mark.parametrize("name", WIDENING)
def test_types_widen_without_loss(tmp_path, name):
    first, before, second, after, expected = WIDENING[name]
    target = pa.array(["a", "b"])
    write_parts(
        tmp_path,
        pa.table({"x": pa.array(first, before), "y": target}),
        pa.table({"x": pa.array(second, after), "y": target}),
    )
    found = read(tmp_path).table["x"]
    assert expected == found.type
    assert [*first, *second] == found.to_pylist()


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (pa.array([1]), pa.array(["a"]), r"part-1\.parquet: column 'x' holds string, and part-0"),
        (pa.array([True]), pa.array([3]), r"part-1\.parquet: column 'x' holds int64, and part-0"),
        (
            pa.array([0], pa.timestamp("us", "UTC")),
            pa.array([0], pa.timestamp("us")),
            r"part-1\.parquet: column 'x' holds timestamp",
        ),
        (pa.array([2**60 + 1]), pa.array([0.5]), r"part-0\.parquet: column 'x' .* without loss"),
    ],
)
def test_types_that_do_not_fit_name_file_and_column(tmp_path, first, second, message):
    target = pa.array(["a"])
    write_parts(tmp_path, pa.table({"x": first, "y": target}), pa.table({"x": second, "y": target}))
    with pytest.raises(DataError, match=message):
        read(tmp_path)
    assert 2 == read(tmp_path, drop=["x"]).table.num_rows


def test_csv_files_must_have_the_same_header(tmp_path):
    (tmp_path / "rows").mkdir()
    csv.write_csv(TABLE, tmp_path / "rows" / "a.csv")
    csv.write_csv(TABLE.select(["size", "y"]), tmp_path / "rows" / "b.csv")
    with pytest.raises(DataError, match=r"b\.csv has other columns than a\.csv"):
        read(tmp_path)
