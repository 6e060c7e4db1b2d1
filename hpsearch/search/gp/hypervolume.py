"""Expected improvement of the hypervolume that a Pareto front dominates.

The region that no point of the front dominates is a union of boxes. In each of them the expected
improvement is a product over the objectives, as their processes are independent, so that the sum
over the boxes is exact (Emmerich, Deutz and Klinkenberg, "Hypervolume-based expected improvement",
2011; Yang et al., "Efficient computation of expected hypervolume improvement using box
decomposition algorithms", 2019). Smaller is better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import ndtr

from .axes import Array
from .process_ensemble import Process

MAX_OBJECTIVES = 3  # more boxes than that decomposition has would be too many
_MARGIN = 1e-3  # of the reference point beyond the worst known values, in standard deviations
_MAX_FRONT = 40  # points of the front that are used with three objectives
_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class HypervolumeImprovement:
    """The logarithm of the expected improvement of the hypervolume; a `terms.Term`."""

    posteriors: Sequence[Process]  # one per objective
    cuts: Sequence[Array]  # ascending bounds of the boxes, one array per objective
    lower: Array  # indices of the boxes' bounds in `cuts`, shape (n_boxes, n_objectives)
    upper: Array

    def values(self, rows: Array) -> Array:
        """See `terms.Term`."""
        sides = []
        for k, posterior in enumerate(self.posteriors):
            gains = _expected_gains(*posterior.predict(rows), self.cuts[k])[0]
            sides.append(gains[:, self.upper[:, k]] - gains[:, self.lower[:, k]])
        return np.asarray(np.log(np.maximum(np.prod(sides, axis=0).sum(1), _TINY)))

    def with_slopes(self, rows: Array) -> tuple[Array, Array]:
        """See `terms.Term`."""
        sides, parts = [], []
        for k, posterior in enumerate(self.posteriors):
            mean, variance, d_mean, d_variance = posterior.predict_with_slopes(rows)
            found = _expected_gains(mean, variance, self.cuts[k])
            side, by_mean, by_variance = (
                gains[:, self.upper[:, k]] - gains[:, self.lower[:, k]] for gains in found
            )
            sides.append(side)
            parts.append((by_mean, by_variance, d_mean, d_variance))
        total = np.maximum(np.prod(sides, axis=0).sum(1), _TINY)
        slopes = np.zeros_like(rows)
        for k, (by_mean, by_variance, d_mean, d_variance) in enumerate(parts):
            others = np.prod([side for i, side in enumerate(sides) if i != k], axis=0)
            slopes += ((others * by_mean).sum(1) / total)[:, None] * d_mean
            slopes += ((others * by_variance).sum(1) / total)[:, None] * d_variance
        return np.log(total), slopes


def improve_front(posteriors: Sequence[Process], means: Array) -> HypervolumeImprovement:
    """Make the term of a front.

    The reference point is the worst known value of each objective, so that the ends of the front
    count.

    Args:
        posteriors: One per objective.
        means: Expected values of the known trials, shape (n, n_objectives).
    """
    front = means[find_front(means)]
    if means.shape[1] > 2 and len(front) > _MAX_FRONT:
        front = front[np.linspace(0, len(front) - 1, _MAX_FRONT).round().astype(int)]
    worst = means.max(axis=0) + _MARGIN
    lower, upper = split_boxes(front, worst)
    cuts = [np.unique(np.concatenate([lower[:, k], upper[:, k]])) for k in range(len(worst))]
    index = [
        np.stack([np.searchsorted(cut, ends[:, k]) for k, cut in enumerate(cuts)], axis=1)
        for ends in (lower, upper)
    ]
    return HypervolumeImprovement(posteriors, cuts, index[0], index[1])


def find_front(points: Array) -> Array:
    """Return the indices of points (n, n_objectives) that none dominates, by the first value.

    Of equal points, the earliest.
    """
    order = np.lexsort(points.T[::-1])
    kept: list[int] = []
    for i in order:
        if not kept or not (points[kept] <= points[i]).all(axis=1).any():
            kept.append(int(i))
    return np.array(kept)


def split_boxes(front: Array, worst: Array) -> tuple[Array, Array]:
    """Split the region that the front does not dominate, below `worst`, into disjoint boxes.

    Args:
        front: Points of which none dominates another, shape (n, 2) or (n, 3).
        worst: The reference point.

    Returns:
        Lower and upper corners, each of shape (n_boxes, n_objectives).
    """
    if len(worst) == 2:
        return _split_strips(front, worst)
    heights = np.concatenate([[-math.inf], np.sort(front[:, 2]), worst[2:]])
    lowers, uppers = [], []
    for low, high in pairwise(heights.tolist()):
        if high <= low:
            continue
        below = front[front[:, 2] <= low][:, :2]
        if len(below):
            below = below[find_front(below)]
        lower, upper = _split_strips(below.reshape(-1, 2), worst[:2])
        lowers.append(np.column_stack([lower, np.full(len(lower), low)]))
        uppers.append(np.column_stack([upper, np.full(len(upper), high)]))
    return np.concatenate(lowers), np.concatenate(uppers)


def _split_strips(front: Array, worst: Array) -> tuple[Array, Array]:
    """Split the region below two objectives' front into strips along the first."""
    front = front[(front < worst).all(axis=1)]
    front = front[np.argsort(front[:, 0], kind="stable")]
    left = np.concatenate([[-math.inf], front[:, 0]])
    right = np.concatenate([front[:, 0], worst[:1]])
    top = np.concatenate([worst[1:], front[:, 1]])
    lower = np.column_stack([left, np.full(len(left), -math.inf)])
    return lower, np.column_stack([right, top])


def _expected_gains(mean: Array, variance: Array, cuts: Array) -> tuple[Array, Array, Array]:
    """Return the expected distances below `cuts`, and their derivatives.

    Args:
        mean: Means, shape (n,).
        variance: Variances, shape (n,).
        cuts: Values, ascending, shape (m,); the first may be minus infinity.

    Returns:
        The expectation, its derivatives along the mean and the variance, each of shape (n, m).
    """
    sigma = np.sqrt(variance)[:, None]
    u = np.maximum((cuts[None, :] - mean[:, None]) / sigma, -40.0)
    density, below = np.exp(-0.5 * u * u) / math.sqrt(2 * math.pi), ndtr(u)
    return sigma * np.maximum(density + u * below, 0.0), -below, density / (2 * sigma)
