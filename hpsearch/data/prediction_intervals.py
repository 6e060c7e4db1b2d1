"""Prediction intervals and sets of classes that contain the truth for a given share of rows.

Their bounds come from the errors of out-of-fold predictions: conformal prediction with the errors
of cross-validation (Vovk 2015, "Cross-conformal predictors"; Barber, Candes, Ramdas & Tibshirani
2021, "Predictive inference with the jackknife+"). The final model is fitted on more rows than those
of the folds, so its intervals tend to be too wide rather than too narrow.

This file is copied beside a served model; it depends only on numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

LEVELS = tuple(percent / 100 for percent in range(50, 100))
# Per level: (level, low, high), with low and high of each output in turn, or (level, probability).
Bounds = tuple[tuple[float, ...], ...]
# Transforms to the scale on which errors are measured, and their inverses.
SCALES: dict[str, tuple[Any, Any]] = {"log": (np.log, np.exp), "log1p": (np.log1p, np.expm1)}


def find_interval_bounds(
    truth: np.ndarray,
    prediction: np.ndarray,
    transform: str = "",
    weights: np.ndarray | None = None,
) -> Bounds:
    """Find the quantiles of the errors of a regression's predictions.

    Args:
        truth: (n,), in the target's unit.
        prediction: (n,), out of fold.
        transform: "log" or "log1p": errors are measured on that scale.
        weights: (n,); None: all equal.

    Returns:
        (level, low, high) for each level in `LEVELS` that n rows allow: low and high are added to a
        prediction on the scale of `transform`.
    """
    onto, _ = SCALES.get(transform, (None, None))
    with np.errstate(all="ignore"):
        errors = onto(truth) - onto(prediction) if onto else truth - prediction
    known = np.isfinite(errors)
    errors, weights = errors[known], None if weights is None else weights[known]
    found = []
    for level in LEVELS:
        tail = (1 + level) / 2
        bound = (-_quantile(-errors, tail, weights), _quantile(errors, tail, weights))
        if np.isfinite(bound).all():
            found.append((level, *bound))
    return tuple(found)


def find_output_bounds(
    truth: np.ndarray,
    prediction: np.ndarray,
    transforms: Sequence[str] = (),
    weights: np.ndarray | None = None,
) -> Bounds:
    """Find the bounds of each output of a regression by itself; see `find_interval_bounds`.

    Args:
        truth: (n, n_outputs), in the targets' units.
        prediction: (n, n_outputs), out of fold.
        transforms: One per output; empty: none has one.
        weights: (n,); None: all equal.

    Returns:
        (level, low, high, low, high, …) for each level that the rows of all outputs allow.
    """
    each = [
        {
            level: bound
            for level, *bound in find_interval_bounds(
                truth[:, k], prediction[:, k], transforms[k] if transforms else "", weights
            )
        }
        for k in range(truth.shape[1])
    ]
    return tuple(
        (level, *(end for bounds in each for end in bounds[level]))
        for level in LEVELS
        if all(level in bounds for bounds in each)
    )


def find_set_bounds(
    truth: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None
) -> Bounds:
    """Find the probability above which a class belongs to the set that contains the truth.

    Sadinle, Lei & Wasserman 2019, "Least ambiguous set-valued classifiers", JASA 114.

    Args:
        truth: (n,) int, index of each row's class.
        probabilities: (n, n_classes), out of fold.
        weights: (n,); None: all equal.

    Returns:
        (level, probability) for each level in `LEVELS` that n rows allow.
    """
    given = probabilities[np.arange(len(truth)), truth]
    known = np.isfinite(given)
    given, weights = given[known], None if weights is None else weights[known]
    found = [(level, -_quantile(-given, level, weights)) for level in LEVELS]
    return tuple((level, least) for level, least in found if np.isfinite(least))


def _quantile(values: np.ndarray, share: float, weights: np.ndarray | None) -> float:
    """Return the weighted quantile of `share`, with one additional row above all others."""
    order = np.argsort(values, kind="stable")
    each = np.ones(len(values)) if weights is None else weights[order].astype(np.float64)
    total = each.sum() + (each.mean() if len(each) else 0.0)
    at = int(np.searchsorted(np.cumsum(each), share * total * (1 - 1e-12)))
    return float(values[order[at]]) if at < len(values) else np.inf


def bound_of_level(bounds: Sequence[Sequence[float]], level: float) -> Sequence[float]:
    """Return the bound of a level, without the level.

    Raises:
        ValueError: If the level is not available; lists the available ones.
    """
    if not bounds:
        raise ValueError(
            "this model has no intervals: it predicts several labels or quantiles, was fitted by "
            "an earlier version, or its study has too few rows"
        )
    for known, *bound in bounds:
        if abs(known - level) < 1e-9:
            return bound
    lowest, highest = bounds[0][0], bounds[-1][0]
    more = "" if highest == LEVELS[-1] else "; higher ones need a study of more rows"
    raise ValueError(
        f"there are no intervals of level {level:g}: this model has levels from {lowest:g} to "
        f"{highest:g} in steps of 0.01{more}"
    )


def compute_intervals(
    prediction: np.ndarray, bound: Sequence[float], transform: str = "", output: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the lower and upper end of each prediction's interval, in the target's unit.

    Args:
        prediction: (n,), in the target's unit.
        bound: (low, high, …), from `bound_of_level`.
        transform: As in `find_interval_bounds`.
        output: The index of the predicted output.
    """
    low, high = bound[2 * output : 2 * output + 2]
    if transform not in SCALES:
        return prediction + low, prediction + high
    onto, back = SCALES[transform]
    with np.errstate(all="ignore"):
        scaled = onto(prediction)
        return back(scaled + low), back(scaled + high)


def compute_sets(probabilities: np.ndarray, bound: Sequence[float]) -> np.ndarray:
    """Compute which classes belong to each row's set, (n, n_classes) bool.

    The most probable class always does.

    Args:
        probabilities: (n, n_classes).
        bound: (probability,), from `bound_of_level`.
    """
    member = probabilities >= bound[0]
    member[np.arange(len(member)), probabilities.argmax(axis=1)] = True
    return member
