"""Real workers that hang, exhaust memory, grow, are suspended or killed."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from hpsearch.errors import TrainingError
from hpsearch.execution.executor import Lost, Started
from hpsearch.execution.process_executor import ProcessExecutor
from hpsearch.execution.resource_limits import GIB, ResourceUsage, WorkerLimits
from hpsearch.trial import EpochReport, TrialResult, TrialSpec
from tests.execution.test_executors import processes
from tests.faults import hostile_models

MODELS = Path(hostile_models.__file__)
DEADLINE = 3.0  # seconds
MEMORY = GIB


def trial(number: int, units: int = 8, epochs: int = 4) -> TrialSpec:
    params = {"units": units, "learning_rate": 0.01, "batch_size": 16}
    return TrialSpec(number, params, seed=11 + number, epochs=epochs)


def results(executor: ProcessExecutor, n: int) -> dict[int, TrialResult | Lost]:
    """The next ends of `n` trials, by number."""
    found: dict[int, TrialResult | Lost] = {}
    while len(found) < n:
        report = executor.wait(120)
        assert report is not None, "nothing was heard of the workers for two minutes"
        if isinstance(report, TrialResult):
            found[report.number] = report
        elif isinstance(report, Lost):
            found[report.trial] = report
    return found


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """One worker; each test says what it may use."""
    executor = processes(tmp_path_factory.mktemp("logs"), f"{MODELS}:build")
    executor.submit(trial(0))
    assert "COMPLETE" == results(executor, 1)[0].state
    yield executor
    executor.close()


def grandchildren() -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if "a grandchild" in str(p.info["cmdline"])]


def test_a_trial_that_hangs_fails_at_its_deadline_and_its_group_is_gone(limited, figure):
    executor = limited
    executor._limits = WorkerLimits(trial_seconds=DEADLINE)
    executor.submit(trial(1, hostile_models.HANGS))
    executor.submit(trial(2))
    while executor.wait(60) != Started(1):
        pass
    began = time.monotonic()
    first = executor.wait(60)
    while not isinstance(first, TrialResult):
        first = executor.wait(60)
    overrun = time.monotonic() - began - DEADLINE
    assert (1, "FAILED", "ran longer than its deadline of 3 s") == (
        first.number,
        first.state,
        first.error,
    )
    assert overrun < 2
    executor._limits = WorkerLimits()  # a busy machine may take longer over the sibling
    assert "COMPLETE" == results(executor, 1)[2].state
    assert [] == grandchildren()
    figure(overrun_s=round(overrun, 2), orphans=0, siblings_affected=0)


def test_a_trial_that_eats_its_memory_fails_once_and_its_sibling_goes_on(limited, figure):
    executor = limited
    executor._limits = WorkerLimits(memory=MEMORY)  # however long it takes on a busy machine
    executor.submit(trial(4, epochs=2000))  # trains while the next one is prepared, and eats
    executor.submit(trial(3, hostile_models.EATS))
    first = results(executor, 1)[4]
    assert isinstance(first, Lost)  # nobody knows which of the two it was
    executor.submit(replace(trial(4), attempt=1))
    ended = results(executor, 2)
    assert "FAILED" == ended[3].state
    assert ended[3].error.startswith("out of memory: the worker used ")
    assert ended[3].error.endswith("of 1.00 GiB")
    assert "COMPLETE" == ended[4].state
    figure(FAILED=1, siblings_failed=0)


def test_a_worker_killed_for_want_of_memory_is_told_from_one_killed_otherwise(monkeypatch):
    kills = iter([3, 3, 4, 4])
    monkeypatch.setattr("hpsearch.execution.resource_limits.count_oom_kills", lambda: next(kills))
    watch = ResourceUsage(os.getpid())
    assert not watch.was_killed_for_memory(-9)
    assert watch.was_killed_for_memory(-9)
    assert not watch.was_killed_for_memory(-11)


def test_a_worker_killed_in_the_middle_of_an_epoch_loses_no_trial(tmp_path, monkeypatch, figure):
    monkeypatch.setenv("HPSEARCH_FAULT", "after_epoch:6=kill")
    executor = processes(tmp_path)
    try:
        for number in range(3):
            executor.submit(replace(trial(number), params={**trial(0).params, "layers": 1}))
        done = results(executor, 2)
        assert {0: TrialResult, 1: Lost} == {n: type(r) for n, r in done.items()}
        died = time.monotonic()
        again = replace(trial(1), attempt=1, params={**trial(0).params, "layers": 1})
        executor.submit(again)
        while not isinstance(executor.wait(60), EpochReport):
            pass
        recovery = time.monotonic() - died
        ended = results(executor, 2)
        assert {1: ("COMPLETE", 1), 2: ("COMPLETE", 0)} == {
            n: (r.state, r.attempt) for n, r in ended.items()
        }
        figure(lost="0 of 3", recovery_s=round(recovery, 1))
    finally:
        executor.close()


def test_workers_that_grow_are_replaced_and_no_trial_is_lost(tmp_path, figure):
    executor = processes(tmp_path, limits=WorkerLimits(growth=-1))  # any worker has outgrown it
    first = executor._processes[0].popen.pid
    try:
        for number in range(4):
            executor.submit(replace(trial(number), params={**trial(0).params, "layers": 1}))
        ended = results(executor, 4)
        assert {0: 0, 1: 0, 2: 0, 3: 0} == {n: r.attempt for n, r in ended.items()}
        assert first != executor._processes[0].popen.pid
        assert not psutil.pid_exists(first)
        figure(lost="0 of 4")
    finally:
        executor.close()


def test_workers_that_cannot_import_stop_the_study_with_the_end_of_their_log(tmp_path, figure):
    executor = processes(tmp_path, settings={"KERAS_BACKEND": "nonsense"})
    try:
        executor.submit(trial(0))
        with pytest.raises(TrainingError, match="3 consecutive workers ended before they") as told:
            executor.wait(120)
        assert "Unable to import backend : nonsense" in str(told.value)
        figure(trials_FAILED=0)
    finally:
        executor.close()


def test_a_worker_that_dies_without_a_trial_is_replaced(limited):
    executor = limited
    [idle] = executor._processes
    idle.popen.kill()
    idle.popen.wait()
    assert executor.wait(0.1) is None
    assert [idle] != executor._processes
    executor.submit(trial(5))
    ended = results(executor, 1)[5]
    assert ("COMPLETE", 0) == (ended.state, ended.attempt)


def test_a_stopped_worker_is_not_taken_for_dead(tmp_path, figure):
    executor = processes(tmp_path)
    try:
        params = {**trial(0).params, "layers": 1}
        executor.submit(replace(trial(0, epochs=200), params=params))
        while not isinstance(executor.wait(60), EpochReport):
            pass
        pid = executor._processes[0].popen.pid
        os.kill(pid, signal.SIGSTOP)
        while executor.wait(1.0) is not None:  # what it had said before
            pass
        os.kill(pid, signal.SIGCONT)
        ended = results(executor, 1)
        assert ("COMPLETE", 0) == (ended[0].state, ended[0].attempt)
        assert pid == executor._processes[0].popen.pid
        figure(false_retries=0)
    finally:
        executor.close()


def test_deadlines_do_not_count_time_while_the_coordinator_was_stopped(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("hpsearch.execution.resource_limits.time.monotonic", lambda: now[0])
    watch = ResourceUsage(os.getpid())
    watch.start_population()
    for later in (1000.2, 1000.4, 4600.4):  # the coordinator was stopped for an hour
        now[0] = later
        watch.measure(is_training=True)
    assert 1.4 == pytest.approx(watch.seconds)
    assert watch.explain_time_exceeded(WorkerLimits(trial_seconds=2.0), trials=1) is None


def test_a_population_has_as_often_the_time_of_one_trial():
    watch = ResourceUsage(os.getpid())
    watch.seconds = 2.5
    assert watch.explain_time_exceeded(WorkerLimits(trial_seconds=1.0), trials=3) is None
    assert watch.explain_time_exceeded(WorkerLimits(trial_seconds=1.0), trials=2) is not None
