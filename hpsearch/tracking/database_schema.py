"""Check the schema version of a database; an older one is migrated only on request.

MLflow migrates an older database when it opens it; the older MLflow, such as a team's server, can
then no longer use it. Versions are read from MLflow's files, without importing it.
"""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing
from functools import cache
from pathlib import Path

from ..compat.mlflow import migrate, migrations
from ..errors import TrackingError, redact_text
from .database import database_path, open_for_reading

_REVISION = re.compile(r"^(down_)?revision = (?:[\"'](\w+)[\"']|None)", re.MULTILINE)


def check_schema(uri: str) -> None:
    """Refuse a database whose schema is older or newer than the installed MLflow's.

    Raises:
        TrackingError: With the remedy.
    """
    found, (known, newest) = stored_revision(uri), known_revisions()
    if found is None or newest is None or found == newest:
        return
    from importlib import metadata

    version = metadata.version("mlflow")
    if found not in known:
        raise TrackingError(
            f"{redact_text(uri)}: the database was made by a newer MLflow than {version} (tables "
            "of "
            f"version {found}). Install that one: pip install --upgrade mlflow."
        )
    raise TrackingError(
        f"{redact_text(uri)}: the database was made by an older MLflow (tables of version {found}; "
        f"MLflow {version} needs {newest}). Once it is migrated, that MLflow, a server's perhaps, "
        "can no longer open it. Make a backup and run `mlflow db upgrade` with its URI, or repeat "
        "the command with --upgrade-store."
    )


def upgrade_database(uri: str) -> str | None:
    """Migrate an older database, after a backup if it is SQLite.

    Returns:
        One sentence about it; None where there was nothing to do.

    Raises:
        TrackingError: If it cannot be migrated.
    """
    found, (known, newest) = stored_revision(uri), known_revisions()
    if found is None or found == newest or found not in known:
        return None
    path = database_path(uri)
    backup = path and _back_up(path)
    try:
        migrate(uri)
    except Exception as error:  # every database raises its own kind
        kept = f" Its state before is in {backup}." if backup else " Restore the backup."
        raise TrackingError(f"{redact_text(uri)}: cannot be migrated: {error}.{kept}") from None
    kept = f"; its state before is in {backup}" if backup else ""
    return f"{redact_text(uri)}: migrated from version {found} to {newest}{kept}"


@cache
def known_revisions() -> tuple[frozenset[str], str | None]:
    """Return all schema versions of the installed MLflow, and the newest."""
    folder = migrations()
    known: set[str] = set()
    older: set[str] = set()
    for path in folder.glob("*.py") if folder else ():
        for down, name in _REVISION.findall(path.read_text(encoding="utf-8")):
            (older if down else known).add(name)
    newest = known - older
    return frozenset(known), newest.pop() if len(newest) == 1 else None


def stored_revision(uri: str) -> str | None:
    """Return the schema version of a database; None if it has no tables."""
    path = database_path(uri)
    if path is None:
        return _revision_by_sqlalchemy(uri)
    if not path.is_file():
        return None
    try:
        with open_for_reading(path) as database:
            row = database.execute("select version_num from alembic_version").fetchone()
    except sqlite3.Error:  # an empty file, or one that `check_database` refuses
        return None
    return str(row[0]) if row else None


def _revision_by_sqlalchemy(uri: str) -> str | None:
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.pool.NullPool)
    try:
        if not sqlalchemy.inspect(engine).has_table("alembic_version"):
            return None
        with engine.connect() as connection:
            row = connection.execute(sqlalchemy.text("select version_num from alembic_version"))
            found = row.scalar()
    finally:
        engine.dispose()
    return None if found is None else str(found)


def _back_up(path: Path) -> Path:
    """Copy an SQLite file, which may be open elsewhere."""
    backup = path.with_name(f"{path.name}.before-upgrade-{time.strftime('%Y%m%d-%H%M%S')}")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    return backup
