"""A real SQLite store, created once and copied for each test."""

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpsearch.tracking.store import artifact_location, default_uri


@pytest.fixture
def root(empty_store: Path, tmp_path: Path) -> Path:
    """A root folder with an empty store of the test's own."""
    (tmp_path / "mlruns").mkdir()
    shutil.copy(empty_store, tmp_path / "mlruns")
    return tmp_path


@pytest.fixture
def uri(root: Path) -> str:
    return default_uri(root)


@pytest.fixture
def artifacts(root: Path, uri: str) -> str | None:
    return artifact_location(uri, root)


@pytest.fixture
def stored(root: Path) -> Callable[[str], dict[str, Any]]:
    """What the store holds of a study, read from its tables: {run's name: its contents}."""

    def contents(experiment: str) -> dict[str, Any]:
        with sqlite3.connect(root / "mlruns" / "mlflow.db") as database:
            runs = database.execute(
                "select r.run_uuid, r.name, r.status, r.start_time, r.end_time from runs r "
                "join experiments e using (experiment_id) "
                "where e.name = ? and r.lifecycle_stage = 'active'",
                [experiment],
            ).fetchall()
            assert not [name for name, n in Counter(run[1] for run in runs).items() if n > 1]
            return {
                name: {
                    "status": status,
                    "times": (start, end),
                    "params": dict(_rows(database, "key, value from params", run)),
                    "tags": _own_tags(dict(_rows(database, "key, value from tags", run))),
                    "points": sorted(
                        _rows(database, "key, step, timestamp, value, is_nan from metrics", run)
                    ),
                }
                for run, name, status, start, end in runs
            }

    return contents


def _rows(database: sqlite3.Connection, what: str, run: str) -> list[Any]:
    return database.execute(f"select {what} where run_uuid = ?", [run]).fetchall()


def _own_tags(tags: dict[str, str]) -> dict[str, str]:
    """Tags without those that name a run by its random id."""
    return {k: v for k, v in tags.items() if k not in ("mlflow.parentRunId", "hpsearch.key")}
