"""Adapt Optuna's samplers to the `Sampler` protocol, by ask and tell in memory.

Each trial is asked from a new sampler that depends only on the trial's index: a long-lived one
would draw differently after a resume.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from ...compat.optuna import set_constraint, share_intersection, study_id
from ...param_encoding import OPTUNA_STATES, decode_value, encode_value, to_distribution
from ...spec.feasibility import sample_feasible_point
from ...spec.search_space import SearchSpace
from ...trial import Direction, Limit, Trial, Value
from ..sampler import Sampler

if TYPE_CHECKING:
    import optuna

# From a trial's index in Optuna's study, and the number of its infeasible draws.
MakeSampler = Callable[[int, int], "optuna.samplers.BaseSampler"]
MAX_DRAWS = 50  # attempts before a feasible point is drawn without the sampler


class OptunaSampler(Sampler):
    """Runs Optuna's samplers in an in-memory study that holds points, curves and scores.

    Its trials are in the order in which they were asked for or told; a trial that was asked for
    again, because its first point was known, occurs twice.

    Examples:
        >>> import optuna
        >>> from hpsearch.spec.search_space import Float, SearchSpace
        >>> space = SearchSpace((Float("rate", 0.001, 0.1, log=True),))
        >>> sampler = OptunaSampler(
        ...     lambda index, draw: optuna.samplers.RandomSampler(seed=index),
        ...     space,
        ...     directions=["minimize"],
        ... )
        >>> 0.001 <= sampler.ask(0)["rate"] <= 0.1
        True
    """

    def __init__(
        self,
        make: MakeSampler,
        space: SearchSpace,
        *,
        directions: Sequence[Direction],
        latest: int | None = None,
        max_running: int | None = None,
        replays: bool = False,
        given: int = 0,
        limits: Sequence[Limit] = (),
        reads_reports: bool = False,
    ) -> None:
        """Make a sampler over `space`; `make` returns Optuna's for a trial's index.

        Args:
            make: See `MakeSampler`.
            space: The search space.
            directions: One per objective.
            latest: Approximate number of visible trials; None: all.
            max_running: Visible running trials; None: all.
            replays: Whether the sampler stores state in a trial when it is asked; a trial from
                before a resume is then asked for again before it is told.
            given: Trials numbered below this were enqueued, not suggested.
            limits: Constraints on what is measured, which become Optuna's constraints.
            reads_reports: Whether the sampler reads the values of several objectives that a pruned
                trial had reached; others are told that it failed.
        """
        import optuna

        from .bounded_history import BoundedStudy

        optuna.logging.set_verbosity(optuna.logging.WARNING)  # the study is internal
        self._make = make
        self._space = space
        self._replays = replays
        self._given = given
        self._limits = limits
        self._reads_reports = reads_reports
        self._storage = optuna.storages.InMemoryStorage()
        self._study = optuna.create_study(
            storage=self._storage, directions=list(directions), sampler=make(0, 0)
        )
        self._view = BoundedStudy(self._study, self._storage, latest, max_running)
        self._distributions = {p.name: to_distribution(p) for p in space}
        self._running: dict[int, int] = {}  # trial number -> Optuna's id

    def ask(self, number: int) -> Mapping[str, Value] | None:
        """See `Sampler`."""
        trial_id = self._storage.create_new_trial(study_id(self._study))
        self._running[number] = trial_id
        asked = self._storage.get_trial(trial_id)
        self._view.advance(asked.number + 1)
        params = self._propose(asked)
        self._store_params(trial_id, params)
        return params

    def ask_many(self, number: int, count: int) -> list[Mapping[str, Value]]:
        """See `Sampler`."""
        batch = getattr(self._make(0, 0), "batch", nullcontext)
        with batch():
            return super().ask_many(number, count)

    def tell(self, trial: Trial) -> None:
        """See `Sampler`."""
        if trial.number not in self._running:
            self._adopt_trial(trial)
        if not trial.is_finished:
            return
        import optuna

        storage, trial_id = self._storage, self._running.pop(trial.number)
        for epoch, score in enumerate(trial.mean_scores()):
            storage.set_trial_intermediate_value(trial_id, epoch, score)
        if trial.fold_scores is not None:
            storage.set_trial_user_attr(trial_id, "fold_scores", list(trial.fold_scores))
        for limit in self._limits:
            if trial.measured is not None and limit.name in trial.measured:
                value = limit.violation(trial.measured[limit.name])
                set_constraint(storage, trial_id, str(limit), value)
        values = self._objective_values(trial) if trial.state == "COMPLETE" else None
        state = optuna.trial.TrialState[OPTUNA_STATES[trial.state]]
        if len(self._study.directions) > 1:
            if self._reads_reports and trial.epoch_values is not None:
                rows = [list(values) for values in trial.epoch_values]
                storage.set_trial_user_attr(trial_id, "objective_reports", rows)
            elif state == optuna.trial.TrialState.PRUNED:
                state = optuna.trial.TrialState.FAIL  # Optuna prunes only with one objective
        storage.set_trial_state_values(trial_id, state, values)

    def epochs(self, number: int) -> int | None:
        """See `Sampler`."""
        return None

    def _objective_values(self, trial: Trial) -> list[float]:
        several = len(self._study.directions) > 1
        values = trial.values if several and trial.values is not None else [trial.score]
        return [float(v) for v in values if v is not None]

    def _adopt_trial(self, trial: Trial) -> None:
        """Add a trial that was asked for elsewhere, with its values."""
        if self._replays and trial.number >= self._given:
            self.ask(trial.number)
        else:
            new = self._storage.create_new_trial(study_id(self._study))
            self._running[trial.number] = new
            self._view.advance(self._storage.get_trial(new).number + 1)
        params = {p.name: trial.params[p.name] for p in self._space if p.name in trial.params}
        self._store_params(self._running[trial.number], params)

    def _store_params(self, trial_id: int, params: Mapping[str, Value]) -> None:
        for p in self._space:
            if p.name in params:
                kept = self._distributions[p.name]
                value = kept.to_internal_repr(encode_value(p, params[p.name]))
                self._storage.set_trial_param(trial_id, p.name, value, kept)

    def _propose(self, asked: optuna.trial.FrozenTrial) -> dict[str, Value]:
        """Draw a point repeatedly until it is feasible, before it is recorded."""
        params = self._sample_params(self._make(asked.number, 0), asked)
        if not self._space.constraints:
            return params
        for draw in range(1, MAX_DRAWS):
            if self._space.why_invalid(params) is None:
                return params
            params = self._sample_params(self._make(asked.number, draw), asked)
        if self._space.why_invalid(params) is None:
            return params
        return sample_feasible_point(self._space, asked.number)

    def _sample_params(
        self, sampler: optuna.samplers.BaseSampler, asked: optuna.trial.FrozenTrial
    ) -> dict[str, Value]:
        """Return the sampler's values for a trial; Optuna's `suggest` could not be undone."""
        view: Any = self._view
        share_intersection(sampler, self._view.intersections)
        known = sampler.infer_relative_search_space(view, asked)
        together = sampler.sample_relative(view, asked, known)
        params: dict[str, Value] = {}
        for p in self._space:
            if not self._space.is_active(p, params):
                continue
            if p.size == 1:
                params[p.name] = p.value(0)
            elif p.name in together:
                params[p.name] = decode_value(p, together[p.name])
            else:
                alone = self._distributions[p.name]
                params[p.name] = decode_value(
                    p, sampler.sample_independent(view, asked, p.name, alone)
                )
        return params
