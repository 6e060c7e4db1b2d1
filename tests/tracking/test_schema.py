"""A database of an older MLflow is only migrated on request."""

import sqlite3
from contextlib import chdir, closing
from pathlib import Path

import pytest
import sqlalchemy
from alembic import command
from click.testing import CliRunner
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base

from hpsearch.cli import main
from hpsearch.errors import TrackingError
from hpsearch.tracking.database_schema import known_revisions, stored_revision, upgrade_database
from hpsearch.tracking.store import check_uri, default_uri, open_store

OLDER = "0584bdc529eb"  # of the tables of MLflow 2.22


@pytest.fixture(scope="module")
def made_by_an_older(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An SQLite store with the tables, and the first experiment, of an older MLflow."""
    path = tmp_path_factory.mktemp("older") / "mlflow.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    engine.dispose()
    command.upgrade(_get_alembic_config(f"sqlite:///{path}"), OLDER)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "insert into experiments (experiment_id, name, lifecycle_stage, artifact_location) "
            "values (0, 'Default', 'active', '/nowhere')"
        )
    return path.read_bytes()


@pytest.fixture
def older(made_by_an_older: bytes, tmp_path: Path) -> str:
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns" / "mlflow.db").write_bytes(made_by_an_older)
    return default_uri(tmp_path)


def test_the_versions_are_those_that_mlflow_knows(empty_store: Path) -> None:
    known, newest = known_revisions()
    assert {OLDER, newest} <= known
    assert newest == stored_revision(f"sqlite:///{empty_store}")


@pytest.mark.parametrize("opened", [check_uri, open_store])
def test_an_older_database_is_refused_and_not_changed(
    older: str, made_by_an_older: bytes, tmp_path: Path, opened: object
) -> None:
    with pytest.raises(TrackingError) as told:
        opened(older)  # type: ignore[operator]
    text = str(told.value)
    for part in ("made by an older MLflow", "mlflow db upgrade", "backup", "--upgrade-store"):
        assert part in text
    assert 1 == len(text.splitlines())
    assert made_by_an_older == (tmp_path / "mlruns" / "mlflow.db").read_bytes()


def test_a_command_migrates_it_where_it_is_told_to_and_keeps_a_copy(
    older: str, made_by_an_older: bytes, tmp_path: Path
) -> None:
    with chdir(tmp_path):
        refused = CliRunner().invoke(main, ["models"])
        done = CliRunner().invoke(main, ["models", "--upgrade-store"])
    assert 2 == refused.exit_code
    assert 0 == done.exit_code, done.output
    assert f"migrated from version {OLDER}" in done.stderr
    (copy,) = (tmp_path / "mlruns").glob("mlflow.db.before-upgrade-*")
    with closing(sqlite3.connect(copy)) as database:
        assert [(OLDER,)] == database.execute("select * from alembic_version").fetchall()
    assert known_revisions()[1] == stored_revision(older)
    assert upgrade_database(older) is None  # there is nothing left to do


def test_a_database_of_a_newer_mlflow_is_told_as_one(older: str, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "mlruns" / "mlflow.db")) as database, database:
        database.execute("update alembic_version set version_num = 'ffffffffffff'")
    with pytest.raises(TrackingError, match=r"newer MLflow .* pip install --upgrade mlflow"):
        check_uri(older)
