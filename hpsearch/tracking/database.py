"""The SQLite file of a store: created atomically, and checked before MLflow opens it.

MLflow creates a new database in its final file by some fifty migrations; an interruption leaves a
file that no version of MLflow opens. Here it is created in memory and renamed when it is complete.
Checks use only `sqlite3` and take milliseconds.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal

from ..compat.mlflow import TABLES_LOGGER, make_first_experiment, make_tables
from ..errors import TrackingError
from ..platforms.files import DRAFT, draft_of, make_folder, replace, sync_file, sync_folder

PREFIX = "sqlite:///"
MAGIC = b"SQLite format 3\0"  # the first bytes of every such file
OLD_DRAFT_SECONDS = 600.0  # its writer is gone
State = Literal["absent", "empty", "half made", "whole"]


def database_path(uri: str) -> Path | None:
    """Return the file of an SQLite URI; None for other stores."""
    path = uri.removeprefix(PREFIX).partition("?")[0]
    return Path(path) if uri.startswith(PREFIX) and path not in ("", ":memory:") else None


def database_identity(path: Path) -> tuple[int, int] | None:
    """Return the identity of the file at `path`; an open store keeps its file if it is replaced."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def database_state(path: Path) -> State:
    """Return the state of the database at `path`: absent, empty, half-created or whole.

    MLflow creates its first experiment last, so a store without one is incomplete.

    Raises:
        TrackingError: If it is not a store, or cannot be read.
    """
    try:
        if link := _dangling_link(path):
            raise TrackingError(
                f"{link}: is a link to {os.readlink(link)}, which is not there. Mount or restore "
                "that; or remove the link, and a new store is made."
            )
        if not path.exists() or path.stat().st_size == 0:
            return "absent"
        if path.is_dir():
            raise TrackingError(f"{path}: is a folder, and no SQLite database.{_ELSEWHERE}")
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise TrackingError(f"{path}: is not an SQLite database.{_ELSEWHERE}")
        with open_for_reading(path) as database:
            return _classify(path, database)
    except OSError as error:
        raise TrackingError(f"{path}: cannot be read: {error.strerror}.{_ELSEWHERE}") from None
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return "whole"  # somebody is writing it
        raise TrackingError(f"{path}: cannot be read: {error}. {_RESTORE}") from None


@contextmanager
def open_for_reading(path: Path, timeout: float = 5.0) -> Iterator[sqlite3.Connection]:
    """Open an existing database for queries only.

    SQLite may write to the files nevertheless: the first who opens a database after its writer was
    killed in a transaction rolls that back. With `mode=ro` it could not, and would refuse to read.

    Args:
        path: The file; it is not created.
        timeout: Seconds to wait for a lock.

    Raises:
        sqlite3.Error: If it cannot be read.
    """
    uri = f"{path.absolute().as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=timeout)) as database:
        database.execute("pragma query_only = on")
        yield database


def list_aliases(path: Path) -> list[tuple[str, str]]:
    """List name and alias of the registered models in a database, without importing MLflow.

    Raises:
        sqlite3.Error: If it cannot be read.
    """
    with open_for_reading(path) as database:
        return database.execute(
            "select name, alias from registered_model_aliases order by name, alias"
        ).fetchall()


def _dangling_link(path: Path) -> Path | None:
    """Find a dangling link in `path`, perhaps of an unmounted disk."""
    path = path.absolute()
    return next((p for p in (path, *path.parents) if p.is_symlink() and not p.exists()), None)


_ELSEWHERE = " Name another file with --tracking-uri, or move this one away."
_RESTORE = (
    "Restore it from a backup, or move it away: a new one is made, and `hpsearch sync STUDY` "
    "sends a study again."
)


def _classify(path: Path, database: sqlite3.Connection) -> State:
    names = database.execute("select name from sqlite_master where type = 'table'").fetchall()
    tables = {name for (name,) in names if not name.startswith(("alembic_", "sqlite_"))}
    if not tables:
        return "empty"
    if "experiments" not in tables:
        raise TrackingError(
            f"{path}: is a database of another program, without MLflow's tables.{_ELSEWHERE}"
        )
    found = database.execute("select 1 from experiments limit 1").fetchone()
    return "whole" if found else "half made"


def check_database(path: Path) -> None:
    """Refuse a path that cannot become a usable store.

    Raises:
        TrackingError: With the remedy.
    """
    state = database_state(path)
    if state == "half made":
        raise TrackingError(
            f"{path}: is half made and empty: the process that made it was stopped, or still runs. "
            "`hpsearch doctor --repair` renames it and makes a new one; "
            "then `hpsearch sync STUDY` sends a study."
        )
    candidates = [path] if path.exists() else []
    for candidate in (
        *candidates,
        _nearest_folder(path.parent),
    ):  # SQLite writes a journal beside the file
        if not os.access(candidate, os.R_OK | os.W_OK):
            raise TrackingError(
                f"{candidate}: cannot be written to: Permission denied.{_ELSEWHERE}"
            )
    if not _nearest_folder(path.parent).is_dir():
        raise TrackingError(
            f"{_nearest_folder(path.parent)}: is a file, and no folder.{_ELSEWHERE}"
        )


def _nearest_folder(folder: Path) -> Path:
    """Return `folder` or its nearest existing parent."""
    folder = folder.absolute()
    return folder if folder.exists() or folder == folder.parent else _nearest_folder(folder.parent)


def make_database(path: Path) -> None:
    """Create a store at `path` atomically, unless a whole one exists.

    If several processes do so at the same time, the first one's is kept.

    Raises:
        TrackingError: If it cannot be made.
    """
    check_database(path)
    for draft in path.parent.glob(f"{path.name}{DRAFT}*"):
        if _is_old(draft):
            with suppress(OSError):
                draft.unlink()
    if database_state(path) == "whole":
        return
    draft = draft_of(path)
    try:
        make_folder(path.parent)
        _build_store(draft, path.parent / "artifacts")
        with draft.open("rb+") as file:
            sync_file(file.fileno())
        _publish_draft(draft, path)
        sync_folder(path.parent)
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise TrackingError(f"{path}: the store cannot be made: {reason}.") from None
    finally:
        for part in path.parent.glob(f"{draft.name}*"):  # with what SQLite keeps beside it
            with suppress(OSError):
                part.unlink()


def _is_old(draft: Path) -> bool:
    """Whether a draft was left by a killed process."""
    try:
        return time.time() - draft.stat().st_mtime > OLD_DRAFT_SECONDS
    except OSError:  # gone meanwhile
        return False


def _build_store(draft: Path, artifacts: Path) -> None:
    """Create a complete MLflow store at `draft`, including its first experiment.

    Tables are created in memory, which takes one second instead of six on disk.
    """
    import sqlalchemy

    silence_database_log()
    memory = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.pool.StaticPool)
    try:
        make_tables(memory)
        with memory.connect() as connection:
            connection.execute(sqlalchemy.text("vacuum into :draft"), {"draft": str(draft)})
    except sqlalchemy.exc.DBAPIError as error:
        raise sqlite3.OperationalError(str(error.orig)) from None
    finally:
        memory.dispose()
    make_first_experiment(f"{PREFIX}{draft}", artifacts)


def silence_database_log() -> None:
    """Silence MLflow's logging of tables and of errors that it also raises."""
    logging.getLogger(TABLES_LOGGER).setLevel(logging.CRITICAL)


def _publish_draft(draft: Path, path: Path) -> None:
    """Rename the draft, unless another process was faster."""
    if path.exists():
        if database_state(path) in ("absent", "empty"):  # a file without tables
            replace(draft, path)
        return
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        if not path.exists():
            replace(draft, path)


def move_database_aside(path: Path) -> Path:
    """Move a half-created database and SQLite's files beside it out of the way.

    Returns:
        Its new path.
    """
    target = path.with_name(f"{path.name}.half-made-{time.strftime('%Y%m%d-%H%M%S')}")
    for suffix in ("-journal", "-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            replace(part, target.with_name(target.name + suffix))
    sync_folder(path.parent)
    return target
