"""Delta tables: the declared version, without rows of other versions."""

import json
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from hpsearch.data import load
from hpsearch.data.sources import read_source
from hpsearch.errors import DataError
from hpsearch.spec.data_spec import DataSpec

Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
ROWS = 40
TABLE = pa.table(
    {
        "size": pa.array([float(i % 7) for i in range(ROWS)]),
        "country": pa.array([("DE", "São Tomé", None)[i % 3] for i in range(ROWS)]),
        "y": pa.array([("no", "yes")[i % 2] for i in range(ROWS)]),
    }
)


def test_without_the_library_a_delta_table_is_refused(tmp_path, monkeypatch):
    (tmp_path / "rows" / "_delta_log").mkdir(parents=True)
    parquet.write_table(TABLE, tmp_path / "rows" / "part-0.parquet")
    monkeypatch.setitem(__import__("sys").modules, "deltalake", None)
    for source, message in (
        ("rows", r"pip install 'hpsearch\[delta\]'"),
        ("rows/*.parquet", "rows is a Delta table"),
        (".", "rows is a Delta table"),
    ):
        with pytest.raises(DataError, match=message):
            read(tmp_path, source)


def test_a_version_of_another_source_is_refused(tmp_path):
    parquet.write_table(TABLE, tmp_path / "t.parquet")
    with pytest.raises(DataError, match="are for Delta and Iceberg tables"):
        read(tmp_path, "t.parquet", version=3)


def read(folder: Path, source: str = "rows", pinned=None, **data):
    return read_source(DataSpec(source=source, target="y", **data), folder, (), pinned or {})


@pytest.fixture
def overwritten(tmp_path: Path) -> Path:
    """A table whose second version has corrected labels, and partitions."""
    deltalake = pytest.importorskip("deltalake")
    corrected = TABLE.set_column(2, "y", pa.array(["yes"] + ["no"] * (ROWS - 1)))
    for table in (TABLE, corrected):
        deltalake.write_deltalake(
            str(tmp_path / "rows"), table, partition_by=["country"], mode="overwrite"
        )
    return tmp_path


def test_the_newest_version_is_read_and_no_removed_file(overwritten):
    source = read(overwritten)
    assert ROWS == source.table.num_rows
    assert 1 == source.table["y"].to_pylist().count("yes")
    assert TABLE.column_names == source.table.column_names
    assert sorted(TABLE["country"].to_pylist(), key=repr) == sorted(
        source.table["country"].to_pylist(), key=repr
    )
    assert {"rows": "delta version 1"} == source.versions


def test_a_declared_or_recorded_version_is_read(overwritten):
    for source in (
        read(overwritten, version=0),
        read(overwritten, pinned={"rows": "delta version 0"}),
    ):
        assert ROWS // 2 == source.table["y"].to_pylist().count("yes")
        assert {"rows": "delta version 0"} == source.versions


def test_a_declared_version_that_is_not_there_is_refused(overwritten):
    with pytest.raises(DataError, match="there is no version 7; the newest is 1"):
        read(overwritten, version=7)


def test_a_moment_selects_the_version_of_that_time(overwritten):
    from deltalake import DeltaTable

    history = DeltaTable(str(overwritten / "rows")).history()
    first = min(entry["timestamp"] for entry in history)
    moment = datetime.fromtimestamp(first / 1000, UTC)
    latest = datetime.now(UTC) + timedelta(days=1)
    assert {"rows": "delta version 0"} == read(overwritten, timestamp=moment).versions
    assert {"rows": "delta version 1"} == read(overwritten, timestamp=latest).versions
    with pytest.raises(DataError, match="is before the first version"):
        read(overwritten, timestamp=moment - timedelta(days=1))


def test_a_vacuumed_version_is_refused(overwritten):
    from deltalake import DeltaTable

    table = DeltaTable(str(overwritten / "rows"))
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    with pytest.raises(DataError, match=r"is gone, which this version .* vacuumed"):
        read(overwritten, version=0)
    assert ROWS == read(overwritten).table.num_rows


def test_a_dataset_says_which_version_it_was_made_of(overwritten):
    spec = DataSpec(source="rows", target="y", version=0)
    found = load(spec, task=None, cross_validation=None, seed=1, folder=overwritten)
    assert {"rows": "delta version 0"} == found.versions
    assert "version 0 of the Delta table" in found.notes


def edit_log(folder: Path, version: int, lines: list[dict]) -> None:
    log = folder / "_delta_log" / f"{version:020}.json"
    log.write_text("\n".join(map(json.dumps, lines)))


def read_log(folder: Path) -> list[dict]:
    text = (folder / "_delta_log" / f"{0:020}.json").read_text()
    return [json.loads(line) for line in text.splitlines()]


def make_deletion_vector(rows: list[int]) -> dict:
    """A vector as the protocol stores it inline: a roaring bitmap in Z85."""
    bitmap = struct.pack("<IIHHI", 12346, 1, 0, len(rows) - 1, 16)
    bitmap += struct.pack(f"<{len(rows)}H", *rows)
    raw = struct.pack("<IQI", 1681511377, 1, 0) + bitmap
    size, text = len(raw), ""
    raw += b"\0" * (-size % 4)
    for i in range(0, len(raw), 4):
        number = int.from_bytes(raw[i : i + 4], "big")
        text += "".join(Z85[number // 85**k % 85] for k in (4, 3, 2, 1, 0))
    vector = {"storageType": "i", "pathOrInlineDv": text}
    return {**vector, "sizeInBytes": size, "cardinality": len(rows)}


def write_plain(folder: Path, **options) -> Path:
    deltalake = pytest.importorskip("deltalake")
    deltalake.write_deltalake(str(folder / "rows"), TABLE, **options)
    return folder / "rows"


def require_features(*names: str) -> dict:
    versions = {"minReaderVersion": 3, "minWriterVersion": 7}
    return {"protocol": {**versions, "readerFeatures": names, "writerFeatures": names}}


def test_rows_of_a_deletion_vector_are_left_out(tmp_path):
    table = write_plain(tmp_path)
    add = next(line["add"] for line in read_log(table) if "add" in line)
    lines = [
        require_features("deletionVectors"),
        {"remove": {"path": add["path"], "deletionTimestamp": 1, "dataChange": True}},
        {"add": {**add, "deletionVector": make_deletion_vector([0, 1, 7])}},
    ]
    edit_log(table, 1, lines)
    expected = TABLE.take([i for i in range(ROWS) if i not in (0, 1, 7)])
    assert expected.equals(read(tmp_path).table)
    assert TABLE.equals(read(tmp_path, version=0).table)


def test_columns_are_found_by_their_physical_names(tmp_path):
    table = write_plain(tmp_path, partition_by=["country"])
    lines = read_log(table)
    for line in lines:
        if "metaData" in line:
            schema = json.loads(line["metaData"]["schemaString"])
            for number, column in enumerate(schema["fields"], 1):
                prefix = "delta.columnMapping."
                physical = {f"{prefix}id": number, f"{prefix}physicalName": column["name"]}
                column["metadata"] = physical
                column["name"] = {"country": "Land", "size": "Size (m)"}.get(column["name"], "y")
            line["metaData"]["schemaString"] = json.dumps(schema)
            line["metaData"]["partitionColumns"] = ["Land"]
            line["metaData"]["configuration"] = {"delta.columnMapping.mode": "name"}
        if "protocol" in line:
            line["protocol"] = {"minReaderVersion": 2, "minWriterVersion": 5}
    edit_log(table, 0, lines)
    found = read(tmp_path).table
    assert ["Size (m)", "Land", "y"] == found.column_names
    renamed = found.rename_columns(TABLE.column_names).to_pylist()
    assert sorted(TABLE.to_pylist(), key=repr) == sorted(renamed, key=repr)


def test_a_feature_that_is_not_read_is_named(tmp_path):
    table = write_plain(tmp_path)
    edit_log(table, 1, [require_features("variantType")])
    with pytest.raises(DataError, match="variantType"):
        read(tmp_path)


def test_columns_that_were_added_later_are_missing_in_earlier_files(tmp_path):
    deltalake = pytest.importorskip("deltalake")
    write_plain(tmp_path)
    wider = TABLE.append_column("rain", pa.array(range(ROWS)))
    path = str(tmp_path / "rows")
    deltalake.write_deltalake(path, wider, mode="append", schema_mode="merge")
    found = read(tmp_path).table
    assert 2 * ROWS == found.num_rows
    assert ROWS == found["rain"].null_count


def test_mlflow_links_the_version_as_a_delta_table():
    from mlflow.data.delta_dataset_source import DeltaDatasetSource
    from mlflow.entities import Dataset

    from hpsearch.tracking.mlflow_layout import describe_source

    fields = describe_source("rows", {"lake/rows": "delta version 3"})
    Dataset(name="rows", digest="0", schema=None, profile=None, **fields)
    found = DeltaDatasetSource.from_dict(json.loads(fields["source"]))
    assert DeltaDatasetSource._get_source_type() == fields["source_type"]
    assert ("lake/rows", 3) == (found.path, found.delta_table_version)
