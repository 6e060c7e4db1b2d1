"""Map the values of one parameter to coordinates.

An ordered axis runs from 0 to 1 on the parameter's own scale; an unordered one counts its choices.
A number outside the range, of a trial from before the range was narrowed, is below 0 or above 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

Array = np.ndarray[Any, np.dtype[Any]]

_ENUMERABLE = 4096  # axes with at most this many values are listed
_ROUNDING = 1e-9  # of coordinates


class Axis(Protocol):
    """Maps one parameter's values to coordinates and back."""

    @property
    def size(self) -> int:
        """Number of values; 0 if they are not listed."""
        ...

    @property
    def choices(self) -> int:
        """Number of unordered choices; 0 on an ordered axis."""
        ...

    def encode(self, value: Any) -> float:
        """Return the coordinate of `value`; below 0 or above 1 for a number outside the range."""
        ...

    def decode(self, coordinate: float) -> Any:
        """Return the value with the nearest coordinate."""
        ...

    def draw(self, quantiles: Array) -> Array:
        """Return coordinates of values at `quantiles` in [0, 1); all values are equally likely."""
        ...

    def snap(self, coordinates: Array) -> Array:
        """Return the nearest coordinates that belong to values."""
        ...


@dataclass(frozen=True, slots=True)
class ContinuousAxis:
    """A real number without a step, or an integer with too many values to list."""

    low: float
    high: float
    log: bool
    whole: bool
    size: int = 0
    choices: int = 0

    def encode(self, value: Any) -> float:
        low, high = self._transform(self.low), self._transform(self.high)
        if not high > low:
            return 0.0
        return (self._transform(float(value)) - low) / (high - low)

    def decode(self, coordinate: float) -> Any:
        low, high = self._transform(self.low), self._transform(self.high)
        position = low + min(max(coordinate, 0.0), 1.0) * (high - low)
        value = math.exp(position) if self.log else position
        value = min(max(value, self.low), self.high)  # exp(log(x)) may be outside the range
        return round(value) if self.whole else value

    def draw(self, quantiles: Array) -> Array:
        return self.snap(quantiles)

    def snap(self, coordinates: Array) -> Array:
        clipped = np.clip(coordinates, 0.0, 1.0 if self.high > self.low else 0.0)
        if not self.whole:
            return clipped
        return np.array([self.encode(self.decode(c)) for c in clipped])

    def _transform(self, value: float) -> float:
        return math.log(value) if self.log else float(value)


@dataclass(frozen=True, slots=True)
class OrderedAxis:
    """Listed values with an order: integers, steps, or choices that are numbers."""

    values: tuple[Any, ...]  # in order
    positions: Array  # shape (size,), ascending from 0 to 1
    edges: Array  # quantiles between the values, shape (size - 1,)
    indices: Mapping[Any, float]  # value -> position
    scale: ContinuousAxis | None = None  # for numbers that are not listed
    choices: int = 0

    @property
    def size(self) -> int:
        """Number of values."""
        return len(self.values)

    def encode(self, value: Any) -> float:
        place = self.indices.get(value)
        if place is not None:
            return place
        try:
            nearest = float(self.positions[int(np.argmin([abs(v - value) for v in self.values]))])
            exact = nearest if self.scale is None else self.scale.encode(value)
        except TypeError:
            raise ValueError(f"{value!r} is none of {self.values}") from None
        return nearest if abs(exact - nearest) < _ROUNDING else exact

    def decode(self, coordinate: float) -> Any:
        return self.values[int(np.argmin(np.abs(self.positions - coordinate)))]

    def draw(self, quantiles: Array) -> Array:
        return np.asarray(self.positions[np.searchsorted(self.edges, quantiles, side="right")])

    def snap(self, coordinates: Array) -> Array:
        return np.asarray(self.positions[self.index(coordinates)])

    def index(self, coordinates: Array) -> Array:
        """Return the index in `values` of the nearest value."""
        middles = (self.positions[1:] + self.positions[:-1]) / 2
        return np.searchsorted(middles, coordinates)


@dataclass(frozen=True, slots=True)
class UnorderedAxis:
    """Choices without an order; the coordinate is the index of the choice."""

    distribution: CategoricalDistribution

    @property
    def size(self) -> int:
        """Number of values."""
        return len(self.distribution.choices)

    @property
    def choices(self) -> int:
        """Number of unordered choices."""
        return len(self.distribution.choices)

    def encode(self, value: Any) -> float:
        return float(self.distribution.to_internal_repr(value))

    def decode(self, coordinate: float) -> Any:
        return self.distribution.choices[round(coordinate)]

    def draw(self, quantiles: Array) -> Array:
        return np.asarray(np.minimum(np.floor(quantiles * self.size), self.size - 1))

    def snap(self, coordinates: Array) -> Array:
        return np.asarray(np.clip(np.rint(coordinates), 0, self.size - 1))


def make_axis(distribution: BaseDistribution, meaning: tuple[Any, ...] | None = None) -> Axis:
    """Make the axis of an Optuna distribution.

    Args:
        distribution: A float, int or categorical one.
        meaning: As in `ModelParameter`.

    Raises:
        TypeError: If `distribution` is of another type.
    """
    if isinstance(distribution, CategoricalDistribution):
        return _categorical_axis(distribution, meaning)
    if isinstance(distribution, IntDistribution):
        count = (distribution.high - distribution.low) // distribution.step + 1
        if count > _ENUMERABLE:
            return ContinuousAxis(distribution.low, distribution.high, distribution.log, whole=True)
        return _ordered_axis(
            tuple(range(distribution.low, distribution.high + 1, distribution.step)),
            log=distribution.log,
        )
    if isinstance(distribution, FloatDistribution):
        step = distribution.step
        if step is None or (distribution.high - distribution.low) / step >= _ENUMERABLE:
            return ContinuousAxis(
                distribution.low, distribution.high, distribution.log, whole=False
            )
        count = round((distribution.high - distribution.low) / step) + 1
        values = (distribution.low + i * step for i in range(count))
        return _ordered_axis(tuple(min(v, distribution.high) for v in values), log=False)
    raise TypeError(f"Unknown distribution: {distribution!r}")


def _categorical_axis(
    distribution: CategoricalDistribution, meaning: tuple[Any, ...] | None
) -> Axis:
    choices = distribution.choices
    numbers: Sequence[Any] = choices if meaning is None else meaning
    codes = meaning is None and list(choices) == list(range(len(choices)))
    if codes or len(numbers) < 3 or not all(map(_is_number, numbers)):
        return UnorderedAxis(distribution)
    order = sorted(range(len(choices)), key=lambda i: numbers[i])
    # By rank, not by value: such lists may be powers as well as steps.
    return _ordered_axis_at(tuple(choices[i] for i in order), np.linspace(0, 1, len(order)))


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value)


def _ordered_axis_at(
    values: tuple[Any, ...],
    positions: Array,
    edges: Array | None = None,
    scale: ContinuousAxis | None = None,
) -> OrderedAxis:
    if edges is None:
        edges = np.arange(1, len(values)) / len(values)
    places = dict(zip(values, map(float, positions), strict=True))
    return OrderedAxis(values, positions, edges, places, scale)


def _ordered_axis(values: tuple[Any, ...], *, log: bool) -> OrderedAxis:
    if len(values) == 1:
        return _ordered_axis_at(values, np.zeros(1))
    raw = np.array(values, float)
    scaled = np.log(raw) if log else raw
    positions = (scaled - scaled[0]) / (scaled[-1] - scaled[0])
    scale = ContinuousAxis(values[0], values[-1], log, whole=False)
    if not log:
        return _ordered_axis_at(values, positions, scale=scale)
    # As Optuna draws log integers: each covers half a unit on either side.
    borders = np.log(np.concatenate([raw - 0.5, raw[-1:] + 0.5]))
    edges = (borders - borders[0]) / (borders[-1] - borders[0])
    return _ordered_axis_at(values, positions, edges[1:-1], scale)
