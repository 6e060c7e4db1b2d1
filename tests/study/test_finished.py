"""`tune` of a finished, unchanged study: read from journal and store, without doing anything."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from hpsearch.events import CURVES, PointEnqueued
from hpsearch.history import load_history
from hpsearch.study.finished import is_search_over
from hpsearch.study.tune import read_spec
from hpsearch.tracking.stored_study import find_stored_study

from .conftest import Finished, invoke


def read_folder(finished: Finished) -> dict[str, bytes]:
    """Contents of each file of the study, without log and locks."""
    return {
        str(path): path.read_bytes()
        for path in finished.folder.rglob("*")
        if path.is_file() and path.suffix != ".lock" and path.parent.name != "logs"
    }


def test_a_finished_study_is_printed_again_without_workers_and_mlflow(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("nothing is to be trained or sent")

    monkeypatch.setattr("hpsearch.study.tune.WorkerPool", refuse)
    monkeypatch.setattr("hpsearch.study.tune.Uploader", refuse)
    before = read_folder(finished)
    again = json.loads(invoke(finished.root, "tune", finished.spec, "--json").stdout)
    assert {**finished.answer, "seconds": 0} == {**again, "seconds": 0}
    assert before == read_folder(finished)


def test_a_larger_budget_or_a_run_that_is_not_whole_is_work(finished: Finished) -> None:
    journal = finished.folder / "journal.jsonl"
    history = load_history(journal, without=CURVES)
    assert is_search_over(read_spec(finished.spec), history, journal)
    assert not is_search_over(read_spec(finished.spec, ["budget.trials=6"]), history, journal)
    history.enqueued.append(PointEnqueued(request="r", params={"units": 8}))
    assert not is_search_over(read_spec(finished.spec), history, journal)
    stored = find_stored_study(journal, finished.uri, history)
    assert stored is not None
    assert stored.run_id(0) is not None
    with closing(sqlite3.connect(finished.root / "mlruns" / "mlflow.db")) as database:
        for table, column in (("runs", "status"), ("tags", "value"), ("runs", "lifecycle_stage")):
            where = "run_uuid = ?" + (" and key = 'state'" if table == "tags" else "")
            query = f"select {column} from {table} where {where}"
            ((kept,),) = database.execute(query, [stored.run_id(0)]).fetchall()
            change = f"update {table} set {column} = ? where {where}"
            other = {"status": "RUNNING", "value": "?", "lifecycle_stage": "deleted"}[column]
            database.execute(change, [other, stored.run_id(0)])
            database.commit()
            try:
                assert find_stored_study(journal, finished.uri, history) is None
            finally:
                database.execute(change, [kept, stored.run_id(0)])
                database.commit()
    assert stored == find_stored_study(journal, finished.uri, history)


@pytest.mark.long
def test_a_finished_study_imports_neither_keras_nor_mlflow(finished: Finished) -> None:
    code = (
        "import sys\nfrom hpsearch.cli import main\n"
        f"main(['tune', {str(finished.spec)!r}], standalone_mode=False)\n"
        "print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=finished.root,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stderr.splitlines()[-1].split())
    assert set() == loaded & {"keras", "jax", "mlflow", "sqlalchemy", "optuna", "matplotlib"}
