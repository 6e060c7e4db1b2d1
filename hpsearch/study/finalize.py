"""The end of a study: finalists, choice, final fit, plots."""

from __future__ import annotations

from collections.abc import Callable

from ..data import Dataset
from ..execution.executor import Executor
from ..history import restore_curves
from ..search.event_writer import EventWriter
from ..spec.study_spec import StudySpec
from ..training.problem import Problem
from .gallery import Gallery
from .result import StudyStopped
from .winner.final_fit import WinnerFit
from .winner.out_of_fold import OutOfFold
from .winner.selection import (
    best_trial,
    choose_winner,
    recorded_choice,
    score_finalists,
    trials_needing_curves,
)


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
    restore_curves(history, writer.journal.path, trials_needing_curves(history, spec.selection))
    gallery = Gallery(history, folder)
    best_trial(history)  # there is one
    score_finalists(
        history,
        spec.selection,
        problem=problem,
        dataset=dataset,
        executor=executor,
        seed=spec.seed,
        record=record,
        stop_requested=stop_requested,
        meanwhile=gallery.draw_interactive,
    )
    _raise_if_stopped(spec, stop_requested)
    choice = recorded_choice(history, spec.selection, spec.seed)
    if choice is None:
        out_of_fold = OutOfFold(folder, problem, executor, record, stop_requested)
        choice = choose_winner(
            history,
            spec.selection,
            problem=problem,
            seed=spec.seed,
            predictions_of=out_of_fold.predictions_of,
        )
        record(choice.event(history, spec.selection))
    finale = WinnerFit(
        choice, history, dataset, problem, executor, folder, record, spec.serve.trust_code
    )
    finale.run(meanwhile=gallery.draw_search)
    gallery.draw_remaining(record)


def _raise_if_stopped(spec: StudySpec, stop_requested: Callable[[], bool]) -> None:
    if stop_requested():
        raise StudyStopped(f"study {spec.study} was stopped; nothing is lost")
