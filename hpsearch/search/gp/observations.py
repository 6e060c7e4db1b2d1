"""Convert a study's trials to observations: points, values, standard errors, and progress.

Smaller values are better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

SEM_ATTRIBUTE = "score_sem"  # user attribute: the standard error of a trial's score
FOLDS_ATTRIBUTE = (
    "fold_scores"  # user attribute: the scores on each fold, of which the score is the mean
)
REPORTS_ATTRIBUTE = "objective_reports"  # user attribute: several objectives after each epoch
OWN_WEIGHT = 0.5  # weight of a trial's own variance; the rest is that of all trials


@dataclass(frozen=True, slots=True)
class Observation:
    """One ended trial, as the model sees it."""

    number: int
    params: Mapping[str, Any]
    value: float  # smaller is better
    error: float  # standard error of `value`, in its unit; infinite if `value` is a guess
    progress: float = 0.0  # of its training: the logarithm of the share of its steps, 0 at the end


def collect_observations(
    trials: Sequence[FrozenTrial], *, maximize: Sequence[bool], weights: Sequence[float] = (1.0,)
) -> list[Observation]:
    """Return an observation for each informative trial, in the order of `trials`.

    * Complete: its value, with its standard error if known. Several objectives are combined with
      `weights`.
    * Pruned: its best report, with its progress at the last one. The model learns from all trials
      what the rest of the training is worth (see `trial_model`).
    * Failed: a guess as bad as the worst value. A region that diverges is avoided, but a failure
      weighs less than a complete neighbour.

    Trials without parameters, and pruned ones without a report, are left out.
    """
    complete = [t for t in trials if t.state == TrialState.COMPLETE and t.params]
    values = combine_objectives(complete, maximize, weights)
    sign = -1.0 if maximize[0] else 1.0
    errors = {} if len(maximize) > 1 else standard_errors(complete)
    length = _find_length(trials)
    found = []
    for t in trials:
        if not t.params:
            continue
        if t.state == TrialState.COMPLETE:
            error = errors.get(t.number, 0.0)
            found.append(Observation(t.number, t.params, values[t.number], error))
        elif (
            t.state == TrialState.PRUNED and len(maximize) == 1 and (reports := _finite_reports(t))
        ):
            value = min(sign * report for report in reports.values())
            progress = _compute_progress(max(reports) + 1, length)
            found.append(Observation(t.number, t.params, value, 0.0, progress))
        elif t.state in (TrialState.FAIL, TrialState.PRUNED):  # or rejected by its model
            found.append(Observation(t.number, t.params, math.inf, math.inf))
    return _replace_infinite(found)


def collect_objectives(
    trials: Sequence[FrozenTrial], maximize: Sequence[bool]
) -> list[list[Observation]]:
    """Return the observations of each of several objectives, as `collect_observations` does.

    What a pruned trial had reached is in the user attribute `REPORTS_ATTRIBUTE`, since Optuna's
    reports have one value.
    """
    complete = [t for t in trials if t.state == TrialState.COMPLETE and t.params]
    errors = standard_errors(complete)
    found = []
    for k, is_maximized in enumerate(maximize):
        alone = [_select_objective(t, k) for t in trials]
        seen = collect_observations(alone, maximize=[is_maximized])
        # The fold scores are those of the first objective.
        known = errors if k == 0 else {}
        found.append([replace(o, error=known.get(o.number, o.error)) for o in seen])
    return found


def _select_objective(trial: FrozenTrial, index: int) -> FrozenTrial:
    """Return the trial as if it had one of its objectives alone."""
    rows = trial.user_attrs.get(REPORTS_ATTRIBUTE) or ()
    reports = {step: float(row[index]) for step, row in enumerate(rows) if row[index] is not None}
    values = trial.values
    return FrozenTrial(
        number=trial.number,
        state=trial.state,
        value=None if values is None else values[index],
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs={},
        system_attrs={},
        intermediate_values=reports,
        trial_id=trial.number,
    )


def collect_constraints(trials: Sequence[FrozenTrial]) -> list[list[Observation]]:
    """Return the observations of each constraint: above 0, it is violated."""
    keys = dict.fromkeys(key for t in trials if t.params for key in t.constraints)
    return [
        [
            Observation(t.number, t.params, value, 0.0)
            for t in trials
            if t.params and math.isfinite(value := t.constraints.get(key, math.inf))
        ]
        for key in keys
    ]


def combine_objectives(
    complete: Sequence[FrozenTrial], maximize: Sequence[bool], weights: Sequence[float]
) -> dict[int, float]:
    """Combine several objectives to one value per trial; smaller is better.

    The objectives are scaled to [0, 1] and combined by the augmented Chebyshev norm: with
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
    """Estimate the standard error of each trial's score, by its number, if possible.

    All trials use the same folds, so a hard fold is hard for all of them. The error is estimated
    from the residuals of fold scores after subtracting the trial's and the fold's mean (a
    randomised block design; Fisher, "The design of experiments", 1935). With few folds a trial's
    own variance is a poor estimate, so it is averaged with that of all trials (as in Smyth, "Linear
    models and empirical Bayes methods", 2004).

    An explicit `score_sem` takes precedence.
    """
    declared = {t.number: _standard_error(t) for t in complete if SEM_ATTRIBUTE in t.user_attrs}
    rows = {
        t.number: t.user_attrs.get(FOLDS_ATTRIBUTE) for t in complete if t.number not in declared
    }
    counts = [len(row) for row in rows.values() if row]
    n_folds = max(counts, key=counts.count, default=0)
    if n_folds < 2:
        return declared
    named = {n: row for n, row in rows.items() if row and len(row) == n_folds}
    table = np.array(list(named.values()), float)
    usable = np.isfinite(table).all(axis=1)
    if usable.sum() < 3:
        return declared
    table = table[usable]
    left = table - table.mean(axis=1, keepdims=True)
    left -= np.median(left, axis=0)  # a few bad trials do not make a fold hard
    own = (left - left.mean(axis=1, keepdims=True)).var(axis=1, ddof=1)
    variance = OWN_WEIGHT * own + (1.0 - OWN_WEIGHT) * float(np.median(own))
    numbers = [n for n, fine in zip(named, usable, strict=True) if fine]
    return declared | dict(zip(numbers, np.sqrt(variance / n_folds).tolist(), strict=True))


def _find_length(trials: Sequence[FrozenTrial]) -> int:
    """Return the steps of the longest complete trial, or of all if none is complete."""
    complete = [t for t in trials if t.state == TrialState.COMPLETE and t.intermediate_values]
    return max((max(t.intermediate_values, default=0) + 1 for t in complete or trials), default=1)


def _compute_progress(n_steps: int, length: int) -> float:
    """Return the progress after `n_steps` of `length`; see `Observation`."""
    return math.log(n_steps / length) if 0 < n_steps < length else 0.0


def _replace_infinite(found: list[Observation]) -> list[Observation]:
    """Replace infinite values by the worst finite one."""
    finite = [o.value for o in found if math.isfinite(o.value)]
    if not finite:
        return []
    worst = max(finite)
    return [o if math.isfinite(o.value) else replace(o, value=worst) for o in found]


def _finite_reports(trial: FrozenTrial) -> dict[int, float]:
    return {s: v for s, v in trial.intermediate_values.items() if math.isfinite(v)}


def _as_finite(value: float) -> float:
    """Replace NaN by infinity, the worst value."""
    return math.inf if math.isnan(value) else value


def _standard_error(trial: FrozenTrial) -> float:
    error = trial.user_attrs.get(SEM_ATTRIBUTE, 0.0)
    if not isinstance(error, int | float) or not math.isfinite(error) or error < 0:
        return 0.0
    return float(error)
