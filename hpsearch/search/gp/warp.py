"""Warp scores monotonically to targets that suit a Gaussian process.

Scores of bad hyperparameters have heavy tails, and the differences that matter are those near the
best. The warp is `log(1 + (score - best) / offset)`, then mean 0 and variance 1. A large offset
compresses only the far tail; a small one works on orders of magnitude above the best. The offset is
learned with the kernel: as the warp has a density, the evidence of all offsets is compared in the
unit of the scores (Snelson, Rasmussen and Ghahramani, "Warped Gaussian processes", 2003). Smaller
is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .axes import Array

MAX_ERROR = 1e6  # largest target error, in standard deviations; squares of larger ones overflow
GUESS_VARIANCE = 1.0  # of a target whose error is infinite


@dataclass(frozen=True, slots=True)
class WarpedScores:
    """Warped scores, and their derivatives along the logarithm of the offset."""

    targets: Array  # shape (n,), mean 0, variance 1
    noise: Array  # known variances of the targets, shape (n,)
    log_density: float  # sum of the logarithms of the warp's slopes
    d_targets: Array  # derivatives along the logarithm of the offset, each of the same shape
    d_noise: Array
    d_log_density: float


@dataclass(frozen=True, slots=True)
class PlainScores:
    """Targets that are not warped, with mean 0 and variance 1 and without known errors."""

    gaps: Array  # the targets, shape (n,)
    smallest_gap: float = 1.0  # that bounds the offset, which has no effect here

    def warp(self, log_offset: float) -> WarpedScores:
        """Return the targets, whatever the offset."""
        zeros = np.zeros(len(self.gaps))
        return WarpedScores(self.gaps, zeros, 0.0, zeros, zeros, 0.0)


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores with their standard errors; smaller is better.

    Args:
        gaps: Scores above the best one in units of the median gap, shape (n,).
        errors: Standard errors in the same unit, infinite for a guess, shape (n,).
        best: The best score.
        unit: The median gap.
    """

    gaps: Array
    errors: Array
    best: float = 0.0
    unit: float = 1.0

    @classmethod
    def from_values(cls, values: Sequence[float], errors: Sequence[float]) -> Scores:
        """Create from finite values and their standard errors."""
        gaps = np.array(values) - min(values)
        positive = gaps[gaps > 0]
        unit = float(np.median(positive)) if len(positive) else 1.0
        return cls(gaps / unit, np.array(errors) / unit, min(values), unit)

    @property
    def smallest_gap(self) -> float:
        """The smallest gap that is not 0, which the scores resolve; 1 if all scores tie."""
        return (
            float(np.min(self.gaps, where=self.gaps > 0, initial=np.inf))
            if self.gaps.any()
            else 1.0
        )

    def subset(self, index: Sequence[int]) -> Scores:
        """Return some of the scores, with the same unit and best."""
        return Scores(self.gaps[index], self.errors[index], self.best, self.unit)

    def unwarp(self, targets: Array, log_offset: float) -> Array:
        """Invert `warp`: return the scores of `targets`."""
        offset = np.exp(log_offset)
        logs = np.log1p(self.gaps / offset)
        raised = np.expm1(targets * max(float(logs.std()), 1e-12) + logs.mean())
        return np.asarray(self.best + self.unit * offset * raised)

    def warp(self, log_offset: float) -> WarpedScores:
        """Warp the scores with the offset `exp(log_offset)`, in units of the median gap."""
        offset = np.exp(log_offset)
        raised = self.gaps + offset
        logs = np.log1p(self.gaps / offset)
        spread = max(float(logs.std()), 1e-12)
        targets = (logs - logs.mean()) / spread
        d_logs = -self.gaps / raised
        d_spread = float((targets * d_logs).mean())
        d_targets = (d_logs - d_logs.mean() - targets * d_spread) / spread
        guess = np.isinf(self.errors)
        slopes = 1.0 / (raised * spread)
        d_log_slopes = -offset / raised - d_spread / spread
        noise = np.minimum(np.where(guess, 0.0, self.errors * slopes), MAX_ERROR) ** 2
        return WarpedScores(
            targets=targets,
            noise=np.where(guess, GUESS_VARIANCE, noise),
            log_density=float(np.log(slopes).sum()),
            d_targets=d_targets,
            d_noise=np.where(guess, 0.0, 2.0 * noise * d_log_slopes),
            d_log_density=float(d_log_slopes.sum()),
        )
