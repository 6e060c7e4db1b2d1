"""An acquisition function, and its maximization over a mixed, conditional space.

Candidates come from the whole space and from around the best points. They are refined by gradients
along axes that are fine enough, then by one-parameter moves along all other axes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from .axes import Array, ContinuousAxis, OrderedAxis, UnorderedAxis
from .kernel import Features
from .model_space import ModelSpace
from .terms import Term

_N_GLOBAL = 384  # candidates from the whole space
_N_LOCAL = 32  # candidates around each of the best points
_N_CENTRES = 8  # best points
_N_STARTS = 5  # candidates that are refined
_MAX_STEPS = 15  # steps of the gradient search
_MAX_ROUNDS = 8  # rounds of one-parameter moves
_MIN_SMOOTH_SIZE = 12  # axes with more values than that have gradients
_WIDTHS = (0.03, 0.1, 0.3)  # of local candidates, as shares of an axis


@dataclass(frozen=True, slots=True)
class Acquisition:
    """A sum of terms over points of a space, raised where the priors are."""

    space: ModelSpace
    features: Features
    terms: Sequence[Term]
    trust: float = 0.0  # power of the priors' density

    def __call__(self, points: Array) -> Array:
        """Return the values, shape (n,), at `points` (n, n_parameters)."""
        active = self.space.active(points)
        rows = self.features(points, active)
        value = np.asarray(sum(term.values(rows) for term in self.terms))
        if self.trust:
            value = value + self.trust * self.space.log_prior(points, active)[0]
        return value

    def with_slopes(self, points: Array) -> tuple[Array, Array]:
        """Return the values (n,) and their derivatives along the coordinates (n, n_parameters)."""
        active = self.space.active(points)
        rows = self.features(points, active)
        found = [term.with_slopes(rows) for term in self.terms]
        value = np.asarray(sum(value for value, _ in found))
        slopes = self.features.pull_back(points, active, np.asarray(sum(s for _, s in found)))
        if self.trust:
            expected, rise = self.space.log_prior(points, active)
            value, slopes = value + self.trust * expected, slopes + self.trust * rise
        return value, slopes


def maximize_acquisition(
    acquisition: Acquisition,
    centres: Array,
    allowed: Callable[[Array], bool],
    rng: np.random.Generator,
) -> Array | None:
    """Search for the allowed point with the largest acquisition.

    Args:
        acquisition: The function to maximize.
        centres: The best points so far, best first, shape (n, n_parameters).
        allowed: Whether one point, shape (n_parameters,), may be proposed.
        rng: The source of all random draws.

    Returns:
        The point, shape (n_parameters,); None if no candidate is allowed.
    """
    space = acquisition.space
    pool = sample_candidates(space, centres, rng)
    values = acquisition(pool)
    starts = list(_best_allowed(pool, values, allowed, _N_STARTS))
    if not starts:
        return None
    climbed = climb_gradients(acquisition, np.array(starts))
    stepped, scores = improve_stepwise(acquisition, climbed)
    polished = climb_gradients(acquisition, stepped[[np.argmax(scores)]])
    pool = np.concatenate([polished, stepped, np.array(starts)])
    return next(_best_allowed(pool, acquisition(pool), allowed, 1))


def sample_candidates(
    space: ModelSpace,
    centres: Array,
    rng: np.random.Generator,
    *,
    n_global: int = _N_GLOBAL,
    n_local: int = _N_LOCAL,
) -> Array:
    """Draw points from the space and around the first centres, shape (n, n_parameters).

    Args:
        space: The space of the points.
        centres: The best points so far, best first, shape (n, n_parameters).
        rng: The source of all random draws.
        n_global: Number of points from the whole space.
        n_local: Number of points around each of the first `_N_CENTRES` centres.
    """
    everywhere = space.draw(rng.random((n_global, len(space))))
    around = [everywhere]
    if space.has_priors:
        around.append(space.draw_from_prior(rng.random((n_local, len(space)))))
    for centre in centres[:_N_CENTRES]:
        fresh = space.draw(rng.random((n_local, len(space))))
        width = rng.choice(_WIDTHS, size=(n_local, 1))
        moved = centre + width * rng.standard_normal(fresh.shape)
        ordered = np.array([axis.choices == 0 for axis in space.axes])
        changed = rng.random(fresh.shape) < min(0.5, 2.0 / len(space)) + 0.3 * (
            rng.random((n_local, 1)) < 0.3
        )
        around.append(np.where(changed, np.where(ordered, moved, fresh), centre))
    return space.snap(np.concatenate(around))


def climb_gradients(acquisition: Acquisition, points: Array) -> Array:
    """Follow the gradient from all points along the fine axes; snap the results."""
    space = acquisition.space
    smooth = np.array([_uses_gradient(axis) for axis in space.axes])
    if not smooth.any():
        return points
    shape = (len(points), int(smooth.sum()))

    def negative(flat: Array) -> tuple[float, Array]:
        moved = points.copy()
        moved[:, smooth] = flat.reshape(shape)
        value, slopes = acquisition.with_slopes(moved)
        return -float(value.sum()), -slopes[:, smooth].reshape(-1)

    start = points[:, smooth].reshape(-1)
    result = minimize(
        negative,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, 1.0)] * len(start),
        options={"maxiter": _MAX_STEPS, "maxfun": 2 * _MAX_STEPS},
    )
    moved = points.copy()
    moved[:, smooth] = result.x.reshape(shape)
    return space.snap(moved)


def improve_stepwise(acquisition: Acquisition, points: Array) -> tuple[Array, Array]:
    """Move each point by its best one-parameter change until none improves it."""
    points, values = points.copy(), acquisition(points)
    improving = np.ones(len(points), bool)
    for _ in range(_MAX_ROUNDS):
        moves = [
            (i, moved)
            for i in np.flatnonzero(improving)
            for moved in _neighbours(acquisition.space, points[i])
        ]
        if not moves:
            break
        owners = np.array([i for i, _ in moves])
        moved = np.array([m for _, m in moves])
        scores = acquisition(moved)
        improving[:] = False
        for i in np.unique(owners):
            mine = np.flatnonzero(owners == i)
            top = mine[np.argmax(scores[mine])]
            if scores[top] > values[i] + 1e-9:
                points[i], values[i], improving[i] = moved[top], scores[top], True
    return points, values


def _neighbours(space: ModelSpace, point: Array) -> Iterator[Array]:
    """Return the points that differ in one active parameter with listed values."""
    active = space.active(point[None, :])[0]
    for j, axis in enumerate(space.axes):
        if not active[j] or not isinstance(axis, OrderedAxis | UnorderedAxis):
            continue
        for coordinate in _coordinate_moves(axis, float(point[j])):
            moved = point.copy()
            moved[j] = coordinate
            yield moved


def _coordinate_moves(axis: OrderedAxis | UnorderedAxis, coordinate: float) -> list[float]:
    if isinstance(axis, UnorderedAxis):
        return [float(c) for c in range(axis.choices) if c != coordinate]
    here = int(axis.index(np.array([coordinate]))[0])
    if axis.size <= _MIN_SMOOTH_SIZE:
        indices = [i for i in range(axis.size) if i != here]
    else:
        indices = [i for i in (here - 2, here - 1, here + 1, here + 2) if 0 <= i < axis.size]
    return [float(axis.positions[i]) for i in indices]


def _uses_gradient(axis: object) -> bool:
    return isinstance(axis, ContinuousAxis) or (
        isinstance(axis, OrderedAxis) and axis.size > _MIN_SMOOTH_SIZE
    )


def _best_allowed(
    pool: Array, values: Array, allowed: Callable[[Array], bool], count: int
) -> Iterator[Array]:
    """Return the `count` best different points that are allowed, best first."""
    seen: set[bytes] = set()
    for i in np.argsort(-values, kind="stable"):
        key = pool[i].tobytes()
        if key not in seen and allowed(pool[i]):
            yield pool[i]
            seen.add(key)
            if len(seen) == count:
                return
