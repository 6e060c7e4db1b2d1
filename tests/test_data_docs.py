"""The sources, studies and commands of docs/data.md, on files, a bucket and a database of tests.

Each source and each command of the page stands in one of the tables below, so that a new one is not
forgotten.
"""

import gzip
import os
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import csv, feather, parquet
from server_parts import S3_KEYS, postgresql, s3_server

from hpsearch.cli import main
from hpsearch.data.sources import read_source
from hpsearch.spec.data_spec import DataSpec

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
ABOUT_SOURCES = PAGE.partition("\n## What cells mean")[0]
BLOCKS = re.findall(r"```yaml\n(.*?)```", ABOUT_SOURCES, re.S)
COMMANDS = re.findall(r"^ {4}(\S.*)$", re.sub(r"```.*?```", "", ABOUT_SOURCES, flags=re.S), re.M)
N = 60
ROWS = pa.table(
    {
        "id": range(N),
        "customer_id": range(N),
        "age": [20 + (i * 7) % 41 for i in range(N)],
        "plan": [("free", "basic", "pro")[i % 3] for i in range(N)],
        "active": [True] * N,
        "churn": [("no", "yes")[(i * 7) % 41 > 20] for i in range(N)],
    }
)
STUDY = """\
study: churn
cross_validation: {folds: 2}
training: {epochs: 1, early_stopping: null}
search_space: {units: [4, 8]}
budget: {trials: 2}
selection: {finalists: 0}
"""
FUNCTION = f"import numpy as np\ndef rows(): return np.eye({N}), np.arange({N}) % 2\n"


def write_arrays(path: Path) -> None:
    x = np.arange(N * 3.0).reshape(N, 3)
    np.save(path, x) if path.suffix == ".npy" else np.savez(path, X=x, y=np.arange(N) % 2)


def write_csv(path: Path) -> None:
    csv.write_csv(ROWS, path)


def write_parts(folder: Path) -> None:
    folder.mkdir()
    for i in range(2):
        parquet.write_table(ROWS.slice(i * N // 2, N // 2), folder / f"part-{i}.parquet")


def write_images(folder: Path) -> None:
    from PIL import Image

    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for i in range(4):
            Image.new("L", (8, 8), 30 * i).save(folder / name / f"{i}.png")


def write_delta(folder: Path) -> None:
    deltalake = pytest.importorskip("deltalake", reason="deltalake is not installed")
    deltalake.write_deltalake(str(folder), ROWS.slice(30))
    for _ in range(12):
        deltalake.write_deltalake(str(folder), ROWS, mode="overwrite")


def write_iceberg(folder: Path) -> None:
    sql = pytest.importorskip("pyiceberg.catalog.sql", reason="pyiceberg is not installed")
    uri = f"sqlite:///{folder.parent / 'catalog.db'}"
    catalog = sql.SqlCatalog("lake", uri=uri, warehouse=folder.parent.as_uri())
    catalog.create_namespace("sales")
    table = catalog.create_table("sales.customers", ROWS.schema, location=folder.as_uri())
    table.append(ROWS)
    catalog.close()


def write_adult(folder: Path) -> None:
    """Write rows without a header, in which the target is the last of 15 columns."""
    numbers = ",".join(["1"] * 13)
    for name, dot in (("adult.data.gz", ""), ("adult.test.gz", ".")):
        lines = [f"{age},{numbers},{'<=50K' if age % 3 else '>50K'}{dot}" for age in range(60)]
        (folder / name).write_bytes(gzip.compress("\n".join([*lines, ""]).encode()))


def write_files_of_duckdb(folder: Path) -> None:
    pytest.importorskip("duckdb", reason="DuckDB is not installed")
    parquet.write_table(ROWS, folder / "customers.parquet")
    (folder / "calls").mkdir()
    for i in range(2):
        calls = pa.table({"id": range(i * 30, i * 30 + 30), "n_calls": [3, 4, 5] * 10})
        csv.write_csv(calls, folder / "calls" / f"{i}.csv")


def write_database(folder: Path) -> None:
    """Write the table `customers` to the database of the study's environment."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(os.environ["CUSTOMERS_DATABASE"])
    columns = "id INT, customer_id INT, age INT, plan TEXT, active BOOLEAN, churn TEXT"
    names = ", ".join(f":{name}" for name in ROWS.column_names)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"CREATE TABLE customers ({columns})"))
        insert = sqlalchemy.text(f"INSERT INTO customers VALUES ({names})")
        connection.execute(insert, ROWS.to_pylist())
    engine.dispose()


# What the page's table names -> `data.source`, and how its rows are written.
Writer = Callable[[Path], None]
SOURCES: dict[str, tuple[str, Writer]] = {
    "rows.csv": ("rows.csv", write_csv),
    "rows.csv.gz": (
        "rows.csv.gz",
        lambda path: path.write_bytes(gzip.compress(b"x,churn\n" + b"1,no\n2,yes\n" * 30)),
    ),
    ".tsv": ("rows.tsv", lambda path: path.write_bytes(b"x\tchurn\n1\tno\n2\tyes\n")),
    ".txt": ("rows.txt", lambda path: path.write_bytes(b"x;churn\n1;no\n2;yes\n")),
    "rows.parquet": ("rows.parquet", lambda path: parquet.write_table(ROWS, path)),
    ".feather": ("rows.feather", lambda path: feather.write_feather(ROWS, path)),
    ".arrow": ("rows.arrow", lambda path: feather.write_feather(ROWS, path)),
    "rows.npz": ("rows.npz", write_arrays),
    "rows.npy": ("rows.npy", write_arrays),
    "folder": ("folder", write_parts),
    "part-*.parquet": ("folder/part-*.parquet", lambda path: write_parts(path.parent)),
    "_delta_log": ("table", write_delta),
    "metadata/*.metadata.json": ("table", write_iceberg),
    "pets/": ("pets/", write_images),
    "file://…": ("file://{folder}/rows.csv", lambda path: write_csv(Path("rows.csv"))),
    "sklearn:breast_cancer": ("sklearn:breast_cancer", lambda path: None),
    "prepare.py:rows": (
        "prepare.py:rows",
        lambda path: Path("prepare.py").write_text(FUNCTION, encoding="utf-8"),
    ),
}
ELSEWHERE = {
    "s3://bucket/rows": "test_the_commands_run_as_printed",
    "{sql: …, connection: …, order_by: […]}": "test_the_commands_run_as_printed",
    "iceberg:lake.sales.customers": "test_a_table_of_a_catalog_is_found_by_its_name",
    "https://…": "tests/data/test_addresses.py",
    "package.module:rows": "tests/data/test_sources.py",
    "gs://…": "needs that store; read by the same code as s3, through PyArrow's file system",
    "abfs://…": "needs that store; read by the same code as s3, through PyArrow's file system",
    "hdfs://…": "needs Hadoop's libraries and a cluster",
}
# The first words of each study of the page -> how its rows are written.
STUDIES: dict[str, Writer] = {
    "source: customers.csv": lambda folder: write_csv(folder / "customers.csv"),
    "source: adult.data.gz": write_adult,
    "source: lake/customers": lambda folder: write_delta(folder / "lake" / "customers"),
    'source:\n    sql: "SELECT id, age, plan, churn FROM customers': write_database,
    'source:\n    sql: "SELECT id, age, plan, n_calls': write_files_of_duckdb,
}
COMMANDS_RUN = ("hpsearch predict ", "hpsearch export", "export CUSTOMERS_DATABASE=")


def find_named_sources() -> list[str]:
    table = ABOUT_SOURCES.partition("| `source` |")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def test_each_source_and_command_of_the_page_is_tried_or_says_why_not() -> None:
    assert set(find_named_sources()) == SOURCES.keys() | ELSEWHERE.keys()
    assert [] == [line for line in COMMANDS if not line.startswith(COMMANDS_RUN)]
    assert 5 == len(COMMANDS)
    assert len(STUDIES) == len(BLOCKS)


def test_pip_is_given_extras_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"pip install 'hpsearch\[(\w+)\]'", PAGE)
    assert {"delta", "iceberg", "duckdb"} == set(named)
    assert set(named) <= project["optional-dependencies"].keys()


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_of_the_table_is_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source, write = SOURCES[name]
    source = source.format(folder=tmp_path)
    write(tmp_path / source)
    target = None if source.endswith((".npz", "rows", "pets/", "cancer")) else "churn"
    found = read_source(DataSpec(source=source, target=target), tmp_path)
    assert found.table.num_rows > 0


def test_a_table_of_a_catalog_is_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_iceberg(tmp_path / "table")
    assert "PYICEBERG_CATALOG__LAKE__URI" in PAGE
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__URI", f"sqlite:///{tmp_path / 'catalog.db'}")
    data = DataSpec(source="iceberg:lake.sales.customers", target="churn")
    assert ROWS.equals(read_source(data, tmp_path).table)


def run(command: str) -> str:
    done = CliRunner().invoke(main, shlex.split(command)[1:])
    assert 0 == done.exit_code, f"{command}\n{done.output}"
    return done.output


def write_study(block: str, folder: Path) -> None:
    (folder / "study.yaml").write_text(STUDY + block, encoding="utf-8")


@pytest.mark.parametrize("first", STUDIES)
def test_a_study_of_the_page_is_checked_on_rows_as_it_names_them(
    first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = (block for block in BLOCKS if f"data:\n  {first}" in re.sub(r" +#.*", "", block))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUSTOMERS_DATABASE", f"sqlite:///{tmp_path / 'customers.db'}")
    STUDIES[first](tmp_path)
    write_study(block, tmp_path)
    assert "churn" in run("hpsearch check study.yaml")


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """The page's bucket, with rows, and the page's database."""
    import boto3

    parquet.write_table(ROWS.drop_columns(["churn"]), tmp_path / "rows.parquet")
    with s3_server("lake") as s3, postgresql() as database:
        (line,) = (line for line in COMMANDS if line.startswith("export CUSTOMERS_DATABASE="))
        login = line.replace("USER:PASSWORD@HOST/DATABASE", database.partition("://")[2])
        variables = {**S3_KEYS, "AWS_ENDPOINT_URL": s3, "AWS_DEFAULT_REGION": "us-east-1"}
        variables["CUSTOMERS_DATABASE"] = login.partition("=")[2]
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        bucket = boto3.resource("s3").Bucket("lake")
        bucket.upload_file(str(tmp_path / "rows.parquet"), "new/rows.parquet")
        yield bucket


@pytest.mark.long
@pytest.mark.usefixtures("inline_workers")
def test_the_commands_run_as_printed(lake, tmp_path, monkeypatch):
    """After a study on the page's query, whose model is promoted; then one on the page's bucket."""
    monkeypatch.chdir(tmp_path)
    (query,) = (block for block in BLOCKS if "CUSTOMERS_DATABASE" in block)
    write_database(tmp_path)
    write_study(query, tmp_path)
    run("hpsearch tune study.yaml --quiet")
    run("hpsearch promote churn --as churn@champion")
    (tmp_path / "lake").mkdir()
    write_parts(tmp_path / "lake" / "new")
    for command in COMMANDS:
        if command.startswith("hpsearch "):
            run(command)
    written = {item.key for item in lake.objects.all()}
    assert {"answers/rows.csv", "reports/trials.parquet", "models/churn/model.keras"} <= written
    assert ["part-0.parquet.csv", "part-1.parquet.csv"] == [
        path.name for path in sorted((tmp_path / "lake" / "answers").glob("part-*"))
    ]
    assert "`-o lake/answers.parquet`" in PAGE
    run("hpsearch predict churn@champion lake/new -o lake/answers.parquet")
    assert N == parquet.read_table(tmp_path / "lake" / "answers.parquet").num_rows
    parquet.write_table(ROWS, tmp_path / "customers.parquet")
    lake.upload_file(str(tmp_path / "customers.parquet"), "customers/part-0.parquet")
    assert "source: s3://lake/customers" in PAGE
    write_study("data: {source: 's3://lake/customers', target: churn}\n", tmp_path)
    run("hpsearch tune study.yaml --study away --quiet --offline")
    assert list((tmp_path / "mlruns" / "sources").iterdir())
    run("hpsearch gc")
