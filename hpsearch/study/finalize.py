"""The end of a study: finalists, choice, final fit, plots."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ..data import Dataset
from ..execution.executor import Executor
from ..history import restore_curves
from ..search.event_writer import EventWriter
from ..spec.study_spec import SelectionSpec, StudySpec
from ..training.problem import Problem
from .gallery import Gallery
from .result import StudyStopped
from .winner.final_fit import WinnerFit
from .winner.out_of_fold import OutOfFold
from .winner.selection import (
    best_trial,
    choose_winner,
    recorded_choice,
    resolve_selection,
    score_finalists,
    trials_needing_curves,
)

logger = logging.getLogger("hpsearch.study")


def finalize_study(
    spec: StudySpec,
    writer: EventWriter,
    *,
    dataset: Dataset,
    problem: Problem,
    executor: Executor,
    stop_requested: Callable[[], bool],
) -> None:
    """Choose and fit the winner, continuing where an earlier run stopped.

    Plots come last; the study has ended without them.

    Raises:
        TrainingError: If no trial completed, or a finalist or the final fit crashes its workers.
        StudyStopped: If a stop was requested; finished scores are recorded.
    """
    history, record = writer.history, writer.write
    folder = writer.journal.path.parent
    _raise_if_stopped(spec, stop_requested)
    selection = resolve_selection(
        spec.selection, problem, len(history.objectives), len(history.limits)
    )
    restore_curves(history, writer.journal.path, trials_needing_curves(history, selection))
    gallery = Gallery(history, folder)
    best_trial(history)  # there is one
    score_finalists(
        history,
        selection,
        problem=problem,
        dataset=dataset,
        executor=executor,
        seed=spec.seed,
        record=record,
        stop_requested=stop_requested,
        meanwhile=gallery.draw_interactive,
    )
    _raise_if_stopped(spec, stop_requested)
    out_of_fold = OutOfFold(folder, problem, executor, record, stop_requested)
    choose = partial(
        choose_winner,
        history,
        selection,
        problem=problem,
        seed=spec.seed,
        predictions_of=out_of_fold.predictions_of,
    )
    choice = recorded_choice(history, selection)
    if choice is None:
        choice = choose()
        record(choice.event(history, selection))
    finale = WinnerFit(
        choice, history, dataset, problem, executor, folder, record, spec.serve.trust_code
    )
    while choice.is_ensemble and (most := _count_fast_enough(finale, selection)) is not None:
        choice = choose(max_members=most)
        record(choice.event(history, selection))
        finale = replace(finale, choice=choice)
    finale.run(meanwhile=gallery.draw_search)
    _raise_if_stopped(spec, stop_requested)
    gallery.draw_remaining(record)


def _count_fast_enough(finale: WinnerFit, selection: SelectionSpec) -> int | None:
    """Return how many trials an ensemble may have; None: it answers fast enough as it is."""
    limit = selection.max_ms_per_row
    if limit is None:
        return None
    measured = finale.measure_ms_per_row()
    if measured is None or measured <= limit:
        return None
    n_trials = finale.choice.n_trials
    most = max(1, min(n_trials - 1, int(n_trials * limit / measured)))
    logger.warning(
        "an ensemble of %d trials takes %.3g ms a row, more than selection.max_ms_per_row allows "
        "(%g); at most %d are taken",
        n_trials,
        measured,
        limit,
        most,
    )
    return most


def _raise_if_stopped(spec: StudySpec, stop_requested: Callable[[], bool]) -> None:
    if stop_requested():
        raise StudyStopped(f"study {spec.study} was stopped; nothing is lost")
