"""The protocol of a trainer: all folds of a trial advance together, one epoch at a time.

A trainer owns one `Problem` and lives through many trials.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from typing import Protocol

import numpy as np

from ..trial import EpochReport, FoldReport, TrialResult, TrialSpec

TrainerMessage = list[EpochReport] | list[FoldReport] | TrialResult
ReportGenerator = Generator[TrainerMessage, Collection[int] | None, None]


class Trainer(Protocol):
    """What trains trials."""

    name: str

    def train(self, trials: Sequence[TrialSpec]) -> ReportGenerator:
        """Train a population: all its trials advance together, one epoch at a time.

        Yields the `EpochReport`s of the trials that go on, all of one epoch in a list, and each
        trial's `TrialResult` as its last word. The answer to the list (`generator.send`) names
        the trials that stop there as PRUNED; nothing beyond a trial's next rung is trained
        before the answer comes. A model that diverges, predicts a constant or raises is a
        result of state FAILED.
        """
        ...

    def prepare(self, trials: Sequence[TrialSpec]) -> None:
        """Get ready for a population that comes after the running one; may do nothing.

        Called from another thread than `train`, and returns at once.
        """
        ...

    def fit(self, trial: TrialSpec) -> list[np.ndarray]:
        """Train one network on the training rows of the problem's first fold.

        For exactly `trial.epochs` epochs, looking at no validation row: the final fit. The
        weights come in the order of `keras.Model.get_weights` of the family's network.
        """
        ...
