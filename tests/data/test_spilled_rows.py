"""Rows that exceed the memory give the same data from every source, bit for bit."""

import gzip
import sqlite3
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, feather, parquet
from pyarrow import dataset as datasets
from server_parts import S3_KEYS, s3_server
from stored_rows import assert_same_rows_on_disk
from web_server import web_server

from hpsearch.data import load, spilled_rows
from hpsearch.data.delimited_reader import iter_delimited, read_delimited
from hpsearch.data.spilled_rows import RowLimit, gather_rows
from hpsearch.errors import DataError
from hpsearch.spec.data_spec import CrossValidationSpec, DataSpec

N = 300
LITTLE = 1e-6  # GiB: 67 cells
RANDOM = np.random.default_rng(5)
TABLE = pa.table(
    {
        "id": pa.array(range(N)),
        "x": pa.array(RANDOM.normal(size=N), mask=RANDOM.random(N) < 0.1),
        "count": pa.array(RANDOM.integers(0, 50, N).astype(np.int32)),
        "zip": pa.array([f"{i % 9:05d}" for i in range(N)]),
        "mixed": pa.array(["7" if i < 200 else "seven" for i in range(N)]),
        "late": pa.array([None if i < 250 else i / 4 for i in range(N)]),
        "day": pa.array(RANDOM.permutation(N).astype("datetime64[D]")),
        "y": pa.array(RANDOM.permutation(np.where(np.arange(N) % 3 == 0, "yes", "no"))),
    }
)
NESTED = TABLE.append_column(
    "embedding", pa.array([None, *([list(row) for row in RANDOM.normal(size=(N - 1, 3))])])
).append_column("colour", pa.array([("red", "blue")[i % 2] for i in range(N)]).dictionary_encode())


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    from hpsearch.data import query_source

    monkeypatch.setattr(spilled_rows, "BATCH_ROWS", 70)
    monkeypatch.setattr(query_source, "BATCH", 70)


def write_csv(folder: Path) -> str:
    csv.write_csv(TABLE, folder / "t.csv")
    return "t.csv"


def write_csv_folder(folder: Path) -> str:
    (folder / "parts").mkdir()
    csv.write_csv(TABLE.slice(0, 150), folder / "parts" / "a.csv")
    csv.write_csv(TABLE.slice(150, 60), folder / "parts" / "b.csv")
    csv.write_csv(TABLE.slice(210), folder / "parts" / "c.csv")
    (folder / "parts" / "c.csv.gz").write_bytes(
        gzip.compress((folder / "parts" / "c.csv").read_bytes())
    )
    (folder / "parts" / "c.csv").unlink()
    return "parts"


def write_feather(folder: Path) -> str:
    feather.write_feather(NESTED, folder / "t.feather", chunksize=70)
    return "t.feather"


def write_parquet(folder: Path) -> str:
    parquet.write_table(NESTED, folder / "t.parquet", row_group_size=70)
    return "t.parquet"


def write_sqlite(folder: Path) -> dict[str, object]:
    connection = sqlite3.connect(folder / "rows.db")
    columns = "id INT, x REAL, count INT, zip TEXT, mixed TEXT, late REAL, day TEXT, y TEXT"
    connection.execute(f"CREATE TABLE t ({columns})")
    rows = [tuple(row.values()) for row in TABLE.to_pylist()]
    rows = [(*row[:6], row[6].isoformat(), row[7]) for row in rows]
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return {"sql": "SELECT * FROM t", "connection": "SPILLED_ROWS", "order_by": ["id"]}


def write_duckdb(folder: Path) -> dict[str, object]:
    pytest.importorskip("duckdb", reason="DuckDB is not installed")
    parquet.write_table(NESTED, folder / "t.parquet")
    query = "SELECT *, sum(count) OVER (ORDER BY id) AS total FROM 't.parquet'"
    return {"sql": query, "connection": "duckdb", "order_by": ["id"]}


def write_delta(folder: Path) -> str:
    deltalake = pytest.importorskip("deltalake", reason="deltalake is not installed")
    deltalake.write_deltalake(str(folder / "delta"), TABLE.slice(0, 100).drop_columns(["late"]))
    deltalake.write_deltalake(
        str(folder / "delta"), TABLE.slice(100), mode="append", schema_mode="merge"
    )
    return "delta"


WRITERS = {
    "csv": write_csv,
    "folder of csv": write_csv_folder,
    "feather": write_feather,
    "parquet": write_parquet,
    "sqlite": write_sqlite,
    "duckdb": write_duckdb,
    "delta": write_delta,
}


def read(folder: Path, source: object, memory_gib: float | None, frame=None, **options):
    declared = {"target": "y", "drop": ["id"], "columns": {"day": {"kind": "date"}}, **options}
    data = DataSpec(source=source, memory_gib=memory_gib, **declared)
    cv = CrossValidationSpec(folds=3)
    cache = folder / "cache"
    return load(
        data, task=None, cross_validation=cv, seed=3, folder=folder, arrays=frame, cache=cache
    )


@pytest.mark.parametrize("name", WRITERS)
def test_a_source_larger_than_memory_gives_the_same_data(name, tmp_path, monkeypatch):
    monkeypatch.setenv("SPILLED_ROWS", f"sqlite:///{tmp_path / 'rows.db'}")
    source = WRITERS[name](tmp_path)
    assert_same_rows_on_disk(read(tmp_path, source, None), read(tmp_path, source, LITTLE))
    left = sorted(p.name for p in (tmp_path / "cache").rglob("*") if p.is_file())
    assert ["columns.npy", "features.npy", "locked.npy"] == left


SPELLINGS = {
    "quotes": 'a,b,c\n"x, y",1,"007"\n"two\nlines",2,8\n"say ""no""",,9\n',
    "decimal comma": "a;b;c\n1,5;;x\n2,5; ;y\n;7;z\n",
    "thousands": "a,b,c\n1.250,1.250,\n1.000,1.5,\n12.000,2,\n",
    "codes and exponents": "a,b,c\n1e5,007,12E3\n2e5,8,x\n,9,1\n",
    "truth values and dates": "a\tb\tc\ntrue\t2024-01-01\t\nfalse\t2024-01-02\t\n\t\t\n",
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_text_is_read_the_same_by_columns(name, tmp_path):
    (tmp_path / "t.csv").write_text(SPELLINGS[name])
    data = DataSpec(source="t.csv", target="c", decimal="," if "comma" in name else ".")
    whole, layout = read_delimited(tmp_path / "t.csv", data)
    parts, same = iter_delimited(tmp_path / "t.csv", data, (), 1, tmp_path / "part")
    columns = {n: part[n] for part in parts for n in part.column_names}
    assert (whole.to_pydict(), layout) == (pa.table(columns).to_pydict(), same)
    assert whole.schema == pa.table(columns).schema
    assert ["t.csv"] == [path.name for path in tmp_path.iterdir()]


def test_rows_of_many_cells_are_read_fewer_at_a_time(monkeypatch):
    monkeypatch.setattr(spilled_rows, "BATCH_CELLS", 350)
    assert [70, 35, 1] == [spilled_rows.count_batch_rows(cells) for cells in (0, 10, 1e6)]


def test_an_array_larger_than_memory_gives_the_same_data(tmp_path):
    np.save(tmp_path / "t.npy", np.column_stack([RANDOM.normal(size=(N, 4)), np.arange(N) % 2]))
    options = {"target": "x4", "drop": [], "columns": {}}
    small, large = (read(tmp_path, "t.npy", gib, **options) for gib in (None, LITTLE))
    assert_same_rows_on_disk(small, large)


@pytest.fixture
def files_of_addresses(tmp_path, monkeypatch):
    """Upload a file of the test's folder; returns its address on the web and in a bucket."""
    import boto3

    served = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with web_server(served) as web, s3_server("larger") as s3:
        for name, value in {**S3_KEYS, "AWS_ENDPOINT_URL": s3}.items():
            monkeypatch.setenv(name, value)
        bucket = boto3.resource("s3", region_name="us-east-1").Bucket("larger")

        def upload(name: str) -> dict[str, str]:
            bucket.upload_file(str(tmp_path / name), name)
            return {"web": f"{web}/{name}", "s3": f"s3://larger/{name}"}

        yield upload


def test_a_copy_of_an_address_larger_than_memory_gives_the_same_data(files_of_addresses, tmp_path):
    for name in (write_csv(tmp_path), write_parquet(tmp_path)):
        for where, address in files_of_addresses(name).items():
            small, large = read(tmp_path, name, None), read(tmp_path, address, LITTLE)
            assert_same_rows_on_disk(small, large)
            kept = [p for p in (tmp_path / "cache").rglob("*") if p.name == name]
            assert kept, where


def make_relation(folder: Path):
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
    parquet.write_table(NESTED, folder / "t.parquet")
    return duckdb.connect().sql(f"SELECT * FROM '{folder}/t.parquet' ORDER BY id")


def make_lazy_polars(folder: Path):
    polars = pytest.importorskip("polars", reason="Polars is not installed")
    parquet.write_table(NESTED, folder / "t.parquet")
    return polars.scan_parquet(folder / "t.parquet")


def make_hugging_face(folder: Path):
    library = pytest.importorskip("datasets", reason="datasets is not installed")
    return library.Dataset(NESTED)


FRAMES = {
    "dataset": lambda folder: datasets.dataset(str(folder / write_parquet(folder))),
    "scanner": lambda folder: datasets.dataset(NESTED).scanner(batch_size=70),
    "reader": lambda folder: NESTED.to_reader(70),
    "relation": make_relation,
    "polars": make_lazy_polars,
    "hugging face": make_hugging_face,
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_lazy_frame_larger_than_memory_gives_the_same_data(name, tmp_path):
    frames = [FRAMES[name](tmp_path) for _ in range(2)]
    small, large = (
        read(tmp_path, None, gib, frame) for gib, frame in zip((None, LITTLE), frames, strict=True)
    )
    assert_same_rows_on_disk(small, large)
    assert "colour" in [column.name for column in large.schema.columns]


def test_a_function_may_return_a_reader(tmp_path):
    write_parquet(tmp_path)
    (tmp_path / "rows.py").write_text(
        "from pyarrow import parquet\n"
        f"def read(): return parquet.read_table(r'{tmp_path}/t.parquet').to_reader(70)\n"
    )
    source = "rows.py:read"
    assert_same_rows_on_disk(read(tmp_path, source, None), read(tmp_path, source, LITTLE))


def limit_rows(folder: Path, **options) -> RowLimit:
    return RowLimit(LITTLE, folder, **options)


def test_rows_stay_in_memory_up_to_the_limit(tmp_path):
    tables = [pa.table({"x": range(30)}), pa.table({"x": range(30)})]
    assert "" == gather_rows(tables, limit_rows(tmp_path)).note
    found = gather_rows([*tables, tables[0]], limit_rows(tmp_path))
    assert "the rows would need 1.34e-06 GiB of memory, and there are 1e-06 GiB" in found.note
    assert pa.concat_tables([*tables, tables[0]]).equals(found.table)


def test_types_that_widen_on_the_disk_become_those_of_memory(tmp_path):
    from decimal import Decimal

    tables = [
        pa.table({"x": pa.nulls(50), "d": pa.array([Decimal("1.5")] * 50), "e": [[]] * 50}),
        pa.table({"x": range(50), "d": pa.array([Decimal("12345678901234567.25")] * 50)}),
        pa.table({"x": np.arange(50) / 4, "d": pa.array([Decimal("2.75")] * 50)}),
    ]
    small = gather_rows(tables, RowLimit(1.0, drop=["e"])).table
    large = gather_rows(tables, limit_rows(tmp_path, drop=["e"])).table
    assert ["double", "string", "double"] == [str(kind) for kind in large.schema.types]
    assert spilled_rows.simplify_columns(small, ["e"]).equals(large)


def test_a_column_that_cannot_be_read_is_named_on_the_disk_too(tmp_path):
    ragged = pa.table({"e": [[1.0], [1.0, 2.0]] * 50})
    for limit in (RowLimit(LITTLE, tmp_path), RowLimit(LITTLE, tmp_path, ["other"])):
        with pytest.raises(DataError, match=r"column 'e' holds lists of 1 to 2 .*drop: \[e\]"):
            gather_rows([ragged], limit)
    assert not list(tmp_path.iterdir())
