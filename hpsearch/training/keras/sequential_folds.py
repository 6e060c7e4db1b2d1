"""Combine folds that were trained one after another. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(slots=True)
class FoldRun:
    """One fold of a trial from its first epoch to its last."""

    fold: int  # 0-based
    objective: str  # the name of the score among the figures
    epoch_metrics: list[dict[str, float]] = field(default_factory=list)  # one per epoch
    predictions: list[np.ndarray] = field(default_factory=list)  # (n_validation, n_outputs) each

    def add_epoch(self, figures: dict[str, float], predictions: np.ndarray) -> None:
        """Add the measurements of an epoch."""
        self.epoch_metrics.append(figures)
        self.predictions.append(predictions)

    @property
    def scores(self) -> np.ndarray:
        """The objective by epoch, shape (n_epochs,)."""
        return np.array([figures[self.objective] for figures in self.epoch_metrics])

    def get_vital_metrics(self) -> dict[str, np.ndarray]:
        """Return the values that must be finite after the last epoch, (fold + 1,) each."""
        last = self.epoch_metrics[-1]
        names = ("train/loss", "val/loss", self.objective)
        return {name: np.array([0.0] * self.fold + [last[name]]) for name in names}


def merge_fold_runs(
    fold_runs: Sequence[FoldRun],
) -> Iterator[tuple[dict[str, np.ndarray], list[np.ndarray]]]:
    """Return the measurements per epoch, as if folds had been trained in lockstep.

    A stopped fold repeats its last epoch.

    Yields:
        The figures by name, (n_folds,) each, and the predictions of each fold.
    """
    for epoch in range(max(len(run.epoch_metrics) for run in fold_runs)):
        indices = [min(epoch, len(run.epoch_metrics) - 1) for run in fold_runs]
        rows = [run.epoch_metrics[k] for run, k in zip(fold_runs, indices, strict=True)]
        measured = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        yield measured, [run.predictions[k] for run, k in zip(fold_runs, indices, strict=True)]
