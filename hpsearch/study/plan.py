"""How long a study will take, from a few epochs on the real data."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from statistics import mean
from typing import Any

from ..errors import TrainingError
from ..execution.executor import Executor, Lost, Started
from ..search.samplers import make_sampler
from ..spec.file import StudyFile
from ..spec.study import StudySpec
from ..trial import EpochReport, TrialResult, TrialSpec, derive_seed, epochs_of
from .prepare import Crew, load_data, problem_of
from .users_model import check_model

PROBES = 8  # points of the space that are tried at most
FEWEST = 3  # that are tried however long they take
SECONDS = 20.0  # after which no other point is begun
EPOCHS = 4  # of each at least; the first may hold the compilation
PROBE_SECONDS = 5.0  # after which a point is left, and its further epochs are reckoned


@dataclass(frozen=True, slots=True)
class Probe:
    """What one point of the space took, the next one compiling meanwhile."""

    params: Mapping[str, Any]
    first: float  # seconds to the end of the first epoch, what is left to compile included
    epoch: float  # seconds of each further epoch, all folds together
    epochs: int  # until it stopped early, or all where it was left before

    @property
    def seconds(self) -> float:
        """Of the whole trial."""
        return self.first + self.epoch * (self.epochs - 1)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a study will take."""

    trainer: str
    reason: str  # why this trainer
    rows: int  # development rows
    features: int
    folds: int
    probes: tuple[Probe, ...]
    trials: int  # of the budget
    start: float  # seconds until the first trial began: imports and data

    @property
    def trial(self) -> float:
        """Seconds of a mean trial; the first one also gets everything ready."""
        return mean(p.seconds for p in self.probes[1:])

    @property
    def total(self) -> float:
        """Seconds of the whole search; pruning and programs shared by many trials save some."""
        return self.start + self.probes[0].seconds + self.trial * (self.trials - 1)


def plan(file: StudyFile) -> Plan:
    """Time a few points of the study's space; nothing is written.

    Raises:
        HpsearchError: If the data cannot be read or a probe fails.
    """
    began = time.monotonic()
    spec = file.spec
    with (
        tempfile.TemporaryDirectory() as logs,
        Crew(spec, workers=1, logs=Path(logs)) as crew,
    ):
        problem = replace(problem_of(spec, load_data(file), file.folder), folds_advance="together")
        check_model(file, problem)
        crew.set_up(problem)
        probes, start = _probed(crew.executor, _probes(spec), began)
        return Plan(
            trainer=crew.trainer,
            reason=crew.reason,
            rows=len(problem.target),
            features=prod(problem.row_shape),
            folds=len(problem.folds),
            probes=probes,
            trials=spec.budget.trials,
            start=start,
        )


def _probes(spec: StudySpec) -> list[TrialSpec]:
    sampler = make_sampler("random", spec.space, direction="minimize", seed=spec.seed)
    points = [sampler.ask(number) or {} for number in range(PROBES)]
    return [
        TrialSpec(
            n,
            {**spec.fixed, **params},
            derive_seed(spec.seed, "trial", n),
            epochs_of({**spec.fixed, **params}, spec.training.epochs),
        )
        for n, params in enumerate(points)
    ]


def _probed(
    executor: Executor, trials: Sequence[TrialSpec], began: float
) -> tuple[tuple[Probe, ...], float]:
    """What the first of `trials` took, as a study would train them, and the seconds before."""
    ahead = executor.capacity > 1
    executor.submit(trials[0])
    probes: list[Probe] = []
    for trial, following in zip(trials, [*trials[1:], None], strict=True):
        _until(executor, Started)
        begun = time.monotonic()
        if not probes:
            start = begun - began
        if following and ahead:
            executor.submit(following)
        probes.append(_timed(executor, trial, begun))
        if len(probes) >= FEWEST and time.monotonic() - began - start > SECONDS:
            break
        if following and not ahead:
            executor.submit(following)
    return tuple(probes), start


def _timed(executor: Executor, trial: TrialSpec, begun: float) -> Probe:
    times = [begun]
    while isinstance(report := _until(executor, EpochReport | TrialResult), EpochReport):
        times.append(time.monotonic())
        if len(times) > EPOCHS and times[-1] - begun > PROBE_SECONDS:
            executor.prune(trial.number)
    if report.state == "FAILED" or len(times) < 2:
        raise TrainingError(f"a probe with {dict(trial.params)} failed: {report.error}")
    further = (times[-1] - times[1]) / max(1, len(times) - 2)
    epochs = trial.epochs if report.state == "PRUNED" else len(times) - 1
    return Probe(trial.params, times[1] - times[0], further, epochs)


def _until(executor: Executor, kind: Any) -> Any:
    """The next report of this kind."""
    while not isinstance(report := executor.wait(), kind):
        if isinstance(report, Lost):
            raise TrainingError(f"a probe took its worker down: {report.reason}")
    return report
