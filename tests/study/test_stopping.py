"""Studies that are stopped by Ctrl-C or a kill at any moment, and continued."""

import os
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import synthetic

from tests.study.conftest import SPEC, command, invoke, run


@contextmanager
def started(root: Path, *options: str) -> Iterator[subprocess.Popen]:
    """A study of five trials that runs in `root`, and is killed if it is still there."""
    spec = root / "cancer.yaml"
    spec.write_text(SPEC)
    child = subprocess.Popen(
        command("tune", spec, *options),
        cwd=root,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    with child:
        yield child
        child.kill()


def read_until(child: subprocess.Popen, start: str) -> None:
    """Wait for a line of progress."""
    for line in child.stderr:
        if line.startswith(start):
            return
    pytest.fail(f"the study ended before it said {start!r}")


def told(root: Path) -> dict:
    records = synthetic.read_records(root / "mlruns/studies/cancer/journal.jsonl")
    return {
        (r["event"], r["trial"]): (r.get("params"), r.get("fold_scores"), r.get("test"))
        for r in records
        if r["event"] in ("asked", "result", "winner", "final")
    }


def statuses(root: Path) -> dict[str, str]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{root}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("cancer")
    runs = client.search_runs([experiment.experiment_id])
    return {r.data.tags["hpsearch.key"].partition("/")[2]: r.info.status for r in runs}


def test_a_killed_study_goes_on_as_if_it_had_never_stopped(finished, tmp_path, figure):
    """In another folder, too, it has the scores of `finished` bit for bit."""
    with started(tmp_path) as child:
        read_until(child, "trial 1 ")
    run(tmp_path, "tune", tmp_path / "cancer.yaml")
    assert told(finished.root) == told(tmp_path)
    found = statuses(tmp_path)
    numbers = sorted(key.partition("/")[0] for key, status in found.items() if status == "FINISHED")
    assert ["", "0", "1", "2", "3", "4"] == numbers
    assert "RUNNING" not in found.values()
    figure(lost=0, doubled=0, identical=True)


def test_ctrl_c_lets_the_running_trial_finish_and_prints_the_command_that_goes_on(tmp_path, figure):
    with started(tmp_path) as child:
        read_until(child, "trial 0 ")
        child.send_signal(signal.SIGINT)
        said = child.stderr.read()
        assert 130 == child.wait(60)
    assert said.splitlines()[-1].endswith(f"To continue: hpsearch tune {tmp_path / 'cancer.yaml'}")
    assert "MLflow does not answer" not in said
    assert "RUNNING" not in statuses(tmp_path).values()
    records = synthetic.read_records(tmp_path / "mlruns/studies/cancer/journal.jsonl")
    n_results = sum(r["event"] == "result" for r in records)
    assert 1 <= n_results < 5
    figure(left_RUNNING=0)


@pytest.mark.long  # tests/faults/test_interrupts.py sends the same signal at a known step
def test_sigterm_ends_with_143(tmp_path):
    with started(tmp_path, "--offline") as child:
        read_until(child, "trial 0 ")
        child.send_signal(signal.SIGTERM)
        child.stderr.read()
        assert 143 == child.wait(60)


def test_workers_die_with_their_coordinator_and_a_second_one_is_refused_before(tmp_path, figure):
    with started(tmp_path, "--offline") as child:
        read_until(child, "trial 0 ")
        done = invoke(tmp_path, "tune", tmp_path / "cancer.yaml", code=2)
        assert f"is being run by process {child.pid}" in done.stderr
        children = (
            Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text(encoding="utf-8").split()
        )
        descriptors = [os.pidfd_open(int(pid)) for pid in children]
        assert descriptors
        child.kill()
        for descriptor in descriptors:
            assert select.select([descriptor], [], [], 10)[0], "a worker lives on"
            os.close(descriptor)
    figure(orphans=0, dispatched_twice=0)
