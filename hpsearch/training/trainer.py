"""The protocol of trainers: all folds of a trial advance together, one epoch at a time.

A trainer has one `Problem` and trains many trials.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from typing import Protocol

import numpy as np

from ..trial import EpochReport, FoldReport, TrialResult, TrialSpec

TrainerMessage = list[EpochReport] | list[FoldReport] | TrialResult
ReportGenerator = Generator[TrainerMessage, Collection[int] | None, None]


class Trainer(Protocol):
    """Trains trials."""

    name: str

    def train(self, trials: Sequence[TrialSpec]) -> ReportGenerator:
        """Train a population: all its trials advance together, one epoch at a time.

        Yields lists of `EpochReport`s, one list per epoch, and finally each trial's `TrialResult`.
        The value sent back (`generator.send`) names the trials to stop as PRUNED; no trial is
        trained beyond its next rung before that. A model that diverges, predicts a constant or
        raises gives a result of state FAILED.
        """
        ...

    def prepare(self, trials: Sequence[TrialSpec]) -> None:
        """Prepare the population after the running one; may do nothing.

        Called from another thread than `train`; returns immediately.
        """
        ...

    def fit(self, trial: TrialSpec) -> list[np.ndarray]:
        """Train one network on the training rows of the problem's first fold.

        Used for the final fit: exactly `trial.epochs` epochs, without validation rows. Returns
        the weights in the order of `keras.Model.get_weights` of the family's network.
        """
        ...
