"""A study whose coordinator is killed at any step of the loop continues identically."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from long_cases import long_unless

from hpsearch.tracking.store import journal_path
from tests import synthetic
from tests.faults import cheap_study
from tests.faults.table import ROOT

TRIALS = 6
STEPS = ("after_ask", "after_dispatch", "before_result", "after_result", "after_tell")


def tune(root: Path, *options: str, fault: str = "", code: int = 0) -> None:
    """Run the cheap study; with a fault in a process of its own, which must end with `code`."""
    if not fault:
        cheap_study.main(root, TRIALS, with_mlflow="--mlflow" in options)
        return
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.cheap_study", root, str(TRIALS), *options],
        cwd=ROOT,
        env={**os.environ, "HPSEARCH_FAULT": fault, "PYTHONPATH": "tests"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert code == done.returncode, done.stderr


def told(root: Path) -> list[tuple]:
    """Params and scores of the trials, in the order in which their results were written."""
    records = synthetic.read_records(journal_path(root, "cheap"))
    params = {r["trial"]: r["params"] for r in records if r["event"] == "asked"}
    return [
        (r["trial"], params[r["trial"]], r["fold_scores"], r["state"])
        for r in records
        if r["event"] == "result"
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> list[tuple]:
    root = tmp_path_factory.mktemp("whole")
    tune(root)
    return told(root)


# tests/search/test_loop.py kills a search at every record, without a process.
@pytest.mark.parametrize(
    "step", long_unless(("after_dispatch", "before_result").__contains__, STEPS)
)
def test_killed_at_any_step_a_study_goes_on_as_one_never_stopped(step, whole, tmp_path, figure):
    tune(tmp_path, fault=f"{step}:3=kill", code=-signal.SIGKILL)
    assert len(told(tmp_path)) < TRIALS
    tune(tmp_path)
    again = told(tmp_path)
    numbers = Counter(number for number, *_ in again)
    lost, doubled = TRIALS - len(numbers), sum(n - 1 for n in numbers.values())
    assert (0, 0) == (lost, doubled)
    assert whole == again
    figure(lost=lost, doubled=doubled, identical=whole == again)


@pytest.mark.parametrize(
    "fault",
    long_unless(
        "after_log:9=kill".__eq__, ["before_log:9=kill", "after_log:9=kill", "after_result:4=kill"]
    ),
)
def test_killed_while_it_logs_the_experiment_holds_each_trial_once(
    fault, empty_store, tmp_path, figure
):
    (tmp_path / "mlruns").mkdir()
    database = tmp_path / "mlruns" / "mlflow.db"
    database.write_bytes(empty_store.read_bytes())
    tune(tmp_path, "--mlflow", fault=fault, code=-signal.SIGKILL)
    tune(tmp_path, "--mlflow")
    with sqlite3.connect(database) as store:
        runs = store.execute("select name, status from runs where lifecycle_stage = 'active'")
        statuses = dict(found := runs.fetchall())
        points = store.execute(
            "select count(*), count(distinct run_uuid || key || step) from metrics "
            "where key not like 'system/%'"  # how busy the machine was, by the second
        ).fetchone()
    expected = {"cheap", *(f"trial-{n:03d}" for n in range(TRIALS))}
    finished = {name for name, status in statuses.items() if name in expected}
    assert expected == finished
    doubled = len(found) - len(statuses) + points[0] - points[1]
    assert 0 == doubled
    running = [name for name, status in found if status == "RUNNING"]
    assert [] == running
    figure(runs_lost=0, doubled=doubled, left_RUNNING=len(running))
