"""Both executors pass one suite; the processes are real ones and are really killed."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpsearch.data import Split, Statistics
from hpsearch.execution.executor import Lost, Started
from hpsearch.execution.inline import InlineExecutor
from hpsearch.execution.processes import ProcessExecutor
from hpsearch.training.make import make_trainer
from hpsearch.training.problem import Problem
from hpsearch.trial import EpochReport, TrialResult, TrialSpec

MODELS = Path(__file__).with_name("fragile_models.py")


def problem(model: str = "mlp") -> Problem:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(90, 4)).astype(np.float32)
    target = (features[:, :1] + features[:, 1:2] > 0).astype(np.float32)
    rows = np.arange(90)
    folds = tuple(Split(rows[rows % 3 != k], rows[rows % 3 == k]) for k in range(3))
    zero, one = np.zeros(4, np.float32), np.ones(4, np.float32)
    plain = Statistics(zero, zero, one, zero[:1], one[:1])
    return Problem(
        task="binary",
        features=features,
        target=target,
        folds=folds,
        statistics=(plain,) * 3,
        objective="roc_auc",
        metrics=("roc_auc", "log_loss"),
        model=model,
    )


def trial(number=0, epochs=4, attempt=0, **params) -> TrialSpec:
    known = {"units": 8, "layers": 1, "learning_rate": 0.01, "batch_size": 16}
    return TrialSpec(number, {**known, **params}, seed=11 + number, epochs=epochs, attempt=attempt)


def processes(folder: Path, model: str = "mlp", **settings) -> ProcessExecutor:
    executor = ProcessExecutor(trainer="vectorized", logs=folder, **settings)
    executor.set_up(problem(model))
    return executor


def until_result(executor, on_epoch=lambda report: None) -> list:
    """Every report up to a result or a loss."""
    reports = []
    while not reports or not isinstance(reports[-1], TrialResult | Lost):
        report = executor.wait(60)
        assert report is not None, "nothing was heard of the worker for a minute"
        reports.append(report)
        if isinstance(report, EpochReport):
            on_epoch(report)
    return reports


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """One worker for the tests that leave it alive."""
    executor = processes(tmp_path_factory.mktemp("logs"))
    yield executor
    executor.close()


@pytest.fixture(scope="module")
def inline():
    return InlineExecutor(problem(), lambda p: make_trainer("vectorized", p))


@pytest.fixture(params=["inline", "real"])
def executor(request):
    return request.getfixturevalue(request.param)


def test_a_trial_is_begun_reported_every_epoch_and_ended(executor):
    executor.submit(trial())
    reports = until_result(executor)
    assert [Started, *[EpochReport] * 4, TrialResult] == [type(r) for r in reports]
    assert [0, 1, 2, 3] == [r.epoch for r in reports[1:-1]]
    assert "COMPLETE" == reports[-1].state


def test_both_executors_give_the_same_scores_bit_for_bit(inline, real):
    results = []
    for executor in (inline, real):
        executor.submit(trial(5, dropout=0.2))
        results.append(until_result(executor)[-1])
    assert results[0].fold_scores.tobytes() == results[1].fold_scores.tobytes()
    assert results[0].predictions.tobytes() == results[1].predictions.tobytes()


def test_pruning_reaches_a_running_trial(executor):
    executor.submit(trial(1, epochs=3000))
    last = until_result(executor, lambda report: executor.prune(1))[-1]
    assert "PRUNED" == last.state


def test_trials_that_have_not_begun_can_be_taken_back(executor):
    executor.submit(trial(2, epochs=200))
    executor.submit(trial(3))
    taken = []

    def take_back(report):
        if not taken:
            taken.extend(executor.recall())

    last = until_result(executor, take_back)[-1]
    assert ([3], 2) == (taken, last.number)
    executor.submit(trial(3))
    assert 3 == until_result(executor)[-1].number


def test_a_population_waits_at_its_rung_until_every_member_has_its_verdict(executor):
    trials = [replace(trial(n, epochs=6), rungs=(2,)) for n in (20, 21, 22)]
    executor.submit(*trials)
    reports = []
    while len([r for r in reports if isinstance(r, EpochReport)]) < 6:
        reports.append(executor.wait(60))
    assert [(20, 0), (21, 0), (22, 0), (20, 1), (21, 1), (22, 1)] == [
        (r.trial, r.epoch) for r in reports if isinstance(r, EpochReport)
    ]
    executor.prune(20)
    executor.resume(21)
    assert executor.wait(0.05) is None
    executor.prune(22)
    results = {}
    while len(results) < 3:
        report = executor.wait(60)
        if isinstance(report, TrialResult):
            results[report.number] = report
    assert ["PRUNED", "COMPLETE", "PRUNED"] == [results[n].state for n in (20, 21, 22)]
    assert [2, 6, 2] == [len(results[n].curves["val/loss"]) for n in (20, 21, 22)]


def test_a_raising_model_is_a_failed_trial_and_the_worker_lives_on(tmp_path):
    executor = processes(tmp_path, f"{MODELS}:raises_for_nine")
    try:
        executor.submit(trial(0, units=9))
        executor.submit(trial(1, units=8))
        states = {r.number: r for r in (until_result(executor)[-1], until_result(executor)[-1])}
        assert ("FAILED", "COMPLETE") == (states[0].state, states[1].state)
        assert "ValueError: nine is not to be had" == states[0].error
        assert "fragile_models.py" in states[0].traceback
    finally:
        executor.close()


def test_a_killed_worker_is_replaced_and_what_it_had_not_begun_is_trained(tmp_path):
    executor = processes(tmp_path)
    try:
        executor.submit(trial(0, epochs=5000))
        executor.submit(trial(1))
        first = executor._processes[0].popen.pid

        def kill(report):
            if report.epoch == 1:
                os.kill(first, signal.SIGKILL)

        lost = until_result(executor, kill)[-1]
        assert isinstance(lost, Lost)
        assert 0 == lost.trial
        assert "by signal 9" in lost.reason
        assert 1 == until_result(executor)[-1].number
        executor.submit(trial(0, attempt=1))
        again = until_result(executor)[-1]
        assert ("COMPLETE", 1) == (again.state, again.attempt)
    finally:
        executor.close()


def test_closing_leaves_no_process_behind_even_in_the_middle_of_a_trial(tmp_path):
    executor = processes(tmp_path)
    executor.submit(trial(0, epochs=100_000))
    while not isinstance(executor.wait(60), EpochReport):
        pass
    pids = [p.popen.pid for p in executor._processes]
    executor.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
