"""Several users with one study name on one server get their own studies."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from pathlib import Path
from threading import Barrier

import pytest
import synthetic
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow_server import TrackingServer
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError, OperationalError

from hpsearch.cli import main
from hpsearch.errors import TrackingError
from hpsearch.tracking.refusals import is_inserted_twice
from hpsearch.tracking.sender import Sender
from hpsearch.tracking.store import default_uri, journal_path, limited_requests, uri_option
from hpsearch.tracking.study_runs import find_study_run, list_study_runs
from hpsearch.tracking.study_sync import sync_study

PEOPLE = 10


@pytest.fixture(scope="module")
def uri(tracking_server: TrackingServer) -> str:
    return tracking_server.uri


def key_of(person: int, study: str) -> str:
    """A study's key, which no other study has."""
    return f"{person:02}{hashlib.sha256(study.encode()).hexdigest()[:14]}"


def place(root: Path, person: int, study: str) -> Path:
    """The journal of a person's study in a folder of their own."""
    records = synthetic.study(4, folds=2, epochs=2)
    who = {"key": key_of(person, study), "owner": f"ann-{person}", "host": f"box-{person}"}
    records[0] |= {"study": study, **who}
    return synthetic.write(journal_path(root / f"folder-{person}", study), records)


def send_all(journals: list[Path], uri: str, *, at_once: bool) -> None:
    together = Barrier(len(journals))

    def send(journal: Path) -> None:
        sender = Sender(journal, uri)
        if at_once:
            together.wait(60)
        sender.open_study()  # of a new name: all of them create the experiment
        sender.send()
        sender.park_runs()
        sender.close()

    with limited_requests(uri), ThreadPoolExecutor(len(journals) if at_once else 1) as pool:
        list(pool.map(send, journals))


@pytest.mark.parametrize(
    ("people", "at_once"),
    [(2, True), (2, False), *(pytest.param(PEOPLE, s, marks=pytest.mark.long) for s in (0, 1))],
)
def test_each_folder_finds_its_own_study(
    uri: str, people: int, at_once: bool, tmp_path: Path
) -> None:
    name = f"shared-{people}-{at_once}"
    journals = [place(tmp_path, person, name) for person in range(people)]
    send_all(journals, uri, at_once=at_once)
    client = MlflowClient(uri)
    found = [find_study_run(client, name, journal=journal) for journal in journals]
    assert [f"ann-{person}" for person in range(people)] == [run.owner for run in found]
    assert [f"box-{person}" for person in range(people)] == [run.host for run in found]
    assert people == len({run.run_id for run in found})
    assert people == len(list_study_runs(client, name))  # and nothing else was left
    for person, run in enumerate(found):
        assert run == find_study_run(client, name, key=f"{person:02}")
        sync_study(journals[person], uri)  # again: nothing is doubled
    assert people == len(list_study_runs(client, name))
    runs = client.search_runs([found[0].experiment_id], max_results=1000)
    assert {f"ann-{person}" for person in range(people)} == {
        r.data.tags["mlflow.user"] for r in runs
    }


def test_printed_commands_reach_the_store_and_hold_no_password(tmp_path: Path) -> None:
    assert "" == uri_option(default_uri(tmp_path), tmp_path)
    assert " --tracking-uri 'http://runs.example/a b'" == uri_option(
        "http://runs.example/a b", tmp_path
    )
    hidden = uri_option("postgresql://ann:secret@db/runs", tmp_path)
    assert ' --tracking-uri "$MLFLOW_TRACKING_URI"' == hidden


def test_without_a_journal_those_of_the_name_are_listed(uri: str, tmp_path: Path) -> None:
    send_all([place(tmp_path, person, "asked") for person in range(2)], uri, at_once=False)
    with pytest.raises(TrackingError) as told:
        find_study_run(MlflowClient(uri), "asked")
    text = str(told.value)
    assert "has 2 studies of the name 'asked'. Say which one with --key:" in text
    for person in range(2):
        assert f"{key_of(person, 'asked')}  ann-{person} on box-{person}, 2025-10-09" in text
    assert text.count("score 0.") == 2
    with pytest.raises(TrackingError, match="no study 'asked' of key '7'"):
        find_study_run(MlflowClient(uri), "asked", key="7")


def test_a_study_that_was_not_sent_is_not_confused_with_another_users(
    uri: str, tmp_path: Path
) -> None:
    send_all([place(tmp_path, 0, "unsent")], uri, at_once=False)
    mine = place(tmp_path, 1, "unsent")
    with pytest.raises(TrackingError, match="hpsearch sync unsent") as told:
        find_study_run(MlflowClient(uri), "unsent", journal=mine)
    assert "ann-0 on box-0" in str(told.value)


def test_ui_tells_the_page_of_this_folders_study(uri: str, tmp_path: Path) -> None:
    journals = [place(tmp_path, person, "pages") for person in range(2)]
    send_all(journals, uri, at_once=False)
    run = find_study_run(MlflowClient(uri), "pages", journal=journals[0])
    with chdir(tmp_path / "folder-0"):
        done = CliRunner().invoke(main, ["ui", "pages", "--tracking-uri", uri])
    view = f"viewStateShareKey=trials-{run.key[:8]}&workflowType=machine_learning"
    assert f"{uri}/#/experiments/{run.experiment_id}/runs?{view}\n" == done.output


def test_a_data_set_that_another_study_has_just_inserted_is_recognized(tmp_path: Path) -> None:
    database = tmp_path / "store.db"
    engine = create_engine(f"sqlite:///{database}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE datasets (digest TEXT UNIQUE)"))
        connection.execute(text("INSERT INTO datasets VALUES ('a')"))
    with pytest.raises(IntegrityError) as refused, engine.begin() as connection:
        connection.execute(text("INSERT INTO datasets VALUES ('a')"))
    assert is_inserted_twice(refused.value)
    with pytest.raises(OperationalError) as other, engine.begin() as connection:
        connection.execute(text("INSERT INTO runs VALUES ('a')"))
    assert not is_inserted_twice(other.value)
