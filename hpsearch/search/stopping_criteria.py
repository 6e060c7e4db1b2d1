"""When a search ends, and why: totals over a study's whole life, read off its history."""

from __future__ import annotations

from dataclasses import dataclass

from ..history import History
from ..trial import Direction, Trial, is_better


@dataclass(frozen=True, slots=True)
class StoppingCriteria:
    """When a study ends: totals, however often it is resumed."""

    trials: int  # finished trials
    seconds: float | None = None  # wall clock
    stagnation: int | None = None  # finished trials without a better best
    target: float | None = None  # the score that is good enough

    def is_out_of_time(self, seconds: float) -> bool:
        """Whether so much wall clock is all there was."""
        return self.seconds is not None and seconds >= self.seconds


@dataclass(frozen=True, slots=True)
class StopReason:
    """Why a search asks for no more trials."""

    cause: str  # "target", "stagnation", "space", "trials" or "minutes"
    reason: str  # a line for people


def find_stop_reason(history: History, limits: StoppingCriteria) -> StopReason | None:
    """Why no trial more is wanted, or None; time and the size of the space are not looked at."""
    target, best = limits.target, history.best
    if target is not None and best is not None and _reaches(best, target, history.direction):
        score = f"trial {best.number} has {history.metric} {best.score:.6g}"
        return StopReason("target", f"the target of {target:g} is reached: {score}")
    if limits.stagnation is not None:
        waited = history.since_improvement
        if waited >= limits.stagnation:
            return StopReason("stagnation", f"{waited} finished trials were no better")
    if len(history.last) >= limits.trials:
        return StopReason("trials", f"{len(history.last)} of {limits.trials} trials")
    return None


def _reaches(trial: Trial, target: float, direction: Direction) -> bool:
    return trial.score is not None and not is_better(target, trial.score, direction)


SPACE_EXHAUSTED = StopReason("space", "every point of the search space has been tried")


def time_is_up(limits: StoppingCriteria) -> StopReason:
    """The end of a search whose time limit is reached."""
    return StopReason(
        "minutes", f"the time limit of {(limits.seconds or 0.0) / 60:g} minutes is reached"
    )
