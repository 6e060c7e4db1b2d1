"""Trial data types: a trainer's input and output, and the study's record of a trial.

Plain values only, so that they can be sent between processes.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from sys import intern
from typing import Any, Literal, TypeVar, cast

import numpy as np

State = Literal["COMPLETE", "PRUNED", "FAILED"]
Direction = Literal["maximize", "minimize"]
Oriented = TypeVar("Oriented", float, np.ndarray)
Value = bool | int | float | str | None  # types of a hyperparameter
TrialState = Literal["WAITING", "RUNNING", "COMPLETE", "PRUNED", "FAILED", "LOST"]
FINAL_STATES = ("COMPLETE", "PRUNED", "FAILED")
NOTHING: list[Any] = []  # shared by condensed trials instead of empty lists; never modified
NO_CURVES: dict[str, Any] = {}  # likewise


def derive_seed(*parts: int | str) -> int:
    """Derive a seed in [0, 2**31) from `parts` alone.

    Examples:
        >>> derive_seed(7, "trial", 3) == derive_seed(7, "trial", 3)
        True
        >>> derive_seed(7, "trial", 3) == derive_seed(7, "trial", 4)
        False
    """
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def max_epochs(params: Mapping[str, Value], default: int) -> int:
    """Return the maximum number of epochs of a trial with these hyperparameters."""
    epochs = params.get("epochs", default)
    assert isinstance(epochs, int)
    return epochs


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound on a quantity that is measured in a trial: `latency_ms <= 2`."""

    name: str  # a metric, `parameters` or `latency_ms`
    bound: float
    is_upper: bool

    def violation(self, value: float) -> float:
        """Return by how much a value is beyond the bound; 0 or less: it is not.

        Examples:
            >>> Limit("latency_ms", 2.0, is_upper=True).violation(2.5)
            0.5
        """
        return value - self.bound if self.is_upper else self.bound - value

    def __str__(self) -> str:
        return f"{self.name} {'<=' if self.is_upper else '>='} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class TrialSpec:
    """One trial as the sampler suggested it."""

    number: int  # 0-based, in order of creation
    params: Mapping[str, Value]  # active hyperparameters only
    seed: int  # all random draws of the trial derive from it
    epochs: int  # the maximum
    attempt: int = 0  # 0-based; grows when a worker died under the trial
    rungs: tuple[int, ...] = ()  # numbers of finished epochs after which the pruner decides
    # For a trial that is trained again, to repeat its learning rates:
    planned: int | None = None  # length of the schedule in epochs; None: `epochs`
    watched: tuple[float, ...] = ()  # mean validation loss of each epoch of the first training
    checkpoint: Literal["auto", "off"] | int = "off"  # an int: after each multiple of it
    resume_from: bytes | None = field(default=None, repr=False)  # see `training.checkpoint`

    def fold_seed(self, fold: int, purpose: str) -> int:
        """Derive the seed of one fold for one purpose ("weights" or "dropout")."""
        return derive_seed(self.seed, fold, purpose)


@dataclass(frozen=True, slots=True)
class EpochReport:
    """Scores and metrics of all folds of a trial after one epoch."""

    trial: int
    epoch: int  # 0-based
    scores: np.ndarray  # objective on the validation rows, shape (n_folds,)
    metrics: Mapping[str, np.ndarray]  # "train/loss", "val/loss", "val/<metric>": (n_folds,)
    costs: Mapping[str, float] = field(default_factory=dict)  # objectives known so far
    checkpoint: bytes | None = field(default=None, repr=False)  # see `training.checkpoint`


@dataclass(frozen=True, slots=True)
class FoldReport:
    """Scores of one fold over all its epochs, if folds are trained sequentially.

    It is treated like an epoch: the trial's rungs are then numbers of finished folds, and the
    `EpochReport`s follow at the end, when all folds are known.
    """

    trial: int
    fold: int  # 0-based
    scores: np.ndarray  # objective on the validation rows, shape (n_epochs,)

    @property
    def epoch(self) -> int:
        """The value compared with rungs: finished folds minus one."""
        return self.fold


@dataclass(frozen=True, slots=True)
class TrialResult:
    """The result of a trial. A model that diverges or raises is a result, not an exception."""

    number: int
    state: State
    seconds: float  # wall clock of training and evaluation
    attempt: int = 0
    score: float | None = None  # mean over folds at the best epoch
    spread: float | None = None  # standard deviation over folds at the best epoch
    best_epoch: int | None = None  # 0-based
    fold_scores: np.ndarray | None = None  # at the best epoch, shape (n_folds,)
    curves: Mapping[str, np.ndarray] = field(default_factory=dict)  # name -> (n_epochs, n_folds)
    predictions: np.ndarray | None = None  # out of fold, (n_rows, n_outputs); NaN: never validated
    n_parameters: int | None = None
    latency_ms: float | None = None  # latency of one batch, if it is an objective
    trainer: str = ""
    error: str | None = None  # one line for the user
    traceback: str | None = None


@dataclass(slots=True)
class Trial:
    """One attempt at a trial, updated by its events."""

    number: int
    attempt: int
    params: Mapping[str, Value]
    seed: int
    epochs: int  # the maximum
    asked: int  # milliseconds since the epoch
    revision: int = 0  # accepted changes of code, versions or training so far
    training_revision: int = 0  # of these, the ones after which a checkpoint cannot be used
    started: int | None = None  # likewise; None while it waits for a worker
    ended: int | None = None  # the same
    state: TrialState = "WAITING"  # LOST: replaced by a later attempt
    score: float | None = None
    spread: float | None = None
    best_epoch: int | None = None
    fold_scores: Sequence[float] | None = None
    finalist_score: float | None = None  # second score, on fresh folds and seeds
    seconds: float | None = None
    n_parameters: int | None = None
    latency_ms: float | None = None  # latency of one batch, if it is an objective
    values: Sequence[float] | None = None  # values of several objectives
    # The same after each epoch, at the best one so far; None: not yet known.
    epoch_values: list[Sequence[float | None]] | None = None
    measured: Mapping[str, float] | None = None  # what limits are on, by name
    trainer: str = ""
    error: str | None = None
    traceback: str | None = None
    predictions: str | None = None  # file, relative to the study's folder
    predictions_crc32: int | None = None  # digest of that file; None: written by an older version
    times: list[int] = field(default_factory=list)  # milliseconds, per epoch
    scores: list[list[float]] = field(default_factory=list)  # (n_epochs, n_folds)
    folds: list[list[float]] = field(default_factory=list)  # sequential folds: (n_epochs,) each
    curves: dict[str, list[list[float]]] = field(default_factory=dict)  # (n_epochs, n_folds) each
    means: Sequence[float] | None = None  # mean scores of the epochs whose curves are dropped

    @property
    def name(self) -> str:
        """The name in tables and in MLflow."""
        retry = f"-retry-{self.attempt}" if self.attempt else ""
        return f"trial-{self.number:03d}{retry}"

    @property
    def spec(self) -> TrialSpec:
        """The input of the trainer."""
        return TrialSpec(self.number, self.params, self.seed, self.epochs, self.attempt)

    @property
    def retrain_spec(self) -> TrialSpec:
        """The spec to train the trial again as far as it was trained."""
        if self.state != "PRUNED":
            return self.spec
        return replace(self.spec, epochs=self.n_epochs, planned=self.epochs)

    def make_extension(self, epochs: int) -> Trial:
        """Copy the trial, to be trained further, to `epochs` in all."""
        return replace(
            self,
            epochs=epochs,
            state="WAITING",
            ended=None,
            finalist_score=None,
            times=list(self.times),
            scores=list(self.scores),
            folds=[],
            curves={name: list(rows) for name, rows in self.curves.items()},
            epoch_values=None if self.epoch_values is None else list(self.epoch_values),
        )

    def refit_spec(self, seed: int) -> TrialSpec:
        """The spec to train the trial again up to its best epoch, with the same learning rates."""
        assert self.best_epoch is not None
        assert self.means is None, f"{self.name} has let go of its curves"
        watched = tuple(sum(folds) / len(folds) for folds in self.curves.get("val/loss", ()))
        epochs = self.best_epoch + 1
        return TrialSpec(
            self.number, self.params, seed, epochs, planned=self.epochs, watched=watched
        )

    def drop_curves(self) -> None:
        """Drop the curves of an ended trial, except the means over the folds.

        Pruners compare other trials with the means; `history.restore_curves` reads the rest from
        the journal. Otherwise curves would take most of the memory of a long study.
        """
        if self.means is None or self.times:
            self.means = array("d", self.mean_scores())
        if self.fold_scores is not None:
            self.fold_scores = array("d", self.fold_scores)
        self.times = self.scores = self.folds = NOTHING
        self.curves = NO_CURVES
        self.traceback = None
        self.state = cast(TrialState, intern(self.state))
        self.trainer = intern(self.trainer)

    def restore_curves(self, full: Trial) -> None:
        """Copy the curves from the same trial, as read from the journal."""
        self.times, self.scores, self.folds = full.times, full.scores, full.folds
        self.curves, self.traceback, self.means = full.curves, full.traceback, None

    @property
    def is_finished(self) -> bool:
        """Whether the trial has a result."""
        return self.state in FINAL_STATES

    @property
    def n_epochs(self) -> int:
        """Number of reported epochs."""
        return self.n_dropped + len(self.times)

    @property
    def n_dropped(self) -> int:
        """Number of epochs whose curves are dropped; those of the later ones are there."""
        return 0 if self.means is None else len(self.means)

    def mean_scores(self) -> Sequence[float]:
        """Mean score over the folds, per epoch."""
        if self.means is not None and not self.scores:
            return self.means
        return [*(self.means or ()), *map(mean, self.scores)]


def mean(values: Sequence[float]) -> float:
    """Compute the arithmetic mean; NaN if a value is NaN."""
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else math.nan


def is_better(score: float, than: float, direction: Direction) -> bool:
    """Whether one score is strictly better than another."""
    return orient(score, direction) > orient(than, direction)


def orient(values: Oriented, direction: Direction) -> Oriented:
    """Flip the sign of a minimized number or array, so that larger is better."""
    return values if direction == "maximize" else -values


def is_score(score: float | None) -> bool:
    """Whether a score is a finite number, so that its trial can be ranked."""
    return score is not None and math.isfinite(score)
