"""Estimate the duration of a study from a few epochs on the real data."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from statistics import mean
from typing import Any

from ...errors import TrainingError
from ...execution.executor import Executor, Lost, Started
from ...trial import EpochReport, TrialResult, TrialSpec
from ..device_memory import describe_memory, sample_trials
from ..model_validation import check_model
from ..prepare import build_problem, load_data, resolve_study
from ..tune import Declared, read_spec
from ..worker_pool import WorkerPool

MAX_PROBES = 8  # maximum number of points
MIN_PROBES = 3  # minimum number of points, however long they take
MAX_SECONDS = 20.0  # seconds after which no further point is started
MIN_EPOCHS = 4  # minimum epochs per point; the first may include compilation
PROBE_SECONDS = (
    5.0  # seconds after which a point is stopped, and its remaining epochs are estimated
)


@dataclass(frozen=True, slots=True)
class Probe:
    """The duration of one point of the space, while the next one compiles."""

    params: Mapping[str, Any]
    first_epoch_seconds: float  # seconds of the first epoch, including remaining compilation
    epoch_seconds: float  # seconds per further epoch, all folds
    epochs: int  # epochs until early stopping, or all if it was stopped before

    @property
    def seconds(self) -> float:
        """Seconds of the whole trial."""
        return self.first_epoch_seconds + self.epoch_seconds * (self.epochs - 1)


@dataclass(frozen=True, slots=True)
class Plan:
    """The estimate of a study."""

    trainer: str
    reason: str  # why this trainer was chosen
    rows: int  # development rows
    features: int
    folds: int
    probes: tuple[Probe, ...]
    trials: int  # trials of the budget
    start_seconds: float  # seconds before the first trial: imports and data
    memory: str | None = None  # how many trials fit in an accelerator's memory

    @property
    def trial_seconds(self) -> float:
        """Seconds of an average trial; the first one includes start-up."""
        return mean(p.seconds for p in self.probes[1:])

    @property
    def total_seconds(self) -> float:
        """Seconds of the whole search; pruning and shared programs may reduce them."""
        return self.start_seconds + self.probes[0].seconds + self.trial_seconds * (self.trials - 1)


def plan(
    spec: Declared,
    data: Any = None,
    *,
    overrides: Sequence[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> Plan:
    """Time a few points of a study's space, and estimate the study, without writing anything.

    Args:
        spec: As for `tune`.
        data: As for `tune`.
        overrides: As for `tune`.
        tell: Called with a description of each step.

    Raises:
        HpsearchError: If the data cannot be read or a probe fails.
    """
    began = time.monotonic()
    study = read_spec(spec, overrides)
    with (
        tempfile.TemporaryDirectory() as logs,
        WorkerPool(study, workers=1, logs=Path(logs)) as workers,
    ):
        tell("reading the data")
        dataset = load_data(study, data)
        problem = build_problem(resolve_study(study, dataset), dataset)
        problem = replace(problem, fold_schedule="together")
        tell("building the model")
        own_training = check_model(study.file, problem, workers).own_training
        tell("starting a worker")
        workers.set_up(problem, own_training)
        trials = sample_trials(study.spec, MAX_PROBES)
        probes, start = _run_probes(workers.executor, trials, began, tell)
    return Plan(
        trainer=workers.trainer,
        reason=workers.reason,
        rows=len(problem.target),
        features=prod(problem.row_shape),
        folds=len(problem.folds),
        probes=probes,
        trials=study.spec.budget.trials,
        start_seconds=start,
        memory=describe_memory(study, problem, own_training),  # which the worker has released
    )


def _run_probes(
    executor: Executor,
    trials: Sequence[TrialSpec],
    began: float,
    tell: Callable[[str], None],
) -> tuple[tuple[Probe, ...], float]:
    """Time the first of `trials`, trained as in a study; also returns the start-up seconds."""
    ahead = executor.capacity > 1
    executor.submit(trials[0])
    probes: list[Probe] = []
    for trial, following in zip(trials, [*trials[1:], None], strict=True):
        tell(f"timing point {len(probes) + 1} of at most {len(trials)}")
        _wait_for(executor, Started)
        begun = time.monotonic()
        if not probes:
            start = begun - began
        if following and ahead:
            executor.submit(following)
        probes.append(_time_probe(executor, trial, begun))
        if len(probes) >= MIN_PROBES and time.monotonic() - began - start > MAX_SECONDS:
            break
        if following and not ahead:
            executor.submit(following)
    return tuple(probes), start


def _time_probe(executor: Executor, trial: TrialSpec, begun: float) -> Probe:
    times = [begun]
    while isinstance(report := _wait_for(executor, EpochReport | TrialResult), EpochReport):
        times.append(time.monotonic())
        if len(times) > MIN_EPOCHS and times[-1] - begun > PROBE_SECONDS:
            executor.prune(trial.number)
    if report.state == "FAILED" or len(times) < 2:
        raise TrainingError(f"a probe with {dict(trial.params)} failed: {report.error}")
    further = (times[-1] - times[1]) / max(1, len(times) - 2)
    epochs = trial.epochs if report.state == "PRUNED" else len(times) - 1
    return Probe(trial.params, times[1] - times[0], further, epochs)


def _wait_for(executor: Executor, kind: Any) -> Any:
    """Wait for the next report of this kind."""
    while not isinstance(report := executor.wait(), kind):
        if isinstance(report, Lost):
            raise TrainingError(f"a probe crashed its worker: {report.reason}")
    return report
