"""Update artifact locations in the store of a project folder that was moved or copied.

MLflow stores absolute locations. In a default store, `mlruns/mlflow.db` beside `mlruns/artifacts`,
locations in the old folder are rewritten once, in one transaction, before MLflow opens it;
otherwise a copy would write into the original. Other locations are unchanged.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlparse

from ..errors import TrackingError
from ..platforms.paths import artifact_uri
from .database import open_for_reading

logger = logging.getLogger("hpsearch.tracking")

FOLDER = "/mlruns/artifacts"
COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)


def update_locations(path: Path) -> None:
    """Update the artifact locations in the store at `path`, and log what was changed.

    Raises:
        TrackingError: If it cannot be written to.
    """
    path = path.resolve()
    here = artifact_uri(path.parent / "artifacts")
    if path.name != "mlflow.db" or not here.endswith(FOLDER):
        return
    try:
        with closing(sqlite3.connect(path, timeout=30)) as database:
            if not _foreign_folders(database, here):
                return
            database.execute("begin immediate")  # excludes other processes
            for there in _foreign_folders(database, here):
                count = sum(_replace_prefix(database, *column, there, here) for column in COLUMNS)
                logger.warning(
                    "%s was moved or copied from %s: %d locations in its store now name the files "
                    "here",
                    path.parents[1],
                    there.removesuffix(FOLDER),
                    count,
                )
            database.commit()
    except sqlite3.Error as error:
        raise TrackingError(
            f"{path}: was moved or copied here, and names its artifacts where they were; that "
            f"cannot be repaired: {error}."
        ) from None


def _foreign_folders(database: sqlite3.Connection, here: str) -> list[str]:
    """Find other folders that the store names although their files are here now."""
    found = database.execute("select distinct artifact_location from experiments").fetchall()
    named = {location.partition(FOLDER)[0] + FOLDER for (location,) in found if FOLDER in location}
    return [there for there in sorted(named - {here}) if _is_ours(database, there, here)]


def _is_ours(database: sqlite3.Connection, there: str, here: str) -> bool:
    """Whether that folder is gone and its files are here, or its own store was copied here.

    Another project that only shares this database keeps its files in a folder of its own.
    """
    if not _local_path(there).exists():
        return True
    size = len(there)
    if _experiments(database, there) & _experiments_of(
        _local_path(there).with_name("mlflow.db"), there
    ):
        return True
    runs = database.execute(
        "select substr(artifact_uri, ?) from runs where substr(artifact_uri, 1, ?) = ?",
        (size + 1, size + 1, there + "/"),
    )
    return any((_local_path(here) / rest.lstrip("/")).exists() for (rest,) in runs)


def _experiments(database: sqlite3.Connection, there: str) -> set[tuple[int, str]]:
    """Return id and location of the experiments whose files are in the folder `there`."""
    found = database.execute("select experiment_id, artifact_location from experiments").fetchall()
    return {(number, location) for number, location in found if location.startswith(there + "/")}


def _experiments_of(path: Path, there: str) -> set[tuple[int, str]]:
    """Read the `_experiments` of the store in another folder; empty if it has no store."""
    try:
        with open_for_reading(path, timeout=30.0) as database:
            return _experiments(database, there)
    except sqlite3.Error:
        return set()


def _replace_prefix(
    database: sqlite3.Connection, table: str, column: str, there: str, here: str
) -> int:
    """Replace the prefix of a column's locations; return their number."""
    columns = database.execute(f"pragma table_info({table})").fetchall()
    if column not in (name for _, name, *_ in columns):  # of another version of MLflow
        return 0
    size = len(there)
    return database.execute(
        f"update {table} set {column} = ? || substr({column}, ?) "
        f"where {column} = ? or substr({column}, 1, ?) = ?",
        (here, size + 1, there, size + 1, there + "/"),
    ).rowcount


def _local_path(location: str) -> Path:
    from urllib.request import url2pathname  # imports SSL

    url = urlparse(location)
    return Path(url2pathname(url.path) if url.scheme == "file" else location)
