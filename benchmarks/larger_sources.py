"""Memory for reading rows that do not fit in memory, from each kind of source.

    python benchmarks/larger_sources.py [--gigabytes 0.1 0.3] [--columns 400] [--limit-gib 0.02]
        [--only csv,delta]

Writes a table that takes so many GB in memory as each source. For each, a process of its own reads
it as a study does, with `data.memory_gib` at the limit: types, cleaning, fingerprint, folds, and
the statistics of each fold. Prints one line of JSON: the most anonymous memory (RssAnon, sampled
every 10 ms) beyond what the imported libraries take, and CPU seconds of reading. Sources whose
library is missing are left out. `s3` needs moto, whose server runs in the process that measures.
"""

import argparse
import json
import logging
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
from larger_than_memory import FILES, GB, anonymous_bytes, write_lake
from pyarrow import csv, dataset, parquet

TICK = 0.01
BUCKET = "lake"
LIBRARIES = {"delta": "deltalake", "iceberg": "pyiceberg", "polars": "polars", "s3": "moto"}
LIBRARIES |= {"duckdb": "duckdb", "relation": "duckdb", "hugging_face": "datasets"}


def write_csv(lake: Path, folder: Path) -> str:
    with csv.CSVWriter(folder / "rows.csv", dataset.dataset(lake).schema) as writer:
        for batch in iter_batches(lake):
            writer.write_batch(batch)
    return "rows.csv"


def write_feather(lake: Path, folder: Path) -> str:
    with pa.ipc.new_file(str(folder / "rows.feather"), dataset.dataset(lake).schema) as writer:
        for batch in iter_batches(lake):
            writer.write_batch(batch)
    return "rows.feather"


def write_npy(lake: Path, folder: Path) -> str:
    import numpy as np

    source = dataset.dataset(lake)
    names = source.schema.names[:-1]
    shape = (source.count_rows(), len(names) + 1)
    array = np.lib.format.open_memmap(folder / "rows.npy", "w+", np.float64, shape)
    first = 0
    for batch in iter_batches(lake):
        last = first + batch.num_rows
        for i, name in enumerate(names):
            array[first:last, i] = batch[name].to_numpy()
        array[first:last, -1] = [value == "yes" for value in batch["y"].to_pylist()]
        first = last
    return "rows.npy"


def write_delta(lake: Path, folder: Path) -> str:
    import deltalake

    for path in sorted(lake.iterdir()):
        deltalake.write_deltalake(str(folder / "delta"), parquet.read_table(path), mode="append")
    return "delta"


def write_iceberg(lake: Path, folder: Path) -> str:
    from pyiceberg.catalog.sql import SqlCatalog

    catalog = SqlCatalog("lake", uri=f"sqlite:///{folder}/catalog.db", warehouse=folder.as_uri())
    catalog.create_namespace("lake")
    place = (folder / "iceberg").as_uri()
    table = catalog.create_table("lake.rows", dataset.dataset(lake).schema, location=place)
    for path in sorted(lake.iterdir()):
        table.append(parquet.read_table(path))
    catalog.close()
    return "iceberg"


def write_sqlite(lake: Path, folder: Path) -> dict[str, Any]:
    connection, first = sqlite3.connect(folder / "rows.db"), 0
    names = dataset.dataset(lake).schema.names
    connection.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, {', '.join(names)})")
    marks = ", ".join("?" * (len(names) + 1))
    for batch in iter_batches(lake):
        columns = [range(first, first + batch.num_rows), *(c.to_pylist() for c in batch.columns)]
        connection.executemany(f"INSERT INTO t VALUES ({marks})", zip(*columns, strict=True))
        first += batch.num_rows
    connection.commit()
    connection.close()
    os.environ["ROWS_DATABASE"] = f"sqlite:///{folder / 'rows.db'}"
    return {"sql": "SELECT * FROM t", "connection": "ROWS_DATABASE", "order_by": ["id"]}


def declare_duckdb(lake: Path, folder: Path) -> dict[str, Any]:
    numbered = f"SELECT row_number() OVER () AS id, * FROM '{lake}/*.parquet'"
    return {"sql": numbered, "connection": "duckdb", "order_by": ["id"]}


def upload(lake: Path, folder: Path) -> str:
    import boto3

    bucket = boto3.resource("s3", region_name="us-east-1").Bucket(BUCKET)
    for path in lake.iterdir():
        bucket.upload_file(str(path), f"{lake.name}/{path.name}")
    return f"s3://{BUCKET}/{lake.name}"


WRITERS: dict[str, Callable[[Path, Path], Any]] = {
    "parquet": lambda lake, folder: str(lake),
    "csv": write_csv,
    "feather": write_feather,
    "npy": write_npy,
    "delta": write_delta,
    "iceberg": write_iceberg,
    "sqlite": write_sqlite,
    "duckdb": declare_duckdb,
    "s3": upload,
    "dataset": lambda lake, folder: None,
    "relation": lambda lake, folder: None,
    "polars": lambda lake, folder: None,
    "hugging_face": lambda lake, folder: None,
}


def iter_batches(lake: Path) -> Iterator[pa.RecordBatch]:
    for path in sorted(lake.iterdir()):
        yield from parquet.ParquetFile(path).iter_batches(8192)


def open_frame(name: str, lake: Path) -> Any:
    """Return the lazy frame of a library; None for sources that a study file names."""
    if name == "dataset":
        return dataset.dataset(lake)
    if name == "relation":
        import duckdb

        return duckdb.connect().sql(f"SELECT * FROM '{lake}/*.parquet'")
    if name == "polars":
        import polars

        return polars.scan_parquet(lake / "*.parquet")
    if name == "hugging_face":
        import datasets

        cache = str(lake.parent / "hugging_face")
        files = [str(path) for path in sorted(lake.iterdir())]
        return datasets.Dataset.from_parquet(files, cache_dir=cache, keep_in_memory=False)
    return None


def read_rows(name: str, lake: Path, source: Any, limit: float, folder: Path) -> dict[str, Any]:
    """Read a source in this process; returns its memory and CPU seconds."""
    from hpsearch.data import load
    from hpsearch.spec.data_spec import CrossValidationSpec, DataSpec

    if name in LIBRARIES and name != "s3":
        __import__(LIBRARIES[name])
    frame = open_frame(name, lake)
    target = f"x{len(dataset.dataset(lake).schema) - 1}" if name == "npy" else "y"
    drop = ["id"] if isinstance(source, dict) else []
    data = DataSpec(source=source, target=target, drop=drop, memory_gib=limit, impute="mean")
    options = {"task": "binary", "cross_validation": CrossValidationSpec(folds=2), "seed": 0}
    over, sizes = threading.Event(), [anonymous_bytes(os.getpid())]

    def watch() -> None:
        while not over.wait(TICK):
            sizes.append(anonymous_bytes(os.getpid()))

    watcher, began = threading.Thread(target=watch), time.process_time()
    watcher.start()
    rows = load(data, folder=folder, arrays=frame, cache=folder / "cache", **options)
    rows.fold_statistics([fold.train for fold in rows.folds])
    over.set()
    watcher.join()
    assert rows.on_disk
    cpu = round(time.process_time() - began, 1)
    return {"source": name, "peak_gb": round((max(sizes) - sizes[0]) / GB, 3), "cpu_s": cpu}


@contextmanager
def object_store() -> Iterator[None]:
    """A server of buckets on loopback, in the environment of the processes that read."""
    if find_spec("moto") is None:
        yield
        return
    import boto3
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark"}
    os.environ |= {**keys, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=BUCKET)
    try:
        yield
    finally:
        server.stop()


def measure(names: list[str], gigabytes: float, columns: int, limit: float) -> None:
    """Write the table, and read it from each source in a process of its own."""
    n_rows = int(gigabytes * GB / 8 / columns) // FILES * FILES
    with tempfile.TemporaryDirectory() as parent:
        lake = Path(parent) / f"lake-{n_rows}"
        write_lake(lake, n_rows, columns)
        for name in names:
            if name in LIBRARIES and find_spec(LIBRARIES[name]) is None:
                continue
            with tempfile.TemporaryDirectory(dir=parent) as folder:
                source = WRITERS[name](lake, Path(folder))
                given = json.dumps([name, str(lake), source, limit, folder])
                command = [sys.executable, __file__, "--child", given]
                done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                print(done.stderr, file=sys.stderr)
                raise SystemExit(1)
            found = json.loads(done.stdout.splitlines()[-1])
            print(json.dumps({"table_gb": gigabytes, **found}), flush=True)


def main() -> None:
    """Measure each source at each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[0.1, 0.3])
    parser.add_argument("--columns", type=int, default=400)
    parser.add_argument("--limit-gib", type=float, default=0.02)
    parser.add_argument("--only", default=",".join(WRITERS))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        name, lake, source, limit, folder = json.loads(given.child)
        print(json.dumps(read_rows(name, Path(lake), source, limit, Path(folder))))
        return
    with object_store():
        for gigabytes in given.gigabytes:
            measure(given.only.split(","), gigabytes, given.columns, given.limit_gib)


if __name__ == "__main__":
    main()
