"""The Gaussian process of the trials that have ended, and the points that it proposes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .acquisition import Acquisition, maximize_acquisition, sample_candidates
from .axes import Array
from .kernel import Features
from .model import Posterior, fit_hyperparameters, fit_posterior
from .model_space import ModelSpace
from .observations import Observation
from .warp import Scores

_MAX_FIT = 100  # observations that hyperparameters are fitted to
_MAX_KEPT = 200  # observations that predictions rest on
_N_GLOBAL = 64  # candidates of a sampled function, from the whole space
_N_LOCAL = 16  # candidates around each of the best points


@dataclass(frozen=True, slots=True)
class TrialModel:
    """A process fitted to trials that have ended, whatever else is running."""

    space: ModelSpace
    features: Features
    points: Array  # of the observations it rests on, shape (n, n_parameters)
    posterior: Posterior
    mean: Array  # of the process at the points, shape (n,)
    scores: Scores  # of the observations
    log_offset: float  # of their warp

    def predict_scores(self, points: Array, deviations: Sequence[float]) -> list[Array]:
        """Scores, smaller being better, at `points` (m, n_parameters).

        Args:
            points: Of the space.
            deviations: How many standard deviations from the mean; 0 gives the median.

        Returns:
            Scores of shape (m,), for each of `deviations`.
        """
        mean, variance = self.posterior.predict(self.features(points, self.space.active(points)))
        spread = np.sqrt(variance)
        return [self.scores.unwarp(mean + d * spread, self.log_offset) for d in deviations]

    def propose_by_improvement(
        self, waiting: Array, allowed: Callable[[Array], bool], rng: np.random.Generator
    ) -> Array | None:
        """The allowed point of the largest expected improvement, None where there is none.

        Args:
            waiting: Points of running trials, shape (m, n_parameters). They count as if they had
                brought what is expected of them.
            allowed: Whether one point, shape (n_parameters,), may be proposed.
            rng: Of all draws.
        """
        space, posterior, mean = self.space, self.posterior, self.mean
        if len(waiting):
            rows = self.features(waiting, space.active(waiting))
            posterior = posterior.condition_on_mean(rows)
            everywhere = np.concatenate([self.points, waiting])
            mean, _ = posterior.predict(self.features(everywhere, space.active(everywhere)))
        centres = self._centres(mean[: len(self.points)], rng)
        acquisition = Acquisition(space, self.features, posterior, float(mean.min()))
        return maximize_acquisition(acquisition, centres, allowed, rng)

    def propose_by_sample(
        self, allowed: Callable[[Array], bool], rng: np.random.Generator
    ) -> Array | None:
        """The allowed candidate where a function drawn from the process is best, None without one.

        Thompson sampling: functions that differ send many trials at once to different places, and
        no running trial has to be taken into the model (Kandasamy et al., "Parallelised Bayesian
        optimisation via Thompson sampling", 2018). Costs the same however many are running.

        Args:
            allowed: Whether one point, shape (n_parameters,), may be proposed.
            rng: Of all draws; it stands for the function.
        """
        space = self.space
        centres = self._centres(self.mean, rng)
        pool = sample_candidates(space, centres, rng, n_global=_N_GLOBAL, n_local=_N_LOCAL)
        drawn = self.posterior.draw(self.features(pool, space.active(pool)), rng)
        return next((pool[i] for i in np.argsort(drawn, kind="stable") if allowed(pool[i])), None)

    def _centres(self, mean: Array, rng: np.random.Generator) -> Array:
        """The observed points, that of the best mean first.

        What a point lacks is drawn, so that a move to another branch has values there.
        """
        drawn = self.space.draw(rng.random((len(self.points), len(self.space))))
        centres = np.where(self.space.active(self.points), self.points, drawn)
        return centres[np.argsort(mean, kind="stable")]


def fit_trial_model(
    space: ModelSpace, seen: Sequence[Observation], points: Sequence[Array]
) -> TrialModel:
    """The model of trials that have ended.

    Args:
        space: Of the points.
        seen: The observations.
        points: The coordinates of each of them, shape (n_parameters,).
    """
    chosen = select_observations(seen, _MAX_KEPT)
    kept, coordinates = [seen[i] for i in chosen], np.array([points[i] for i in chosen])
    features = Features(space)
    rows = features(coordinates, space.active(coordinates))
    scores = Scores.from_values([o.value for o in kept], [o.error for o in kept])
    part = select_observations(kept, _MAX_FIT)
    found = fit_hyperparameters(rows[part], features.owners, scores.subset(part))
    posterior = fit_posterior(rows, features.owners, scores, found)
    mean = posterior.predict(rows)[0]
    return TrialModel(space, features, coordinates, posterior, mean, scores, found.log_offset)


def select_observations(seen: Sequence[Observation], limit: int) -> list[int]:
    """The positions of at most `limit` observations, ascending: the best half and the latest."""
    if len(seen) <= limit:
        return list(range(len(seen)))
    order = sorted(range(len(seen)), key=lambda i: seen[i].value)
    best = order[: limit // 2]
    rest = sorted(order[limit // 2 :])
    return sorted(best + rest[len(best) - limit :])
