"""Sources by address: an S3 server and a web server on loopback."""

import functools
import io
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import csv, parquet
from server_parts import S3_KEYS, s3_server
from web_server import web_server

from hpsearch.data import addresses
from hpsearch.data.sources import read_source
from hpsearch.errors import DataError
from hpsearch.spec.data_spec import DataSpec

TABLE = pa.table({"size": [1.5, 2.5, 4.0], "country": ["DE", "FR", "DE"], "y": ["a", "b", "a"]})


def read(source: str, folder: Path = Path(), pinned=None):
    return read_source(DataSpec(source=source, target="y"), folder, (), pinned or {})


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; says 503 to the first requests of a path, and cuts off those of another."""

    asked: dict[str, int] = {}  # noqa: RUF012 -- of the test's server

    def do_GET(self) -> None:
        number = self.asked[self.path] = self.asked.get(self.path, 0) + 1
        if self.path.startswith("/busy/") and number < addresses.TRIES:
            self.send_error(503)
        elif self.path.startswith("/cut/"):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"size,y\n")
        else:
            self.path = self.path.replace("/busy/", "/")
            super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(addresses, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(Handler, "asked", {})
    served = functools.partial(Handler, directory=str(tmp_path))
    with web_server(served) as address:
        yield address


def test_a_file_of_the_web_gives_the_rows_of_the_file(web, tmp_path):
    csv.write_csv(TABLE, tmp_path / "t.csv")
    parquet.write_table(TABLE, tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        expected = read(name, tmp_path).table
        assert expected.equals(read(f"{web}/{name}").table)
        assert expected.equals(read((tmp_path / name).as_uri()).table)
    assert expected.equals(read(f"{web}/busy/t.parquet").table)


def test_what_cannot_be_had_is_refused_with_the_address(web):
    with pytest.raises(DataError, match=rf"^{web}/no\.csv: it cannot be read: .*404"):
        read(f"{web}/no.csv")
    with pytest.raises(DataError, match="ended after 7 of 1,000 bytes"):
        read(f"{web}/cut/t.csv")
    assert addresses.TRIES == Handler.asked["/cut/t.csv"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("http://example.invalid/t.csv", "http:// is read from this machine alone"),
        ("https://ann:geheim12@example.invalid/t.csv", "must hold no login"),
        ("s3://AKIAABCDEFGHIJKLMNOP:geheim12@bucket/t.csv", "must hold no login"),
        ("https://example.invalid/t.csv?X-Amz-Signature=geheim12", "and no signature"),
        ("abfs://rows@account.dfs.invalid/t?sig=geheim12", "and no signature"),
        ("ftp://example.invalid/t.csv", r"addresses of ftp:// are not read; .*s3://"),
    ],
)
def test_addresses_that_are_not_read_are_refused(source, message):
    with pytest.raises(DataError, match=message) as refused:
        read(source)
    assert "geheim12" not in str(refused.value)


def test_the_container_of_an_azure_address_is_no_login():
    assert not addresses._holds_secret("abfss://rows@account.dfs.core.windows.net/t.parquet")


def test_a_file_that_changed_since_the_study_began_is_refused(web, tmp_path):
    csv.write_csv(TABLE, tmp_path / "t.csv")
    source = read(f"{web}/t.csv")
    assert source.versions == read(f"{web}/t.csv", pinned=source.versions).versions
    csv.write_csv(TABLE.slice(1), tmp_path / "t.csv")
    with pytest.raises(DataError, match="has changed since the study began"):
        read(f"{web}/t.csv", pinned=source.versions)


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with s3_server("lake") as uri:
        yield uri


@pytest.fixture
def bucket(store: str, monkeypatch: pytest.MonkeyPatch):
    import boto3

    for name, value in {**S3_KEYS, "AWS_ENDPOINT_URL": store}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(addresses, "WAIT_SECONDS", 0.0)
    return boto3.resource("s3", region_name="us-east-1").Bucket("lake")


def put(bucket, key: str, table: pa.Table) -> None:
    file = io.BytesIO()
    parquet.write_table(table, file)
    bucket.put_object(Key=key, Body=file.getvalue())


def test_a_bucket_gives_files_and_folders_with_partitions(bucket):
    put(bucket, "one/t.parquet", TABLE)
    assert TABLE.equals(read("s3://lake/one/t.parquet").table)
    rows = TABLE.drop_columns(["country"])
    for name, indices in (("DE", [0, 2]), ("FR", [1])):
        put(bucket, f"rows/country={name}/part-0.parquet", rows.take(indices))
    bucket.put_object(Key="rows/_SUCCESS", Body=b"")
    found = read("s3://lake/rows")
    assert TABLE.take([0, 2, 1]).to_pylist() == found.table.select(TABLE.column_names).to_pylist()
    assert ["s3://lake/rows"] == list(found.versions)
    put(bucket, "rows/country=FR/part-1.parquet", rows.take([1]))
    with pytest.raises(DataError, match="s3://lake/rows has changed since the study began"):
        read("s3://lake/rows", pinned=found.versions)


def test_what_is_not_in_the_bucket_is_refused(bucket):
    with pytest.raises(DataError, match=r"s3://lake/none: .*no such file or folder"):
        read("s3://lake/none")
