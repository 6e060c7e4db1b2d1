"""The runs, files and registered models of an SQLite store, without MLflow.

A client with the methods of `MlflowClient` that a promotion needs, and the same arguments and
answers; see `RegistryDatabase`. The files must be in local folders.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..compat.mlflow import ALL_RUNS
from .artifact_store import local_artifacts, local_folder
from .registry_database import EntryMissingError, RegistryDatabase, RowPage, find_registry_file

CONDITION = re.compile(r"tags\.`([\w.]+)` (=|LIKE) '([^']*)'")
RUN_FIELDS = "run_uuid, experiment_id, name, status, start_time, lifecycle_stage, artifact_uri"


def open_store_database(uri: str) -> StoreDatabase | None:
    """Open a store that is an SQLite database with local files; None for any other.

    Raises:
        TrackingError: If the database is damaged, or of another version of MLflow.
    """
    path = find_registry_file(uri)
    if path is None:
        return None
    database = StoreDatabase(path, uri)
    return database if database.has_local_files() else None


@dataclass(frozen=True, slots=True)
class ExperimentRow:
    """An experiment."""

    experiment_id: str
    name: str
    lifecycle_stage: str
    artifact_location: str


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Identity and state of a run."""

    run_id: str
    experiment_id: str
    run_name: str
    status: str
    start_time: int  # milliseconds since the epoch
    lifecycle_stage: str
    artifact_uri: str


@dataclass(frozen=True, slots=True)
class RunData:
    """The values of a run."""

    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]  # the latest of each


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run."""

    info: RunInfo
    data: RunData


class StoreDatabase(RegistryDatabase):
    """A client of an SQLite store; every call is a transaction."""

    def has_local_files(self) -> bool:
        """Whether the files of all experiments are in local folders."""
        with self._open() as database:
            found = database.execute("select artifact_location from experiments").fetchall()
        return all(local_folder(location or "") is not None for (location,) in found)

    def search_experiments(self, *, page_token: str | None = None) -> RowPage:
        """The active experiments."""
        return RowPage(e for e in self._read_experiments("1") if e.lifecycle_stage == "active")

    def get_experiment_by_name(self, name: str) -> ExperimentRow | None:
        """The experiment `name`; None if there is none."""
        return next(iter(self._read_experiments("name = ?", name)), None)

    def get_run(self, run_id: str) -> RunRow:
        """The run with this id.

        Raises:
            EntryMissingError: If there is none.
        """
        found = self._read_runs("run_uuid = ?", [run_id])
        if not found:
            raise EntryMissingError(f"Run with id={run_id} not found")
        return found[0]

    def search_runs(
        self,
        experiment_ids: Sequence[str],
        filter_string: str,
        run_view_type: int = 1,
        max_results: int = 1000,
        order_by: Sequence[str] = (),
        page_token: str | None = None,
    ) -> RowPage:
        """The runs of some experiments, newest first.

        Args:
            experiment_ids: Of the experiments.
            filter_string: A condition on one tag, with = or LIKE.
            run_view_type: 1 for active runs, or `ALL_RUNS`.
            max_results: Not used: the answer is whole.
            order_by: Not used.
            page_token: Not used.
        """
        matched = CONDITION.fullmatch(filter_string)
        assert matched is not None, filter_string
        key, operator, value = matched.groups()
        ids = ", ".join("?" for _ in experiment_ids)
        where = (
            f"experiment_id in ({ids}) and run_uuid in "
            f"(select run_uuid from tags where key = ? and value {operator} ?)"
        )
        found = self._read_runs(where, [*map(int, experiment_ids), key, value])
        return RowPage(
            r for r in found if run_view_type == ALL_RUNS or r.info.lifecycle_stage == "active"
        )

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run, all or none."""
        with self._open() as database, database:
            database.executemany(
                "insert or replace into tags (key, value, run_uuid) values (?, ?, ?)",
                [(key, value, run_id) for key, value in tags.items()],
            )

    def download_artifacts(self, run_id: str, path: str, dst_path: str) -> str:
        """Copy a file or a folder of a run below `dst_path`; return where it is.

        Raises:
            FileNotFoundError: If the run does not have it.
        """
        source, target = self._files_of(run_id) / path, Path(dst_path, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target)
        return str(target)

    def log_artifact(self, run_id: str, local_path: str, artifact_path: str | None = None) -> None:
        """Copy a file into a folder of a run."""
        folder = self._files_of(run_id) / (artifact_path or "")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(local_path, folder / Path(local_path).name)

    def log_artifacts(self, run_id: str, local_dir: str, artifact_path: str) -> None:
        """Copy the contents of a folder into a folder of a run."""
        shutil.copytree(local_dir, self._files_of(run_id) / artifact_path, dirs_exist_ok=True)

    def _files_of(self, run_id: str) -> Path:
        folder = local_artifacts(self, run_id)
        assert folder is not None  # see `open_store_database`
        return folder

    def _read_experiments(self, where: str, *values: Any) -> list[ExperimentRow]:
        with self._open() as database:
            rows = database.execute(
                "select experiment_id, name, lifecycle_stage, artifact_location from experiments "
                f"where {where}",
                values,
            ).fetchall()
        return [ExperimentRow(str(number), *rest) for number, *rest in rows]

    def _read_runs(self, where: str, values: Sequence[Any]) -> list[RunRow]:
        with self._open() as database:
            rows = database.execute(
                f"select {RUN_FIELDS} from runs where {where} order by start_time desc, run_uuid",
                values,
            ).fetchall()
            held = [
                _read_values(database, table, where, values)
                for table in ("params", "tags", "latest_metrics")
            ]
        return [
            RunRow(
                RunInfo(run_id, str(experiment), *rest),
                RunData(*(each.get(run_id, {}) for each in held)),
            )
            for run_id, experiment, *rest in rows
        ]


def _read_values(
    database: sqlite3.Connection, table: str, where: str, values: Sequence[Any]
) -> dict[str, dict[str, Any]]:
    """The values of runs in a table of keys and values, by run."""
    found: dict[str, dict[str, Any]] = {}
    for run_id, key, value in database.execute(
        f"select run_uuid, key, value from {table} where run_uuid in "
        f"(select run_uuid from runs where {where})",
        values,
    ):
        found.setdefault(run_id, {})[key] = value
    return found
