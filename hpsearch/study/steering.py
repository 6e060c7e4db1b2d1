"""Steer a study while it runs or between runs: enqueue a point, stop a trial or the run."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import JournalError, SpecError
from ..events import CURVES, PointEnqueued, TrialStopRequested
from ..history import load_history
from ..journal.inbox import post_request
from ..spec.study_spec import StudySpec
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
    """Ask for a trial with the given hyperparameters, beyond the budget of trials.

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
    declared = dict(values)
    if like is not None:
        declared = _fill_from_trial(spec, declared, history.find_trial(like))
    params = _complete(spec, declared)
    if epochs is None and like is not None and "epochs" not in values:
        epochs = history.last[like].epochs
    request = PointEnqueued(request=secrets.token_hex(8), params=params, epochs=epochs)
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
    if trial.is_finished:
        raise JournalError(f"trial {number} of study {history.name} has ended: {trial.state}")
    return post_request(journal, TrialStopRequested(trial=number, request=secrets.token_hex(8)))


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
        f"{key.removeprefix('enqueue.0.')}: {text}" for key, text in find_enqueue_problems(spec)
    ]
    if problems:
        raise SpecError("\n".join(problems))
    return initial_points(spec)[0]
