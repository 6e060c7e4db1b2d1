"""A Gaussian process sampler for any Optuna study.

Decides what a trial tries from the study's trials alone. Knows nothing of how they are trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import qmc
from threadpoolctl import ThreadpoolController

from ...compat.optuna import trial_key, trials_of
from .acquisition import Acquisition, maximize_acquisition
from .axes import Array, make_axis
from .inferred_conditions import infer_parameters
from .kernel import Features
from .model import KernelHyperparameters, fit_hyperparameters, fit_posterior
from .model_space import ModelParameter, ModelSpace
from .observations import Observation, collect_observations
from .warp import Scores

_N_STARTUP = 12  # Sobol points, where the budget allows it
_MAX_FIT = 100  # observations that hyperparameters are fitted to
_MAX_KEPT = 200  # observations that predictions rest on
_MIN_OBSERVATIONS = 3  # observations that a model needs
_MAX_TRIES = 256  # random points before a feasibility constraint counts as unsatisfiable


class GaussianProcessSampler(BaseSampler):
    """Bayesian optimization over mixed and conditional spaces.

    A scrambled Sobol sequence starts. Then a Gaussian process with a Matérn-5/2 kernel and a
    learned warp of the scores is fitted to the trials, and the next trial is where the expected
    improvement is largest. Pending trials count as if they had brought what is expected of them.
    Pruned and failed trials are used (see `observations.collect_observations`). No point is tried
    twice.

    A suggestion depends on the seed, the trial's number and the other trials alone: a study that
    is stopped and continued with a new sampler equals one that never stopped.

    Several objectives become one by weights drawn anew at each ask (ParEGO; see
    `observations.combine_objectives`).

    Where a trial's score is a mean over folds, its fold scores belong into its user attribute
    `fold_scores` (the same folds in every trial); where its standard error is known otherwise,
    that belongs into `score_sem`. See `observations.standard_errors`.

    An ask at 100 trials takes about 30 ms of processor time. The model is fitted to at most 100
    trials and rests on at most 200, the best and the latest; beyond, only reading the trials
    grows.

    Args:
        seed: Of all draws.
        space: All parameters with their conditions. Without it they are read from the trials:
            the first trial is random, and a branch is known once a trial took it.
        feasible: Whether a point, given as its values, may be tried. Where 256 draws bring no
            feasible point, an infeasible one is suggested.
        budget: How many trials there will be; a quarter of it, 4 to 12, is the Sobol start.
        startup: How many trials the Sobol start has, whatever the budget; 12 without either.

    Examples:
        >>> import optuna
        >>> study = optuna.create_study(sampler=GaussianProcessSampler(seed=0))
        >>> study.optimize(lambda trial: trial.suggest_float("x", -5, 5) ** 2, n_trials=25)
        >>> study.best_value < 0.01
        True
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        space: Sequence[ModelParameter] | None = None,
        feasible: Callable[[dict[str, Any]], bool] | None = None,
        budget: int | None = None,
        startup: int | None = None,
    ) -> None:
        self._seed = seed
        self._declared = None if space is None else ModelSpace(tuple(space))
        self._feasible = feasible
        usual = _N_STARTUP if budget is None else max(4, min(_N_STARTUP, budget // 4))
        self._start = usual if startup is None else startup
        # Memory of pure functions: it makes asks quicker and changes none.
        self._last_fit: tuple[object, KernelHyperparameters] | None = None
        self._inferred: tuple[object, ModelSpace] | None = None  # trial, its space
        self._encoded_space: ModelSpace | None = None
        self._encoded: dict[object, tuple[Array, bytes] | None] = {}

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """All parameters: of the declared space, or of any earlier trial."""
        return {p.name: p.distribution for p in self._current_space(study, trial).parameters}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The values of every parameter that exists at the proposed point.

        Values that were enqueued for the trial decide which others exist.
        """
        if not search_space:
            return {}
        space = self._current_space(study, trial)
        with _thread_controller().limit(limits=1):
            point = self._propose(study, trial.number, space, _other_trials(study, trial))
        return space.decode(space.encode(trial.system_attrs.get("fixed_params", {}), point))

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A random value, for parameters of which nothing was known when the trial began."""
        axis = make_axis(param_distribution)
        rng = np.random.default_rng([self._seed, trial.number, *param_name.encode()])
        return axis.decode(float(axis.draw(rng.random(1))[0]))

    def _current_space(self, study: Study, trial: FrozenTrial) -> ModelSpace:
        if self._declared is not None:
            return self._declared
        asking = trial_key(trial)
        if self._inferred is None or self._inferred[0] != asking:
            parameters = infer_parameters(_other_trials(study, trial))
            space = None if self._inferred is None else self._inferred[1]
            if space is None or not space.has_parameters(parameters):
                space = ModelSpace(parameters)
            self._inferred = (asking, space)
        return self._inferred[1]

    def _propose(
        self, study: Study, number: int, space: ModelSpace, trials: list[FrozenTrial]
    ) -> Array:
        """The coordinates of trial `number` after the other `trials`."""
        rng = np.random.default_rng([self._seed, number])
        encoded = self._encode_trials(space, [t for t in trials if t.params])
        taken = {key for _, key in encoded.values()}

        def allowed(point: Array) -> bool:
            key = space.keys(point[None, :], space.active(point[None, :]))[0]
            return key not in taken and self._is_feasible(space, point)

        maximize = [direction == StudyDirection.MAXIMIZE for direction in study.directions]
        weights = rng.dirichlet(np.ones(len(maximize))).tolist() if len(maximize) > 1 else [1.0]
        told = collect_observations(trials, maximize=maximize, weights=weights)
        seen = [o for o in told if o.number in encoded]
        pending = [
            t.number for t in trials if t.state == TrialState.RUNNING and t.number in encoded
        ]
        point = None
        if len(seen) >= _MIN_OBSERVATIONS and len(seen) + len(pending) >= self._start:
            kept = [seen[i] for i in select_observations(seen, _MAX_KEPT)]
            points = np.array([encoded[o.number][0] for o in kept])
            waiting = np.array([encoded[n][0] for n in pending]).reshape(-1, len(space))
            point = self._propose_by_model(space, kept, points, waiting, allowed, rng)
        return self._startup_point(space, number, allowed, rng) if point is None else point

    def _propose_by_model(
        self,
        space: ModelSpace,
        kept: list[Observation],
        points: Array,
        waiting: Array,
        allowed: Callable[[Array], bool],
        rng: np.random.Generator,
    ) -> Array | None:
        """The allowed point of the largest expected improvement, None where there is none."""
        features = Features(space)
        rows = features(points, space.active(points))
        scores = Scores.from_values([o.value for o in kept], [o.error for o in kept])
        found = self._fit_cached(features, rows, scores, select_observations(kept, _MAX_FIT))
        posterior = fit_posterior(rows, features.owners, scores, found)
        if len(waiting):
            posterior = posterior.condition_on_mean(features(waiting, space.active(waiting)))
        everywhere = np.concatenate([points, waiting])
        mean, _ = posterior.predict(features(everywhere, space.active(everywhere)))
        order = np.argsort(mean[: len(points)], kind="stable")
        # What a point lacks is drawn, so that a move to another branch has values there.
        drawn = space.draw(rng.random((len(points), len(space))))
        centres = np.where(space.active(points), points, drawn)[order]
        return maximize_acquisition(
            Acquisition(space, features, posterior, float(mean.min())), centres, allowed, rng
        )

    def _fit_cached(
        self, features: Features, rows: Array, scores: Scores, part: list[int]
    ) -> KernelHyperparameters:
        """`fit` to a part of the rows, remembered: a batch of asks sees the same."""
        rows, scores = rows[part], scores.subset(part)
        key = tuple((a.shape, a.tobytes()) for a in (rows, scores.gaps, scores.errors))
        if self._last_fit is None or self._last_fit[0] != key:
            self._last_fit = (key, fit_hyperparameters(rows, features.owners, scores))
        return self._last_fit[1]

    def _encode_trials(
        self, space: ModelSpace, trials: list[FrozenTrial]
    ) -> dict[int, tuple[Array, bytes]]:
        """Each trial's coordinates and key, remembered once it has finished.

        Trials with a value that the space does not have are left out.
        """
        if space is not self._encoded_space:
            self._encoded_space, self._encoded = space, {}
        found = {}
        known, self._encoded = self._encoded, {}  # of trials that are seen no more it keeps none
        for t in trials:
            if not t.state.is_finished():
                entry = _encode_point(space, t.params)
            else:
                key = trial_key(t)
                entry = known[key] if key in known else _encode_point(space, t.params)
                self._encoded[key] = entry
            if entry is not None:
                found[t.number] = entry
        return found

    def _is_feasible(self, space: ModelSpace, point: Array) -> bool:
        return self._feasible is None or self._feasible(space.decode(point))

    def _startup_point(
        self,
        space: ModelSpace,
        number: int,
        allowed: Callable[[Array], bool],
        rng: np.random.Generator,
    ) -> Array:
        """The Sobol sequence's point for the trial, or a random one where that is not allowed."""
        engine = qmc.Sobol(len(space), scramble=True, rng=np.random.default_rng(self._seed))
        if number:
            engine.fast_forward(number)
        point = space.draw(engine.random(1))[0]
        drawn = space.draw(rng.random((_MAX_TRIES, len(space))))
        return next((p for p in [point, *drawn] if allowed(p)), point)


def select_observations(seen: Sequence[Observation], limit: int) -> list[int]:
    """The positions of at most `limit` observations, ascending: the best half and the latest."""
    if len(seen) <= limit:
        return list(range(len(seen)))
    order = sorted(range(len(seen)), key=lambda i: seen[i].value)
    best = order[: limit // 2]
    rest = sorted(order[limit // 2 :])
    return sorted(best + rest[len(best) - limit :])


def _encode_point(space: ModelSpace, params: Mapping[str, Any]) -> tuple[Array, bytes] | None:
    try:
        point = space.encode(params)
    except (TypeError, ValueError):
        return None
    return point, space.keys(point[None, :], space.active(point[None, :]))[0]


@cache
def _thread_controller() -> ThreadpoolController:
    """The libraries that NumPy and SciPy call.

    On matrices of 200 rows their threads wait for each other longer than they work, and on cores
    that others use too many times as long.
    """
    return ThreadpoolController().select(user_api="blas")


def _other_trials(study: Study, trial: FrozenTrial) -> list[FrozenTrial]:
    return [t for t in trials_of(study) if t.number != trial.number]
