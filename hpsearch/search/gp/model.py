"""Fit the hyperparameters of the Gaussian process, and predict with it.

Works on rows of features. Targets should have about mean 0 and variance 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack
from scipy.optimize import minimize

from .axes import Array
from .kernel import matern52, matern52_values, squared_distances
from .warp import PlainScores, Scores

# Priors over logarithms: (mean, standard deviation). Lengthscales after Hvarfner, Hellsten and
# Nardi, "Vanilla Bayesian optimization performs great in high dimensions", 2024: they grow with
# the root of the number of dimensions, so that a wide space starts smooth.
_LENGTH_MEAN, _LENGTH_SPREAD = math.log(0.5), 1.2
_SIGNAL_PRIOR = (0.0, 1.0)
_NOISE_PRIOR = (math.log(1e-3), 2.0)
_OFFSET_PRIOR = (1.0, 2.0)  # of the warp, in units of the median gap to the best score
_NOISE_FLOOR = 1e-6
_DRAW_JITTER = 1e-8  # variance that keeps the covariance of nearby points positive
_MEAN_VARIANCE = 1.0  # of the unknown constant mean, which is integrated out
_TREND_VARIANCE = 1.0  # of the mean's unknown slope along the progress of the training, likewise
_LOG_BOUND = 12.0  # on every logarithm
_MAX_ITERATIONS = 40


@dataclass(frozen=True, slots=True)
class KernelHyperparameters:
    """The hyperparameters that a fit determines."""

    weights: Array  # inverse squared lengthscales, shape (n_weights,)
    signal: float  # variance of the function
    noise: float  # variance of an observation beyond its known noise
    log_offset: float  # of the warp of the scores


@dataclass(frozen=True, slots=True)
class Posterior:
    """The process given its observations."""

    scale: Array  # factors of the features, shape (n_features,)
    rows: Array  # scaled features of the observations, shape (n, n_features)
    targets: Array  # shape (n,)
    noise: Array  # variances of the observations, shape (n,)
    signal: float
    trend: float  # deviation of the mean's slope along the last scaled feature; 0: it has none
    factor: Array  # lower Cholesky factor, shape (n, n)
    inverse_factor: Array  # its inverse: products with it are faster than solving
    alpha: Array  # inverse covariance times targets, shape (n,)

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Return mean and variance of the function, each of shape (m,), at `features` (m, f)."""
        rows = features * self.scale
        return self._mean_and_variance(self._covariances(rows), rows)[:2]

    def predict_with_slopes(self, features: Array) -> tuple[Array, Array, Array, Array]:
        """Return mean, variance (m,) and their derivatives along the features (m, f).

        Derivatives along the progress of the training lack the trend's.
        """
        rows = features * self.scale
        kernel, slope = matern52(squared_distances(rows, self.rows))
        slope *= self.signal
        cross = self.signal * kernel + _mean_covariance(rows, self.rows, self.trend)
        mean, variance, whitened = self._mean_and_variance(cross, rows)

        def along(weights: Array) -> Array:
            """Return the derivative of sum_i weights_i * k(x, x_i) along each feature."""
            c = 2.0 * weights * slope
            return np.asarray((c.sum(1)[:, None] * rows - c @ self.rows) * self.scale)

        solved = whitened @ self.inverse_factor
        return mean, variance, along(self.alpha[None, :]), -2.0 * along(solved)

    def draw(self, features: Array, rng: np.random.Generator) -> Array:
        """Draw one function from the process; return its values (m,) at `features` (m, f)."""
        mean, factor = self._joint_distribution(features)
        return np.asarray(mean + factor @ rng.standard_normal(len(mean)))

    def draw_many(self, features: Array, count: int, rng: np.random.Generator) -> Array:
        """Draw functions from the process; return values (m, count) at `features` (m, f)."""
        mean, factor = self._joint_distribution(features)
        return np.asarray(mean[:, None] + factor @ rng.standard_normal((len(mean), count)))

    def _joint_distribution(self, features: Array) -> tuple[Array, Array]:
        """Return mean (m,) and lower Cholesky factor (m, m) of the values at `features` (m, f)."""
        rows = features * self.scale
        cross = self._covariances(rows)
        prior = self.signal * matern52_values(squared_distances(rows, rows))
        prior += _mean_covariance(rows, rows, self.trend)
        whitened = cross @ self.inverse_factor.T
        factor = _cholesky(prior - whitened @ whitened.T, np.full(len(rows), _DRAW_JITTER))
        return cross @ self.alpha, factor

    def condition_on_mean(self, features: Array) -> Posterior:
        """Return the process conditioned on its own mean at `features` (m, f).

        The kriging believer for pending trials (Ginsbourger, Le Riche and Carraro, 2010).
        """
        mean, _ = self.predict(features)
        rows = np.concatenate([self.rows, features * self.scale])
        targets = np.concatenate([self.targets, mean])
        noise = np.concatenate([self.noise, np.full(len(mean), self.noise.min())])
        return _solve_posterior(self.scale, rows, targets, noise, self.signal, self.trend)

    def leave_one_out(self) -> tuple[Array, Array]:
        """Return mean and variance of each observation given all others, each of shape (n,)."""
        inverse = np.diag(_inverse_from_factor(self.factor))
        return self.targets - self.alpha / inverse, 1.0 / inverse

    def _covariances(self, rows: Array) -> Array:
        """Return the covariances (m, n) of the function at scaled `rows` with the observations."""
        kernel = matern52_values(squared_distances(rows, self.rows))
        kernel *= self.signal
        kernel += _mean_covariance(rows, self.rows, self.trend)
        return kernel

    def _mean_and_variance(self, cross: Array, rows: Array) -> tuple[Array, Array, Array]:
        """Return mean, variance (m,), and the inverse factor times `cross` (m, n)."""
        whitened = cross @ self.inverse_factor.T
        prior = self.signal + _MEAN_VARIANCE + (self.trend * rows[:, -1]) ** 2
        variance = prior - np.einsum("ij,ij->i", whitened, whitened)
        return cross @ self.alpha, np.maximum(variance, 1e-10), whitened


def _mean_covariance(a: Array, b: Array, trend: float) -> Array | float:
    """Compute the covariance of the mean at rows `a` (n, f) and `b` (m, f), shape (n, m)."""
    if trend == 0.0:
        return _MEAN_VARIANCE
    return _MEAN_VARIANCE + np.outer(trend * a[:, -1], trend * b[:, -1])


def fit_posterior(
    features: Array,
    owners: Array,
    scores: Scores | PlainScores,
    found: KernelHyperparameters,
    *,
    has_progress: bool = False,
) -> Posterior:
    """Condition the process with `found` hyperparameters on observations.

    Args:
        features: Shape (n, n_features).
        owners: The weight of each feature, shape (n_features,).
        scores: Scores of n trials.
        found: From `fit_hyperparameters`.
        has_progress: Whether the last feature is the progress of the training.
    """
    scale = np.sqrt(found.weights)[owners]
    warped = scores.warp(found.log_offset)
    noise = found.noise + warped.noise
    trend = math.sqrt(_TREND_VARIANCE) / float(scale[-1]) if has_progress else 0.0
    return _solve_posterior(scale, features * scale, warped.targets, noise, found.signal, trend)


def _solve_posterior(
    scale: Array, rows: Array, targets: Array, noise: Array, signal: float, trend: float
) -> Posterior:
    covariance = signal * matern52_values(squared_distances(rows, rows))
    factor = _cholesky(covariance + _mean_covariance(rows, rows, trend), noise)
    inverse_factor, _ = lapack.dtrtri(factor, lower=1)
    alpha, _ = lapack.dpotrs(factor, targets, lower=1)
    return Posterior(scale, rows, targets, noise, signal, trend, factor, inverse_factor, alpha)


def _cholesky(covariance: Array, noise: Array) -> Array:
    """Compute the lower Cholesky factor, increasing the diagonal until it exists."""
    jitter = 1e-10
    while True:
        matrix = covariance.copy()
        matrix[np.diag_indices_from(matrix)] += noise + jitter
        factor, info = lapack.dpotrf(matrix, lower=1, clean=1)
        if info == 0:
            return np.asarray(factor)
        jitter *= 100


def _inverse_from_factor(factor: Array) -> Array:
    """Compute the inverse from a lower factor; only its lower triangle is filled."""
    inverse, _ = lapack.dpotri(factor, lower=1)
    return np.asarray(inverse)


def fit_hyperparameters(
    features: Array, owners: Array, scores: Scores | PlainScores, *, has_progress: bool = False
) -> KernelHyperparameters:
    """Find the most probable hyperparameters, with the warp's, by L-BFGS with exact gradients.

    Args:
        features: Shape (n, n_features).
        owners: The weight of each feature, shape (n_features,).
        scores: Scores of n trials.
        has_progress: Whether the last feature is the progress of the training.
    """
    posterior = LogPosterior(features, owners, scores, has_progress=has_progress)
    start = posterior.prior_mean
    # Of trials that tie at the best, the warp's density grows without end as its offset shrinks.
    low = max(-_LOG_BOUND, min(math.log(scores.smallest_gap), float(start[-1])))
    result = minimize(
        posterior,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(-_LOG_BOUND, _LOG_BOUND)] * (len(start) - 1) + [(low, _LOG_BOUND)],
        options={"maxiter": _MAX_ITERATIONS, "ftol": 1e-6, "gtol": 1e-3},
    )
    return posterior.unpack(result.x)


class LogPosterior:
    """The negative log posterior of the hyperparameters' logarithms, and its gradient.

    Only the lower triangle of every matrix is used, as a vector of its entries.
    """

    def __init__(
        self,
        features: Array,
        owners: Array,
        scores: Scores | PlainScores,
        *,
        has_progress: bool = False,
    ) -> None:
        n, self.n_weights = len(features), int(owners.max()) + 1
        self.lower = np.tril_indices(n, -1)
        self.flat = self.lower[0] * n + self.lower[1]
        squares = (features[self.lower[0]] - features[self.lower[1]]) ** 2
        owned = owners[:, None] == np.arange(self.n_weights)
        self.squares = squares @ owned.astype(float)  # shape (n_pairs, n_weights)
        self.scores = scores
        trend = math.sqrt(_TREND_VARIANCE) if has_progress else 0.0
        means = np.broadcast_to(_mean_covariance(features, features, trend), (n, n))
        self.mean_pairs, self.mean_variances = means[self.lower], np.diag(means)
        length = _LENGTH_MEAN + 0.5 * math.log(self.n_weights)
        others = (_SIGNAL_PRIOR, _NOISE_PRIOR, _OFFSET_PRIOR)
        self.prior_mean = np.array([-2 * length] * self.n_weights + [m for m, _ in others])
        self.prior_spread = np.array([2 * _LENGTH_SPREAD] * self.n_weights + [s for _, s in others])

    def unpack(self, theta: Array) -> KernelHyperparameters:
        """Convert logarithms, shape (n_weights + 3,), to hyperparameters."""
        signal, noise, log_offset = theta[self.n_weights :]
        return KernelHyperparameters(
            weights=np.exp(theta[: self.n_weights]),
            signal=float(np.exp(signal)),
            noise=float(np.exp(noise)) + _NOISE_FLOOR,
            log_offset=float(log_offset),
        )

    def __call__(self, theta: Array) -> tuple[float, Array]:
        """Return value and gradient at the logarithms `theta`, shape (n_weights + 3,)."""
        h, n = self.unpack(theta), len(self.scores.gaps)
        warped = self.scores.warp(h.log_offset)
        kernel, slope = matern52(self.squares @ h.weights)
        matrix = np.zeros((n, n))
        matrix.reshape(-1)[self.flat] = h.signal * kernel + self.mean_pairs
        matrix[np.diag_indices(n)] = h.signal + self.mean_variances + h.noise + warped.noise
        factor, info = lapack.dpotrf(matrix, lower=1, clean=0)
        if info != 0:
            return 1e25, np.zeros_like(theta)
        alpha, _ = lapack.dpotrs(factor, warped.targets, lower=1)
        inverse = _inverse_from_factor(factor)
        deviation = (theta - self.prior_mean) / self.prior_spread
        value = (
            0.5 * float(warped.targets @ alpha)
            + float(np.log(np.diag(factor)).sum())
            - warped.log_density
            + 0.5 * float(deviation @ deviation)
        )
        # The derivative along the covariance is (K^-1 - alpha alpha') / 2; pairs count twice.
        outer = alpha[self.lower[0]] * alpha[self.lower[1]]
        pairs = np.ascontiguousarray(inverse).reshape(-1)[self.flat] - outer
        diagonal = 0.5 * (np.diag(inverse) - alpha * alpha)
        total = float(diagonal.sum())
        gradient = np.empty_like(theta)
        gradient[: self.n_weights] = h.signal * ((pairs * slope) @ self.squares) * h.weights
        gradient[-3] = h.signal * (float(pairs @ kernel) + total)
        gradient[-2] = (h.noise - _NOISE_FLOOR) * total
        gradient[-1] = (
            float(alpha @ warped.d_targets)
            + float(diagonal @ warped.d_noise)
            - warped.d_log_density
        )
        return value, gradient + deviation / self.prior_spread
