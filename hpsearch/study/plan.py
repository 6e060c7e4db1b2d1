"""How long a study will take, from a few epochs on the real data."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from ..errors import TrainingError
from ..execution.executor import Executor, Lost, Started
from ..search.samplers import make_sampler
from ..spec.file import StudyFile
from ..spec.study import StudySpec
from ..trial import EpochReport, TrialResult, TrialSpec, derive_seed
from .prepare import Crew, load_data, problem_of

PROBES = 3  # points of the space that are tried
EPOCHS = 4  # of each; the first holds the compilation


@dataclass(frozen=True, slots=True)
class Probe:
    """What a few epochs of one point of the space took."""

    params: Mapping[str, Any]
    first: float  # seconds to the end of the first epoch, compilation included
    epoch: float  # seconds of each further epoch, all folds together


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
    epochs: int  # of a trial that does not stop early
    start: float  # seconds until the first trial began: imports and data

    @property
    def trial(self) -> float:
        """Seconds of a mean trial that trains to its last epoch."""
        return mean(p.first + p.epoch * (self.epochs - 1) for p in self.probes)

    @property
    def total(self) -> float:
        """Seconds of the whole search at most: early stopping and shared programs save some."""
        return self.start + self.trials * self.trial


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
        problem = problem_of(spec, load_data(file))
        crew.set_up(problem)
        trials = _probes(spec)
        crew.executor.submit(trials[0])
        _until(crew.executor, Started)
        start = time.monotonic() - began
        probes = [_probed(crew.executor, trials[0])]
        for trial in trials[1:]:
            crew.executor.submit(trial)
            _until(crew.executor, Started)
            probes.append(_probed(crew.executor, trial))
        return Plan(
            trainer=crew.trainer,
            reason=crew.reason,
            rows=len(problem.target),
            features=problem.features.shape[1],
            folds=len(problem.folds),
            probes=tuple(probes),
            trials=spec.budget.trials,
            epochs=spec.training.epochs,
            start=start,
        )


def _probes(spec: StudySpec) -> list[TrialSpec]:
    sampler = make_sampler("random", spec.space, direction="minimize", seed=spec.seed)
    points = [sampler.ask(number) or {} for number in range(PROBES)]
    return [
        TrialSpec(n, {**spec.fixed, **params}, derive_seed(spec.seed, "trial", n), EPOCHS)
        for n, params in enumerate(points)
    ]


def _probed(executor: Executor, trial: TrialSpec) -> Probe:
    times = [time.monotonic()]
    while isinstance(report := _until(executor, EpochReport | TrialResult), EpochReport):
        times.append(time.monotonic())
    if report.state == "FAILED" or len(times) < 3:
        raise TrainingError(f"a probe with {dict(trial.params)} failed: {report.error}")
    return Probe(trial.params, times[1] - times[0], (times[-1] - times[1]) / (len(times) - 2))


def _until(executor: Executor, kind: Any) -> Any:
    """The next report of this kind."""
    while not isinstance(report := executor.wait(), kind):
        if isinstance(report, Lost):
            raise TrainingError(f"a probe took its worker down: {report.reason}")
    return report
