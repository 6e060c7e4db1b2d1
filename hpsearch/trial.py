"""The nouns of a trial: what is asked of a trainer and what it answers.

Plain values only, so they cross process borders. Knows no framework.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

State = Literal["COMPLETE", "PRUNED", "FAILED"]
Direction = Literal["maximize", "minimize"]
Value = bool | int | float | str | None  # what a hyperparameter may be


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


@dataclass(frozen=True, slots=True)
class TrialSpec:
    """One trial as the sampler asked for it."""

    number: int  # 0-based, in the order of asking
    params: Mapping[str, Value]  # active hyperparameters only
    seed: int  # every random draw of the trial derives from it
    epochs: int  # at most so many
    attempt: int = 0  # 0-based; grows when a worker died under the trial
    rungs: tuple[int, ...] = ()  # numbers of finished epochs after which it waits for a verdict
    # Of a trial that is trained again, so that its learning rate moves as it did:
    planned: int | None = None  # epochs that its schedule counts with; None: `epochs`
    watched: tuple[float, ...] = ()  # mean validation loss of each epoch back then

    def fold_seed(self, fold: int, purpose: str) -> int:
        """The seed of one fold for one purpose ("weights", "order" or "dropout")."""
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
