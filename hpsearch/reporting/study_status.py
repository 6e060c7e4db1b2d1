"""Compute the status of a study: phase, running trials, queue, rungs, cost and time left.

Plain values from a `StudyFollower` and the study's lock, for the terminal and for the page.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from ..history import History
from ..platforms.locks import find_holder
from ..trial import FINAL_STATES, Trial
from .study_follower import StudyFollower, describe_phase

RunState = Literal["running", "stopped", "finished"]


@dataclass(frozen=True, slots=True)
class Rung:
    """A number of epochs at which trials were pruned."""

    epochs: int
    reached: int  # trials that reached it
    pruned: int  # trials that were pruned there


@dataclass(frozen=True, slots=True)
class StudyStatus:
    """The status of a study at one moment."""

    state: RunState
    phase: str  # the current phase, or the one in which the study was stopped
    done: int  # finished trials
    total: int | None  # trials of the budget; None: unknown
    running: list[Trial]
    waiting: list[Trial]  # suggested, but not started by a worker
    enqueued: list[Mapping[str, Any]]  # enqueued points of the file that were not tried yet
    rungs: list[Rung]
    seconds: float  # wall clock of all runs
    training_seconds: float  # sum over all attempts
    trials_per_minute: float | None  # in the latest run; None: no trial has finished in it
    seconds_left: float | None  # of the search; None: unknown


def study_status(follower: StudyFollower) -> StudyStatus:
    """Return the current status of a study."""
    history = follower.history
    state = _run_state(follower)
    now = time.time() * 1000 if state == "running" else history.last_time
    since = max(0.0, now - history.last_time) / 1000
    done, total = len(history.ended), history.budget.get("trials")
    minutes = max(0.0, now - follower.run_began) / 60_000
    ended = done - follower.ended_before
    rate = ended / minutes if ended and minutes else None
    is_open = state == "running"  # trials of a killed run are not running
    open_trials = [*history.trials, *history.extensions.values()]
    return StudyStatus(
        state=state,
        phase=_describe_phase(follower, state),
        done=done,
        total=total,
        running=[t for t in open_trials if t.state == "RUNNING"] if is_open else [],
        waiting=[t for t in open_trials if t.state == "WAITING"] if is_open else [],
        enqueued=_pending_points(history) if state != "finished" else [],
        rungs=_count_rungs(history),
        seconds=history.seconds + since,
        training_seconds=math.fsum(t.seconds or 0.0 for t in history.attempts),
        trials_per_minute=rate,
        seconds_left=(
            estimate_left(rate, done, history.budget, history.seconds + since)
            if is_open and follower.phase == 0
            else None
        ),
    )


def _run_state(follower: StudyFollower) -> RunState:
    with suppress(OSError):
        if find_holder(follower.journal.with_suffix(".lock")):
            return "running"
    return "finished" if follower.history.is_concluded else "stopped"


def _describe_phase(follower: StudyFollower, state: RunState) -> str:
    if state == "finished":
        return "finished"
    if state == "stopped" and follower.history.is_paused and not follower.phase:
        return "stopped and paused: hpsearch unpause, then tune"
    text = describe_phase(follower.phase, follower.history)
    return text if state == "running" else f"stopped in {text}"


def _pending_points(history: History) -> list[Mapping[str, Any]]:
    """Return the points of `enqueue` without a trial; incomplete ones match by their own keys."""
    declared = (history.study.resolved or history.study.spec).get("enqueue") or []
    points = declared if isinstance(declared, list) else [declared]
    tried = [trial.params for trial in history.last.values()]
    return [
        point
        for point in points
        if isinstance(point, Mapping)
        and not any(all(params.get(k) == v for k, v in point.items()) for params in tried)
    ]


def _count_rungs(history: History) -> list[Rung]:
    """Count the pruned trials at each rung, and the trials that reached it."""
    ended = [t for t in history.trials if t.state in FINAL_STATES]
    stops = sorted({t.n_epochs for t in ended if t.state == "PRUNED" and t.n_epochs})
    return [
        Rung(
            epochs=epochs,
            reached=sum(t.n_epochs >= epochs for t in ended),
            pruned=sum(t.n_epochs == epochs and t.state == "PRUNED" for t in ended),
        )
        for epochs in stops
    ]


def estimate_left(
    rate: float | None, done: int, budget: Mapping[str, Any], seconds: float
) -> float | None:
    """Estimate the seconds until the first budget is spent, from this run's pace."""
    limits = []
    if rate and budget.get("trials"):
        limits.append((budget["trials"] - done) / rate * 60)
    if budget.get("minutes"):
        limits.append(budget["minutes"] * 60 - seconds)
    return max(0.0, min(limits)) if limits else None
