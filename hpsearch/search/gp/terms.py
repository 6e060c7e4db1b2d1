"""The terms of an acquisition function: logarithms that are added.

Each has a value and derivatives along the features of the points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import erfcx, log_ndtr

from .axes import Array
from .model import Posterior
from .process_ensemble import Process

_ROOT_2PI = math.sqrt(2 * math.pi)


class Term(Protocol):
    """A logarithm that an acquisition function adds."""

    def values(self, rows: Array) -> Array:
        """Return the values, shape (n,), at features `rows` (n, n_features)."""
        ...

    def with_slopes(self, rows: Array) -> tuple[Array, Array]:
        """Return the values (n,) and their derivatives along the features (n, n_features)."""
        ...


@dataclass(frozen=True, slots=True)
class Improvement:
    """The logarithm of the expected improvement below `best`."""

    posterior: Process
    best: float

    def values(self, rows: Array) -> Array:
        """See `Term`."""
        return log_expected_improvement(*self.posterior.predict(rows), self.best)[0]

    def with_slopes(self, rows: Array) -> tuple[Array, Array]:
        """See `Term`."""
        mean, variance, d_mean, d_variance = self.posterior.predict_with_slopes(rows)
        value, by_mean, by_variance = log_expected_improvement(mean, variance, self.best)
        return value, by_mean[:, None] * d_mean + by_variance[:, None] * d_variance


@dataclass(frozen=True, slots=True)
class Feasibility:
    """The logarithm of the probability that a constraint's value is at most `threshold`.

    Added to the improvement as in Gardner et al., "Bayesian optimization with inequality
    constraints", 2014. Without a feasible trial it is all that is maximized (Gelbart, Snoek and
    Adams, "Bayesian optimization with unknown constraints", 2014).
    """

    posterior: Posterior
    threshold: float

    def values(self, rows: Array) -> Array:
        """See `Term`."""
        mean, variance = self.posterior.predict(rows)
        return np.asarray(log_ndtr((self.threshold - mean) / np.sqrt(variance)))

    def with_slopes(self, rows: Array) -> tuple[Array, Array]:
        """See `Term`."""
        mean, variance, d_mean, d_variance = self.posterior.predict_with_slopes(rows)
        sigma = np.sqrt(variance)
        u = (self.threshold - mean) / sigma
        value = log_ndtr(u)
        hazard = np.exp(-0.5 * u * u - math.log(_ROOT_2PI) - value)
        by_mean, by_variance = -hazard / sigma, -hazard * u / (2 * variance)
        return value, by_mean[:, None] * d_mean + by_variance[:, None] * d_variance


def log_expected_improvement(
    mean: Array, variance: Array, best: float
) -> tuple[Array, Array, Array]:
    """Return the logarithm of the expected improvement below `best`, and its derivatives.

    Stable even if the improvement underflows (Ament et al., "Unexpected improvements to
    expected improvement for Bayesian optimization", 2023).

    Args:
        mean: Means of the function, shape (n,).
        variance: Variances of the function, shape (n,).
        best: The value to improve on.

    Returns:
        The logarithm, its derivative along the mean and along the variance, each of shape (n,).
    """
    sigma = np.sqrt(variance)
    u = (best - mean) / sigma
    log_density = -0.5 * u * u - math.log(_ROOT_2PI)
    near = np.maximum(u, -1.0)
    far = np.minimum(u, -1.0)
    direct = np.log(np.exp(-0.5 * near * near) / _ROOT_2PI + near * np.exp(log_ndtr(near)))
    mills = math.sqrt(math.pi / 2) * erfcx(-far / math.sqrt(2))
    rest = np.where(far > -1e4, 1.0 + far * mills, 1.0 / (far * far))
    tail = log_density + np.log(np.maximum(rest, 1e-300))
    log_h = np.where(u > -1.0, direct, tail)
    by_mean = -np.exp(log_ndtr(u) - log_h) / sigma
    by_sigma = np.exp(log_density - log_h) / sigma
    return np.log(sigma) + log_h, by_mean, by_sigma / (2 * sigma)
