"""The protocol of executors, which run trials and report their results.

Trials and their reports are plain values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..training.final_model import (
    FinalFitDone,
    FinalFitRequest,
    LockedPredictionRequest,
    LockedPredictionResult,
)
from ..training.problem import Problem
from ..trial import EpochReport, FoldReport, TrialResult, TrialSpec

EXECUTORS = ("processes", "inline", "ray")  # built in


@dataclass(frozen=True, slots=True)
class Started:
    """A worker started to train a trial."""

    trial: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker of a trial died; the spec can be submitted again."""

    trial: int
    reason: str


Report = Started | EpochReport | FoldReport | TrialResult | Lost


def make_lost(reason: str) -> Callable[[TrialSpec], Report]:
    """Report a trial whose worker died; it is retried."""
    return lambda trial: Lost(trial.number, reason)


def make_failed(reason: str, seconds: float) -> Callable[[TrialSpec], Report]:
    """Report a trial that exceeded a limit; it is not retried."""
    return lambda trial: TrialResult(
        trial.number, "FAILED", seconds, attempt=trial.attempt, error=reason
    )


class Executor(Protocol):
    """Runs trials in workers."""

    def set_up(self, problem: Problem) -> None:
        """Send the problem shared by the following trials; call again if it changes."""
        ...

    @property
    def population(self) -> int:
        """Number of trials per `submit`, which are trained together."""
        ...

    @property
    def capacity(self) -> int:
        """Number of trials it can hold: running ones, and ones being prepared."""
        ...

    def submit(self, *trials: TrialSpec) -> None:
        """Queue a population: trials trained together by one worker, epoch by epoch."""
        ...

    def wait(self, timeout: float | None = None) -> Report | None:
        """Return the next report; None after `timeout` seconds without one."""
        ...

    def drain(self) -> Sequence[Report]:
        """Return the reports that arrived together with the last one, without waiting.

        Optional: without it, reports are received one by one.
        """
        ...

    def prune(self, trial: int) -> None:
        """Stop a running trial; its result will be PRUNED.

        A trial waiting at a rung stops there; a running one after the current epoch.
        """
        ...

    def resume(self, trial: int) -> None:
        """Continue a trial that waits at a rung."""
        ...

    def pause(self) -> None:
        """Let the workers wait after their current epochs, with the trials that they hold."""
        ...

    def unpause(self) -> None:
        """Let the workers continue."""
        ...

    def recall(self) -> Sequence[int]:
        """Withdraw the trials that have not started; returns their numbers."""
        ...

    def fit(self, final: FinalFitRequest) -> FinalFitDone:
        """Run the final fit, which writes the model to its path."""
        ...

    def predict(self, order: LockedPredictionRequest) -> LockedPredictionResult:
        """Predict the locked rows with a fitted model."""
        ...

    def close(self) -> None:
        """Stop immediately and end all processes."""
        ...


def submit_all(executor: Executor, trials: Sequence[TrialSpec]) -> None:
    """Queue trials in populations, so that an accelerator trains them side by side."""
    for start in range(0, len(trials), executor.population):
        executor.submit(*trials[start : start + executor.population])


def wait_for_reports(executor: Executor, timeout: float) -> list[Report]:
    """Return the next report and those that arrived with it; none after `timeout` seconds."""
    first = executor.wait(timeout)
    if first is None:
        return []
    return [first, *executor.drain()] if hasattr(executor, "drain") else [first]
