"""Model ended trials by a Gaussian process.

The progress of the training is one more feature of an observation, so scores of trials that were
trained in part tell something of scores at the end (as in Swersky, Snoek and Adams, "Multi-task
Bayesian optimization", 2013, and Klein et al., "Fast Bayesian optimization of machine learning
hyperparameters on large datasets", 2017). Predictions are for the training's end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from threadpoolctl import ThreadpoolController

from .acquisition import sample_candidates
from .axes import Array
from .kernel import Features
from .model import fit_hyperparameters, fit_posterior
from .model_space import ModelSpace
from .observations import Observation
from .process_ensemble import Process
from .warp import Scores

_MAX_FIT = 100  # observations for fitting hyperparameters
MAX_KEPT = 200  # observations for predictions
N_LOCAL = 16  # candidates around each of the best points, for functions drawn from a process
_N_GAIN = 256  # candidates of the expected gain, from the whole space
_N_FUNCTIONS = 64  # drawn for it


@dataclass(frozen=True, slots=True)
class TrialModel:
    """A process fitted to ended trials; running trials do not change it."""

    space: ModelSpace
    features: Features
    observations: Sequence[Observation]
    points: Array  # of the observations, shape (n, n_parameters)
    posterior: Process
    mean: Array  # of the process at the points, at the end of the training, shape (n,)
    scores: Scores  # of the observations
    log_offset: float  # of their warp

    def predict_scores(self, points: Array, deviations: Sequence[float]) -> list[Array]:
        """Predict scores at `points` (m, n_parameters); smaller is better.

        Args:
            points: Points of the space.
            deviations: Standard deviations from the mean; 0 gives the median.

        Returns:
            Scores of shape (m,), for each of `deviations`.
        """
        mean, variance = self.posterior.predict(self.features(points, self.space.active(points)))
        spread = np.sqrt(variance)
        return [self.scores.unwarp(mean + d * spread, self.log_offset) for d in deviations]

    def expected_gain(self, rng: np.random.Generator) -> float:
        """Return the expected difference between the best observed point and the best of all.

        The mean over functions drawn from the process at candidates, in the unit of the score:
        the expected simple regret of stopping now.

        Args:
            rng: The source of all random draws.
        """
        space = self.space
        centres = space.fill_inactive(self.points, rng)[np.argsort(self.mean, kind="stable")]
        pool = sample_candidates(space, centres, rng, n_global=_N_GAIN, n_local=N_LOCAL)
        points = np.concatenate([self.points, pool])
        drawn = self.posterior.draw_many(
            self.features(points, space.active(points)), _N_FUNCTIONS, rng
        )
        incumbent, best = drawn[int(np.argmin(self.mean))], drawn.min(axis=0)
        before, after = (self.scores.unwarp(v, self.log_offset) for v in (incumbent, best))
        return float(np.mean(before - after))


@cache
def blas_controller() -> ThreadpoolController:
    """Return the controller of the threads of NumPy's and SciPy's libraries.

    On matrices of 200 rows, synchronizing threads takes longer than the work, and many times longer
    on busy cores.
    """
    return ThreadpoolController().select(user_api="blas")


def fit_trial_model(
    space: ModelSpace,
    seen: Sequence[Observation],
    points: Sequence[Array],
    *,
    has_progress: bool | None = None,
) -> TrialModel:
    """Fit the model of ended trials.

    Args:
        space: The space of the points.
        seen: The observations.
        points: The coordinates of each of them, shape (n_parameters,).
        has_progress: Whether there is a feature for the progress of the training; None: if the
            observations differ in it.
    """
    chosen = select_observations(seen, MAX_KEPT)
    kept, coordinates = [seen[i] for i in chosen], np.array([points[i] for i in chosen])
    progress, active = np.array([o.progress for o in kept]), space.active(coordinates)
    if has_progress is None:
        has_progress = bool(progress.any())
    features = Features(space, has_progress=has_progress)
    rows = features(coordinates, active, progress)
    scores = Scores.from_values([o.value for o in kept], [o.error for o in kept])
    part = select_observations(kept, _MAX_FIT)
    found = fit_hyperparameters(
        rows[part], features.owners, scores.subset(part), has_progress=has_progress
    )
    posterior = fit_posterior(rows, features.owners, scores, found, has_progress=has_progress)
    mean = posterior.predict(features(coordinates, active))[0]
    return TrialModel(space, features, kept, coordinates, posterior, mean, scores, found.log_offset)


def select_observations(seen: Sequence[Observation], limit: int) -> list[int]:
    """Select at most `limit` observations, half the best, half the latest; ascending indices."""
    if len(seen) <= limit:
        return list(range(len(seen)))
    order = sorted(range(len(seen)), key=lambda i: seen[i].value)
    best = order[: limit // 2]
    rest = sorted(order[limit // 2 :])
    return sorted(best + rest[len(best) - limit :])
