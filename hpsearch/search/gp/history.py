"""What the trials of a study told: points, values and how far to trust them.

Every trial that carries information becomes an observation on the scale of the final score,
smaller being better. Knows Optuna's trials; knows no model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

SEM_ATTRIBUTE = "score_sem"  # user attribute: the standard error of a trial's score


@dataclass(frozen=True, slots=True)
class Observation:
    """One trial that ended, as the model sees it."""

    number: int
    params: Mapping[str, Any]
    value: float  # smaller is better
    error: float  # standard error of `value`, in its unit; infinite: a guess


def observations(trials: Sequence[FrozenTrial], *, maximize: bool) -> list[Observation]:
    """One observation a trial that says something, in the order of `trials`.

    * Complete: its value, with the standard error in the user attribute `score_sem` if given.
    * Pruned: its last report plus what complete trials gained from that step on (the median),
      never better than the best complete value; the spread of the gains is its standard error.
    * Failed: as bad as the worst, and a guess. A region that diverges is left, but one failure
      weighs less than a neighbour that completed.

    Trials without parameters, and pruned ones without a report, say nothing.
    """
    sign = -1.0 if maximize else 1.0
    complete = [t for t in trials if t.state == TrialState.COMPLETE and t.params]
    values = {t.number: _finite(sign * _value(t)) for t in complete}
    known = [v for v in values.values() if math.isfinite(v)]
    gains = _Gains(complete, sign)
    found = []
    for t in trials:
        if not t.params:
            continue
        if t.state == TrialState.COMPLETE:
            found.append(Observation(t.number, t.params, values[t.number], _error(t)))
        elif t.state == TrialState.PRUNED and _reports(t):
            value, error = gains.extrapolate(t)
            floor = min(known, default=-math.inf)
            found.append(Observation(t.number, t.params, max(value, floor), error))
        elif t.state == TrialState.FAIL:
            found.append(Observation(t.number, t.params, math.inf, math.inf))
    return _with_worst(found)


class _Gains:
    """How much complete trials still gained after each step."""

    def __init__(self, complete: Sequence[FrozenTrial], sign: float) -> None:
        self.sign = sign
        self.curves = [(_reports(t), sign * _value(t)) for t in complete if _reports(t)]
        self.known: dict[int, tuple[float, float]] = {}

    def extrapolate(self, trial: FrozenTrial) -> tuple[float, float]:
        """The final value to expect of a pruned trial, and its standard error."""
        step, value = max(_reports(trial).items())
        if step not in self.known:
            self.known[step] = self._at(step)
        gain, spread = self.known[step]
        return self.sign * value + gain, spread

    def _at(self, step: int) -> tuple[float, float]:
        gains = [final - self.sign * curve[step] for curve, final in self.curves if step in curve]
        gains = [g for g in gains if math.isfinite(g)]
        if not gains:
            return 0.0, math.inf
        low, middle, high = np.quantile(gains, [0.25, 0.5, 0.75])
        return float(middle), float(high - low) / 1.349  # of a normal distribution


def _with_worst(found: list[Observation]) -> list[Observation]:
    """Infinite values become the worst finite one."""
    finite = [o.value for o in found if math.isfinite(o.value)]
    if not finite:
        return []
    worst = max(finite)
    return [
        o if math.isfinite(o.value) else Observation(o.number, o.params, worst, o.error)
        for o in found
    ]


def _reports(trial: FrozenTrial) -> dict[int, float]:
    return {s: v for s, v in trial.intermediate_values.items() if math.isfinite(v)}


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


def _finite(value: float) -> float:
    """Anything that is no number is as bad as can be."""
    return math.inf if math.isnan(value) else value


def _error(trial: FrozenTrial) -> float:
    error = trial.user_attrs.get(SEM_ATTRIBUTE, 0.0)
    if not isinstance(error, int | float) or not math.isfinite(error) or error < 0:
        return 0.0
    return float(error)
