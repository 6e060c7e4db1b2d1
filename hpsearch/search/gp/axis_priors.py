"""Beliefs about good values: a density of each axis, relative to the uniform one.

Hvarfner et al., "PiBO: Augmenting acquisition functions with user beliefs for Bayesian
optimization", 2022: the acquisition is multiplied by the density to the power `TRUST / n` at trial
n, so a wrong prior loses its weight as the trials accumulate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from .axes import Array, Axis, OrderedAxis, UnorderedAxis

TRUST = 3.0  # the power at the first trial; PiBO has a tenth of the budget
SPREAD = 0.2  # standard deviation of a number's prior, as a share of its axis
UNIFORM_SHARE = 0.1  # share of the uniform distribution, which bounds what a wrong prior costs
_N_GRID = 513  # positions at which the distribution of a continuous axis is tabulated


class AxisPrior(Protocol):
    """The density of one axis, relative to the uniform one."""

    def log_ratio(self, coordinates: Array) -> tuple[Array, Array]:
        """Return the logarithm of the relative density, and its slopes along the coordinates."""
        ...

    def draw(self, quantiles: Array) -> Array:
        """Return coordinates at `quantiles` in [0, 1) of the distribution."""
        ...


@dataclass(frozen=True, slots=True)
class BellPrior:
    """A normal distribution around a coordinate of an ordered axis, within its ends."""

    middle: float
    positions: Array  # at which it is tabulated, ascending
    scale: float  # mean of the curve over the axis

    @classmethod
    def around(cls, axis: Axis, value: Any) -> BellPrior:
        """Make the prior of an axis on which `value` is expected."""
        positions = axis.positions if isinstance(axis, OrderedAxis) else np.linspace(0, 1, _N_GRID)
        middle = axis.encode(value)
        return cls(middle, positions, float(_bell(positions, middle).mean()))

    def log_ratio(self, coordinates: Array) -> tuple[Array, Array]:
        curve = (1 - UNIFORM_SHARE) * _bell(coordinates, self.middle) / self.scale
        density = curve + UNIFORM_SHARE
        return np.log(density), -curve * (coordinates - self.middle) / SPREAD**2 / density

    def draw(self, quantiles: Array) -> Array:
        weights = np.exp(self.log_ratio(self.positions)[0])
        return np.asarray(self.positions[_find_quantiles(weights, quantiles)])


@dataclass(frozen=True, slots=True)
class TablePrior:
    """A probability for each value of a listed axis."""

    axis: OrderedAxis | UnorderedAxis
    ratios: Array  # relative to equal probabilities, in the axis's order

    @classmethod
    def from_weights(
        cls, axis: Axis, choices: Sequence[Any], weights: Sequence[float]
    ) -> AxisPrior:
        """Make the prior of an axis over `choices`; `weights` are positive, in their order."""
        assert isinstance(axis, OrderedAxis | UnorderedAxis)
        values = axis.values if isinstance(axis, OrderedAxis) else tuple(choices)
        ordered = np.array([weights[list(choices).index(v)] for v in values])
        return cls(axis, ordered / ordered.mean())

    def log_ratio(self, coordinates: Array) -> tuple[Array, Array]:
        return np.log(self.ratios[self._index(coordinates)]), np.zeros(len(coordinates))

    def draw(self, quantiles: Array) -> Array:
        found = _find_quantiles(self.ratios, quantiles)
        return self.axis.positions[found] if isinstance(self.axis, OrderedAxis) else found + 0.0

    def _index(self, coordinates: Array) -> Array:
        if isinstance(self.axis, OrderedAxis):
            return self.axis.index(coordinates)
        return coordinates.astype(int)


def make_axis_prior(axis: Axis, distribution: BaseDistribution, prior: Any) -> AxisPrior | None:
    """Make the prior of an axis; `prior` is as in `ModelParameter`."""
    if prior is None:
        return None
    if isinstance(distribution, CategoricalDistribution):
        return TablePrior.from_weights(axis, distribution.choices, prior)
    return BellPrior.around(axis, prior)


def _bell(coordinates: Array, middle: float) -> Array:
    return np.asarray(np.exp(-0.5 * ((coordinates - middle) / SPREAD) ** 2))


def _find_quantiles(weights: Array, quantiles: Array) -> Array:
    cumulative = np.cumsum(weights)
    found = np.searchsorted(cumulative, quantiles * cumulative[-1], side="right")
    return np.asarray(np.minimum(found, len(weights) - 1))
