"""Artifacts in S3 (moto), written by the client or by MLflow's server."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import synthetic
from mlflow import MlflowClient
from mlflow_server import served
from server_parts import S3_KEYS, s3_server

from hpsearch.errors import TrackingError
from hpsearch.tracking.artifact_store import READ_SECONDS
from hpsearch.tracking.store import journal_path
from hpsearch.tracking.study_runs import find_study_run
from hpsearch.tracking.study_sync import sync_study
from hpsearch.tracking.uploader import Uploader

pytestmark = pytest.mark.long
BUCKET = "search-artifacts"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of an S3 server with an empty bucket."""
    with s3_server(BUCKET) as uri:
        yield uri


@pytest.fixture
def logged_in(s3: str, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in {**S3_KEYS, "MLFLOW_S3_ENDPOINT_URL": s3}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture(scope="module", params=["proxied", "direct"])
def server(
    s3: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    folder = tmp_path_factory.mktemp("server")
    where = ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    if request.param == "proxied":
        where += ["--artifacts-destination", f"s3://{BUCKET}/proxied"]
    else:
        where += ["--no-serve-artifacts", "--default-artifact-root", f"s3://{BUCKET}/direct"]
    with served(
        "server", *where, path="/health", env={**S3_KEYS, "MLFLOW_S3_ENDPOINT_URL": s3}
    ) as at:
        yield request.param, at


def place(root: Path, name: str) -> Path:
    records = synthetic.study(3, folds=2, epochs=2)
    records[0] |= {"key": f"key-of-{name}", "study": name}
    return synthetic.write(journal_path(root, name), records)


def test_a_study_and_its_files_arrive(
    server: tuple[str, str], tmp_path: Path, logged_in: pytest.MonkeyPatch
) -> None:
    way, uri = server
    sent = sync_study(place(tmp_path, f"whole-{way}"), uri)
    client = MlflowClient(uri)
    assert 4 == len(client.search_runs([sent.experiment_id]))
    files = {f.path for f in client.list_artifacts(sent.parent)}
    assert {"spec.yaml", "environment.json", "journal.jsonl"} == files
    scheme = "mlflow-artifacts" if way == "proxied" else "s3"
    assert client.get_run(sent.parent).info.artifact_uri.startswith(f"{scheme}:/")


def test_missing_credentials_are_told_before_anything_is_trained(
    server: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    way, uri = server
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in S3_KEYS:
        monkeypatch.delenv(name, raising=False)
    with Uploader(place(tmp_path, f"no-keys-{way}"), uri) as uploader:
        if way == "proxied":  # the server has them
            assert uploader.wait_open(60)
            return
        with pytest.raises(TrackingError, match="AWS_ACCESS_KEY_ID") as told:
            uploader.wait_open(60)
    assert 1 == len(str(told.value).splitlines())
    with pytest.raises(TrackingError, match="no study"):
        find_study_run(MlflowClient(uri), f"no-keys-{way}")


def test_a_study_that_goes_on_does_not_wait_long_for_a_silent_bucket(
    server: tuple[str, str], tmp_path: Path, logged_in: pytest.MonkeyPatch
) -> None:
    way, uri = server
    if way == "proxied":
        pytest.skip("the server's own bucket")
    journal = place(tmp_path, "twice")
    sync_study(journal, uri)
    logged_in.setattr("boto3.DEFAULT_SESSION", None)  # as in a process of its own
    sync_study(journal, uri)
    assert READ_SECONDS == boto3.client("s3").meta.config.read_timeout


def test_a_bucket_that_is_gone_holds_back_files_alone(
    server: tuple[str, str], tmp_path: Path, logged_in: pytest.MonkeyPatch
) -> None:
    way, uri = server
    if way == "proxied":
        pytest.skip("the server's own bucket")
    client = MlflowClient(uri)
    name = "no-bucket"
    client.create_experiment(name, "s3://there-is-no-such-bucket/runs")
    journal = place(tmp_path, name)
    with pytest.raises(TrackingError, match="cannot be stored") as told:
        sync_study(journal, uri)
    assert "Runs and points have arrived" in str(told.value)
    run = find_study_run(client, name, journal=journal)
    assert "FINISHED" == client.get_run(run.run_id).info.status
    assert 4 == len(client.search_runs([run.experiment_id]))
