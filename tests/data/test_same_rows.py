"""The same rows through every kind of source give the same data, bit for bit."""

import importlib.util
import shutil
import sqlite3
import sys
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, dataset, parquet
from server_parts import S3_KEYS, postgresql, s3_server

import hpsearch
from hpsearch.data import load
from hpsearch.data.batch_feed import source_from_memory
from hpsearch.errors import DataError
from hpsearch.spec.data_spec import DataSpec

ROWS = 60
TABLE = pa.table(  # sorted by the partitions' column, which stands last, as in Hive's folders
    {
        "size": pa.array([((i * 7) % 11) / 4 for i in range(ROWS)]),
        "count": pa.array([None if i % 13 == 0 else (i * 5) % 17 for i in range(ROWS)]),
        "id": pa.array(range(ROWS)),
        "y": pa.array([("no", "yes")[(i * 7) % 11 > 5] for i in range(ROWS)]),
        "country": pa.array(["DE"] * (ROWS // 2) + ["São Tomé"] * (ROWS // 2)),
    }
)


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The table in every kind of source: name -> `data.source`, or a frame."""
    csv.write_csv(TABLE, tmp_path / "t.csv")
    (tmp_path / "parts").mkdir()
    for i in range(3):
        part = TABLE.slice(i * ROWS // 3, ROWS // 3)
        parquet.write_table(part, tmp_path / "parts" / f"part-{i}.parquet")
    partitioned = {"partitioning": ["country"], "partitioning_flavor": "hive"}
    dataset.write_dataset(TABLE, tmp_path / "hive", format="parquet", **partitioned)
    with sqlite3.connect(tmp_path / "rows.db") as connection:
        connection.execute("CREATE TABLE t (size REAL, count INT, id INT, y TEXT, country TEXT)")
        rows = [tuple(row.values()) for row in TABLE.to_pylist()]
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
    connection.close()
    monkeypatch.setenv("ROWS_DATABASE", f"sqlite:///{tmp_path / 'rows.db'}")
    query = {"sql": "SELECT * FROM t", "connection": "ROWS_DATABASE", "order_by": ["id"]}
    plain = {"csv": "t.csv", "parquet": "parts", "hive": "hive", "sql": query, "arrow": TABLE}
    file = (tmp_path / "parts").absolute().as_uri()
    return {**plain, "file address": file, "pandas": TABLE.to_pandas()}


def declare(source: object) -> tuple[DataSpec, object]:
    options = {"target": "y", "drop": ["id"]}
    if isinstance(source, str | dict):
        return DataSpec(source=source, **options), None
    return DataSpec(**options), source


def read(source: object, folder: Path):
    spec, frame = declare(source)
    return load(spec, task=None, cross_validation=None, seed=3, folder=folder, arrays=frame)


def assert_same_rows(expected, found, name: str) -> None:
    np.testing.assert_array_equal(expected.features, found.features, name)
    np.testing.assert_array_equal(expected.target, found.target, name)
    assert expected.schema.feature_names == found.schema.feature_names, name
    for one, other in zip(expected.folds, found.folds, strict=True):
        np.testing.assert_array_equal(one.train, other.train, name)


def test_every_source_gives_the_same_data(sources, tmp_path):
    expected = read(TABLE, tmp_path)
    for name, source in sources.items():
        found = read(source, tmp_path)
        assert_same_rows(expected, found, name)
        if name in ("parquet", "hive", "sql", "file address"):
            assert expected.fingerprint == found.fingerprint, name


def test_a_delta_table_gives_the_same_data(tmp_path):
    deltalake = pytest.importorskip("deltalake")
    deltalake.write_deltalake(str(tmp_path / "delta"), TABLE, partition_by=["country"])
    expected, found = read(TABLE, tmp_path), read("delta", tmp_path)
    assert_same_rows(expected, found, "delta")
    assert expected.fingerprint == found.fingerprint


@pytest.mark.long
def test_a_bucket_gives_the_same_data(bucket, tmp_path):
    parquet.write_table(TABLE, tmp_path / "t.parquet")
    bucket.upload_file(str(tmp_path / "t.parquet"), "rows/t.parquet")
    found = read("s3://same-rows/rows", tmp_path)
    assert read(TABLE, tmp_path).fingerprint == found.fingerprint


def make_study(name: str, source: object, trials: int = 2) -> dict[str, object]:
    rate = {"type": "float", "low": 0.01, "high": 0.1}
    return {
        "study": name,
        "seed": 3,
        "data": {"source": source, "target": "y", "drop": ["id"]},
        "cross_validation": {"folds": 2},
        "training": {"epochs": 2},
        "search_space": {"units": 4, "learning_rate": rate},
        "sampler": {"kind": "random"},
        "pruner": {"kind": "none"},
        "selection": {"finalists": 0},
        "budget": {"trials": trials},
    }


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch):
    import boto3

    with s3_server("same-rows") as uri:
        for name, value in {**S3_KEYS, "AWS_ENDPOINT_URL": uri}.items():
            monkeypatch.setenv(name, value)
        yield boto3.resource("s3", region_name="us-east-1").Bucket("same-rows")


@pytest.fixture
def postgresql_query(monkeypatch: pytest.MonkeyPatch):
    """The table in a PostgreSQL database: a `data.source`."""
    import sqlalchemy

    with postgresql() as uri:
        engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.pool.NullPool)
        columns = "size DOUBLE PRECISION, count BIGINT, id BIGINT, y TEXT, country TEXT"
        insert = "INSERT INTO t VALUES (:size, :count, :id, :y, :country)"
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text(f"CREATE TABLE t ({columns})"))
            connection.execute(sqlalchemy.text(insert), list(reversed(TABLE.to_pylist())))
        monkeypatch.setenv("POSTGRESQL_ROWS", uri)
        yield {"sql": "SELECT * FROM t", "connection": "POSTGRESQL_ROWS", "order_by": ["id"]}


def write_iceberg(folder: Path) -> str:
    """Write the table as Iceberg, other rows first; returns its folder."""
    sql = pytest.importorskip("pyiceberg.catalog.sql", reason="pyiceberg is not installed")
    folder.mkdir()
    properties = {"uri": f"sqlite:///{folder / 'catalog.db'}", "warehouse": folder.as_uri()}
    catalog = sql.SqlCatalog("lake", **properties)
    catalog.create_namespace("lake")
    made = catalog.create_table("lake.t", TABLE.schema)
    made.append(TABLE.slice(0, 30))
    made.overwrite(TABLE)
    catalog.close()
    return urlsplit(made.location()).path


@pytest.fixture(params=["master", "remote"])  # classic, and Spark Connect
def spark(request, monkeypatch):
    sql = pytest.importorskip("pyspark.sql", reason="PySpark is not installed: pip install pyspark")
    if request.param == "remote":
        pytest.importorskip("grpc", reason="Spark Connect: pip install 'pyspark[connect]'")
    if shutil.which("java") is None:
        pytest.skip("Java is not here: apt-get install default-jre-headless")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    session = getattr(sql.SparkSession.builder, request.param)("local[2]").getOrCreate()
    yield session
    session.stop()


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("default")  # Spark warns of sockets that it leaves
def test_a_spark_frame_is_written_by_its_executors(spark, tmp_path):
    parquet.write_table(TABLE, tmp_path / "t.parquet")
    frame = spark.read.parquet(str(tmp_path / "t.parquet"))
    frame.write.parquet(str(tmp_path / "spark"))
    expected, found = read(TABLE, tmp_path), read("spark", tmp_path)
    assert_same_rows(expected, found, "spark")
    assert expected.fingerprint == found.fingerprint
    data, cache = DataSpec(target="y"), tmp_path / "cache"
    once = source_from_memory(frame, data, cache)
    again = source_from_memory(frame.repartition(4).orderBy("size"), data, cache)
    assert once.table.equals(again.table)
    assert source_from_memory(TABLE, data).table.equals(once.table.sort_by("id"))
    assert [] == list(cache.iterdir())
    with pytest.raises(DataError, match=r"frame\.write\.parquet\(FOLDER\)"):
        read((frame.drop("y"), frame.select("y")), tmp_path)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_every_source_gives_the_same_trials(sources, bucket, postgresql_query, tmp_path):
    deltalake = pytest.importorskip("deltalake", reason="deltalake is not installed")
    pytest.importorskip("duckdb", reason="DuckDB is not installed")
    deltalake.write_deltalake(str(tmp_path / "delta"), TABLE.slice(0, 30))
    deltalake.write_deltalake(str(tmp_path / "delta"), TABLE, mode="overwrite")
    for path in (tmp_path / "parts").iterdir():
        bucket.upload_file(str(path), f"parts/{path.name}")
    files = {"sql": f"SELECT * FROM '{tmp_path}/parts/*.parquet'", "connection": "duckdb"}
    found = {name: str(tmp_path / sources[name]) for name in ("csv", "parquet", "hive")}
    found |= {"iceberg": write_iceberg(tmp_path / "iceberg")}
    found |= {"delta": str(tmp_path / "delta"), "s3": "s3://same-rows/parts"}
    found |= {"postgresql": postgresql_query, "duckdb": {**files, "order_by": ["id"]}}
    scores = {}
    for name, source in found.items():
        done = hpsearch.tune(make_study(name, source), offline=True, root=tmp_path)
        scores[name] = [trial.score for trial in done.trials]
    frames = {"arrow": TABLE}
    if importlib.util.find_spec("polars"):
        import polars

        frames |= {"polars": polars.from_arrow(TABLE), "lazy": polars.from_arrow(TABLE).lazy()}
    for name, frame in frames.items():
        spec = make_study(name, None)
        done = hpsearch.tune(spec, frame, offline=True, root=tmp_path)
        scores[name] = [trial.score for trial in done.trials]
    assert dict.fromkeys(scores, scores["arrow"]) == scores


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_study_on_a_delta_table_or_an_address_goes_on_with_the_rows_it_began_with(
    bucket, tmp_path
):
    deltalake = pytest.importorskip("deltalake", reason="deltalake is not installed")
    delta, local = str(tmp_path / "delta"), tmp_path / "t.parquet"
    locations = {"delta": delta, "s3": "s3://same-rows/t.parquet"}
    deltalake.write_deltalake(delta, TABLE)
    parquet.write_table(TABLE, local)
    bucket.upload_file(str(local), "t.parquet")

    def tune(name: str, source: object, trials: int) -> list[float]:
        study = make_study(name, source, trials)
        done = hpsearch.tune(study, offline=True, root=tmp_path)
        return [trial.score for trial in done.trials]

    whole = tune("whole", str(local), 2)
    for name, location in locations.items():
        assert whole[:1] == tune(name, location, 1)
    deltalake.write_deltalake(delta, TABLE.slice(10), mode="overwrite")
    parquet.write_table(TABLE.slice(10), local)
    bucket.upload_file(str(local), "t.parquet")
    for name, location in locations.items():
        assert whole == tune(name, location, 2)
    shutil.rmtree(tmp_path / "mlruns" / "sources")
    with pytest.raises(DataError, match="it has changed since the study began"):
        tune("s3", locations["s3"], 3)
