"""Answers about trials, and about studies while they run."""

from __future__ import annotations

from typing import Literal

from ..trial import Direction, TrialState
from .answer import Answer, Number, Params


class TrialSummary(Answer):
    """One trial, without its folds and curves."""

    trial: int
    state: TrialState
    score: Number
    """Mean over the folds at the best epoch."""
    score_std: Number
    """Standard deviation over the folds."""
    values: list[Number] | None
    """Values in the order of the objectives; null with a single objective."""
    best_epoch: int | None
    seconds: Number
    params: Params
    rank: int | None
    """From 1; null: not complete."""
    is_winner: bool
    violations: list[Number] | None
    """By how much each constraint on what is measured is violated, in the file's order; 0 or less:
    satisfied. Null: the study has none, or the trial no measurement."""
    on_front: bool
    """Whether it is on the Pareto front of several objectives."""


class TrialAnswer(TrialSummary):
    """Answer of `show`: one trial with its folds and curves."""

    study: str
    metric: str
    direction: Direction
    epochs: int
    """Finished epochs."""
    max_epochs: int
    seed: int
    attempt: int
    """From 0; grows when a worker died under the trial."""
    n_parameters: int | None
    trainer: str
    fold_scores: list[Number]
    """At the best epoch; empty before there is one."""
    curves: dict[str, list[Number]]
    """Mean over the folds by epoch: the objective, `train/loss`, `val/loss` and other metrics."""
    error: str | None
    """Why it failed, on one line."""
    traceback: str | None


class TopAnswer(Answer):
    """Answer of `top`: the best trials, best first."""

    study: str
    metric: str
    direction: Direction
    counts: dict[str, int]
    """Trials by state."""
    trials: list[TrialSummary]
    ended: str
    """Why the search ended; empty: it has not."""


class CompareAnswer(Answer):
    """Answer of `compare`: trials side by side."""

    study: str
    metric: str
    direction: Direction
    trials: list[TrialSummary]
    differing: list[str]
    """Hyperparameters that differ between the trials."""


class StudySummary(Answer):
    """One study of a folder."""

    study: str
    state: Literal["running", "finished", "stopped", "damaged"]
    trials: int
    metric: str
    direction: Direction
    score: Number
    """Best score, mean over the folds."""
    score_std: Number
    last_event: str | None
    note: str


class StudiesAnswer(Answer):
    """Answer of `studies`, the last modified first."""

    studies: list[StudySummary]


class RungAnswer(Answer):
    """A number of epochs at which trials were pruned."""

    epochs: int
    reached: int
    pruned: int


class RunningTrial(Answer):
    """A trial that is being trained."""

    trial: int
    epoch: int
    """Finished epochs."""
    max_epochs: int
    params: Params


class StatusAnswer(Answer):
    """Answer of `watch`: a study at one moment, without scores on locked rows."""

    study: str
    state: Literal["running", "stopped", "finished"]
    is_paused: bool
    """By `pause`: a process that runs it waits for `unpause`."""
    phase: str
    metric: str
    direction: Direction
    done: int
    """Finished trials."""
    total: int | None
    """Trials of the budget."""
    best: TrialSummary | None
    running: list[RunningTrial]
    enqueued: list[Params]
    rungs: list[RungAnswer]
    seconds: float
    """Wall clock of all runs."""
    training_seconds: float
    trials_per_minute: Number
    seconds_left: Number
    """Of the search."""
    ended: str
    """Why the search ended; empty: it has not."""


class RunAnswer(StatusAnswer):
    """Answer of the tool `tune`: the study, and what is left of the server's budget."""

    message: str
    """What happened, or what to do next."""
    trials_left: int
    minutes_left: float
