"""Recognize a finished study that needs nothing more, without workers, Keras or MLflow."""

from __future__ import annotations

from pathlib import Path

from ..data import Dataset
from ..errors import redact_text
from ..history import History, restore_curves
from ..journal.inbox import Inbox
from ..search.stopping_criteria import find_stop_reason
from ..tracking.stored_study import find_stored_study
from .declaration import build_declaration
from .gallery import needs_drawing
from .prepare import build_problem
from .resolved_study import CheckedStudy, ResolvedStudy
from .result import StudyResult, build_result
from .search_setup import make_stopping_criteria
from .start import compare_declarations
from .winner.final_files import find_broken_files, is_of_choice
from .winner.selection import recorded_choice, resolve_selection, trials_needing_curves


def is_search_over(study: CheckedStudy, history: History, journal: Path) -> bool:
    """Whether an earlier run has evaluated the winner, and no further trial is due.

    If so, a study probably needs nothing more, and its workers are not started yet.
    """
    if history.final is None or history.end is None or history.asked_since_final:
        return False
    if history.enqueued or history.extensions or Inbox(journal.parent).receive():
        return False
    limits = make_stopping_criteria(study)
    return (
        history.end.cause == "space"
        or limits.is_out_of_time(history.seconds)
        or find_stop_reason(history, limits) is not None
    )


def read_finished(
    study: ResolvedStudy,
    history: History,
    dataset: Dataset,
    journal: Path,
    uri: str,
    *,
    offline: bool,
) -> StudyResult | None:
    """Return the result of a study that needs nothing more; None if it does.

    Args:
        study: The declaration.
        history: Of the journal, which `is_search_over`.
        dataset: The study's data.
        journal: The path of the journal.
        uri: The store's URI.
        offline: Whether the store does not matter.
    """
    if not _is_complete(study, history, dataset, journal):
        return None
    stored = None if offline else find_stored_study(journal, uri, history)
    if stored is None and not offline:
        return None
    return build_result(study, history, dataset, journal, stored, redact_text(uri))


def _is_complete(study: ResolvedStudy, history: History, dataset: Dataset, journal: Path) -> bool:
    """Whether the winner of this declaration and these data is there, intact and drawn.

    False for a deterministic study: the number of its workers is part of its declaration.
    """
    spec = study.spec
    if spec.training.deterministic or not history.study.trainer or needs_drawing(history):
        return False
    before = history.declaration(len(history.changes))
    now = build_declaration(study)
    if compare_declarations(before, now, study, dataset, trainer=history.study.trainer):
        return False
    selection = resolve_selection(
        spec.selection,
        build_problem(study, dataset),
        len(history.objectives),
        len(history.limits),
    )
    finalists = history.finalist_trials(selection.finalists)
    if any(trial.number not in history.finalists for trial in finalists):
        return False
    restore_curves(history, journal, trials_needing_curves(history, selection))
    choice = recorded_choice(history, selection)
    assert history.final is not None
    return (
        choice is not None
        and is_of_choice(history.final, choice)
        and not find_broken_files(
            history.final, journal.parent / "final", trust_code=spec.serve.trust_code
        )
    )
