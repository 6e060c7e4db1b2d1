"""What the trials of a study told: points, values and how far to trust them.

Every trial that carries information becomes an observation on the scale of the final score, smaller
being better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

SEM_ATTRIBUTE = "score_sem"  # user attribute: the standard error of a trial's score
FOLDS_ATTRIBUTE = "fold_scores"  # user attribute: its score on each fold, where the score is a mean
OWN_WEIGHT = 0.5  # weight of a trial's own variance; the rest is that of all trials


@dataclass(frozen=True, slots=True)
class Observation:
    """One trial that ended, as the model sees it."""

    number: int
    params: Mapping[str, Any]
    value: float  # smaller is better
    error: float  # standard error of `value`, in its unit; infinite: a guess


def collect_observations(
    trials: Sequence[FrozenTrial], *, maximize: Sequence[bool], weights: Sequence[float] = (1.0,)
) -> list[Observation]:
    """One observation a trial that says something, in the order of `trials`.

    * Complete: its value, with its standard error where that is known (`noise`). Several
      objectives become one by `weights` (`joined`).
    * Pruned: its last report plus what complete trials gained from that step on (the median),
      never better than the best complete value; the spread of the gains is its standard error.
    * Failed: as bad as the worst, and a guess. A region that diverges is left, but one failure
      weighs less than a neighbour that completed.

    Trials without parameters, and pruned ones without a report, say nothing.
    """
    complete = [t for t in trials if t.state == TrialState.COMPLETE and t.params]
    values = combine_objectives(complete, maximize, weights)
    sign = -1.0 if maximize[0] else 1.0
    known = [v for v in values.values() if math.isfinite(v)]
    several = len(maximize) > 1
    errors = {} if several else standard_errors(complete)
    gains = _GainModel([] if several else complete, sign)
    found = []
    for t in trials:
        if not t.params:
            continue
        if t.state == TrialState.COMPLETE:
            error = errors.get(t.number, 0.0)
            found.append(Observation(t.number, t.params, values[t.number], error))
        elif t.state == TrialState.PRUNED and _finite_reports(t):
            value, error = gains.extrapolate(t)
            floor = min(known, default=-math.inf)
            found.append(Observation(t.number, t.params, max(value, floor), error))
        elif t.state in (TrialState.FAIL, TrialState.PRUNED):  # or rejected by its model
            found.append(Observation(t.number, t.params, math.inf, math.inf))
    return _replace_infinite(found)


def combine_objectives(
    complete: Sequence[FrozenTrial], maximize: Sequence[bool], weights: Sequence[float]
) -> dict[int, float]:
    """One value a trial, smaller being better.

    Several objectives are brought to [0, 1] and joined by the augmented Chebyshev norm: with
    weights that change from ask to ask it reaches every part of the Pareto front (Knowles,
    "ParEGO", 2006).
    """
    signs = np.where(maximize, -1.0, 1.0)
    table = np.array([t.values for t in complete], float).reshape(-1, len(maximize)) * signs
    if len(maximize) == 1:
        return {t.number: _as_finite(float(v)) for t, v in zip(complete, table[:, 0], strict=True)}
    finite = np.where(np.isfinite(table), table, np.nan)
    usable = ~np.isnan(finite).any(axis=1)
    if not usable.any():
        return {t.number: math.inf for t in complete}
    low, high = finite[usable].min(axis=0), finite[usable].max(axis=0)
    weighed = (finite - low) / np.where(high > low, high - low, 1.0) * np.array(weights)
    scalar = weighed.max(axis=1) + 0.05 * weighed.sum(axis=1)
    return {t.number: _as_finite(float(v)) for t, v in zip(complete, scalar, strict=True)}


def standard_errors(complete: Sequence[FrozenTrial]) -> dict[int, float]:
    """The standard error of each trial's score, by its number, where it is known.

    All trials meet the same folds, so a hard fold is hard for all of them: what a trial's mean
    differs by from another's is what is left of its fold scores without the trial's mean and the
    fold's (the residual of a randomised block design; Fisher, "The design of experiments", 1935).
    The few folds of one trial tell its variance badly, so it is drawn half way to that of all
    trials (as in Smyth, "Linear models and empirical Bayes methods", 2004).

    An explicit `score_sem` goes first.
    """
    told = {t.number: _standard_error(t) for t in complete if SEM_ATTRIBUTE in t.user_attrs}
    rows = {t.number: t.user_attrs.get(FOLDS_ATTRIBUTE) for t in complete if t.number not in told}
    counts = [len(row) for row in rows.values() if row]
    n_folds = max(counts, key=counts.count, default=0)
    if n_folds < 2:
        return told
    named = {n: row for n, row in rows.items() if row and len(row) == n_folds}
    table = np.array(list(named.values()), float)
    usable = np.isfinite(table).all(axis=1)
    if usable.sum() < 3:
        return told
    table = table[usable]
    left = table - table.mean(axis=1, keepdims=True)
    left -= np.median(left, axis=0)  # a few bad trials do not make a fold hard
    own = (left - left.mean(axis=1, keepdims=True)).var(axis=1, ddof=1)
    variance = OWN_WEIGHT * own + (1.0 - OWN_WEIGHT) * float(np.median(own))
    numbers = [n for n, fine in zip(named, usable, strict=True) if fine]
    return told | dict(zip(numbers, np.sqrt(variance / n_folds).tolist(), strict=True))


class _GainModel:
    """How much complete trials still gained after each step."""

    def __init__(self, complete: Sequence[FrozenTrial], sign: float) -> None:
        self.sign = sign
        self.curves = [
            (_finite_reports(t), sign * _trial_value(t)) for t in complete if _finite_reports(t)
        ]
        self.known: dict[int, tuple[float, float]] = {}

    def extrapolate(self, trial: FrozenTrial) -> tuple[float, float]:
        """The final value to expect of a pruned trial, and its standard error."""
        step, value = max(_finite_reports(trial).items())
        if step not in self.known:
            self.known[step] = self._gain_after(step)
        gain, spread = self.known[step]
        return self.sign * value + gain, spread

    def _gain_after(self, step: int) -> tuple[float, float]:
        gains = [final - self.sign * curve[step] for curve, final in self.curves if step in curve]
        gains = [g for g in gains if math.isfinite(g)]
        if not gains:
            return 0.0, math.inf
        low, middle, high = np.quantile(gains, [0.25, 0.5, 0.75])
        return float(middle), float(high - low) / 1.349  # of a normal distribution


def _replace_infinite(found: list[Observation]) -> list[Observation]:
    """Infinite values become the worst finite one."""
    finite = [o.value for o in found if math.isfinite(o.value)]
    if not finite:
        return []
    worst = max(finite)
    return [
        o if math.isfinite(o.value) else Observation(o.number, o.params, worst, o.error)
        for o in found
    ]


def _finite_reports(trial: FrozenTrial) -> dict[int, float]:
    return {s: v for s, v in trial.intermediate_values.items() if math.isfinite(v)}


def _trial_value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


def _as_finite(value: float) -> float:
    """Anything that is no number is as bad as can be."""
    return math.inf if math.isnan(value) else value


def _standard_error(trial: FrozenTrial) -> float:
    error = trial.user_attrs.get(SEM_ATTRIBUTE, 0.0)
    if not isinstance(error, int | float) or not math.isfinite(error) or error < 0:
        return 0.0
    return float(error)
