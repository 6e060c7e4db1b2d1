"""A Gaussian process sampler for any Optuna study.

A suggestion depends only on the study's trials, not on how they are trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import qmc

from ...compat.optuna import trials_of, unique_trial_id
from .axes import Array, make_axis
from .axis_priors import TRUST
from .earlier_processes import EarlierStudy, fit_earlier_studies
from .exploration import draw_allowed, propose_beyond_repeats
from .inferred_conditions import infer_parameters
from .model import Posterior
from .model_space import ModelParameter, ModelSpace
from .study_model import (
    MIN_OBSERVATIONS,
    StudyObservations,
    has_model_each,
    observe_study,
)
from .trial_model import blas_controller

_N_STARTUP = 12  # Sobol points, if the budget allows
_MAX_BELIEVED = 16  # running trials that are added with their expected scores
_N_WEIGHTS = 8  # weights of several objectives, reused in turn if more trials run
_N_INFORMED = 5  # startup points, if an earlier study ranks them well


class GaussianProcessSampler(BaseSampler):
    """Bayesian optimization over mixed and conditional spaces.

    The first trials are points of a scrambled Sobol sequence. Then a Gaussian process with a
    Matérn-5/2 kernel and a learned warp of the scores is fitted to the trials, and the next trial
    maximizes the expected improvement. Pending trials are added with their expected scores; if
    more than 16 are pending, each trial maximizes a function drawn from the process instead, so
    that the cost of an ask does not grow with their number. In a conditional space, half of the
    proposals beside an earlier trial are given up for the branch with the fewest trials.
    Pruned and failed trials are used (see `observations.collect_observations`). No point is tried
    twice. Trials with numbers outside their ranges, or that are not feasible, inform the model, but
    are not improved on.

    A suggestion depends only on the seed, the trial's number and the other trials: a study that
    is stopped and continued with a new sampler equals one that never stopped.

    Two or three objectives have a process each, and the next trial maximizes the expected
    improvement of the hypervolume that their Pareto front dominates. More are combined with weights
    drawn for each ask (ParEGO; see `observations.combine_objectives`).

    Constraints (`Trial.set_constraint`) have a process each. The improvement is that of trials that
    violate none, times the probability that the constraints are satisfied.

    If parameters have a prior, every other Sobol point follows it, and the expected improvement is
    multiplied by its density, with less power the more trials there are (PiBO; see `axis_priors`);
    both only while the trials do not contradict the priors.

    If a trial's score is a mean over folds, set the user attribute `fold_scores` to its fold scores
    (the same folds in every trial); if its standard error is known otherwise, set `score_sem`. See
    `observations.standard_errors`.

    An ask at 100 trials takes about 30 ms of processor time. The model is fitted to at most 100
    trials and predicts from at most 200, the best and the latest; with more trials only the time
    to read them grows.

    Args:
        seed: Seed of all random draws.
        space: All parameters with their conditions. If None, they are inferred from the trials:
            the first trial is random, and a branch is unknown until a trial takes it.
        feasible: Whether a point, given as its values, may be tried. If none of 256 draws is
            feasible, an infeasible point is suggested.
        budget: Number of trials; a quarter of it, 4 to 12, are Sobol points.
        startup: Number of Sobol points, whatever the budget; 12 if neither is given.
        earlier: Studies of other data, which the model of one objective takes into account as far
            as they rank this study's trials (see `process_ensemble`). If one ranks them better than
            chance, 5 Sobol points suffice.

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
        earlier: Sequence[EarlierStudy] = (),
    ) -> None:
        self._seed = seed
        self._declared = None if space is None else ModelSpace(tuple(space))
        self._feasible = feasible
        usual = _N_STARTUP if budget is None else max(4, min(_N_STARTUP, budget // 4))
        self._start = usual if startup is None else startup
        self._informed_start = min(self._start, _N_INFORMED) if earlier else self._start
        self._earlier = tuple(earlier)
        self._fitted: tuple[ModelSpace, list[Posterior]] | None = None
        # Caches of pure functions, which do not change suggestions.
        self._observed_key: object = None  # the space, and the trials that have ended
        self._observed: dict[
            tuple[float, ...], StudyObservations
        ] = {}  # by the objectives' weights
        self._inferred: tuple[object, ModelSpace] | None = None  # trial, its space
        self._encoded_space: ModelSpace | None = None
        self._encoded: dict[object, _EncodedPoint] = {}
        self._in_batch = False
        self._batch: _KnownTrials | None = None  # the trials known at the batch's latest ask

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Read the trials only once for several asks, between which no trial ends.

        The suggestions are the same as without it.
        """
        self._in_batch = True
        try:
            yield
        finally:
            self._in_batch, self._batch = False, None

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return all parameters: of the declared space, or of any earlier trial."""
        return {p.name: p.distribution for p in self._current_space(study, trial).parameters}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the values of every parameter that is active at the proposed point.

        Values that were enqueued for the trial determine which others are active.
        """
        if not search_space:
            return {}
        space = self._current_space(study, trial)
        with blas_controller().limit(limits=1):
            known = self._read_trials(space, trials_of(study), trial.number)
            point = self._propose(study, trial.number, space, known)
        return space.decode(space.encode(trial.system_attrs.get("fixed_params", {}), point))

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw a random value for a parameter that was unknown when the trial started."""
        axis = make_axis(param_distribution)
        rng = np.random.default_rng([self._seed, trial.number, *param_name.encode()])
        return axis.decode(float(axis.draw(rng.random(1))[0]))

    def _current_space(self, study: Study, trial: FrozenTrial) -> ModelSpace:
        if self._declared is not None:
            return self._declared
        asking = unique_trial_id(trial)
        if self._inferred is None or self._inferred[0] != asking:
            parameters = infer_parameters(_other_trials(study, trial))
            space = None if self._inferred is None else self._inferred[1]
            if space is None or not space.has_parameters(parameters):
                space = ModelSpace(parameters)
            self._inferred = (asking, space)
        return self._inferred[1]

    def _propose(self, study: Study, number: int, space: ModelSpace, known: _KnownTrials) -> Array:
        """Propose the coordinates of trial `number`, given the known trials."""
        rng = np.random.default_rng([self._seed, number])

        def allowed(point: Array) -> bool:
            key = space.keys(point[None, :], space.active(point[None, :]))[0]
            return key not in known.taken and self._is_feasible(space, point)

        is_crowd = len(known.pending) > _MAX_BELIEVED
        maximize = [direction == StudyDirection.MAXIMIZE for direction in study.directions]
        weights = [1.0]
        if len(maximize) > 1:  # many running trials share models
            by = np.random.default_rng([self._seed, number % _N_WEIGHTS]) if is_crowd else rng
            weights = by.dirichlet(np.ones(len(maximize))).tolist()
        seen = self._observe(known, maximize, weights)
        follows_priors = space.has_priors and not seen.contradict_priors(space)
        point, model, n_known = None, None, len(seen) + len(known.pending)
        is_within = any(n not in known.outside for n in known.points)
        if is_within and len(seen) >= MIN_OBSERVATIONS and n_known >= self._informed_start:
            model = seen.fit(space, self._fit_earlier(space))
        if model is not None and (n_known >= self._start or model.is_informed):
            if is_crowd:
                point = model.propose_by_sample(allowed, rng, weights)
            else:
                trust = TRUST / (number + 1) if follows_priors else 0.0
                ended = list(known.points.values())
                point = propose_beyond_repeats(model, ended, known.pending, allowed, rng, trust)
        if point is not None:
            return point
        return self._startup_point(space, number, allowed, rng, follows_priors=follows_priors)

    def _fit_earlier(self, space: ModelSpace) -> list[Posterior]:
        if self._fitted is None or self._fitted[0] is not space:
            self._fitted = (space, fit_earlier_studies(space, self._earlier))
        return self._fitted[1]

    def _read_trials(
        self, space: ModelSpace, trials: list[FrozenTrial], asking: int
    ) -> _KnownTrials:
        """Encode the points of all trials except `asking`, each once.

        Points that cannot be encoded are left out.
        """
        if space is not self._encoded_space:
            self._encoded_space, self._encoded, self._batch = space, {}, None
        before = self._batch
        if before is not None and before.precedes(trials):
            self._take_in(space, before, trials[-2:-1])
            before.n_trials = len(trials)
            return before
        known = _KnownTrials(len(trials))
        kept, self._encoded = self._encoded, {}  # points of unseen trials are dropped
        self._take_in(space, known, [t for t in trials if t.number != asking], kept)
        self._batch = known if self._in_batch else None
        return known

    def _take_in(
        self,
        space: ModelSpace,
        known: _KnownTrials,
        trials: Sequence[FrozenTrial],
        encoded: Mapping[object, _EncodedPoint] = MappingProxyType({}),
    ) -> None:
        for t in trials:
            key = unique_trial_id(t)
            is_running = t.state == TrialState.RUNNING
            entry = encoded.get(key)
            if entry is None or entry.n_params != len(t.params):
                entry = _encode_point(space, t.params, self._is_feasible)
            self._encoded[key] = entry
            if not is_running and t.state.is_finished():
                known.ended[key] = t
            if entry.point is not None:
                known.taken.add(entry.key)
                if is_running:
                    known.pending.append(entry.point)
                else:
                    known.points[t.number] = entry.point
                    if entry.is_outside:
                        known.outside.add(t.number)

    def _observe(
        self, known: _KnownTrials, maximize: Sequence[bool], weights: Sequence[float]
    ) -> StudyObservations:
        """Return the observations of ended trials, cached for a batch of asks."""
        key = tuple(known.ended)
        if self._observed_key != (self._encoded_space, key):
            self._observed_key, self._observed = (self._encoded_space, key), {}
        weighed = () if has_model_each(len(maximize)) else tuple(weights)
        if (seen := self._observed.get(weighed)) is None:
            trials, points = list(known.ended.values()), known.points
            seen = observe_study(
                trials, points, maximize=maximize, weights=weights, outside=known.outside
            )
            self._observed[weighed] = seen
        return seen

    def _is_feasible(self, space: ModelSpace, point: Array) -> bool:
        return self._feasible is None or self._feasible(space.decode(point))

    def _startup_point(
        self,
        space: ModelSpace,
        number: int,
        allowed: Callable[[Array], bool],
        rng: np.random.Generator,
        *,
        follows_priors: bool,
    ) -> Array:
        """Return the trial's Sobol point, every other one of the priors if it follows them.

        If that is not allowed, it is a random point.
        """
        engine = qmc.Sobol(len(space), scramble=True, rng=np.random.default_rng(self._seed))
        if number:
            engine.fast_forward(number)
        draw = space.draw_from_prior if follows_priors and number % 2 == 0 else space.draw
        point: Array = draw(engine.random(1))[0]
        if allowed(point):
            return point
        drawn = draw_allowed(space, allowed, rng)
        return point if drawn is None else drawn


@dataclass(frozen=True, slots=True)
class _EncodedPoint:
    """A trial's point in the space."""

    n_params: int  # of the trial so far; a running one may get more
    point: Array | None  # shape (n_parameters,); None: it has none
    key: bytes = b""
    is_outside: bool = False  # it may not be proposed


@dataclass(slots=True)
class _KnownTrials:
    """All trials except the one that is asked for."""

    n_trials: int  # with the one that was asked for
    ended: dict[object, FrozenTrial] = field(default_factory=dict)  # by their keys
    points: dict[int, Array] = field(default_factory=dict)  # by number, of those not running
    outside: set[int] = field(default_factory=set)  # of `points`, those that may not be proposed
    pending: list[Array] = field(default_factory=list)  # points of running trials
    taken: set[bytes] = field(default_factory=set)  # keys of all points

    def precedes(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether all of `trials` but the last, and the one asked for before it, are known.

        A bounded history that has moved has fewer.
        """
        return len(trials) == self.n_trials + 1


def _encode_point(
    space: ModelSpace,
    params: Mapping[str, Any],
    is_feasible: Callable[[ModelSpace, Array], bool],
) -> _EncodedPoint:
    if not params:
        return _EncodedPoint(0, None)
    try:
        point = space.encode(params)
    except (TypeError, ValueError):
        return _EncodedPoint(len(params), None)
    if not space.is_comparable(point):
        return _EncodedPoint(len(params), None)
    key = space.keys(point[None, :], space.active(point[None, :]))[0]
    is_outside = not (space.contains(point) and is_feasible(space, point))
    return _EncodedPoint(len(params), point, key, is_outside)


def _other_trials(study: Study, trial: FrozenTrial) -> list[FrozenTrial]:
    return [t for t in trials_of(study) if t.number != trial.number]
