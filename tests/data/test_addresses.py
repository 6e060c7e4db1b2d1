"""Sources by address: an S3 server and a web server on loopback."""

import functools
import io
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import csv, parquet
from server_parts import S3_KEYS, s3_server
from web_server import web_server

from hpsearch.data import address_cache, addresses, object_stores, request_retries, web_files
from hpsearch.data.sources import read_source
from hpsearch.errors import DataError
from hpsearch.events import DataSummary, StudyCreated
from hpsearch.journal import Journal
from hpsearch.spec.data_spec import DataSpec
from hpsearch.study.maintenance.source_copies import find_unneeded_copies
from hpsearch.tracking.mlflow_layout import describe_source
from hpsearch.tracking.store import journal_path, source_folder

TABLE = pa.table({"size": [1.5, 2.5, 4.0], "country": ["DE", "FR", "DE"], "y": ["a", "b", "a"]})


def read(source: str, folder: Path = Path(), pinned=None, cache: Path | None = None):
    return read_source(DataSpec(source=source, target="y"), folder, (), pinned or {}, cache)


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; below some paths it is busy at first, cuts its answers off, or is silent."""

    asked: dict[str, int] = {}  # noqa: RUF012 -- of the test's server
    ended = threading.Event()  # when silent answers end

    def do_GET(self) -> None:
        number = self.asked[self.path] = self.asked.get(self.path, 0) + 1
        if self.path.startswith("/busy/") and number < request_retries.TRIES:
            self.send_error(503)
        elif self.path.startswith("/cut/"):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"size,y\n")
        elif self.path.startswith("/chunks/"):
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"64\r\nsize,y\n")
        elif self.path.startswith("/silent/"):
            self.ended.wait(60)
        else:
            self.path = self.path.replace("/busy/", "/")
            super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(request_retries, "WAIT_SECONDS", 0.0)
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
    with pytest.raises(DataError, match=r"/chunks/t\.csv: it cannot be read: .*was cut off"):
        read(f"{web}/chunks/t.csv")
    tries = [Handler.asked[f"/{path}/t.csv"] for path in ("cut", "chunks")]
    assert [request_retries.TRIES] * 2 == tries


def test_a_server_that_is_silent_is_refused_after_some_tries(web, monkeypatch):
    monkeypatch.setattr(web_files, "TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(Handler, "ended", threading.Event())
    try:
        with pytest.raises(
            DataError, match=rf"^{web}/silent/t\.csv: it cannot be read: .*timed out"
        ):
            read(f"{web}/silent/t.csv")
    finally:
        Handler.ended.set()


@pytest.mark.parametrize("address", ["https://lake.invalid:rows/t.csv", "https://lake.invalid/a b"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(DataError, match="it cannot be read"):
        read(address)


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
    monkeypatch.setattr(request_retries, "WAIT_SECONDS", 0.0)
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
    with pytest.raises(DataError, match="s3://lake/rows: it has changed since the study began"):
        read("s3://lake/rows", pinned=found.versions)


def test_what_is_not_in_the_bucket_is_refused(bucket):
    with pytest.raises(DataError, match=r"s3://lake/none: .*no such file or folder"):
        read("s3://lake/none")


def test_a_copy_is_read_again_without_asking_while_it_is_the_version_of_the_study(bucket, tmp_path):
    put(bucket, "kept/t.parquet", TABLE)
    first = read("s3://lake/kept/t.parquet", cache=tmp_path)
    (version,) = first.versions.values()
    assert version.startswith("sha256 ")
    assert bucket.Object("kept/t.parquet").e_tag.strip('"') in version
    put(bucket, "kept/t.parquet", TABLE.slice(1))
    again = read("s3://lake/kept/t.parquet", pinned=first.versions, cache=tmp_path)
    assert (TABLE, first.versions) == (again.table, again.versions)
    assert TABLE.slice(1) == read("s3://lake/kept/t.parquet", cache=tmp_path).table
    assert 2 == len(address_cache.list_copies(tmp_path))
    for copy in address_cache.list_copies(tmp_path):
        if copy.version == version:
            copy.path.write_bytes(b"damaged")
    with pytest.raises(DataError, match="no longer holds what it was: restore the earlier data"):
        read("s3://lake/kept/t.parquet", pinned=first.versions, cache=tmp_path)


def test_an_unchanged_address_is_copied_once(bucket, tmp_path, monkeypatch):
    for name in ("a", "b"):
        put(bucket, f"twice/{name}.parquet", TABLE)
    read("s3://lake/twice", cache=tmp_path)
    monkeypatch.setattr(address_cache, "copy_address", None)  # a second copy would raise
    assert 2 * TABLE.num_rows == read("s3://lake/twice", cache=tmp_path).table.num_rows


def test_the_copies_read_least_recently_are_removed(bucket, tmp_path, monkeypatch):
    for name in ("a", "b"):
        put(bucket, f"bounded/{name}.parquet", TABLE)
        read(f"s3://lake/bounded/{name}.parquet", cache=tmp_path)
    old, new = address_cache.list_copies(tmp_path)[::-1]
    monkeypatch.setattr(address_cache, "MAX_BYTES", new.size)
    os.utime(old.folder / address_cache.RECORD, (0, 0))
    address_cache.remove_old_copies(tmp_path)
    assert [new] == address_cache.list_copies(tmp_path)


class CutStore(BaseHTTPRequestHandler):
    """Answers as S3 does for one object, and cuts its contents off."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.send_header("ETag", '"1"')
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(b"size,y\n")

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.mark.long  # Arrow's client waits between its own tries
def test_an_object_that_is_cut_off_is_refused(bucket, monkeypatch):
    with web_server(CutStore) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        with pytest.raises(DataError, match=r"^s3://lake/t\.csv: it cannot be read: AWS Error"):
            read("s3://lake/t.csv")


def test_a_file_that_is_still_written_is_not_read(bucket, tmp_path, monkeypatch):
    put(bucket, "busy/t.parquet", TABLE)
    stamps = iter({"": str(number)} for number in range(100))
    monkeypatch.setattr(addresses, "read_stamps", lambda location: next(stamps))
    with pytest.raises(DataError, match="it changed while it was read, 3 times"):
        read("s3://lake/busy/t.parquet")


def test_one_file_of_a_folder_that_fails_is_tried_again_alone(bucket, tmp_path, monkeypatch):
    for name in ("a", "b"):
        put(bucket, f"flaky/{name}.parquet", TABLE)
    copied: list[str] = []

    def copy_file(system, info, path, copy=object_stores._copy_file):
        copied.append(info.base_name)
        copy(system, info, path)
        if copied.count("b.parquet") == 1 and info.base_name == "b.parquet":
            raise OSError("the connection was reset")

    monkeypatch.setattr(object_stores, "_copy_file", copy_file)
    assert 2 * TABLE.num_rows == read("s3://lake/flaky").table.num_rows
    assert ["a.parquet", "b.parquet", "b.parquet"] == sorted(copied)


def test_a_file_of_the_web_with_an_old_date_is_read_once(web, tmp_path):
    csv.write_csv(TABLE, tmp_path / "t.csv")
    cache = tmp_path / "cache"
    os.utime(tmp_path / "t.csv", (0, 0))  # settled, so that its date tells versions apart
    for _ in range(2):
        read(f"{web}/t.csv", cache=cache)
    assert 1 == Handler.asked["/t.csv"]
    csv.write_csv(TABLE.slice(1), tmp_path / "t.csv")
    assert TABLE.slice(1).num_rows == read(f"{web}/t.csv", cache=cache).table.num_rows


def test_gc_keeps_the_copies_of_unfinished_studies(web, tmp_path):
    csv.write_csv(TABLE, tmp_path / "t.csv")
    found = read(f"{web}/t.csv", cache=source_folder(tmp_path))
    assert ["copy of what an address holds"] == [
        item.what for item in find_unneeded_copies(tmp_path)
    ]
    path = journal_path(tmp_path, "begun")
    path.parent.mkdir(parents=True)
    with Journal(path) as journal:
        journal.append(StudyCreated(study="begun", data=DataSummary(versions=found.versions)))
    assert [] == find_unneeded_copies(tmp_path)


@pytest.mark.parametrize(
    ("location", "kind"), [("s3://lake/rows", "s3"), ("https://lake.invalid/rows.csv", "http")]
)
def test_mlflow_links_an_address_by_the_class_of_its_scheme(location, kind):
    from mlflow.data.dataset_source_registry import get_dataset_source_from_json

    fields = describe_source("rows", {location: "sha256 0"})
    found = get_dataset_source_from_json(fields["source"], fields["source_type"])
    assert (kind, location) == (
        fields["source_type"],
        found.to_dict()["uri" if kind == "s3" else "url"],
    )
