"""Weigh processes of earlier studies and this study's own by how well they rank its trials.

The ranking-weighted ensemble of Feurer, Letham and Bakshy, "Scalable meta-learning for Bayesian
optimization using ranking-weighted Gaussian process ensembles", 2018. Only ranks are compared, so
the studies may have other data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .axes import Array
from .model import Posterior

_N_DRAWS = 256  # functions drawn from each process to weigh it
_DILUTION = 0.95  # quantile of this study's own loss that a process must reach


@dataclass(frozen=True, slots=True)
class ProcessEnsemble:
    """The weighted mean of processes; the last is this study's own.

    Its variance is that of the own process, since the earlier studies tell where to look, but not
    how sure this study's scores are. The sum of the weighted variances, as in the paper, lost more
    by misleading studies (benchmarks/warm_start.md).
    """

    members: tuple[Posterior, ...]
    weights: tuple[float, ...]

    def predict(self, features: Array) -> tuple[Array, Array]:
        """See `Posterior.predict`; the variance is that of this study's own process."""
        mean = np.zeros(len(features))
        for member, weight in zip(self.members, self.weights, strict=True):
            m, variance = member.predict(features[:, : len(member.scale)])
            mean += weight * m
        return mean, variance

    def predict_with_slopes(self, features: Array) -> tuple[Array, Array, Array, Array]:
        """See `Posterior.predict_with_slopes`."""
        mean, d_mean = np.zeros(len(features)), np.zeros(features.shape)
        for member, weight in zip(self.members, self.weights, strict=True):
            n = len(member.scale)
            m, variance, by_mean, d_variance = member.predict_with_slopes(features[:, :n])
            mean += weight * m
            d_mean[:, :n] += weight * by_mean
        return mean, variance, d_mean, d_variance

    def draw(self, features: Array, rng: np.random.Generator) -> Array:
        """See `Posterior.draw`."""
        return self.draw_many(features, 1, rng)[:, 0]

    def draw_many(self, features: Array, count: int, rng: np.random.Generator) -> Array:
        """See `Posterior.draw_many`."""
        own = self.members[-1]
        shift = self.predict(features)[0] - own.predict(features)[0]
        return np.asarray(own.draw_many(features, count, rng) + shift[:, None])

    def condition_on_mean(self, features: Array) -> ProcessEnsemble:
        """See `Posterior.condition_on_mean`; each process is conditioned on its own mean."""
        members = (m.condition_on_mean(features[:, : len(m.scale)]) for m in self.members)
        return replace(self, members=tuple(members))


Process = Posterior | ProcessEnsemble


def weigh_processes(
    own: Posterior, earlier: Sequence[Posterior], features: Array, values: Array, index: Array
) -> ProcessEnsemble:
    """Weigh each process by how often it ranks this study's trials best.

    Functions are drawn from each process, from this study's own leaving out each trial in turn. A
    process gets the share of draws in which it misranks the fewest pairs; ties are shared. A
    process gets no weight if its median loss is above the 95% quantile of the study's own, above
    the 5% quantile of a random order's.

    Args:
        own: The process of this study's trials.
        earlier: Those of earlier studies, without the progress of the training as a feature.
        features: Of the trials, at the end of the training, shape (n, n_features).
        values: Their scores, smaller is better, shape (n,).
        index: Their positions among the observations of `own`, shape (n,).
    """
    rng = np.random.default_rng(len(values))
    mean, variance = (part[index] for part in own.leave_one_out())
    noise = rng.standard_normal((len(values), _N_DRAWS))
    alone = mean[:, None] + np.sqrt(variance)[:, None] * noise
    drawn = [p.draw_many(features[:, : len(p.scale)], _N_DRAWS, rng) for p in earlier]
    losses = np.array([_count_misranked(d, values) for d in [*drawn, alone]])
    limit = min(float(np.quantile(losses[-1], _DILUTION)), _limit_of_chance(len(values)))
    losses[:-1][np.median(losses[:-1], axis=1) > limit] = np.inf
    best = losses == losses.min(axis=0)
    weights = (best / best.sum(axis=0)).mean(axis=1)
    kept = [i for i, weight in enumerate(weights) if weight > 0 or i == len(earlier)]
    members = [*earlier, own]
    return ProcessEnsemble(tuple(members[i] for i in kept), tuple(float(weights[i]) for i in kept))


def _limit_of_chance(n: int) -> float:
    """Return the 5% quantile of the pairs that a random order of `n` misranks (Kendall)."""
    pairs = n * (n - 1)
    return pairs / 4 - 1.645 * math.sqrt(pairs * (2 * n + 5) / 72)


def _count_misranked(drawn: Array, values: Array) -> Array:
    """Count the pairs that each drawn function, shape (n, count), ranks unlike `values`."""
    i, j = np.triu_indices(len(values), 1)
    wrong = (drawn[i] < drawn[j]) != (values[i] < values[j])[:, None]
    return np.asarray(wrong.sum(axis=0), float)
