"""A client of the model registry in an SQLite store that does not import MLflow.

Importing MLflow and creating its client take seconds. This client has the methods of `MlflowClient`
that listing, promoting, rolling back and predicting need, with the same arguments and results. The
schema of the database is checked before (`database_schema.check_schema`).
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import TrackingError
from .database import database_path, database_state
from .relocation import update_locations
from .store import check_uri

MISSING = "RESOURCE_DOES_NOT_EXIST"
BUSY_SECONDS = 30  # to wait for another writer of the database
DELETED = "Deleted_Internal"  # stage of a deleted version


class EntryMissingError(LookupError):
    """There is no such model, version or alias."""

    error_code = MISSING  # as in MLflow's exceptions


def open_registry_database(uri: str) -> RegistryDatabase | None:
    """Open the registry of a store that is an SQLite database; None for any other.

    Raises:
        TrackingError: If the database is damaged, or of another version of MLflow.
    """
    path = find_registry_file(uri)
    return None if path is None else RegistryDatabase(path, uri)


def find_registry_file(uri: str) -> Path | None:
    """Return the SQLite file of a store that holds its registry, too; None for any other store.

    Raises:
        TrackingError: If the database is damaged, or of another version of MLflow.
    """
    path = database_path(uri)
    if path is None or os.environ.get("MLFLOW_REGISTRY_URI") or database_state(path) != "whole":
        return None
    check_uri(uri)
    update_locations(path)
    return path


class EntryExistsError(ValueError):
    """There is a registered model of this name."""

    error_code = "RESOURCE_ALREADY_EXISTS"


class RowPage(list[Any]):
    """The only page of a result."""

    token = None


@dataclass(frozen=True, slots=True)
class RegisteredModelRow:
    """A registered model."""

    name: str
    aliases: Mapping[str, str]  # alias -> version


@dataclass(frozen=True, slots=True)
class ModelVersionRow:
    """A version of a registered model."""

    name: str
    version: str
    creation_timestamp: int  # milliseconds since the epoch
    tags: Mapping[str, str]
    source: str  # location of its files


class RegistryDatabase:
    """A client of the registry in an SQLite database."""

    def __init__(self, path: Path, uri: str) -> None:
        """Name the database at `path`, whose tracking URI is `uri`; it is opened for each call."""
        self.tracking_uri = uri
        self._path = path

    def search_registered_models(self, *, page_token: str | None = None) -> RowPage:
        """Return all registered models, by name."""
        with self._open() as database:
            names = database.execute("select name from registered_models order by name").fetchall()
            return RowPage(
                RegisteredModelRow(name, _read_aliases(database, name)) for (name,) in names
            )

    def get_registered_model(self, name: str) -> RegisteredModelRow:
        """Return the registered model `name`.

        Raises:
            EntryMissingError: If there is none.
        """
        with self._open() as database:
            known = database.execute("select 1 from registered_models where name = ?", [name])
            if known.fetchone() is None:
                raise EntryMissingError(f"Registered Model with name={name} not found")
            return RegisteredModelRow(name, _read_aliases(database, name))

    def create_registered_model(self, name: str, *, description: str) -> None:
        """Make a registered model without versions.

        Raises:
            EntryExistsError: If there is one of this name.
        """
        now = _now()
        try:
            with self._open() as database, database:
                database.execute(
                    "insert into registered_models (name, creation_time, last_updated_time, "
                    "description) values (?, ?, ?, ?)",
                    [name, now, now, description],
                )
        except sqlite3.IntegrityError:
            raise EntryExistsError(f"Registered Model (name={name}) already exists.") from None

    def delete_registered_model(self, name: str) -> None:
        """Delete a registered model that has no versions."""
        with self._open() as database, database:
            for table in ("registered_model_aliases", "registered_model_tags", "registered_models"):
                database.execute(f"delete from {table} where name = ?", [name])

    def create_model_version(
        self, name: str, source: str, run_id: str, *, tags: Mapping[str, str], description: str
    ) -> ModelVersionRow:
        """Register the files at `source`, of a run, as the next version of a model."""
        now = _now()
        with self._open() as database, database:
            database.execute("begin immediate")  # no other process takes the same number
            (last,) = database.execute(
                "select max(version) from model_versions where name = ?", [name]
            ).fetchone()
            version = (last or 0) + 1
            database.execute(
                "insert into model_versions (name, version, creation_time, last_updated_time, "
                "description, current_stage, source, storage_location, run_id, status) "
                "values (?, ?, ?, ?, ?, 'None', ?, ?, ?, 'READY')",
                [name, version, now, now, description, source, source, run_id],
            )
            database.executemany(
                "insert into model_version_tags (key, value, name, version) values (?, ?, ?, ?)",
                [(key, value, name, version) for key, value in tags.items()],
            )
            database.execute(
                "update registered_models set last_updated_time = ? where name = ?", [now, name]
            )
        return ModelVersionRow(name, str(version), now, tags, source)

    def search_model_versions(
        self, filter_string: str, *, page_token: str | None = None
    ) -> RowPage:
        """Return the versions of a model; `filter_string` is `name = 'NAME'`."""
        name = filter_string.removeprefix("name = '").removesuffix("'")
        with self._open() as database:
            return RowPage(_read_versions(database, name))

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersionRow:
        """Return the version to which an alias points.

        Raises:
            EntryMissingError: If there is no such alias.
        """
        with self._open() as database:
            version = _read_aliases(database, name).get(alias)
            found = [row for row in _read_versions(database, name) if row.version == version]
        if not found:
            raise EntryMissingError(f"Registered model alias {alias} not found")
        return found[0]

    def get_model_version_download_uri(self, name: str, version: str) -> str:
        """Return the location of the files of a version."""
        with self._open() as database:
            return next(
                row.source for row in _read_versions(database, name) if row.version == version
            )

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias to a version."""
        with self._open() as database, database:
            database.execute(
                "insert or replace into registered_model_aliases (alias, version, name) "
                "values (?, ?, ?)",
                [alias, int(version), name],
            )

    def set_model_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        """Set a tag of a version."""
        with self._open() as database, database:
            database.execute(
                "insert or replace into model_version_tags (key, value, name, version) "
                "values (?, ?, ?, ?)",
                [key, value, name, int(version)],
            )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=BUSY_SECONDS)) as database:
                yield database
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise TrackingError(f"{self._path}: {error}") from None


def _now() -> int:
    return int(time.time() * 1000)


def _read_aliases(database: sqlite3.Connection, name: str) -> dict[str, str]:
    found = database.execute(
        "select alias, version from registered_model_aliases where name = ?", [name]
    )
    return {alias: str(version) for alias, version in found}


def _read_versions(database: sqlite3.Connection, name: str) -> list[ModelVersionRow]:
    """Read the versions of a model, newest first."""
    tags: dict[int, dict[str, str]] = {}
    for version, key, value in database.execute(
        "select version, key, value from model_version_tags where name = ?", [name]
    ):
        tags.setdefault(version, {})[key] = value
    rows = database.execute(
        "select version, creation_time, coalesce(storage_location, source) from model_versions "
        "where name = ? and current_stage <> ? order by version desc",
        [name, DELETED],
    )
    return [
        ModelVersionRow(name, str(version), int(created), tags.get(version, {}), str(source))
        for version, created, source in rows
    ]
