"""A trial of the batch engine, and the size of a group of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ...trial import TrialSpec, Value
from ..batching import batch_size
from ..trial_progress import TrialProgress
from .segment import ENDED
from .template import Template, TrialNumbers

if TYPE_CHECKING:
    from .tile_group import TileGroup


@dataclass(slots=True, eq=False)
class TileEntry:
    """A running trial."""

    progress: TrialProgress
    params: Mapping[str, Value]
    template: Template
    numbers: TrialNumbers
    round: int = 0  # number of its population
    epoch: int = 0  # trained epochs; `progress` has the reported ones
    slot: tuple[int, int] | None = None  # tile and slot
    group: TileGroup | None = None
    # (n_figures, n_folds) of each unreported epoch; the last figure is `TRAINED` or `ENDED`.
    measured: deque[np.ndarray] = field(default_factory=deque)
    table: np.ndarray | None = None  # (n_folds, n_rows, n_outputs) predictions of an ended trial
    error: Exception | None = None  # of a failed trial

    @property
    def trial(self) -> TrialSpec:
        """The trial."""
        return self.progress.trial

    @property
    def batch_size(self) -> int:
        """Rows per step."""
        return batch_size(self.params)

    @property
    def has_ended(self) -> bool:
        """Whether the trial needs no more training."""
        return bool(self.measured) and is_last(self.measured[-1])

    @property
    def epochs_left(self) -> int:
        """Epochs to train before its next unreported rung, or its end; 0: it pauses."""
        reported = self.progress.n_epochs
        rungs = [rung for rung in self.trial.rungs if rung > reported]
        return max(0, min([self.trial.epochs, *rungs]) - self.epoch)

    def add_figures(self, figures: Sequence[np.ndarray]) -> None:
        """Add the epochs after `epoch`; those before a restart are known already."""
        known = self.progress.n_epochs + len(self.measured)
        self.measured.extend(figures[max(0, known - self.epoch) :])
        self.epoch += len(figures)

    def restart(self) -> None:
        """Train it from its start; known epochs are not reported twice."""
        self.epoch, self.slot = 0, None


def is_last(figures: np.ndarray) -> bool:
    """Whether a trial ended with the epoch of these figures."""
    return bool(figures[-1, 0] == ENDED)


@dataclass(frozen=True, slots=True)
class GroupSize:
    """The size of a group on the device."""

    tiles: int
    trials: int  # per tile
    orders: int = 1  # epochs at which the trials of a tile may train at once

    def holds(self, counts: Iterable[int]) -> bool:
        """Whether there are enough tiles for these numbers of trials of each batch size."""
        return sum(-(-count // self.trials) for count in counts) <= self.tiles

    @property
    def half(self) -> GroupSize | None:
        """Return a size of about half the memory; None if it cannot be smaller."""
        if self.tiles > 1:
            return replace(self, tiles=self.tiles // 2)
        return replace(self, trials=self.trials // 2) if self.trials > 1 else None
