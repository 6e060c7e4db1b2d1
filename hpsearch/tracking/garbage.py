"""What a folder of studies holds that nobody will miss.

Out-of-fold predictions of all but the best trials of studies that have ended, and runs that
somebody deleted in MLflow, with their artifacts. Journals are never garbage, nor is a model.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from urllib.request import url2pathname

from ..errors import JournalError, TrackingError
from ..history import History, load
from .store import is_server

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger("hpsearch.tracking")

RUNS_A_CALL = 100  # of `mlflow gc`, whose ids stand on its command line
# The store's URI may hold a password and every user can read a command line: it comes by the
# environment, which `mlflow gc` does not read it from.
MLFLOW_GC = """
import os, sys
from mlflow.cli import cli
uri = os.environ["MLFLOW_TRACKING_URI"]
cli(["gc", "--backend-store-uri", uri, "--tracking-uri", uri, "--run-ids", sys.argv[1]])
"""


@dataclass(frozen=True, slots=True)
class Garbage:
    """One thing that can go."""

    study: str
    what: str
    size: int  # bytes
    files: tuple[Path, ...] = ()
    runs: tuple[str, ...] = ()


def find_garbage(root: Path, client: MlflowClient, *, keep: int) -> list[Garbage]:
    """What can go below `root` and in its store.

    Args:
        root: The folder that holds `mlruns/`.
        client: Of the store.
        keep: How many of a study's best trials keep their out-of-fold predictions.
    """
    journals = sorted((root / "mlruns" / "studies").glob("*/journal.jsonl"))
    found = [g for journal in journals for g in _predictions(journal, keep)]
    if not is_server(client.tracking_uri):
        found += _deleted_runs(client)
    return found


def remove(garbage: Sequence[Garbage], uri: str) -> None:
    """Remove it for good.

    Raises:
        TrackingError: If MLflow cannot remove a run.
    """
    for item in garbage:
        for file in item.files:
            file.unlink(missing_ok=True)
    runs = [run for item in garbage for run in item.runs]
    for start in range(0, len(runs), RUNS_A_CALL):
        _remove_runs(runs[start : start + RUNS_A_CALL], uri)


def _predictions(journal: Path, keep: int) -> Iterator[Garbage]:
    try:
        history: History = load(journal, without=("epoch",))
    except JournalError as error:
        logger.warning("nothing of study %s is removed: %s", journal.parent.name, error)
        return
    if history.final is None:
        return
    needed = {t.number for t in history.ranked()[:keep]}
    needed |= {int(m["trial"]) for m in history.final.get("members", ())}
    files = tuple(
        path
        for trial in history.attempts
        if trial.predictions is not None and trial.number not in needed
        if (path := journal.parent / trial.predictions).is_file()
    )
    if files:
        size = sum(f.stat().st_size for f in files)
        yield Garbage(history.name, f"predictions of {len(files)} trials", size, files)


def _deleted_runs(client: MlflowClient) -> Iterator[Garbage]:
    from mlflow.entities import ViewType

    for experiment in client.search_experiments(view_type=ViewType.ALL):
        runs = client.search_runs([experiment.experiment_id], "", ViewType.DELETED_ONLY, 50_000)
        if runs:
            size = sum(_size(run.info.artifact_uri) for run in runs)
            ids = tuple(run.info.run_id for run in runs)
            yield Garbage(experiment.name, f"{len(runs)} deleted runs", size, runs=ids)


def _size(artifacts: str) -> int:
    """Bytes below an artifact URI on this machine."""
    url = urlparse(artifacts)
    folder = Path(url2pathname(url.path) if url.scheme == "file" else artifacts)
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def _remove_runs(runs: Sequence[str], uri: str) -> None:
    """By `mlflow gc`, the one public way to remove a run for good."""
    done = subprocess.run(
        [sys.executable, "-c", MLFLOW_GC, ",".join(runs)],
        env={**os.environ, "MLFLOW_TRACKING_URI": uri},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise TrackingError(f"mlflow gc could not remove {len(runs)} runs: {last}")
