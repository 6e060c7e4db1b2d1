"""The oldest MLflow server that is supported, and one that is older, each in its environment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import synthetic
from mlflow import MlflowClient
from mlflow_server import served
from promotion.conftest import Store

from hpsearch.errors import TrackingError
from hpsearch.promotion import Reference, list_versions, promote_run, rollback_model
from hpsearch.promotion.model_loading import fetch_model
from hpsearch.tracking.artifact_store import list_run_files
from hpsearch.tracking.server import MIN_VERSION
from hpsearch.tracking.store import journal_path, open_store
from hpsearch.tracking.study_runs import find_study_run
from hpsearch.tracking.study_sync import sync_study

pytestmark = pytest.mark.long
SUPPORTED, TOO_OLD = "2.22.0", "2.14.3"
CACHE = Path(__file__).parents[2] / ".pytest_cache"


@contextmanager
def server(version: str, folder: Path) -> Iterator[str]:
    """The address of a server of that version, whose environment is made once."""
    home = CACHE / f"mlflow-{version}"
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        made = subprocess.run([sys.executable, "-m", "venv", home], capture_output=True)
        install = [
            python,
            "-m",
            "pip",
            "install",
            f"mlflow=={version}",
            "setuptools<80",
            "sqlalchemy<2.1",
        ]
        if made.returncode or subprocess.run(install, capture_output=True).returncode:
            pytest.skip(f"MLflow {version} could not be installed: no package index?")
        (home / "ready").touch()
    where = ("--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db")
    where += ("--artifacts-destination", str(folder / "artifacts"))
    with served("server", *where, path="/health", python=str(python)) as uri:
        yield uri


@pytest.fixture(scope="module")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server(SUPPORTED, tmp_path_factory.mktemp("oldest")) as uri:
        yield uri


def test_the_oldest_that_is_tested_is_the_oldest_that_is_allowed() -> None:
    assert SUPPORTED.startswith(".".join(map(str, MIN_VERSION)))


def test_a_study_goes_to_the_oldest_server_once(oldest: str, tmp_path: Path) -> None:
    records = synthetic.study(5, folds=2, epochs=3)
    journal = synthetic.write(journal_path(tmp_path, "churn"), records)
    (journal.parent / "plots").mkdir()
    (journal.parent / "plots" / "history.png").write_bytes(b"PNG")
    for _ in range(2):
        sent = sync_study(journal, oldest)
        (cursor,) = journal.parent.glob("uploaded-*.json")
        cursor.unlink()  # as if nothing had been sent
    client = open_store(oldest)
    runs = client.search_runs([sent.experiment_id])
    keys = [run.data.tags["hpsearch.key"] for run in runs]
    assert 7 == len(keys) == len(set(keys))
    assert sent.parent == find_study_run(client, "churn", journal=journal).run_id
    assert {"spec.yaml", "environment.json", "journal.jsonl", "plots"} == {
        file.path for file in list_run_files(client, sent.parent)
    }


def test_a_model_goes_into_use_on_the_oldest_server_and_back(
    oldest: str, store: Store, tmp_path: Path
) -> None:
    client = MlflowClient(oldest)
    runs = []
    for name, skill in (("weak-there", 1.0), ("strong-there", 3.0)):
        final = store.client.download_artifacts(store.study(name, skill), "final", str(tmp_path))
        experiment = client.create_experiment(name)
        run = client.create_run(experiment, tags={"hpsearch.kind": "study"}).info.run_id
        client.log_artifacts(run, final, "final")
        runs.append(run)
    assert 1 == promote_run(client, runs[0], Reference("served")).version
    assert 2 == promote_run(client, runs[1], Reference("served")).version
    assert [("served", 2, ("champion",)), ("served", 1, ("previous",))] == [
        (row.name, row.version, row.aliases) for row in list_versions(client)
    ]
    assert fetch_model(client, Reference("served"), str(tmp_path)).is_dir()
    assert 1 == rollback_model(client, "served").version


def test_an_older_server_is_told_so_at_the_start(tmp_path: Path) -> None:
    with server(TOO_OLD, tmp_path) as uri:
        with pytest.raises(TrackingError) as told:
            open_store(uri)
        assert f"the server is MLflow {TOO_OLD}, and 2.22 is the oldest" in str(told.value)
        assert 1 == len(str(told.value).splitlines())
