"""A managed tracking server: its limits of size and rate, and tokens that expire."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import synthetic
from managed_server import ManagedServer, managed_server
from mlflow import MlflowClient
from mlflow_server import TrackingServer

from hpsearch.tracking.server import parse_retry_after
from hpsearch.tracking.store import journal_path
from hpsearch.tracking.study_sync import sync_study
from hpsearch.tracking.uploader import Uploader


@pytest.fixture
def server(
    tracking_server: TrackingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ManagedServer]:
    with managed_server(tracking_server.uri, tmp_path / "files") as server:
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", server.token)
        yield server


def write_journal(root: Path, name: str, trials: int = 2, **params: Any) -> Path:
    records = synthetic.study(trials, folds=2, epochs=2)
    records[0] |= {"key": f"key-of-{name}", "study": name}
    for record in records:
        if record["event"] == "asked":
            record["params"] = {**record["params"], **params}
    return synthetic.write(journal_path(root, name), records)


def waits_after(server: ManagedServer, status: int) -> float:
    """Seconds between the last answer with this status and the next request."""
    last = max(i for i, seen in enumerate(server.seen) if seen[2] == status)
    return server.seen[last + 1][0] - server.seen[last][0]


def test_sync_waits_as_long_as_the_server_asks_and_sends_everything(
    server: ManagedServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = write_journal(tmp_path, "limited")
    # Refused are a request, and that which asks how long to wait.
    server.refuse(429, 2, at="/log-batch", headers={"Retry-After": "1"})
    past = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    server.refuse(503, 2, at="/runs/update", headers={"Retry-After": past})
    with caplog.at_level(logging.WARNING, "hpsearch"):
        sent = sync_study(journal, server.uri)
    assert [] == sent.problems
    assert [] == server.refusals
    assert 3 == len(MlflowClient(server.uri).search_runs([sent.experiment_id]))
    assert waits_after(server, 429) >= 1
    assert "limits the rate of requests (429). Continued in 1 s." in caplog.text


def test_an_expired_token_stops_the_upload_until_it_is_renewed(
    server: ManagedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    journal = write_journal(tmp_path, "expired")
    with (
        caplog.at_level(logging.WARNING, "hpsearch"),
        Uploader(journal, server.uri, first_pause=0.05) as uploader,
    ):
        assert uploader.wait_open(60)
        server.token = "renewed"
        uploader.wake()
        assert not uploader.flush(60, tries=1)
        assert uploader.pending
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", server.token)
        assert uploader.flush(60)
    (told,) = [record.getMessage() for record in caplog.records]
    assert "the login is refused" in told
    assert "The study goes on, and its journal keeps everything" in told
    assert "hpsearch sync expired --tracking-uri" in told
    (experiment,) = MlflowClient(server.uri).search_experiments(filter_string="name = 'expired'")
    assert 3 == len(MlflowClient(server.uri).search_runs([experiment.experiment_id]))


@pytest.mark.long
def test_batches_stay_within_the_limits_of_a_managed_server(
    server: ManagedServer, tmp_path: Path
) -> None:
    long = {f"param_{i}": "ä" * 5000 for i in range(120)}  # 30 kB each as JSON
    journal = write_journal(tmp_path, "large", 1, **long)
    sent = sync_study(journal, server.uri)
    assert [] == sent.problems
    (run,) = MlflowClient(server.uri).search_runs([sent.experiment_id], "run_name = 'trial-000'")
    assert long.items() <= run.data.params.items()


def test_the_time_to_wait_is_read_as_seconds_or_as_a_date() -> None:
    assert 7.0 == parse_retry_after("7")
    soon = parse_retry_after(format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True))
    assert soon is not None
    assert 3000 < soon <= 3600
    assert parse_retry_after("soon") is None
    assert parse_retry_after("") is None
