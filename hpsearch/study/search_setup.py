"""Build the search loop of a resolved study: sampler, pruner and budget."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..execution.executor import Executor
from ..history import History
from ..search.checkpoint_store import CheckpointStore
from ..search.convergence import Convergence
from ..search.event_writer import EventWriter
from ..search.loop import Search
from ..search.sampler import Sampler
from ..search.samplers import make_sampler
from ..search.stopping_criteria import StoppingCriteria
from ..search.tried_points import TriedPoints
from ..training.metrics import find_optimum
from .earlier_studies import find_best_points, find_outside_trials, read_earlier_studies
from .initial_trials import initial_points
from .resolved_study import CheckedStudy, ResolvedStudy
from .space_edit import find_trials_beyond
from .warm_start import best_point, point_of, read_trials


def make_search(
    study: ResolvedStudy,
    writer: EventWriter,
    executor: Executor,
    stop_requested: Callable[[], bool],
) -> Search:
    """Build the loop with the declared sampler, pruner and budget."""
    spec = study.spec
    return Search(
        writer=writer,
        make_sampler=partial(_make_sampler, study, writer.history),
        executor=executor,
        limits=make_stopping_criteria(study),
        pruner=study.pruner,
        in_rounds=spec.training.deterministic,
        seed=spec.seed,
        epochs=spec.training.epochs,
        fixed=spec.fixed_params,
        memory=TriedPoints(spec.space),
        checkpoints=CheckpointStore(
            writer.journal.path.parent,
            every=spec.training.checkpoint,
            max_gib=spec.budget.checkpoint_gib,
        ),
        stop_requested=stop_requested,
    )


def make_stopping_criteria(study: CheckedStudy) -> StoppingCriteria:
    """Build the criteria of the declared budget."""
    budget = study.spec.budget
    return StoppingCriteria(
        trials=budget.trials,
        seconds=None if budget.minutes is None else budget.minutes * 60,
        stagnation=budget.stagnation,
        target=budget.target,
        convergence=_make_convergence(study) if budget.until == "converged" else None,
    )


def _make_convergence(study: CheckedStudy) -> Convergence:
    metric = study.objective.metric if isinstance(study, ResolvedStudy) else ""
    return Convergence(study.spec.space, study.spec.seed, find_optimum(metric))


def _make_sampler(study: ResolvedStudy, history: History) -> Sampler:
    spec = study.spec
    elsewhere = [t for t in read_trials(history.study) if point_of(spec, t.params) is not None]
    able = [t for t in elsewhere if t.measured is None or history.is_feasible(t)]
    earlier, outside = read_earlier_studies(history), find_outside_trials(spec, history)
    known = best_point(able, study.objective.direction)
    return make_sampler(
        spec.sampler.kind,
        spec.space,
        direction=[o.direction for o in study.objectives],
        seed=spec.seed,
        options=spec.sampler.options,
        epochs=spec.training.epochs,
        points=initial_points(spec, [*known, *find_best_points(spec, history, earlier)]),
        elsewhere=[*elsewhere, *find_trials_beyond(spec, history)],
        earlier=[*earlier, outside] if outside else earlier,
        given=history.space_began,
        limits=history.limits,
    )
