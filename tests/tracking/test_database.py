"""The SQLite store: created atomically, and refused before training if unusable."""

import os
import re
import resource
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy
from answer_check import read_answer
from click.testing import CliRunner
from long_cases import long_unless
from mlflow import MlflowClient
from mlflow.store.db.utils import _initialize_tables

from hpsearch.cli import main
from hpsearch.errors import TrackingError
from hpsearch.tracking.database import (
    database_state,
    list_aliases,
    make_database,
    open_for_reading,
)
from hpsearch.tracking.database_schema import known_revisions, stored_revision
from hpsearch.tracking.store import check_uri, open_store


class StoppedError(Exception):
    """What stands for a second Ctrl-C."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mlruns" / "mlflow.db"


def in_child(work: Callable[[], None]) -> int:
    """What became of a process that does `work`: 0, 1 for an error, or minus a signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def make_in_place(path: Path, statements: int) -> None:
    """Begin a store as MLflow does, in its final file, and stop after so many statements."""
    path.parent.mkdir(exist_ok=True)
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    done = 0

    @sqlalchemy.event.listens_for(engine, "before_cursor_execute")
    def stop(*_: object) -> None:
        nonlocal done
        done += 1
        if done > statements:
            raise StoppedError

    with pytest.raises(StoppedError):
        _initialize_tables(engine)
    engine.dispose()


def usable(path: Path) -> bool:
    """Whether the store takes an experiment and nothing is left beside it."""
    open_store(f"sqlite:///{path}").create_experiment("a")
    return [path] == list(path.parent.iterdir())


# Audit events of Python's while a store is made; the process is killed at the first of each.
MOMENTS = ("sqlite3.connect", "open", "os.link", "os.remove")


@pytest.mark.parametrize("event", long_unless(("sqlite3.connect", "os.link").__contains__, MOMENTS))
def test_killed_while_the_store_is_made_leaves_none_or_a_whole_one(
    event: str, path: Path, figure: Callable[..., None]
) -> None:
    def work() -> None:
        def hook(name: str, arguments: tuple[object, ...]) -> None:
            if name == event and any(str(path.parent) in str(a) for a in arguments):
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        make_database(path)

    assert -signal.SIGKILL == in_child(work)
    assert database_state(path) in ("absent", "whole")
    for draft in path.parent.glob("*draft*"):
        os.utime(draft, (0, 0))  # as if it had been a while ago
    make_database(path)
    assert usable(path)
    figure(half_made=0)


@pytest.mark.parametrize(
    "read", [database_state, check_uri, list_aliases, stored_revision, "doctor"]
)
def test_a_store_whose_writer_was_killed_in_a_transaction_is_read_as_before_it(
    read: Callable[[Path], object] | str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_database(path)

    def work() -> None:
        with closing(sqlite3.connect(path)) as database:
            database.execute("pragma cache_size = 1")  # so that pages are written before the commit
            database.execute("update experiments set name = hex(zeroblob(1000000))")
            os.kill(os.getpid(), signal.SIGKILL)

    assert -signal.SIGKILL == in_child(work)
    journal = path.with_name(f"{path.name}-journal")
    assert journal.stat().st_size > 0
    if read == "doctor":
        monkeypatch.chdir(path.parents[1])
        monkeypatch.setattr("hpsearch.study.maintenance.doctor.PROBES", {})
        assert "ok   store" in CliRunner().invoke(main, ["doctor"]).output
    else:
        expected = {
            database_state: "whole",
            check_uri: None,
            list_aliases: [],
            stored_revision: known_revisions()[1],
        }
        argument = path if read in (database_state, list_aliases) else f"sqlite:///{path}"
        assert expected[read] == read(argument)
    assert not journal.exists()
    with closing(sqlite3.connect(path)) as database:
        assert [("Default",)] == database.execute("select name from experiments").fetchall()


def test_a_database_that_is_opened_for_reading_takes_no_changes_and_is_not_created(
    path: Path,
) -> None:
    make_database(path)
    with open_for_reading(path) as database, pytest.raises(sqlite3.OperationalError):
        database.execute("create table filler (x)")
    missing = path.with_name("missing.db")
    with pytest.raises(sqlite3.OperationalError), open_for_reading(missing) as database:
        database.execute("select 1 from sqlite_master")
    assert not missing.exists()


def test_several_studies_begun_at_once_in_a_fresh_folder_share_one_whole_store(
    path: Path, figure: Callable[..., None]
) -> None:
    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            try:
                open_store(f"sqlite:///{path}").create_experiment(f"study-{number}")
            except BaseException:
                os._exit(1)
            os._exit(0)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert [0] * 4 == codes
    names = {e.name for e in MlflowClient(f"sqlite:///{path}").search_experiments()}
    assert {"Default", *(f"study-{number}" for number in range(4))} == names
    assert [path] == list(path.parent.iterdir())
    figure(refused_of_4=codes.count(1), experiments_lost=0)


def test_a_full_disk_while_the_store_is_made_leaves_nothing_behind(path: Path) -> None:
    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        with pytest.raises(TrackingError, match=r"mlflow\.db: the store cannot be made"):
            make_database(path)

    assert 0 == in_child(work)
    assert [] == list(path.parent.iterdir())
    make_database(path)
    assert usable(path)


@pytest.mark.parametrize("statements", [25, 70])
def test_a_half_made_store_is_told_and_made_anew_by_the_remedy_that_is_printed(
    statements: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_in_place(path, statements)
    monkeypatch.chdir(path.parents[1])
    monkeypatch.setattr("hpsearch.study.maintenance.doctor.PROBES", {})
    runner = CliRunner()
    for command in (["doctor"], ["models"]):
        told = runner.invoke(main, command)
        assert told.exit_code in (1, 2)
        assert "is half made" in told.output
        assert "hpsearch doctor --repair" in told.output
    done = runner.invoke(main, ["doctor", "--repair"])
    assert 0 == done.exit_code, done.output
    assert "half-made-" in done.output
    assert 0 == runner.invoke(main, ["models"]).exit_code
    assert "ok   store" in runner.invoke(main, ["doctor"]).output
    answer = read_answer("doctor", runner.invoke(main, ["doctor", "--json"]).stdout)
    assert "ok" in {f["state"] for f in answer["findings"] if f["subject"] == "store"}
    assert "is whole" in runner.invoke(main, ["doctor", "--repair"]).output


def leave_text(path: Path) -> str:
    path.parent.mkdir()
    path.write_text("hello\n", encoding="utf-8")
    return f"sqlite:///{path}"


def leave_folder(path: Path) -> str:
    path.mkdir(parents=True)
    return f"sqlite:///{path}"


def leave_other_database(path: Path) -> str:
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute("create table customers (id)")
    return f"sqlite:///{path}"


def leave_file_for_folder(path: Path) -> str:
    path.parent.write_text("")
    return f"sqlite:///{path}"


def leave_dangling_link(path: Path) -> str:
    path.parent.mkdir()
    path.symlink_to(path.parents[1] / "not-mounted" / "mlflow.db")
    return f"sqlite:///{path}"


def leave_dangling_folder(path: Path) -> str:
    path.parent.symlink_to(path.parents[1] / "not-mounted")
    return f"sqlite:///{path}"


UNUSABLE = {
    "is not an SQLite database": leave_text,
    "is a folder": leave_folder,
    "is a database of another program": leave_other_database,
    "is a file, and no folder": leave_file_for_folder,
    "mlflow.db: is a link to .*not-mounted.mlflow.db, which is not there": leave_dangling_link,
    "mlruns: is a link to .*not-mounted, which is not there": leave_dangling_folder,
    "no store of the kind 'nonsense'": lambda path: "nonsense://x",
}


@pytest.mark.parametrize("reason", UNUSABLE)
def test_a_store_that_cannot_work_is_refused_before_anything_is_trained(
    reason: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = UNUSABLE[reason](path)
    with pytest.raises(TrackingError, match=reason):
        check_uri(uri)
    spec = path.parents[1] / "spec.yaml"
    spec.write_text("study: s\ndata: {source: nowhere.csv, target: y}\nsearch_space: {units: 4}\n")
    monkeypatch.chdir(path.parents[1])
    promote = ["promote", "s", "--as", "m"]
    for command in (["tune", str(spec)], ["models"], promote, ["gc"], ["ui"]):
        told = CliRunner().invoke(main, [*command, "--tracking-uri", uri])
        assert 2 == told.exit_code, told.output
        assert re.search(reason, told.output)
        assert 1 == len(told.output.splitlines())
    assert not (path.parents[1] / "mlruns" / "studies").exists()
    assert not (path.parents[1] / "not-mounted").exists()


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    make_database(path)
    assert usable(path)
