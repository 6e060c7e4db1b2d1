"""Iceberg tables: the declared snapshot, without rows of others, and without deleted ones."""

import json
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from pyarrow import parquet

import hpsearch
from hpsearch.data import load
from hpsearch.data.iceberg_source import TableFiles
from hpsearch.data.sources import read_source
from hpsearch.errors import DataError
from hpsearch.spec.data_spec import DataSpec

ROWS = 40
TABLE = pa.table(
    {
        "size": pa.array([float(i % 7) for i in range(ROWS)]),
        "country": pa.array([("DE", "São Tomé", None)[i % 3] for i in range(ROWS)]),
        "y": pa.array([("no", "yes")[i % 2] for i in range(ROWS)]),
    }
)
CORRECTED = TABLE.set_column(2, "y", pa.array(["yes"] + ["no"] * (ROWS - 1)))
WIDER = TABLE.append_column("rain", pa.array(range(ROWS)))


def read(folder: Path, source: str = "rows", pinned=None, **data):
    return read_source(DataSpec(source=source, target="y", **data), folder, (), pinned or {})


def sort_rows(table: pa.Table) -> list[dict]:
    return sorted(table.to_pylist(), key=repr)


def test_without_the_library_an_iceberg_table_is_refused(tmp_path, monkeypatch):
    (tmp_path / "rows" / "metadata").mkdir(parents=True)
    (tmp_path / "rows" / "metadata" / "v1.metadata.json").touch()
    parquet.write_table(TABLE, tmp_path / "rows" / "part-0.parquet")
    monkeypatch.setitem(sys.modules, "pyiceberg.exceptions", None)
    for source, message in (
        ("rows", r"pip install 'hpsearch\[iceberg\]'"),
        ("rows/*.parquet", "rows is an Iceberg table"),
        (".", "rows is an Iceberg table"),
    ):
        with pytest.raises(DataError, match=message):
            read(tmp_path, source)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """A catalog in SQLite, whose tables are folders."""
    sql = pytest.importorskip("pyiceberg.catalog.sql", reason="pyiceberg is not installed")
    folder = tmp_path_factory.mktemp("warehouse")
    catalog = sql.SqlCatalog(
        "lake", uri=f"sqlite:///{folder / 'catalog.db'}", warehouse=folder.as_uri()
    )
    catalog.create_namespace("lake")
    yield catalog
    catalog.close()


@pytest.fixture(scope="module")
def table(catalog) -> SimpleNamespace:
    """A partitioned table: written, corrected, given a column and more rows, some deleted."""
    from pyiceberg.types import LongType

    made = catalog.create_table("lake.rows", TABLE.schema)
    with made.update_spec() as spec:
        spec.add_identity("country")
    made.append(TABLE)
    made.overwrite(CORRECTED)
    with made.update_schema() as schema:
        schema.add_column("rain", LongType())
    made.append(WIDER)
    made.delete("size == 3.0")
    folder = find_folder(made)
    return SimpleNamespace(folder=folder.parent, made=made, log=made.history(), name=folder.name)


def find_folder(made) -> Path:
    from urllib.parse import urlsplit

    return Path(urlsplit(made.location()).path)


def record(entry) -> str:
    return f"iceberg snapshot {entry.snapshot_id}"


def test_the_current_snapshot_is_read_and_no_removed_row(table):
    source = read(table.folder)
    expected = pa.concat_tables([CORRECTED, WIDER], promote_options="default")
    expected = expected.filter(pa.compute.field("size") != 3)
    assert [*TABLE.column_names, "rain"] == source.table.column_names
    assert sort_rows(expected) == sort_rows(source.table)
    assert {"rows": record(table.log[-1])} == source.versions
    assert source.table.equals(read(table.folder, pinned=source.versions).table)


def test_a_declared_or_recorded_snapshot_is_read_with_its_columns(table):
    first = next(e for e in table.log)
    for source in (
        read(table.folder, version=first.snapshot_id),
        read(table.folder, pinned={"rows": record(first)}),
    ):
        assert sort_rows(TABLE) == sort_rows(source.table)
        assert {"rows": record(first)} == source.versions


def test_a_snapshot_that_is_not_there_is_refused(table):
    newest = table.log[-1].snapshot_id
    with pytest.raises(DataError, match=rf"no snapshot 7, .* last ones: .*{newest}.*data\.version"):
        read(table.folder, version=7)
    with pytest.raises(DataError, match=r"no snapshot 8, or it has expired.*--fresh"):
        read(table.folder, pinned={"rows": "iceberg snapshot 8"})


def test_a_moment_selects_the_snapshot_of_that_time(table):
    first = table.log[0]
    moment = datetime.fromtimestamp(first.timestamp_ms / 1000, UTC)
    found = [e for e in table.log if e.timestamp_ms <= first.timestamp_ms][-1]
    assert {"rows": record(found)} == read(table.folder, timestamp=moment).versions
    latest = datetime.now(UTC) + timedelta(days=1)
    assert {"rows": record(table.log[-1])} == read(table.folder, timestamp=latest).versions
    with pytest.raises(DataError, match="is before the first version"):
        read(table.folder, timestamp=moment - timedelta(days=1))


def test_a_copy_elsewhere_gives_the_same_rows_without_the_original(table, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(table.folder / table.name, copy)
    newest = max((copy / "metadata").glob("*.metadata.json"))
    expected = read(table.folder).table
    assert expected.equals(read(tmp_path, "copy").table)
    assert expected.equals(read(tmp_path, f"copy/metadata/{newest.name}").table)
    for path in (copy / "data").rglob("*.parquet"):
        path.unlink()
    with pytest.raises(DataError, match=r"a file is gone, .*\.parquet"):
        read(tmp_path, "copy")
    shutil.copy(newest, newest.with_name(f"{newest.name[:5]}-other.metadata.json"))
    with pytest.raises(DataError, match=r"two writers left .*the file that the table's catalog"):
        read(tmp_path, "copy")
    newest.write_text("{}")
    with pytest.raises(DataError, match="the Iceberg table cannot be read"):
        read(tmp_path, f"copy/metadata/{newest.name}")


def add_delete_file(catalog, name: str, rows: pa.Table, **fields):
    """Append a file of deletions to a table of its own, as writers that merge on read do."""
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat

    made = catalog.create_table(f"lake.{name}", TABLE.schema)
    made.append(TABLE)
    (task,) = made.scan().plan_files()
    path = find_folder(made) / "data" / "deleted.parquet"
    parquet.write_table(rows.append_column("file_path", [[task.file.file_path] * len(rows)]), path)
    file = DataFile.from_args(
        content=DataFileContent[fields.pop("content")],
        file_path=f"{made.location()}/data/deleted.parquet",
        file_format=FileFormat.PARQUET,
        partition=task.file.partition,
        record_count=len(rows),
        file_size_in_bytes=path.stat().st_size,
        **fields,
    )
    file.spec_id = 0
    with made.transaction() as transaction, transaction.update_snapshot().fast_append() as update:
        update.append_data_file(file)
    return made


def test_rows_of_a_position_delete_file_are_left_out(catalog, table):
    rows = pa.table({"pos": pa.array([0, 1, 7])})
    made = add_delete_file(catalog, "merged", rows, content="POSITION_DELETES")
    expected = TABLE.take([i for i in range(ROWS) if i not in (0, 1, 7)])
    assert expected.to_pylist() == read(table.folder, "merged").table.to_pylist()
    before = made.history()[0].snapshot_id
    assert TABLE.to_pylist() == read(table.folder, "merged", version=before).table.to_pylist()


def test_equality_deletes_are_refused_by_name(catalog, table):
    rows = pa.table({"size": [3.0]})
    add_delete_file(catalog, "equal", rows, content="EQUALITY_DELETES", equality_ids=[1])
    with pytest.raises(DataError, match=r"equality deletes.*write the snapshot that you mean as"):
        read(table.folder, "equal")


def test_a_table_without_rows_is_refused(catalog, table):
    made = catalog.create_table("lake.nothing", TABLE.schema)
    with pytest.raises(DataError, match="has no snapshot: nothing has been written"):
        read(table.folder, "nothing")
    made.append(TABLE.slice(0, 0))
    with pytest.raises(DataError, match=r"there are no rows in snapshot \d+ of the Iceberg"):
        read(table.folder, "nothing")


def test_a_file_outside_of_the_table_is_refused(catalog, table, tmp_path):
    parquet.write_table(TABLE, tmp_path / "other.parquet")
    made = catalog.create_table("lake.added", TABLE.schema)
    made.add_files([(tmp_path / "other.parquet").as_uri()])
    with pytest.raises(DataError, match=r"other\.parquet does not lie below .*, and is not read"):
        read(table.folder, "added")


def test_a_dataset_says_which_snapshot_it_was_made_of(table):
    first = table.log[0].snapshot_id
    spec = DataSpec(source="rows", target="y", version=first)
    found = load(spec, task=None, cross_validation=None, seed=1, folder=table.folder)
    assert {"rows": f"iceberg snapshot {first}"} == found.versions
    assert f"snapshot {first} of the Iceberg table" in found.notes


def test_the_rows_of_one_file_give_the_same_data_as_a_frame(catalog, table):
    catalog.create_table("lake.same", TABLE.schema).append(TABLE)
    spec = DataSpec(source="same", target="y")
    options = {"task": None, "cross_validation": None, "seed": 1, "folder": table.folder}
    found = load(spec, **options)
    frame = load(DataSpec(target="y"), **options, arrays=TABLE)
    assert frame.fingerprint == found.fingerprint


def test_files_are_found_by_locations_of_any_scheme(tmp_path):
    for location in ("s3a://lake/db/rows", "s3://lake/db/rows/"):
        files = TableFiles(tmp_path, location)
        found = files.to_path("s3://lake/db/rows/data/country=S%C3%A3o/0.parquet")
        assert tmp_path / "data" / "country=S%C3%A3o" / "0.parquet" == found
        for other in ("s3://lake/db/rows2/0.parquet", "s3://lake/db/rows/../0.parquet"):
            with pytest.raises(DataError, match="does not lie below"):
                files.to_path(other)
    assert tmp_path / "0" == TableFiles(tmp_path, "/lake/rows").to_path("file:/lake/rows/0")


@pytest.mark.long
def test_a_table_in_a_bucket_is_read_by_its_copy(table, tmp_path, monkeypatch):
    import boto3
    from server_parts import S3_KEYS, s3_server

    root = table.folder / table.name
    with s3_server("ice") as store:
        for name, value in {**S3_KEYS, "AWS_ENDPOINT_URL": store}.items():
            monkeypatch.setenv(name, value)
        bucket = boto3.resource("s3", region_name="us-east-1").Bucket("ice")
        for path in (p for p in root.rglob("*") if p.is_file()):
            bucket.upload_file(str(path), f"rows/{path.relative_to(root).as_posix()}")
        found = read(tmp_path, "s3://ice/rows")
        first = {"s3://ice/rows": record(table.log[0])}
        before = read(tmp_path, "s3://ice/rows", pinned=first)
    assert read(table.folder).table.equals(found.table)
    assert {"s3://ice/rows": record(table.log[-1])} == found.versions
    assert (sort_rows(TABLE), first) == (sort_rows(before.table), before.versions)


@pytest.mark.long
def test_a_resumed_study_reads_the_snapshot_that_it_began_with(catalog, table, tmp_path):
    made = catalog.create_table("lake.resumed", TABLE.schema)
    made.append(TABLE)

    def tune(name: str, trials: int) -> list[float]:
        study = {
            "study": name,
            "seed": 3,
            "data": {"source": str(table.folder / "resumed"), "target": "y"},
            "cross_validation": {"folds": 2},
            "training": {"epochs": 1},
            "search_space": {
                "units": 4,
                "learning_rate": {"type": "float", "low": 0.01, "high": 0.1},
            },
            "sampler": {"kind": "random"},
            "pruner": {"kind": "none"},
            "selection": {"finalists": 0},
            "budget": {"trials": trials},
        }
        done = hpsearch.tune(study, offline=True, root=tmp_path)
        return [trial.score for trial in done.trials]

    whole = tune("whole", 2)
    assert whole[:1] == tune("begun", 1)
    made.overwrite(CORRECTED)
    assert whole == tune("begun", 2)
    made.maintenance.expire_snapshots().by_id(made.history()[0].snapshot_id).commit()
    with pytest.raises(DataError, match=r"it has expired.*starts over with fresh=True"):
        tune("begun", 3)


@pytest.mark.parametrize(("location", "kind"), [("lake/rows", "local"), ("s3://lake/rows", "s3")])
def test_mlflow_records_the_snapshot_with_its_address(location, kind):
    from mlflow.data.dataset_source_registry import get_dataset_source_from_json

    from hpsearch.tracking.mlflow_layout import describe_source

    fields = describe_source("rows", {location: "iceberg snapshot 3"})
    assert {"uri": location, "iceberg_snapshot_id": "3"} == json.loads(fields["source"])
    found = get_dataset_source_from_json(fields["source"], fields["source_type"])
    assert (kind, location) == (fields["source_type"], found.to_dict()["uri"])


@pytest.fixture
def configured(table, catalog, monkeypatch) -> SimpleNamespace:
    """The catalog, as a user describes it to pyiceberg."""
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__URI", catalog.properties["uri"])
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__WAREHOUSE", catalog.properties["warehouse"])
    return table


def test_a_catalog_names_the_table_and_its_snapshots(configured, tmp_path):
    named = "iceberg:lake.lake.rows"
    newest, first = configured.log[-1], configured.log[0]
    source = read(tmp_path, named)
    assert read(configured.folder).table.equals(source.table)
    assert ("rows", {named: record(newest)}) == (source.name, source.versions)
    for older in (
        read(tmp_path, named, version=first.snapshot_id),
        read(tmp_path, named, pinned={named: record(first)}),
    ):
        assert sort_rows(TABLE) == sort_rows(older.table)
        assert {named: record(first)} == older.versions


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("iceberg:rows", "is iceberg:CATALOG.NAMESPACE.TABLE"),
        ("iceberg:lake.rows", "is iceberg:CATALOG.NAMESPACE.TABLE"),
        ("iceberg:lake..rows", "is iceberg:CATALOG.NAMESPACE.TABLE"),
        ("iceberg:sea.lake.rows", r"has no catalog 'sea'\. Known: lake\. .*CATALOG__SEA__URI"),
        ("iceberg:lake.lake.rivers", r"the catalog lake has no table lake\.rivers"),
        ("iceberg:lake.ocean.rows", r"the catalog lake has no table ocean\.rows"),
    ],
)
def test_a_table_that_no_catalog_has_is_refused(configured, tmp_path, source, message):
    with pytest.raises(DataError, match=f"{source}: .*{message}"):
        read(tmp_path, source)


def test_a_catalog_that_does_not_answer_is_told_without_its_password(tmp_path, monkeypatch):
    pytest.importorskip("pyiceberg", reason="pyiceberg is not installed")
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__URI", "http://me:hunter2@127.0.0.1:9/catalog")
    with pytest.raises(DataError, match="the catalog lake cannot be read") as raised:
        read(tmp_path, "iceberg:lake.lake.rows")
    assert "hunter2" not in str(raised.value)


def test_a_study_of_a_catalogs_table_goes_on_with_its_snapshot(configured, tmp_path):
    spec = {
        "study": "cataloged",
        "data": {"source": "iceberg:lake.lake.rows", "target": "y", "test_fraction": 0},
        "training": {"epochs": 1},
        "search_space": {"units": 4},
        "budget": {"trials": 1},
    }
    dataset = hpsearch.check(spec).dataset
    assert dataset.n_rows == read(tmp_path, "iceberg:lake.lake.rows").table.num_rows
    assert {"iceberg:lake.lake.rows": record(configured.log[-1])} == dataset.versions


def test_a_snapshot_larger_than_memory_has_the_same_rows(table, tmp_path):
    data = DataSpec(source="rows", target="y", memory_gib=1e-6)
    mapped = read_source(data, table.folder, cache=tmp_path)
    assert (True, "the rows would need") == (mapped.is_mapped, mapped.notes[0][:19])
    assert read(table.folder).table.equals(mapped.table)
