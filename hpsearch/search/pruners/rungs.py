"""Rank trials after some epochs. Pure functions of curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ...history import History
from ...trial import Direction, Trial, is_better, orient
from .pareto_order import order_by_fronts


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


def rank_trials(trials: Sequence[Trial], epochs: int, history: History) -> list[int]:
    """Return the numbers of the trials that have reached `epochs`, best first.

    By their scores; of ties, the earlier first. With several objectives by Pareto fronts beside the
    other trials that went on after `epochs`, in the objectives that are known of all of them.
    """
    if len(history.objectives) == 1:
        scores = {t.number: score_after(t, epochs, history.direction) for t in trials}
        ranked = [(-orient(s, history.direction), n) for n, s in scores.items() if s is not None]
        return [number for _, number in sorted(ranked)]
    given = {t.number for t in trials}
    went_on = [
        t
        for t in history.trials
        if t.number not in given
        and (t.n_epochs > epochs or t.state == "COMPLETE")
        and is_at_rung(t, epochs, history)
    ]
    numbers, costs = _costs_after([*went_on, *trials], epochs, history)
    went_on_first = np.argsort([number in given for number in numbers], kind="stable")
    order = order_by_fronts(costs[went_on_first], n_taken=len(went_on))
    return [numbers[went_on_first[index]] for index in order]


def is_at_rung(trial: Trial, epochs: int, history: History) -> bool:
    """Whether `trial` has values after `epochs`; see `score_after`."""
    if len(history.objectives) == 1:
        return score_after(trial, epochs, history.direction) is not None
    return _values_after(trial, epochs) is not None


def dominated_share(
    trial: Trial, peers: Sequence[Trial], epochs: int, history: History
) -> float | None:
    """Return the share of the trials at `epochs`, with itself, that dominate `trial` there.

    In the objectives that are known of all these trials. None as in `score_after`.
    """
    numbers, costs = _costs_after([trial, *peers], epochs, history)
    if trial.number not in numbers:
        return None
    own = costs[numbers.index(trial.number)]
    return float(((costs <= own).all(axis=1) & (costs < own).any(axis=1)).mean())


def _costs_after(
    trials: Sequence[Trial], epochs: int, history: History
) -> tuple[list[int], np.ndarray]:
    """Return the numbers of the trials that have reached `epochs`, ascending, and their values.

    The values, shape (n_trials, n_objectives), are of the objectives that are known of all these
    trials; smaller is better. A trial with a value that is not finite has infinite ones, so that it
    is behind all others.
    """
    found = {t.number: _values_after(t, epochs) for t in sorted(trials, key=lambda t: t.number)}
    known = {number: values for number, values in found.items() if values is not None}
    values = np.array(list(known.values()), object).reshape(-1, len(history.objectives))
    columns = [
        -orient(column.astype(float), direction)
        for column, (_, direction) in zip(values.T, history.objectives, strict=True)
        if None not in column.tolist()
    ]
    costs = np.column_stack(columns) if columns else np.zeros((len(known), 0))
    costs[~np.isfinite(costs).all(axis=1)] = np.inf
    return list(known), costs


def _values_after(trial: Trial, epochs: int) -> Sequence[float | None] | None:
    """Return the objectives' values of `trial` after `epochs`; None as in `score_after`."""
    if trial.state == "FAILED":
        return None
    after = trial.epoch_values or ()
    if len(after) >= epochs:
        return after[epochs - 1]
    return trial.values if trial.state == "COMPLETE" else None


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


def halving_rungs(epochs: int, eta: int, min_epochs: int) -> tuple[int, ...]:
    """Return 1/eta² and 1/eta of `epochs`, without those before `min_epochs`.

    Examples:
        >>> halving_rungs(27, 3, 3)
        (3, 9)
    """
    return tuple(rung for rung in (epochs // eta**2, epochs // eta) if min_epochs <= rung < epochs)


def count_survivors(n: int, eta: int) -> int:
    """Return how many of `n` trials continue: n / eta, but at least one."""
    return max(1, n // eta)


def other_trials(trial: Trial, trials: Sequence[Trial]) -> list[Trial]:
    """Return the other trials."""
    return [other for other in trials if other.number != trial.number]
