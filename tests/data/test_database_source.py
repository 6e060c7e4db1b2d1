"""Rows of a database query: their order, and that the login is not recorded."""

import os
import sqlite3
import sys
import time
import uuid
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from server_parts import postgresql

from hpsearch.data import load, query_source
from hpsearch.data.sources import read_source
from hpsearch.errors import DataError, SpecError
from hpsearch.spec.data_spec import DataSpec
from hpsearch.spec.study_file import load_dict

ROWS = 40
TABLE = pa.table(
    {
        "id": pa.array(range(ROWS)),
        "size": pa.array([None if i % 9 == 0 else i / 4 for i in range(ROWS)]),
        "color": pa.array([("50% off", "grün", None)[i % 3] for i in range(ROWS)]),
        "y": pa.array([("no", "yes")[i % 2] for i in range(ROWS)]),
    }
)
QUERY = "SELECT * FROM sales WHERE color IS NULL OR color LIKE '%' OR color = 'x';"


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "sales.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE sales (id INTEGER, size REAL, color TEXT, y TEXT)")
        rows = [tuple(row.values()) for row in reversed(TABLE.to_pylist())]
        connection.executemany("INSERT INTO sales VALUES (?, ?, ?, ?)", rows)
    connection.close()
    monkeypatch.setenv("SALES_DATABASE", f"sqlite:///{path}")
    return path


def declare(**query) -> DataSpec:
    source = {"sql": QUERY, "connection": "SALES_DATABASE", "order_by": ["id"], **query}
    return DataSpec(source=source, target="y", drop=["id"])


def read(**query) -> pa.Table:
    return read_source(declare(**query), Path()).table


def test_rows_come_in_the_order_of_the_key(database, monkeypatch):
    assert TABLE.equals(read())
    monkeypatch.setattr("hpsearch.data.query_source.BATCH", 7)
    assert TABLE.equals(read())
    assert TABLE.slice(0, 3).equals(read(sql="SELECT * FROM sales WHERE id < 3"))


def test_a_query_gives_the_data_that_an_arrow_table_gives(database, tmp_path):
    options = {"task": None, "cross_validation": None, "seed": 1, "folder": tmp_path}
    (tmp_path / "q.sql").write_text(QUERY)
    memory = load(DataSpec(target="y", drop=["id"]), arrays=TABLE, **options)
    for sql in (QUERY, "q.sql"):
        assert memory.fingerprint == load(declare(sql=sql), **options).fingerprint


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"connection": "NO_SUCH_VARIABLE"}, "no environment variable NO_SUCH_VARIABLE"),
        ({"order_by": ["y"]}, "order_by: y has 2 values in 40 rows"),
        ({"order_by": ["when"]}, "order_by: the query gives no column 'when', but id, size"),
        ({"sql": "SELECT * FROM sales WHERE id > 99"}, "the query gives no row"),
        ({"sql": "DELETE FROM sales"}, "refuses the query, or is gone"),
        ({"sql": "SELECT 1 AS id) AS t; DELETE FROM sales; --"}, "refuses the query, or is gone"),
        ({"sql": "none.sql"}, "none.sql cannot be read"),
        ({"sql": "SELECT * FROM sales WHERE id > :low"}, "a query has no parameters: write"),
        (
            {"sql": "SELECT id, CASE id WHEN 3 THEN 'x' ELSE id END AS size, y FROM sales"},
            "column 'size' holds int, str, which cannot be read as one type",
        ),
    ],
)
def test_what_cannot_be_read_says_what_to_do(database, query, message):
    with pytest.raises(DataError, match=message):
        read(**query)
    assert ROWS == read().num_rows


def test_a_login_is_in_no_message(monkeypatch):
    login = "postgresql+psycopg2://ann:geheim12@127.0.0.1:9/sales"
    monkeypatch.setenv("SALES_DATABASE", login)
    with pytest.raises(DataError, match="SALES_DATABASE") as refused:
        read()
    assert "geheim12" not in str(refused.value)


def test_a_query_needs_its_key_and_the_name_of_a_variable():
    for query in (
        {"sql": QUERY, "connection": "A"},
        {"sql": QUERY, "connection": "sqlite:///x.db", "order_by": ["id"]},
    ):
        study = {"data": {"source": query, "target": "y"}, "search_space": {"units": 4}}
        with pytest.raises(SpecError, match=r"data\.source"):
            load_dict(study)
    with pytest.raises(SpecError, match=r"data\.source\.oder_by: .*Did you mean 'order_by'"):
        load_dict({"data": {"source": {"sql": QUERY, "connection": "A", "oder_by": []}}})


def test_duckdb_gives_the_rows_of_files_and_of_a_database(tmp_path, monkeypatch):
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
    parquet.write_table(TABLE.take(list(reversed(range(ROWS)))), tmp_path / "sales.parquet")
    files = {"sql": "SELECT * FROM 'sales.parquet'", "connection": "duckdb"}
    assert TABLE.equals(read_source(declare(**files), tmp_path).table)
    with duckdb.connect(str(tmp_path / "sales.duckdb")) as connection:
        connection.execute(f"CREATE TABLE sales AS SELECT * FROM '{tmp_path}/sales.parquet'")
    monkeypatch.setenv("SALES_DATABASE", "duckdb:///sales.duckdb")
    assert TABLE.equals(read_source(declare(), tmp_path).table)
    total = {**files, "sql": "SELECT *, sum(id) OVER () AS total FROM 'sales.parquet'"}
    assert pa.int64() == read_source(declare(**total), tmp_path).table["total"].type


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT * FROM 'none.parquet'", "DuckDB refuses the query: .*none.parquet"),
        ("DELETE FROM sales", "DuckDB refuses the query"),
        ("SELECT 1 AS id) AS t; SELECT (1", "DuckDB refuses the query|give one query"),
        ("SELECT 1 AS id FROM 'https://lake.invalid/t.csv'", "give the address itself as"),
        ("SELECT 1 AS id, 2 AS y, union_value(n := 1) AS u", "column 'u' holds sparse_union"),
        ("SELECT 1 AS id WHERE false", "the query gives no row"),
    ],
)
def test_what_duckdb_cannot_read_is_refused(tmp_path, query, message):
    pytest.importorskip("duckdb", reason="DuckDB is not installed")
    with pytest.raises(DataError, match=message):
        read_source(declare(sql=query, connection="duckdb"), tmp_path)


def test_without_duckdb_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(DataError, match=r"pip install 'hpsearch\[duckdb\]'"):
        read_source(declare(sql="SELECT 1 AS id", connection="duckdb"), tmp_path)


@pytest.mark.long
def test_a_query_is_repeated_when_its_connection_is_lost(monkeypatch):
    import sqlalchemy

    monkeypatch.setattr("hpsearch.data.request_retries.WAIT_SECONDS", 0.0)
    monkeypatch.setattr("hpsearch.data.query_source.BATCH", 7)
    with postgresql() as uri:
        engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.pool.NullPool)
        monkeypatch.setenv("SALES_DATABASE", uri)
        others = (
            "FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        attempts, to_table = [], query_source._to_table

        def lose(names, rows, times):
            if len(rows) == 7 and rows[0][0] == 1:  # the first block of an attempt
                attempts.append(rows)
                if len(attempts) <= times:
                    with engine.connect() as connection:
                        connection.exec_driver_sql(f"SELECT pg_terminate_backend(pid) {others}")
                        while connection.exec_driver_sql(f"SELECT 1 {others}").first():
                            time.sleep(0.05)
                            connection.exec_driver_sql("SELECT pg_stat_clear_snapshot()")
            return to_table(names, rows)

        # Wider than what the driver buffers, so that later blocks come from the server.
        wide = "SELECT id, repeat('x', 20000) AS text FROM generate_series(1, 40) AS id"
        monkeypatch.setattr(query_source, "_to_table", partial(lose, times=1))
        assert list(range(1, 41)) == read(sql=wide)["id"].to_pylist()
        assert 2 == len(attempts)
        attempts.clear()
        monkeypatch.setattr(query_source, "_to_table", partial(lose, times=9))
        with pytest.raises(DataError, match=r"SALES_DATABASE was lost while .* 3 times"):
            read(sql=wide)
        assert 3 == len(attempts)


@pytest.mark.long
def test_postgresql_gives_the_same_rows_and_changes_nothing(monkeypatch):
    import sqlalchemy

    with postgresql() as uri:
        engine = sqlalchemy.create_engine(uri)
        with engine.begin() as connection:
            create = "CREATE TABLE sales (id BIGINT, size DOUBLE PRECISION, color TEXT, y TEXT)"
            connection.execute(sqlalchemy.text(create))
            insert = sqlalchemy.text("INSERT INTO sales VALUES (:id, :size, :color, :y)")
            connection.execute(insert, list(reversed(TABLE.to_pylist())))
            counter = "CREATE SEQUENCE calls"
            connection.execute(sqlalchemy.text(counter))
        engine.dispose()
        monkeypatch.setitem(os.environ, "SALES_DATABASE", uri)
        assert TABLE.equals(read())
        key = "SELECT lpad(to_hex(id), 32, '0')::uuid AS id, array[id] AS ids, y FROM sales"
        assert str(uuid.UUID(int=ROWS - 1)) == read(sql=key)["id"][-1].as_py()
        with pytest.raises(DataError, match=r"order_by: ids holds list.*: CAST the column"):
            read(sql=key, order_by=["ids"])
        with pytest.raises(DataError, match="read-only transaction"):
            read(sql="SELECT *, nextval('calls') FROM sales")
