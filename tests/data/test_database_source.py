"""Rows of a database query: their order, and that the login is not recorded."""

import os
import sqlite3
from pathlib import Path

import pyarrow as pa
import pytest
from server_parts import postgresql

from hpsearch.data import load
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
        with pytest.raises(DataError, match="read-only transaction"):
            read(sql="SELECT *, nextval('calls') FROM sales")
