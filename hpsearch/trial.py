"""The nouns of a trial: what is asked of a trainer, what it answers, and what a study keeps of it.

Plain values only, so they cross process borders.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from sys import intern
from typing import Any, Literal, TypeVar, cast

import numpy as np

State = Literal["COMPLETE", "PRUNED", "FAILED"]
Direction = Literal["maximize", "minimize"]
Oriented = TypeVar("Oriented", float, np.ndarray)
Value = bool | int | float | str | None  # what a hyperparameter may be
TrialState = Literal["WAITING", "RUNNING", "COMPLETE", "PRUNED", "FAILED", "LOST"]
FINAL_STATES = ("COMPLETE", "PRUNED", "FAILED")
NOTHING: list[Any] = []  # what condensed trials hold in place of lists; never changed
NO_CURVES: dict[str, Any] = {}  # likewise


def derive_seed(*parts: int | str) -> int:
    """A seed in [0, 2**31) that depends on `parts` alone.

    Examples:
        >>> derive_seed(7, "trial", 3) == derive_seed(7, "trial", 3)
        True
        >>> derive_seed(7, "trial", 3) == derive_seed(7, "trial", 4)
        False
    """
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def max_epochs(params: Mapping[str, Value], default: int) -> int:
    """How many epochs a trial of these hyperparameters, the fixed ones included, has at most."""
    epochs = params.get("epochs", default)
    assert isinstance(epochs, int)
    return epochs


@dataclass(frozen=True, slots=True)
class TrialSpec:
    """One trial as the sampler asked for it."""

    number: int  # 0-based, in the order of asking
    params: Mapping[str, Value]  # active hyperparameters only
    seed: int  # every random draw of the trial derives from it
    epochs: int  # the maximum
    attempt: int = 0  # 0-based; grows when a worker died under the trial
    rungs: tuple[int, ...] = ()  # numbers of finished epochs after which it waits for a verdict
    # Of a trial that is trained again, so that its learning rate moves as it did:
    planned: int | None = None  # epochs that its schedule counts with; None: `epochs`
    watched: tuple[float, ...] = ()  # mean validation loss of each epoch back then

    def fold_seed(self, fold: int, purpose: str) -> int:
        """The seed of one fold for one purpose ("weights" or "dropout")."""
        return derive_seed(self.seed, fold, purpose)


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What all folds of a trial measured after one epoch."""

    trial: int
    epoch: int  # 0-based
    scores: np.ndarray  # the objective on the validation rows, shape (n_folds,)
    metrics: Mapping[str, np.ndarray]  # "train/loss", "val/loss", "val/<metric>": (n_folds,)


@dataclass(frozen=True, slots=True)
class FoldReport:
    """What one fold of a trial measured from its first epoch to its last, folds taking turns.

    It counts like an epoch: the trial's rungs are then numbers of finished folds, and the
    `EpochReport`s come at the end, when the folds are known side by side.
    """

    trial: int
    fold: int  # 0-based
    scores: np.ndarray  # the objective on the validation rows, shape (n_epochs,)

    @property
    def epoch(self) -> int:
        """What rungs are compared with: one less than the finished folds."""
        return self.fold


@dataclass(frozen=True, slots=True)
class TrialResult:
    """How a trial ended. A diverged or raising model is a result, not an exception."""

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
    latency_ms: float | None = None  # of predicting one batch, where that is an objective
    trainer: str = ""
    error: str | None = None  # one line for a person
    traceback: str | None = None


@dataclass(slots=True)
class Trial:
    """One attempt at a trial. It grows while records come in."""

    number: int
    attempt: int
    params: Mapping[str, Value]
    seed: int
    epochs: int  # the maximum
    asked: int  # milliseconds since the epoch
    revision: int = 0  # how many changes of code, versions or training were accepted before
    started: int | None = None  # the same; None while it waits for a worker
    ended: int | None = None  # the same
    state: TrialState = "WAITING"  # LOST: a later attempt took its place
    score: float | None = None
    spread: float | None = None
    best_epoch: int | None = None
    fold_scores: Sequence[float] | None = None
    finalist_score: float | None = None  # its second score, on fresh folds and seeds
    seconds: float | None = None
    n_parameters: int | None = None
    latency_ms: float | None = None  # of predicting one batch; measured where it is an objective
    values: Sequence[float] | None = None  # of the objectives, where there are several
    trainer: str = ""
    error: str | None = None
    traceback: str | None = None
    predictions: str | None = None  # a file, relative to the study's folder
    predictions_crc32: int | None = None  # of that file; None: of an older version
    times: list[int] = field(default_factory=list)  # milliseconds, one an epoch
    scores: list[list[float]] = field(default_factory=list)  # (n_epochs, n_folds)
    folds: list[list[float]] = field(default_factory=list)  # folds in turn: (n_epochs,) each
    curves: dict[str, list[list[float]]] = field(default_factory=dict)  # name -> the same
    means: Sequence[float] | None = None  # of the scores, once all else of the curves is let go

    @property
    def name(self) -> str:
        """What it is called in tables and in MLflow."""
        retry = f"-retry-{self.attempt}" if self.attempt else ""
        return f"trial-{self.number:03d}{retry}"

    @property
    def spec(self) -> TrialSpec:
        """What a trainer is asked for."""
        return TrialSpec(self.number, self.params, self.seed, self.epochs, self.attempt)

    def refit_spec(self, seed: int) -> TrialSpec:
        """The trial trained anew to its best epoch, its learning rate moving as it did."""
        assert self.best_epoch is not None
        assert self.means is None, f"{self.name} has let go of its curves"
        watched = tuple(sum(folds) / len(folds) for folds in self.curves.get("val/loss", ()))
        epochs = self.best_epoch + 1
        return TrialSpec(
            self.number, self.params, seed, epochs, planned=self.epochs, watched=watched
        )

    def drop_curves(self) -> None:
        """Let an ended trial go of its curves but for the means over the folds.

        The means judge other trials; the journal has the rest (`History.recover`). A study of many
        trials would hold little else in memory.
        """
        if self.means is None:
            self.means = array("d", self.mean_scores())
        if self.fold_scores is not None:
            self.fold_scores = array("d", self.fold_scores)
        self.times = self.scores = self.folds = NOTHING
        self.curves = NO_CURVES
        self.traceback = None
        self.state = cast(TrialState, intern(self.state))
        self.trainer = intern(self.trainer)

    def restore_curves(self, full: Trial) -> None:
        """Take the curves back from the same trial, as the journal has it."""
        self.times, self.scores, self.folds = full.times, full.scores, full.folds
        self.curves, self.traceback, self.means = full.curves, full.traceback, None

    @property
    def is_finished(self) -> bool:
        """Whether it has a result."""
        return self.state in FINAL_STATES

    @property
    def n_epochs(self) -> int:
        """Epochs that were reported."""
        return len(self.times if self.means is None else self.means)

    def mean_scores(self) -> Sequence[float]:
        """The mean over the folds, one an epoch."""
        if self.means is not None:
            return self.means
        return [mean(scores) for scores in self.scores]


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean; NaN where one value is."""
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else math.nan


def is_better(score: float, than: float, direction: Direction) -> bool:
    """Whether one score is strictly better than another."""
    return orient(score, direction) > orient(than, direction)


def orient(values: Oriented, direction: Direction) -> Oriented:
    """A number, or an array of them, with its sign such that larger is better."""
    return values if direction == "maximize" else -values


def is_score(score: float | None) -> bool:
    """Whether a trial with this score can be ranked."""
    return score is not None and math.isfinite(score)
