"""A trial under way: the inputs of its lanes, and what they measured last."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ...models.step_factors import StepFactors
from ...trial import TrialSpec, Value
from ..problem import Problem
from ..schedules import StepShares, strength_shares
from ..trial_progress import TrialProgress
from .device_data import DeviceData
from .program import Lane, LaneEpoch, LaneState, Recipe


class LaneMeasures(NamedTuple):
    """What one lane measured in one epoch."""

    train_loss: float
    validation_loss: float = math.nan
    metrics: Any = ()  # (n_metrics,)
    predictions: Any = None  # (n_validation or more, n_outputs), still on the device


@dataclass(slots=True, eq=False)
class TrialRun:
    """A trial under way."""

    progress: TrialProgress
    params: Mapping[str, Value]  # the fixed ones included
    recipe: Recipe
    class_weights: tuple[np.ndarray | None, ...]  # a fold each, see `training.class_weights`
    draw_weights: Callable[[int], list[np.ndarray]]  # of a fold; see `draw_fold_weights`
    factors: StepFactors | None = None
    evaluates: bool = True  # whether validation rows are looked at
    submitted: int = 0  # epochs whose training was begun
    last: list[LaneMeasures] = field(default_factory=list)  # of the last epoch, a fold each
    _first_state: LaneState | None = None  # of fold 0, once it was drawn and until it is trained

    @property
    def trial(self) -> TrialSpec:
        """What is trained."""
        return self.progress.trial

    def make_lane(self, fold: int, data: DeviceData) -> Lane:
        """What does not change in the lane of `fold`."""
        key = np.uint32(self.trial.fold_seed(fold, "dropout"))
        recipe = self.recipe
        return Lane(
            recipe.network.strengths,
            recipe.objective.numbers,
            key,
            data.folds_of(self.params)[fold],
            self.class_weights[fold],
            factors=self.factors,
        )

    def initial_state(self, fold: int) -> LaneState:
        """The state of the lane of `fold` before its first step, which training overwrites."""
        if fold or self._first_state is None:
            return self._draw_state(fold)
        drawn, self._first_state = self._first_state, None
        return drawn

    def example_state(self) -> LaneState:
        """The state of a lane as programs are compiled for it; not to be trained."""
        if self._first_state is None:
            self._first_state = self._draw_state(0)
        return self._first_state

    def _draw_state(self, fold: int) -> LaneState:
        return self.recipe.initial(self.draw_weights(fold), self.trial.fold_seed(fold, "dropout"))

    def make_epoch(
        self,
        problem: Problem,
        data: DeviceData,
        fold: int,
        number: int,
        *,
        steps: int,
    ) -> LaneEpoch:
        """The rows of one epoch of `fold` in their order.

        Args:
            problem: Whose fold it is.
            data: The problem's, whose longest fold the program has room for.
            fold: 0-based.
            number: 0-based epoch.
            steps: Batches to train.
        """
        train, recipe = problem.folds[fold].train, self.recipe
        width = data.steps(recipe.rows)  # no batch is smaller
        beyond = 0 if recipe.chunk is None else recipe.rows  # a batch may end amid a chunk
        rows = np.zeros(width * recipe.rows + beyond, np.int32)
        rows[: len(train)] = data.orders(fold, number)
        learning_rates = np.zeros(width, np.float32)
        own = -(-len(train) // recipe.batch_size)
        planned = {"n_steps": own, "n_epochs": self.trial.planned or self.trial.epochs}
        losses = self.trial.watched or self.progress.mean_losses()
        learning_rates[:own] = recipe.schedule.rates(number, losses=losses, **planned)
        shares = None if recipe.is_compiled else strength_shares(self.params, number, **planned)
        if shares is not None:
            shares = StepShares(*(np.pad(share, (0, width - own)) for share in shares))
        return LaneEpoch(
            np.int32(number),
            rows,
            np.int32(steps),
            recipe.update.numbers,
            learning_rates,
            np.int32(recipe.batch_size),
            recipe.masks,
            shares,
        )
