"""Rank a trial among others after some epochs. Pure functions of curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ...trial import Direction, Trial, is_better, orient


def score_after(trial: Trial, epochs: int, direction: Direction) -> float | None:
    """Return the score of `trial` after `epochs`: its best mean over the folds so far.

    A trial that completed earlier keeps its score. None for one that has not reached `epochs`: it
    is running, was pruned or failed.
    """
    means = [m for m in trial.mean_scores()[:epochs] if math.isfinite(m)]
    ended_early = trial.state == "COMPLETE" and trial.n_epochs < epochs
    if not means or trial.state == "FAILED" or (trial.n_epochs < epochs and not ended_early):
        return None
    return max(means, key=lambda mean: orient(mean, direction))


def count_better(score: float, others: Iterable[float], direction: Direction) -> int:
    """Count the `others` that are strictly better than `score`."""
    return sum(is_better(other, score, direction) for other in others)


def geometric_rungs(first: int, eta: int, epochs: int) -> tuple[int, ...]:
    """Return `first`, `first * eta`, `first * eta²`, … below `epochs`.

    Examples:
        >>> geometric_rungs(3, 3, 50)
        (3, 9, 27)
    """
    rungs: list[int] = []
    while first < epochs:
        rungs.append(first)
        first *= eta
    return tuple(rungs)


def count_survivors(n: int, eta: int) -> int:
    """Return how many of `n` trials continue: n / eta, but at least one."""
    return max(1, n // eta)


def other_trials(trial: Trial, trials: Sequence[Trial]) -> list[Trial]:
    """Return the other trials."""
    return [other for other in trials if other.number != trial.number]
