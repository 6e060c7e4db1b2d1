"""Steer a study while it runs or between runs: enqueue a point, stop or extend a trial, pause."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import JournalError, SpecError
from ..events import (
    CURVES,
    Event,
    PointEnqueued,
    StudyPaused,
    StudyUnpaused,
    TrialExtended,
    TrialStopRequested,
)
from ..history import History, load_history
from ..journal.inbox import Inbox, post_request
from ..search.checkpoint_store import CheckpointStore
from ..spec.plain_values import to_plain
from ..spec.study_spec import MAX_EPOCHS, StudySpec
from ..training.schedules import find_length_schedules
from ..trial import Trial, Value
from .initial_trials import find_enqueue_problems, initial_points
from .recorded_declaration import load_declaration


@dataclass(frozen=True, slots=True)
class Enqueued:
    """A point that was enqueued."""

    params: Mapping[str, Value]  # completed
    is_running: bool  # whether a process runs the study; otherwise the next run trains it


def enqueue_point(
    journal: Path,
    values: Mapping[str, Value],
    *,
    like: int | None = None,
    epochs: int | None = None,
) -> Enqueued:
    """Ask for a trial with the given hyperparameters, even if the budget of trials is spent.

    Args:
        journal: The study's journal.
        values: Hyperparameters by name. Others are those of trial `like`, or else as in `enqueue`
            of the study file: defaults, or random values.
        like: A trial's number.
        epochs: Maximum epochs, instead of the declared ones.

    Raises:
        SpecError: If it is not a point of the search space; each mistake is on a line of its own.
        JournalError: If there is no trial `like`, or the journal cannot be read or written.
    """
    history = load_history(journal, without=CURVES)
    spec = load_declaration(journal, history.declaration(len(history.changes))).spec
    _require_epochs(epochs)
    if not isinstance(values, Mapping):
        raise SpecError(
            f"values: a mapping of hyperparameters to values is needed. Received: {values!r:.100}"
        )
    declared = to_plain(values)
    if epochs is not None and any(p.name == "epochs" for p in spec.space):
        raise SpecError("epochs: is a hyperparameter of the search space: give its value as one")
    if like is not None:
        declared = _fill_from_trial(spec, declared, history.find_trial(like))
    params = _complete(spec, declared)
    if epochs is None and like is not None and "epochs" not in values:
        epochs = history.last[like].epochs
    request = PointEnqueued(request=make_request_id(), params=params, epochs=epochs)
    return Enqueued(params, is_running=post_request(journal, request))


def stop_trial(journal: Path, number: int) -> bool:
    """Ask to stop a trial after its current epoch; its state becomes PRUNED.

    Returns:
        Whether a process runs the study; otherwise the trial is stopped by the next run.

    Raises:
        JournalError: If there is no such trial, or it has ended.
    """
    history = load_history(journal, without=CURVES)
    trial = history.find_trial(number)
    if trial.is_finished and number not in history.extensions:
        raise JournalError(f"trial {number} of study {history.name} has ended: {trial.state}")
    return post_request(journal, TrialStopRequested(trial=trial.number, request=make_request_id()))


def extend_trial(journal: Path, number: int, epochs: int) -> bool:
    """Ask to train an ended trial further; its new result replaces the present one.

    Args:
        journal: The study's journal.
        number: The trial.
        epochs: Maximum epochs from the first one on.

    Returns:
        Whether a process runs the study; otherwise the next run trains it.

    Raises:
        JournalError: If there is no such trial, or it cannot be trained further, with the reason.
    """
    _require_epochs(epochs)
    history = load_history(journal, without=CURVES, but_of=[number])
    trial = history.find_trial(number)
    reason = explain_not_extendable(history, trial, epochs)
    if reason is not None:
        raise JournalError(f"trial {trial.number} of study {history.name} {reason}")
    request = TrialExtended(trial=trial.number, epochs=epochs, request=make_request_id())
    return post_request(journal, request)


def _require_epochs(epochs: int | None) -> None:
    """Refuse a number of epochs that no study file may declare."""
    if epochs is None or (type(epochs) is int and 1 <= epochs <= MAX_EPOCHS):
        return
    raise SpecError(
        f"epochs: a whole number from 1 to {MAX_EPOCHS} is needed. Received: {epochs!r}"
    )


def pause_study(journal: Path) -> bool:
    """Ask a study to train nothing after its running epochs, until `unpause_study`.

    Returns:
        Whether a process runs the study; otherwise the next run waits.

    Raises:
        JournalError: If it is paused already, or its search has ended.
    """
    history = load_history(journal, without=CURVES)
    if _is_paused(journal, history):
        raise JournalError(f"study {history.name} is paused already")
    if history.end is not None:
        raise JournalError(f"the search of study {history.name} has ended: {history.end.reason}")
    return post_request(journal, StudyPaused(request=make_request_id()))


def unpause_study(journal: Path) -> bool:
    """Continue a paused study.

    Returns:
        Whether a process runs the study; otherwise the next run continues it.

    Raises:
        JournalError: If it is not paused.
    """
    history = load_history(journal, without=CURVES)
    if not _is_paused(journal, history):
        raise JournalError(f"study {history.name} is not paused")
    return post_request(journal, StudyUnpaused(request=make_request_id()))


def _is_paused(journal: Path, history: History) -> bool:
    """Whether a study is paused once the process that runs it has read its inbox."""
    is_paused = history.is_paused
    for _, request in Inbox(journal.parent).receive():
        if isinstance(request, StudyPaused | StudyUnpaused):
            is_paused = isinstance(request, StudyPaused)
    return is_paused


def explain_not_extendable(history: History, trial: Trial, epochs: int) -> str | None:
    """Explain why a trial cannot be trained to `epochs`; None if it can.

    It can where its first epochs would be the same if it had been planned for `epochs` at once.
    """
    if trial.number in history.extensions:
        planned = history.extensions[trial.number].epochs
        return f"goes on to {planned} epochs already: extend it when it has these"
    if not trial.is_finished:
        return "has not ended: extend it when it has"
    if trial.state == "FAILED":
        return f"has failed: {trial.error}"
    if trial.number in history.outside:
        return "lies outside the edited space, so it could not win: widen the space first"
    if epochs <= trial.n_epochs:
        return f"has {trial.n_epochs} epochs already: extend it to more than these"
    if trial.state == "COMPLETE" and trial.n_epochs < trial.epochs:
        return (
            f"was ended by early stopping after {trial.n_epochs} of {trial.epochs} epochs, and "
            "would be again"
        )
    if reason := _explain_other_training(history, trial, epochs):
        name, number = history.name, trial.number
        if "epochs" in trial.params:
            anew = f"`hpsearch enqueue {name} --like {number} epochs={epochs}`"
        else:
            anew = f"`hpsearch enqueue {name} --like {number} --epochs {epochs}`"
        return f"{reason}. As another trial, from its first epoch: {anew}"
    return None


def _explain_other_training(history: History, trial: Trial, epochs: int) -> str | None:
    """Explain why the first epochs of a longer trial would differ."""
    if "epochs" in trial.params:
        return "has its epochs as a hyperparameter"
    if history.study.pruner == "fold_race" and trial.state == "PRUNED":
        return "lacks folds, which fold_race trains one after another"
    if trial.training_revision != history.training_revision:
        return "was trained before code, versions or training changed"
    defaults = history.declaration(trial.revision).defaults or {}
    if epochs != trial.epochs and (found := find_length_schedules({**defaults, **trial.params})):
        return _explain_planned(trial, epochs, " and ".join(found))
    return None


def _explain_planned(trial: Trial, epochs: int, schedules: str) -> str:
    """Explain that a trial's schedule has another length."""
    reason = (
        f"has {schedules}, planned for {trial.epochs} epochs: with {epochs}, its first "
        f"{trial.n_epochs} epochs would have had other rates, and after the plan there are none"
    )
    if trial.n_epochs < trial.epochs:
        reason += f". It can be trained to the end of its plan, {trial.epochs} epochs"
    return reason


def find_extensions(history: History, study: Path, *, before: int, epochs: int) -> list[Event]:
    """Find the trials that go on when a study's epochs are raised.

    They were trained to the end, to `before` epochs, and have a checkpoint in the folder `study`,
    or have not ended.
    """
    checkpoints = CheckpointStore(study)

    def goes_on(trial: Trial) -> bool:
        if trial.epochs != before or trial.number in history.outside:
            return False
        if not trial.is_finished:
            return before < epochs and _explain_other_training(history, trial, epochs) is None
        is_kept = trial.state == "COMPLETE" and checkpoints.has(trial.number)
        return is_kept and explain_not_extendable(history, trial, epochs) is None

    return [
        TrialExtended(trial=trial.number, epochs=epochs, request=make_request_id())
        for trial in history.trials
        if goes_on(trial)
    ]


def make_request_id() -> str:
    """Draw the random id of a request."""
    return secrets.token_hex(8)


def _fill_from_trial(
    spec: StudySpec, values: Mapping[str, Value], trial: Trial
) -> dict[str, Value]:
    """Add the trial's hyperparameters that stay active with the given values."""
    merged = {**trial.params, **values}
    active = {p.name for p in spec.space.iter_active(merged)}
    return {name: value for name, value in merged.items() if name in active or name in values}


def _complete(spec: StudySpec, declared: Mapping[str, Value]) -> dict[str, Value]:
    """Complete a point with the undeclared hyperparameters.

    Raises:
        SpecError: If it is not a point of the search space.
    """
    spec = spec.model_copy(update={"enqueue": [dict(declared)]})
    problems = [
        f"{key.removeprefix('enqueue.0.')}: {text}" if key != "enqueue.0" else text
        for key, text in find_enqueue_problems(spec)
    ]
    if problems:
        raise SpecError("\n".join(problems))
    return initial_points(spec)[0]
