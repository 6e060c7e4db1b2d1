"""PED-ANOVA: importance of hyperparameters by how the best trials differ from all trials.

Watanabe, Bansal and Hutter (2023), PED-ANOVA: Efficiently Quantifying Hyperparameter Importance
in Arbitrary Subspaces, IJCAI; for hyperparameters that some trials lack, its conditional form
(https://arxiv.org/abs/2601.20800). The shares equal those of Optuna's evaluator, whose import
takes a second and 90 MB because it loads random forests for two other evaluators. Pure functions
of numpy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ...spec.search_space import Categorical, Float, Int, Parameter
from ...trial import Value

TOP_FRACTION = 0.1  # share of the trials that count as the best
MAX_BINS = 50  # bins of a numeric range
PRIOR_WEIGHT = 1.0  # weight, in trials, of a kernel as wide as the range
MIN_TRIALS = 2  # trials that must have a hyperparameter to rate it
NARROWEST = 0.5 / 1.64  # least width in bins: 90% of a kernel's mass lie within its own bin
TINY = 1e-12  # added to densities, so that none is 0

_erf = np.vectorize(math.erf, otypes=[float])  # importing scipy.special takes 14 MB


def importance_shares(
    space: Iterable[Parameter], points: Sequence[Mapping[str, Value]], losses: np.ndarray
) -> dict[str, float]:
    """Compute each hyperparameter's share of the importance, largest first; the sum is 1.

    Args:
        space: The hyperparameters, each name once.
        points: Each trial's hyperparameters; conditional ones may be missing.
        losses: Each trial's score, where lower is better; shape (n_trials,).

    Returns:
        Shares by name; empty if all trials are equally good.
    """
    if not len(losses):
        return {}
    n_top = math.ceil(TOP_FRACTION * len(losses))
    is_top = losses <= np.partition(losses, n_top - 1)[n_top - 1]
    if is_top.all():
        return {}
    importances = {}
    for parameter in space:
        is_active = np.array([parameter.name in point for point in points])
        if is_active.any():
            values = [point[parameter.name] for point in points if parameter.name in point]
            importances[parameter.name] = _importance(parameter, values, is_active, is_top)
    total = math.fsum(importances.values())
    if not total:
        return {}
    ordered = sorted(importances.items(), key=lambda pair: -pair[1])
    return {name: importance / total for name, importance in ordered}


def _importance(
    parameter: Parameter, values: list[Value], is_active: np.ndarray, is_top: np.ndarray
) -> float:
    """Compute Pearson's divergence of the best trials' values from those of all trials.

    Args:
        parameter: The hyperparameter.
        values: Its values in the trials that have it.
        is_active: Whether each trial has it; shape (n_trials,).
        is_top: Whether each trial is among the best; shape (n_trials,).
    """
    among_top = is_top[is_active]
    if len(values) < MIN_TRIALS or not among_top.any() or parameter.size == 1:
        return 0.0
    bins, n_bins = _to_bins(parameter, values)
    density = _categorical_density if isinstance(parameter, Categorical) else _numeric_density
    top, every = (
        density(np.bincount(chosen, minlength=n_bins)) + TINY for chosen in (bins[among_top], bins)
    )
    divergence = float(every @ (top / every - 1) ** 2)
    share_of_top = float(among_top.sum() / is_top.sum())
    return share_of_top**2 / float(is_active.mean()) * divergence


def _to_bins(parameter: Parameter, values: list[Value]) -> tuple[np.ndarray, int]:
    """Return the bin of each value, shape (n_values,), and the number of bins."""
    if isinstance(parameter, Categorical):
        indices = {(type(c), c): i for i, c in enumerate(parameter.choices)}
        return np.array([indices[type(v), v] for v in values]), len(indices)
    low, high, numbers = float(parameter.low), float(parameter.max_value), np.array(values, float)
    n_bins = _count_bins(parameter)
    if parameter.log:
        low, high, numbers = math.log(low), math.log(high), np.log(numbers)
    width = (high - low) / (n_bins - 1)
    bins = np.ceil((numbers - low) / width - 0.5).astype(int)  # ties go to the lower bin
    return bins.clip(0, n_bins - 1), n_bins


def _count_bins(parameter: Int | Float) -> int:
    if isinstance(parameter, Int) and parameter.log:
        return min(MAX_BINS, math.ceil(math.log2(parameter.high - parameter.low + 1)) + 1)
    return MAX_BINS if parameter.step is None else int(min(MAX_BINS, parameter.size))


def _categorical_density(counts: np.ndarray) -> np.ndarray:
    """Estimate the density of choices from their counts, with one kernel per observed choice."""
    chosen = np.flatnonzero(counts)
    n_kernels, n_choices = len(chosen) + 1, len(counts)
    kernels = np.full((n_kernels, n_choices), PRIOR_WEIGHT / n_kernels)
    kernels[np.arange(len(chosen)), chosen] += 1
    kernels /= kernels.sum(axis=1, keepdims=True)
    weights = np.append(counts[chosen], PRIOR_WEIGHT)
    density: np.ndarray = weights / weights.sum() @ kernels
    return density


def _numeric_density(counts: np.ndarray) -> np.ndarray:
    """Estimate the density of bins from their counts.

    One truncated normal per occupied bin, of a width by Scott's rule (1992), and a wide prior.
    """
    bins, n_bins = np.flatnonzero(counts), len(counts)
    weights = counts[bins]
    width = max(NARROWEST, _scott_width(bins, weights))
    centres = np.append(bins, (n_bins - 1) / 2)
    widths = np.append(np.full(len(bins), width), n_bins)
    edges = np.arange(n_bins + 1) - 0.5
    masses = np.diff(_erf((edges[:, None] - centres) / (math.sqrt(2) * widths)), axis=0)
    mixed = np.append(weights, PRIOR_WEIGHT) / (weights.sum() + PRIOR_WEIGHT)
    density: np.ndarray = masses / masses.sum(axis=0) @ mixed
    return density


def _scott_width(bins: np.ndarray, weights: np.ndarray) -> float:
    """Return the kernel width by Scott's rule; `weights` counts the observations at `bins`."""
    total, cumulated = int(weights.sum()), np.cumsum(weights)
    mean = bins @ weights / total
    deviation = math.sqrt((bins - mean) ** 2 @ weights / max(1, total - 1))
    first = np.searchsorted(cumulated, total // 4, side="left")
    third = np.searchsorted(cumulated, total * 3 // 4, side="right")
    between = bins[min(len(bins) - 1, int(third))] - bins[int(first)]
    return float(1.059 * min(between / 1.34, deviation) * total**-0.2)
