"""The contract of executors; see `hpsearch.execution.executor.Executor`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..data import Split, Statistics
from ..execution.executor import Executor, Lost, Report, Started
from ..training.problem import Problem
from ..trial import EpochReport, TrialResult, TrialSpec

SECONDS = 600  # maximum wait for a report


def small_problem(model: str = "mlp", columns: int = 4) -> Problem:
    """Make a binary task with 90 rows and three folds."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(90, columns)).astype(np.float32)
    target = (features[:, :1] + features[:, 1:2] > 0).astype(np.float32)
    rows = np.arange(90)
    folds = tuple(Split(rows[rows % 3 != k], rows[rows % 3 == k]) for k in range(3))
    zero, one = np.zeros(columns, np.float32), np.ones(columns, np.float32)
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


def small_trial(number: int = 0, epochs: int = 4, attempt: int = 0, **params: Any) -> TrialSpec:
    """Make a trial of `small_problem`."""
    known = {"units": 8, "layers": 1, "learning_rate": 0.01, "batch_size": 16}
    return TrialSpec(number, {**known, **params}, seed=11 + number, epochs=epochs, attempt=attempt)


def wait_for_result(
    executor: Executor, on_epoch: Callable[[EpochReport], object] = lambda report: None
) -> list[Report]:
    """Collect the reports up to a result or a lost trial."""
    reports: list[Report] = []
    while not reports or not isinstance(reports[-1], TrialResult | Lost):
        report = executor.wait(SECONDS)
        assert report is not None, "the worker sent nothing for ten minutes"
        reports.append(report)
        if isinstance(report, EpochReport):
            on_epoch(report)
    return reports


def result_of(executor: Executor) -> TrialResult:
    """Wait for the next result."""
    result = wait_for_result(executor)[-1]
    assert isinstance(result, TrialResult)
    return result


class ExecutorContract:
    """Inherit from it and provide a fixture `executor`, set up with `small_problem()`."""

    def test_a_trial_is_begun_reported_every_epoch_and_ended(self, executor: Executor) -> None:
        executor.submit(small_trial())
        begun, *epochs, result = wait_for_result(executor)
        assert isinstance(begun, Started)
        assert [r.epoch for r in epochs if isinstance(r, EpochReport)] == [0, 1, 2, 3]
        assert isinstance(result, TrialResult)
        assert result.state == "COMPLETE"

    def test_pruning_reaches_a_running_trial(self, executor: Executor) -> None:
        executor.submit(small_trial(1, epochs=3000))
        last = wait_for_result(executor, lambda report: executor.prune(1))[-1]
        assert isinstance(last, TrialResult)
        assert last.state == "PRUNED"

    def test_trials_that_have_not_begun_can_be_taken_back(self, executor: Executor) -> None:
        executor.submit(small_trial(2, epochs=200))
        executor.submit(small_trial(3))
        taken: list[int] = []

        def take_back(report: EpochReport) -> None:
            if not taken:
                taken.extend(executor.recall())

        last = wait_for_result(executor, take_back)[-1]
        assert isinstance(last, TrialResult)
        assert (taken, last.number) == ([3], 2)
        executor.submit(small_trial(3))
        assert result_of(executor).number == 3

    def test_a_population_waits_at_its_rung_until_every_member_has_its_verdict(
        self, executor: Executor
    ) -> None:
        executor.submit(*(replace(small_trial(n, epochs=6), rungs=(2,)) for n in (20, 21, 22)))
        epochs: list[EpochReport] = []
        while len(epochs) < 6:
            report = executor.wait(SECONDS)
            if isinstance(report, EpochReport):
                epochs.append(report)
        assert [(r.trial, r.epoch) for r in epochs] == [
            (20, 0),
            (21, 0),
            (22, 0),
            (20, 1),
            (21, 1),
            (22, 1),
        ]
        executor.prune(20)
        executor.resume(21)
        assert executor.wait(0.05) is None
        executor.prune(22)
        results: dict[int, TrialResult] = {}
        while len(results) < 3:
            report = executor.wait(SECONDS)
            if isinstance(report, TrialResult):
                results[report.number] = report
        assert [results[n].state for n in (20, 21, 22)] == ["PRUNED", "COMPLETE", "PRUNED"]
        assert [len(results[n].curves["val/loss"]) for n in (20, 21, 22)] == [2, 6, 2]
