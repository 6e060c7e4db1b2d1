"""One compiled Keras model that holds every fold in turn.

A fold is a list of values: weights, seeds and optimizer state. They are loaded into the model for
an epoch and read back, so the folds and later trials of the same architecture share one traced
program. Under TensorFlow an epoch is one call; under other backends it is a loop over
`train_on_batch`. Both have the arithmetic of `keras.Model.fit`.

Trials, scores and early stopping are handled by `keras_fit`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ...data.statistics import Statistics, clamp_answers
from ...data.target_transform import inverse_transform_target, transform_target
from ...models.members import average_members, count_members
from ...trial import derive_seed
from ..class_weights import TASKS_WITHOUT_CLASSES, get_class_indices
from ..compiled_model import logits_to_probabilities, takes_logits
from ..problem import Problem
from ..schedules import StepShares
from .graph_steps import GraphSteps, get_learning_rate_variable, list_share_variables
from .scheduled_steps import SHARE

if TYPE_CHECKING:
    import keras

EVALUATION_ROWS = 1024  # rows predicted at once; bounds the memory of activations

FoldState = list[Any]  # of weights, seeds and optimizer variables, in the backend's arrays


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A network's predictions for some rows, and their loss."""

    predictions: np.ndarray  # (n, n_outputs) float32, in the target's original unit
    loss: float  # of the scaled target, with regularization


class EpochSteps(Protocol):
    """Trains an epoch: `GraphSteps` under TensorFlow, `BatchSteps` otherwise."""

    def train(
        self,
        statistics: Statistics,
        rows: np.ndarray,
        batch_size: int,
        *,
        weights: np.ndarray | None,
        rates: np.ndarray,
        shares: StepShares,
    ) -> float:
        """See `SharedModel.train_epoch`; `weights` are those of `rows`."""
        ...

    def evaluate(self, statistics: Statistics, rows: np.ndarray) -> tuple[np.ndarray, float]:
        """Return predictions of the scaled target, and their mean loss."""
        ...


class SharedModel:
    """A compiled model that holds the values of one fold."""

    def __init__(
        self, model: keras.Model, problem: Problem, features: Any, constant: Collection[int] = ()
    ) -> None:
        """Wrap a model.

        Args:
            model: Built and compiled.
            problem: The problem.
            features: `to_backend_array(problem.features)`, which all networks share; unused if
                they are on disk.
            constant: The `id` of each weight that is equal in all folds and not trained, as those
                of a frozen backbone; a fold's state does not contain them.
        """
        import keras

        self.model = model
        self._task = problem.task
        self._n_members = count_members(model)
        self._weights = problem.weights
        self._transforms = problem.target_transforms
        self._classes = (
            None if problem.task in TASKS_WITHOUT_CLASSES else get_class_indices(problem.target)
        )
        self._answers_logits = takes_logits(model.loss)
        model.optimizer.build(model.trainable_variables)
        self._own_weights = [v for v in model.weights if v.name != SHARE]
        self._fold_weights = [v for v in model.weights if id(v) not in constant]
        self._seeds = [v for v in model.variables if v.name == "seed_generator_state"]
        self._steps: EpochSteps
        if keras.backend.backend() == "tensorflow" and not model.run_eagerly:
            self._steps = GraphSteps(model, problem, features)
        else:
            self._steps = BatchSteps(model, problem)

    def make_fold_state(
        self, weights: list[np.ndarray], seed: int, learning_rate: float | None
    ) -> FoldState:
        """Return the initial state of a fold.

        Args:
            weights: Weights in the order of `keras.Model.get_weights`.
            seed: Seed of dropout and other noise layers.
            learning_rate: Replaces the compiled one.
        """
        for variable, value in zip(self._own_weights, weights, strict=True):
            variable.assign(value)
        for index, variable in enumerate(self._seeds):
            variable.assign([derive_seed(seed, index), 0])
        self._reset_optimizer()
        if learning_rate is not None:
            self.model.optimizer.learning_rate = learning_rate
        return self.get_state()

    def take_over(self, other: SharedModel) -> None:
        """Continue with the fold that `other` has trained in an earlier phase.

        Weights and seeds are kept, and the optimizer begins anew.
        """
        other.finalize_weights()
        for variable, value in zip(self._own_weights, other.get_weights(), strict=True):
            variable.assign(value)
        for variable, held in zip(self._seeds, other._seeds, strict=True):
            variable.assign(held.value)
        self._reset_optimizer()

    def _reset_optimizer(self) -> None:
        # Some optimizers start from the weights (ScheduleFreeAdamW), so a copy is built with them.
        optimizer = self.model.optimizer
        twin = type(optimizer).from_config(optimizer.get_config())
        twin.build(self.model.trainable_variables)
        for variable, fresh in zip(optimizer.variables, twin.variables, strict=True):
            variable.assign(fresh)

    def get_state(self) -> FoldState:
        """Return a copy of the model's values."""
        from keras import ops

        return [ops.copy(v.value) for v in self._list_variables()]

    def set_state(self, values: FoldState) -> None:
        """Load the fold of `values` into the model."""
        for variable, value in zip(self._list_variables(), values, strict=True):
            variable.assign(value)

    def train_epoch(
        self,
        statistics: Statistics,
        rows: np.ndarray,
        batch_size: int,
        *,
        class_weights: np.ndarray | None,
        rates: np.ndarray | None,
        shares: StepShares | None = None,
    ) -> float:
        """Train on `rows` in their order, and return the loss as `fit` reports it.

        Args:
            statistics: The fold's statistics.
            rows: Shape (n,).
            batch_size: Rows per step.
            class_weights: Shape (n_classes,), ones if classes are not weighted; None for a
                regression.
            rates: The learning rate of each step; None: the compiled one.
            shares: Shares of dropout and weight decay; None: constant.
        """
        weights = None if self._weights is None else self._weights[rows].astype(np.float32)
        if class_weights is not None and self._classes is not None and (class_weights != 1).any():
            of_class = class_weights[self._classes[rows]]
            weights = of_class if weights is None else weights * of_class
        if rates is None:
            held = get_learning_rate_variable(self.model)
            steps = -(-len(rows) // batch_size)
            rates = np.full(steps, 0.0 if held is None else float(held), np.float32)
        shares = StepShares(*np.ones((2, len(rates)), np.float32)) if shares is None else shares
        return self._steps.train(
            statistics, rows, batch_size, weights=weights, rates=rates, shares=shares
        )

    def get_weights(self) -> list[np.ndarray]:
        """Return the weights in the order of `keras.Model.get_weights` of the built model."""
        from keras import ops

        return [np.asarray(ops.convert_to_numpy(v.value)) for v in self._own_weights]

    def evaluate(self, statistics: Statistics, rows: np.ndarray) -> Evaluation:
        """Return predictions and loss of the model with its final weights, without training it.

        If the optimizer averages the weights (`use_ema`), the averages are used, as after `fit`.
        """
        averages = getattr(self.model.optimizer, "use_ema", False)
        values = self.get_state() if averages else []
        if averages:
            self.finalize_weights()
        answers, losses = [], []
        for chunk in np.split(rows, range(EVALUATION_ROWS, len(rows), EVALUATION_ROWS)):
            answer, loss = self._steps.evaluate(statistics, chunk)
            answers.append(answer)
            losses.append(loss * len(chunk))
        if averages:
            self.set_state(values)
        with np.errstate(over="ignore", invalid="ignore"):  # diverging training
            seen = average_members(np.concatenate(answers), self._n_members)
            if self._answers_logits:
                seen = logits_to_probabilities(seen, self._task)
            unit = (statistics.target_center, statistics.target_scale, self._transforms)
            predictions = inverse_transform_target(np, seen, *unit)
            predictions = clamp_answers(np, predictions, statistics.target_range)
            return Evaluation(predictions.astype(np.float32), sum(losses) / len(rows))

    def finalize_weights(self) -> None:
        """Finalize the weights as `fit` does after its last epoch."""
        self.model.optimizer.finalize_variable_values(self.model.trainable_variables)

    def _list_variables(self) -> list[Any]:
        return [*self._fold_weights, *self._seeds, *self.model.optimizer.variables]


def to_backend_array(features: np.ndarray) -> Any:
    """Convert rows to the backend's array; TensorFlow makes a copy."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return features
    import tensorflow as tf

    return tf.convert_to_tensor(features)


class BatchSteps:
    """Runs epochs as a loop over batches, for any backend and model."""

    def __init__(self, model: keras.Model, problem: Problem) -> None:
        self._model = model
        self._problem = problem

    def train(
        self,
        statistics: Statistics,
        rows: np.ndarray,
        batch_size: int,
        *,
        weights: np.ndarray | None,
        rates: np.ndarray,
        shares: StepShares,
    ) -> float:
        """See `EpochSteps`."""
        total, scheduled = 0.0, list_share_variables(self._model)
        for index, rate in enumerate(rates):
            taken = slice(index * batch_size, (index + 1) * batch_size)
            chunk = rows[taken]
            x, y, _ = self._gather(statistics, chunk)
            if get_learning_rate_variable(self._model) is not None:
                self._model.optimizer.learning_rate = float(rate)
            for variable, values in scheduled:
                variable.assign(getattr(shares, values)[index])
            counted = None if weights is None else weights[taken]
            logs = self._model.train_on_batch(x, y, sample_weight=counted, return_dict=True)
            total += float(logs["loss"]) * len(chunk)
        return total / len(rows)

    def evaluate(self, statistics: Statistics, rows: np.ndarray) -> tuple[np.ndarray, float]:
        """See `EpochSteps`."""
        import keras

        x, y, weights = self._gather(statistics, rows)
        answer = self._model(x, training=False)
        loss = self._model.compute_loss(x, y, answer, weights, training=False)
        return keras.ops.convert_to_numpy(answer), float(loss)

    def _gather(self, statistics: Statistics, rows: np.ndarray) -> tuple[Any, Any, Any]:
        data = self._problem
        x = statistics.apply(data.take(rows))
        y = data.target[rows]
        if data.task == "regression":
            unit = (statistics.target_center, statistics.target_scale, data.target_transforms)
            y = transform_target(np, y, *unit)
        return x, y, None if data.weights is None else data.weights[rows]
