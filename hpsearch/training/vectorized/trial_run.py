"""A running trial: the inputs of its lanes, and their last measurements."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
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
    """One lane's measurements of one epoch."""

    train_loss: float
    validation_loss: float = math.nan
    metrics: Sequence[float] = ()
    predictions: Any = None  # (n_validation, n_outputs)


@dataclass(slots=True, eq=False)
class TrialRun:
    """A running trial."""

    progress: TrialProgress
    params: Mapping[str, Value]  # including the fixed ones
    recipe: Recipe
    class_weights: tuple[np.ndarray | None, ...]  # of each fold; see `training.class_weights`
    draw_state: Callable[[int], LaneState]  # fold -> its initial state
    factors: StepFactors | None = None
    turn: int = 0  # lanes of lower turns are trained first
    evaluates: bool = True  # whether validation rows are evaluated
    programs: Sequence[Future[Any]] = ()  # they train and evaluate an epoch of a lane
    submitted: int = 0  # number of submitted epochs
    last: list[LaneMeasures] = field(default_factory=list)  # of the last epoch, for each fold
    planned: set[int] = field(default_factory=set)  # submitted epochs with a checkpoint
    frozen: dict[tuple[int, int], list[np.ndarray]] = field(default_factory=dict)  # epoch, fold
    restored: Sequence[LaneState | None] = ()  # of each fold; empty: training starts
    _first_state: LaneState | None = None  # of fold 0, between drawing and training

    @property
    def trial(self) -> TrialSpec:
        """The trial."""
        return self.progress.trial

    def make_lane(self, fold: int, data: DeviceData) -> Lane:
        """Make the constant inputs of the lane of `fold`."""
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
        """Return the initial state of the lane of `fold`, which training overwrites."""
        if self.restored:
            restored = self.restored[fold]
            assert restored is not None, "the fold has stopped"
            return restored
        if fold or self._first_state is None:
            return self.draw_state(fold)
        drawn, self._first_state = self._first_state, None
        return drawn

    def example_state(self) -> LaneState:
        """Return a state to compile programs for; it must not be trained."""
        if self._first_state is None:
            self._first_state = self.draw_state(0)
        return self._first_state

    def make_epoch(
        self,
        problem: Problem,
        data: DeviceData,
        fold: int,
        number: int,
        *,
        steps: range,
    ) -> LaneEpoch:
        """Make the inputs of one epoch of `fold`, or of a part of it.

        Args:
            problem: The problem.
            data: The problem's data; the program has room for `data.capacity` rows.
            fold: 0-based.
            number: 0-based epoch.
            steps: Batches to train.
        """
        train, recipe = problem.folds[fold].train, self.recipe
        width = data.steps(recipe.rows)  # the smallest batch needs the most steps
        beyond = 0 if recipe.chunk is None else recipe.rows  # a batch may end within a chunk
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
            np.int32(steps.start),
            np.int32(len(steps)),
            recipe.update.numbers,
            learning_rates,
            np.int32(recipe.batch_size),
            recipe.masks,
            shares,
        )
