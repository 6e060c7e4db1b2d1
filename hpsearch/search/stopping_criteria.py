"""Stopping criteria of a search, evaluated on the study's history over all runs."""

from __future__ import annotations

from dataclasses import dataclass

from ..history import History
from ..trial import Direction, Trial, is_better
from .convergence import CONVERGED, Convergence


@dataclass(frozen=True, slots=True)
class StoppingCriteria:
    """The criteria that end a search; totals over all runs."""

    trials: int  # finished trials
    seconds: float | None = None  # wall clock
    stagnation: int | None = None  # finished trials without an improvement
    target: float | None = None  # score at which the search stops
    convergence: Convergence | None = None

    def is_out_of_time(self, seconds: float) -> bool:
        """Whether the time limit is reached."""
        return self.seconds is not None and seconds >= self.seconds


@dataclass(frozen=True, slots=True)
class StopReason:
    """The reason why a search ended."""

    cause: str  # "target", "stagnation", "converged", "space", "trials" or "minutes"
    reason: str  # one line for the user


def find_stop_reason(history: History, limits: StoppingCriteria) -> StopReason | None:
    """Return why the search should stop, or None; ignores time and exhausted spaces."""
    target = limits.target
    best = None if target is None else history.best  # which ranks all trials
    if target is not None and best is not None and _reaches(best, target, history.direction):
        score = f"trial {best.number} has {history.metric} {best.score:.6g}"
        return StopReason("target", f"the target of {target:g} is reached: {score}")
    if limits.stagnation is not None:
        waited = history.since_improvement
        if waited >= limits.stagnation:
            return StopReason("stagnation", f"{waited} finished trials were no better")
    if limits.convergence is not None and (reason := limits.convergence.describe(history)):
        return StopReason(CONVERGED, reason)
    if len(history.last) >= limits.trials:
        return StopReason("trials", f"{len(history.last)} of {limits.trials} trials")
    return None


def _reaches(trial: Trial, target: float, direction: Direction) -> bool:
    return trial.score is not None and not is_better(target, trial.score, direction)


SPACE_EXHAUSTED = StopReason("space", "every point of the search space has been tried")


def time_is_up(limits: StoppingCriteria) -> StopReason:
    """Make the stop reason of a reached time limit."""
    return StopReason(
        "minutes", f"the time limit of {(limits.seconds or 0.0) / 60:g} minutes is reached"
    )
