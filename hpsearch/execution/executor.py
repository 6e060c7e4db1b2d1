"""The protocol of an executor: it runs trials somewhere and reports their results.

Trials and their reports are plain values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..training.final_model import FinalFitRequest, LockedPredictionRequest, LockedPredictionResult
from ..training.problem import Problem
from ..trial import EpochReport, FoldReport, TrialResult, TrialSpec

EXECUTORS = ("processes", "ray")  # built in


@dataclass(frozen=True, slots=True)
class Started:
    """A worker has begun to train a trial."""

    trial: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker died under a trial; its spec can be submitted again."""

    trial: int
    reason: str


Report = Started | EpochReport | FoldReport | TrialResult | Lost


def make_lost(reason: str) -> Callable[[TrialSpec], Report]:
    """The report of a trial whose worker is gone: it is tried again."""
    return lambda trial: Lost(trial.number, reason)


def make_failed(reason: str, seconds: float) -> Callable[[TrialSpec], Report]:
    """The report of a trial that exceeded a limit: it is not tried again."""
    return lambda trial: TrialResult(
        trial.number, "FAILED", seconds, attempt=trial.attempt, error=reason
    )


class Executor(Protocol):
    """What runs trials."""

    def set_up(self, problem: Problem) -> None:
        """Send the problem that the following trials share; again when it changes."""
        ...

    @property
    def population(self) -> int:
        """How many trials it wants in one `submit`, to train them together."""
        ...

    @property
    def capacity(self) -> int:
        """How many trials it wants at once: those that train and those it prepares meanwhile."""
        ...

    def submit(self, *trials: TrialSpec) -> None:
        """Queue a population: trials that one worker trains together, epoch by epoch."""
        ...

    def wait(self, timeout: float | None = None) -> Report | None:
        """The next report; None after `timeout` seconds without one."""
        ...

    def prune(self, trial: int) -> None:
        """Stop a running trial; its result will be PRUNED.

        One that waits at a rung stops right there, another after the epoch it is in.
        """
        ...

    def resume(self, trial: int) -> None:
        """Let a trial continue that waits at a rung."""
        ...

    def recall(self) -> Sequence[int]:
        """Take back the trials that have not begun to train; their numbers."""
        ...

    def fit(self, final: FinalFitRequest) -> None:
        """Do the final fit; the model is at its path then."""
        ...

    def predict(self, order: LockedPredictionRequest) -> LockedPredictionResult:
        """Predict the locked rows with the model of a final fit."""
        ...

    def close(self) -> None:
        """Stop immediately; no process is left behind."""
        ...
