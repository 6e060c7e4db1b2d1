"""When a search ends, and why: totals over a study's whole life, read off its history."""

from __future__ import annotations

from dataclasses import dataclass

from ..history import History


@dataclass(frozen=True, slots=True)
class Limits:
    """When a study ends: totals, however often it is resumed."""

    trials: int  # finished trials
    seconds: float | None = None  # wall clock
    stagnation: int | None = None  # finished trials without a better best
    target: float | None = None  # the score that is good enough

    def are_spent(self, seconds: float) -> bool:
        """Whether so much wall clock is all there was."""
        return self.seconds is not None and seconds >= self.seconds


@dataclass(frozen=True, slots=True)
class End:
    """Why a search asks for no more trials."""

    cause: str  # "target", "stagnation", "space", "trials" or "minutes"
    reason: str  # a line for people


def end_of(history: History, limits: Limits) -> End | None:
    """Why no trial more is wanted, or None; time and the size of the space are not looked at."""
    if limits.target is not None and (best := history.best) and best.score is not None:
        far = best.score >= limits.target if history.maximize else best.score <= limits.target
        if far:
            score = f"trial {best.number} has {history.metric} {best.score:.6g}"
            return End("target", f"the target of {limits.target:g} is reached: {score}")
    if limits.stagnation is not None:
        waited = history.since_improvement
        if waited >= limits.stagnation:
            return End("stagnation", f"{waited} finished trials were no better")
    if len(history.last) >= limits.trials:
        return End("trials", f"the budget of {limits.trials} trials is spent")
    return None


NO_POINT = End("space", "every point of the search space has been tried")


def out_of_time(limits: Limits) -> End:
    """The end of a search whose wall clock is over."""
    return End("minutes", f"the budget of {(limits.seconds or 0.0) / 60:g} minutes is spent")
