"""Draw hyperparameters of the kernel from their posterior.

Many hyperparameters explain few trials about as well as the most probable ones, and predict other
ends of the trainings that were pruned. So the expected improvement is averaged over several draws
(Snoek, Larochelle and Adams, "Practical Bayesian optimization of machine learning algorithms",
2012).
"""

from __future__ import annotations

import math

import numpy as np

from .axes import Array
from .model import KernelHyperparameters, LogPosterior

_STEP = 0.6  # of a proposal along each direction at most, in standard deviations
_LENGTH = 2.4  # of a proposal, likewise (Roberts, Gelman and Gilks, 1997)
_MOVES_PER_DRAW = 8
_DIFFERENCE = 1e-3  # for the curvature at the mode


def draw_kernel_hyperparameters(
    log_posterior: LogPosterior,
    mode: KernelHyperparameters,
    count: int,
    rng: np.random.Generator,
) -> list[KernelHyperparameters]:
    """Draw hyperparameters by the Metropolis algorithm, from the most probable ones on.

    The proposals have the covariance of the Laplace approximation. The offset of the warp is that
    of the mode, so that the targets of all draws have the same unit.

    Args:
        log_posterior: The density, as it was maximized.
        mode: The most probable hyperparameters.
        count: Number of draws.
        rng: The source of all random draws.
    """
    theta = log_posterior.pack(mode)
    steps = _scale_proposals(log_posterior, theta)
    steps *= min(_STEP, _LENGTH / math.sqrt(len(steps)))
    current, found = log_posterior.value(theta), []
    for _ in range(count):
        for _ in range(_MOVES_PER_DRAW):
            moved = theta.copy()
            moved[:-1] += steps @ rng.standard_normal(len(steps))
            proposed = log_posterior.value(moved)
            if math.log1p(-rng.random()) < current - proposed:
                theta, current = moved, proposed
        found.append(log_posterior.unpack(theta))
    return found


def _scale_proposals(log_posterior: LogPosterior, mode: Array) -> Array:
    """Return a root of the covariance at the mode, without the offset of the warp.

    No direction is wider than the prior.
    """
    n = len(mode) - 1
    slopes = np.array(
        [log_posterior(mode + _DIFFERENCE * step)[1][:n] for step in np.eye(len(mode))[:n]]
    )
    curvature = (slopes - log_posterior(mode)[1][:n]) / _DIFFERENCE
    values, directions = np.linalg.eigh((curvature + curvature.T) / 2)
    least = log_posterior.prior_spread[:n].max() ** -2
    return np.asarray(directions / np.sqrt(np.maximum(values, least)))
