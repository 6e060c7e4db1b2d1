"""The search space of the Gaussian process: parameters and their conditions.

A point is a row of coordinates, one per parameter, whether the parameter is active or not; a mask
tells which ones are.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from scipy.stats import rankdata

from .axes import Array, Axis, OrderedAxis, UnorderedAxis, make_axis
from .axis_priors import make_axis_prior

_MAX_ARC = 1.5  # coordinates of a conditional number, around the middle; pi / 2 are a half circle


@dataclass(frozen=True, slots=True)
class ModelParameter:
    """One hyperparameter and the condition under which it is active.

    Args:
        name: As in `trial.suggest_*`.
        distribution: Optuna's description of its values.
        when: Maps a parent's name to its values at which this parameter is active: a tuple, a
            `range`, or any container. All parents must be active and allow it.
        meaning: The values of the choices of a categorical distribution, in order, if the choices
            are codes. Three or more numbers are ordered, such as batch sizes; choices 0, 1, 2,
            ... are codes, ordered only if their meanings are.
        prior: Where good values are expected: a number, or a positive weight for each choice.
    """

    name: str
    distribution: BaseDistribution
    when: Mapping[str, Container[Any]] = field(default_factory=dict)
    meaning: tuple[Any, ...] | None = None
    prior: Any = None


class ModelSpace:
    """Parameters, parents before their children, and their axes.

    Args:
        parameters: In any order.

    Raises:
        ValueError: If a condition names an unknown parent, or conditions form a cycle.
    """

    def __init__(self, parameters: Sequence[ModelParameter]) -> None:
        self.declared = tuple(parameters)
        self.parameters = _sort_parents_first(self.declared)
        self.axes = tuple(make_axis(p.distribution, p.meaning) for p in self.parameters)
        self.priors = tuple(
            make_axis_prior(axis, p.distribution, p.prior)
            for axis, p in zip(self.axes, self.parameters, strict=True)
        )
        self.has_priors = any(prior is not None for prior in self.priors)
        self.groups = _condition_groups(
            self.parameters
        )  # -1: always active; equal groups are active together
        self._middle = np.zeros(0)
        if self.axes:
            self._middle = self.draw(np.full((1, len(self.axes)), 0.5))[0]
        column = {p.name: j for j, p in enumerate(self.parameters)}
        # (child, parent, allowed values, the same as a table if the parent's values are listed)
        self._conditions = [
            (j, column[parent], allowed, _allowed_table(self.axes[column[parent]], allowed))
            for j, p in enumerate(self.parameters)
            for parent, allowed in p.when.items()
        ]

    @property
    def parents(self) -> list[int]:
        """The columns of parameters that decide whether others are active, ascending."""
        return sorted({parent for _, parent, _, _ in self._conditions})

    def has_parameters(self, parameters: Sequence[ModelParameter]) -> bool:
        """Whether the space has these parameters."""
        return self.declared == tuple(parameters)

    def __len__(self) -> int:
        return len(self.parameters)

    def active(self, points: Array) -> Array:
        """Return which parameters are active at each point.

        Args:
            points: Coordinates, shape (n_points, n_parameters).

        Returns:
            Booleans of the same shape.
        """
        mask = np.ones(points.shape, bool)
        for child, parent, allowed, table in self._conditions:
            mask[:, child] &= mask[:, parent] & _is_allowed(
                self.axes[parent], table, allowed, points[:, parent]
            )
        return mask

    def encode(self, params: Mapping[str, Any], others: Array | None = None) -> Array:
        """Return the coordinates of one trial.

        Args:
            params: Values by name; unknown names are ignored.
            others: Coordinates for the parameters that `params` lacks, shape (n_parameters,); by
                default the middle of each axis.

        Raises:
            ValueError: If a value is not among the choices of its axis.
        """
        point = (self._middle if others is None else others).copy()
        for j, (parameter, axis) in enumerate(zip(self.parameters, self.axes, strict=True)):
            if parameter.name in params:
                point[j] = axis.encode(params[parameter.name])
        return point

    def decode(self, point: Array) -> dict[str, Any]:
        """Return the values of the active parameters at one point, shape (n_parameters,)."""
        mask = self.active(point[None, :])[0]
        return {
            p.name: axis.decode(float(point[j]))
            for j, (p, axis) in enumerate(zip(self.parameters, self.axes, strict=True))
            if mask[j]
        }

    def draw(self, quantiles: Array) -> Array:
        """Return points at `quantiles` in [0, 1), shape (n_points, n_parameters)."""
        columns = [axis.draw(quantiles[:, j]) for j, axis in enumerate(self.axes)]
        return np.stack(columns, axis=1) if columns else np.zeros((len(quantiles), 0))

    def draw_from_prior(self, quantiles: Array) -> Array:
        """Return points at `quantiles` of the priors; parameters without one as by `draw`."""
        points = self.draw(quantiles)
        for j, prior in enumerate(self.priors):
            if prior is not None:
                points[:, j] = self.axes[j].snap(prior.draw(quantiles[:, j]))
        return points

    def fill_inactive(self, points: Array, rng: np.random.Generator) -> Array:
        """Draw the inactive coordinates, so that a move to another branch has values there."""
        drawn = self.draw(rng.random((len(points), len(self))))
        return np.where(self.active(points), points, drawn)

    def log_prior(self, points: Array, active: Array) -> tuple[Array, Array]:
        """Return the logarithm of the density relative to a uniform one, and its slopes.

        Args:
            points: Coordinates, shape (n_points, n_parameters).
            active: Which parameters are active; others have no density. Of the same shape.

        Returns:
            Shapes (n_points,) and (n_points, n_parameters).
        """
        values, slopes = np.zeros(len(points)), np.zeros(points.shape)
        for j, prior in enumerate(self.priors):
            if prior is not None:
                value, slope = prior.log_ratio(points[:, j])
                values += np.where(active[:, j], value, 0.0)
                slopes[:, j] = np.where(active[:, j], slope, 0.0)
        return values, slopes

    def contradicts_priors(self, points: Array, values: Sequence[float]) -> bool:
        """Whether values are worse, in rank correlation, where the priors are denser.

        Args:
            points: Coordinates, shape (n_points, n_parameters).
            values: One for each point; smaller is better.
        """
        density = rankdata(self.log_prior(points, self.active(points))[0])
        return bool(density @ (rankdata(values) - (len(values) + 1) / 2) > 0)

    def snap(self, points: Array) -> Array:
        """Return the nearest points whose coordinates all belong to values."""
        return np.stack([a.snap(points[:, j]) for j, a in enumerate(self.axes)], axis=1)

    def contains(self, point: Array) -> bool:
        """Whether all coordinates of one point, shape (n_parameters,), belong to values."""
        return bool(np.allclose(self.snap(point[None, :])[0], point, rtol=0, atol=1e-9))

    def is_comparable(self, point: Array) -> bool:
        """Whether distances from one point, shape (n_parameters,), grow with its coordinates.

        A conditional number is on an arc, which far outside the range goes round the circle (see
        `kernel`).
        """
        bent = np.array([g >= 0 for g in self.groups]) & np.array(
            [axis.choices == 0 for axis in self.axes]
        )
        return bool((np.abs(point[bent] - 0.5) <= _MAX_ARC / 2).all())

    def keys(self, points: Array, active: Array) -> list[bytes]:
        """Return a key per point, equal if all active parameters are equal."""
        rows = np.where(active, np.round(points, 9) + 0.0, -1.0)
        return [row.tobytes() for row in rows]


def _sort_parents_first(parameters: Sequence[ModelParameter]) -> tuple[ModelParameter, ...]:
    """Sort parents before children; ValueError for an unknown parent or a cycle."""
    known = {p.name for p in parameters}
    for p in parameters:
        lost = [parent for parent in p.when if parent not in known]
        if lost:
            raise ValueError(f"{p.name}: its condition names unknown parameters: {lost}")
    ordered: dict[str, ModelParameter] = {}
    while len(ordered) < len(parameters):
        ready = [
            p for p in parameters if p.name not in ordered and all(n in ordered for n in p.when)
        ]
        if not ready:
            circle = sorted(known - ordered.keys())
            raise ValueError(f"The conditions of {', '.join(circle)} form a circle.")
        ordered.update({p.name: p for p in ready})
    return tuple(ordered.values())


def _condition_groups(parameters: tuple[ModelParameter, ...]) -> tuple[int, ...]:
    seen: list[dict[str, Container[Any]]] = []
    groups = []
    for p in parameters:
        condition = dict(p.when)
        if condition and condition not in seen:
            seen.append(condition)
        groups.append(seen.index(condition) if condition else -1)
    return tuple(groups)


def _allowed_table(axis: Axis, allowed: Container[Any]) -> Array | None:
    """Return for each value of a listed axis whether it is allowed."""
    if isinstance(axis, OrderedAxis):
        return np.array([_contains_value(value, allowed) for value in axis.values])
    if isinstance(axis, UnorderedAxis):
        return np.array([_contains_value(value, allowed) for value in axis.distribution.choices])
    return None


def _is_allowed(axis: Axis, table: Array | None, allowed: Container[Any], column: Array) -> Array:
    if table is None:
        return np.array([axis.decode(float(c)) in allowed for c in column], bool)
    index = axis.index(column) if isinstance(axis, OrderedAxis) else column.astype(int)
    return np.asarray(table[index])


def _contains_value(value: Any, allowed: Container[Any]) -> bool:
    """Whether `value in allowed`, with True and 1 different in a list of values."""
    if isinstance(allowed, tuple | list | set | frozenset):
        return any(isinstance(value, bool) == isinstance(a, bool) and value == a for a in allowed)
    return value in allowed
