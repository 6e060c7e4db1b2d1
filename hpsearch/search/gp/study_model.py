"""Model the objectives and the constraints of ended trials, and propose points."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from .acquisition import Acquisition, maximize_acquisition, sample_candidates
from .axes import Array
from .earlier_processes import add_earlier_studies
from .hypervolume import MAX_OBJECTIVES, find_front, improve_front
from .model import Posterior, fit_hyperparameters, fit_posterior
from .model_space import ModelSpace
from .observations import (
    Observation,
    collect_constraints,
    collect_objectives,
    collect_observations,
)
from .process_ensemble import ProcessEnsemble
from .terms import Feasibility, Improvement, Term
from .trial_model import (
    MAX_KEPT,
    N_LOCAL,
    TrialModel,
    fit_trial_model,
    select_observations,
)
from .warp import PlainScores

MIN_OBSERVATIONS = 3  # that a model needs
_N_GLOBAL = 64  # candidates of a drawn function, from the whole space
_LOG_HALF = -0.7  # above it, a constraint is more likely satisfied than violated


@dataclass(frozen=True, slots=True)
class StudyModel:
    """Processes fitted to the objectives and the constraints of ended trials."""

    space: ModelSpace
    outputs: tuple[TrialModel, ...]  # one per objective, or one of all of them, weighed
    limits: tuple[Feasibility, ...]  # one per constraint
    incumbents: Array  # points whose expected values are to be improved, shape (n, n_parameters)

    @property
    def is_informed(self) -> bool:
        """Whether an earlier study has a weight in it."""
        return isinstance(self.outputs[0].posterior, ProcessEnsemble)

    def propose_by_improvement(
        self,
        waiting: Array,
        allowed: Callable[[Array], bool],
        rng: np.random.Generator,
        *,
        trust: float = 0.0,
    ) -> Array | None:
        """Return the allowed point with the largest acquisition; None if there is none.

        It is the expected improvement of the best score, or of the hypervolume that the Pareto
        front dominates, times the probability that the constraints are satisfied.

        Args:
            waiting: Points of running trials, shape (m, n_parameters), which are added with their
                expected values.
            allowed: Whether one point, shape (n_parameters,), may be proposed.
            rng: The source of all random draws.
            trust: Power of the priors' density, by which the improvement is multiplied.
        """
        believed = self._believe(waiting) if len(waiting) else self
        means = believed._expect(believed.incumbents)
        terms: list[Term] = [*believed._improve(means), *believed.limits]
        if not terms:
            return None
        first = self.outputs[0]
        acquisition = Acquisition(self.space, first.features, terms, trust)
        centres = self._centres(means[: len(self.incumbents)], rng)
        return maximize_acquisition(acquisition, centres, allowed, rng)

    def propose_by_sample(
        self, allowed: Callable[[Array], bool], rng: np.random.Generator, weights: Sequence[float]
    ) -> Array | None:
        """Return the best allowed candidate of functions drawn from the processes, or None.

        Thompson sampling: different functions send concurrent trials to different points, without
        adding running trials to the model (Kandasamy et al., "Parallelised Bayesian
        optimisation via Thompson sampling", 2018), so the cost does not depend on their number. A
        candidate whose drawn constraints are violated comes after all others, the least violated
        first (SCBO; Eriksson and Poloczek, "Scalable constrained Bayesian optimization", 2021).

        Args:
            allowed: Whether one point, shape (n_parameters,), may be proposed.
            rng: The source of all random draws, the functions' included.
            weights: Weights of the objectives.
        """
        space = self.space
        centres = self._centres(self._expect(self.incumbents), rng)
        pool = sample_candidates(space, centres, rng, n_global=_N_GLOBAL, n_local=N_LOCAL)
        rows = self.outputs[0].features(pool, space.active(pool))
        drawn = np.column_stack([model.posterior.draw(rows, rng) for model in self.outputs])
        low, high = drawn.min(axis=0), drawn.max(axis=0)
        weighed = (drawn - low) / np.maximum(high - low, 1e-12) * np.array(weights)
        violation = np.zeros(len(pool))
        for limit in self.limits:
            violation += np.maximum(limit.posterior.draw(rows, rng) - limit.threshold, 0.0)
        order = np.lexsort([weighed.max(axis=1) + 0.05 * weighed.sum(axis=1), violation])
        return next((pool[i] for i in order if allowed(pool[i])), None)

    def _believe(self, waiting: Array) -> StudyModel:
        """Add running trials with their expected values."""
        rows = self.outputs[0].features(waiting, self.space.active(waiting))
        likely = np.ones(len(waiting), bool)
        for limit in self.limits:
            likely &= limit.values(rows) > _LOG_HALF
        outputs = (replace(m, posterior=m.posterior.condition_on_mean(rows)) for m in self.outputs)
        limits = (replace(x, posterior=x.posterior.condition_on_mean(rows)) for x in self.limits)
        incumbents = np.concatenate([self.incumbents, waiting[likely]])
        return replace(self, outputs=tuple(outputs), limits=tuple(limits), incumbents=incumbents)

    def _improve(self, means: Array) -> list[Term]:
        """Return the improvement of the best expected value, or of the front; none without any."""
        if not len(means):
            return []
        if len(self.outputs) == 1:
            return [Improvement(self.outputs[0].posterior, float(means.min()))]
        return [improve_front([model.posterior for model in self.outputs], means)]

    def _expect(self, points: Array) -> Array:
        """Return the expected values at points, shape (n, n_outputs)."""
        rows = self.outputs[0].features(points, self.space.active(points))
        return np.column_stack([model.posterior.predict(rows)[0] for model in self.outputs])

    def _centres(self, means: Array, rng: np.random.Generator) -> Array:
        """Return known points, the best first, with inactive coordinates drawn.

        Those of a front are in random order.

        Args:
            means: Expected values of the incumbents, shape (n, n_outputs).
            rng: The source of all random draws.
        """
        points, space = self.incumbents, self.space
        if not len(points):
            points = self.outputs[0].points
            rows = self.outputs[0].features(points, space.active(points))
            ranks = -np.sum([limit.values(rows) for limit in self.limits], axis=0)
            order = np.argsort(ranks, kind="stable")
        else:
            order = np.argsort(means[:, 0], kind="stable")
            if len(self.outputs) > 1:
                front = rng.permutation(find_front(means))
                order = np.concatenate([front, np.setdiff1d(order, front)])
        return np.asarray(space.fill_inactive(points, rng)[order])


@dataclass(slots=True)
class StudyObservations:
    """The observations of ended trials; their model is fitted on first use."""

    trials: Sequence[FrozenTrial]  # within the space
    points: Mapping[int, Array]  # their coordinates, shape (n_parameters,) each, by number
    outputs: Sequence[Sequence[Observation]]  # per model of the objectives
    outside: Collection[int] = ()  # trials that inform the models, but are not improved on
    model: StudyModel | None = None

    def __len__(self) -> int:
        """Return the number of informative trials."""
        return min(map(len, self.outputs))

    def contradict_priors(self, space: ModelSpace) -> bool:
        """Whether the values of the first model contradict the priors of the space."""
        seen = self.outputs[0]
        points = np.array([self.points[o.number] for o in seen]).reshape(-1, len(space))
        return space.contradicts_priors(points, [o.value for o in seen])

    def fit(self, space: ModelSpace, earlier: Sequence[Posterior] = ()) -> StudyModel:
        """Fit the models of the objectives and the constraints.

        Args:
            space: The space of the points.
            earlier: Processes of earlier studies, for one objective.
        """
        if self.model is None:
            self.model = self._fit(space, earlier)
        return self.model

    def _fit(self, space: ModelSpace, earlier: Sequence[Posterior]) -> StudyModel:
        points = self.points
        has_progress = any(o.progress for part in self.outputs for o in part)
        outputs = [
            fit_trial_model(
                space, part, [points[o.number] for o in part], has_progress=has_progress
            )
            for part in self.outputs
        ]
        if len(outputs) == 1 and earlier:
            outputs = [add_earlier_studies(outputs[0], earlier)]
        found = [
            _fit_constraint(outputs[0], part, [points[o.number] for o in part])
            for part in collect_constraints(self.trials)
            if len(part) >= MIN_OBSERVATIONS
        ]
        limits = tuple(limit for limit in found if limit)
        if len(outputs) == 1 and not limits:
            inside = [o.number not in self.outside for o in outputs[0].observations]
            return StudyModel(space, tuple(outputs), (), outputs[0].points[inside])
        within = (t for t in self.trials if t.number not in self.outside)
        done = (t for t in within if t.state == TrialState.COMPLETE and t.params)
        good = [points[t.number] for t in done if all(v <= 0 for v in t.constraints.values())]
        return StudyModel(space, tuple(outputs), limits, np.array(good).reshape(-1, len(space)))


def observe_study(
    trials: Sequence[FrozenTrial],
    points: Mapping[int, Array],
    *,
    maximize: Sequence[bool],
    weights: Sequence[float],
    outside: Collection[int] = (),
) -> StudyObservations:
    """Collect the observations of ended trials.

    Args:
        trials: Ended trials; those without a point are left out.
        points: Coordinates, shape (n_parameters,) each, by number.
        maximize: Whether each objective is maximized.
        weights: Weights of the objectives, where one model has all of them.
        outside: See `StudyObservations`.
    """
    within = [t for t in trials if t.number in points]
    if has_model_each(len(maximize)):
        return StudyObservations(within, points, collect_objectives(within, maximize), outside)
    combined = collect_observations(within, maximize=maximize, weights=weights)
    return StudyObservations(within, points, [combined], outside)


def has_model_each(n_objectives: int) -> bool:
    """Whether each of the objectives has a model of its own."""
    return 1 < n_objectives <= MAX_OBJECTIVES


def _fit_constraint(
    model: TrialModel, seen: Sequence[Observation], points: Sequence[Array]
) -> Feasibility | None:
    """Fit the model of a constraint; None if all trials have the same value.

    The values are compressed to both sides of 0, as in SCBO.
    """
    chosen = select_observations(seen, MAX_KEPT)
    values = np.array([seen[i].value for i in chosen])
    unit = float(np.median(np.abs(values))) or float(np.abs(values).max()) or 1.0
    logs = np.sign(values) * np.log1p(np.abs(values) / unit)
    spread = float(logs.std())
    if spread < 1e-9:
        return None
    coordinates = np.array([points[i] for i in chosen])
    features = model.features
    rows = features(coordinates, model.space.active(coordinates))
    scores = PlainScores((logs - logs.mean()) / spread)
    found = fit_hyperparameters(rows, features.owners, scores)
    posterior = fit_posterior(rows, features.owners, scores, found)
    return Feasibility(posterior, float(-logs.mean() / spread))
