"""One lane's epoch and evaluation: pure functions, traced and compiled.

A lane is one fold of one trial. On a CPU a program trains one lane and the lanes run on threads;
on an accelerator a program trains all lanes at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...data.statistics import scaled
from ...data.unit import answered, learned
from ..counter_random import mixed
from ..metrics import Metric
from ..schedules import Schedule
from .compiled_objective import CompiledObjective
from .device_data import Fold, Rows
from .layers import Masks, Step, masks_of
from .network import Network
from .objective import Objective
from .optimizer_switch import OptimizerSwitch
from .update import Arrays, Update, flattened


class State(NamedTuple):
    """What a lane carries from batch to batch."""

    vector: Any  # (n_weights,) float32, the trainable weights
    others: Arrays  # the other variables: moving statistics, seeds
    optimizer: Arrays  # the optimizer's variables but the learning rate


class Lane(NamedTuple):
    """What does not change in a lane."""

    strengths: Any  # of the network's noises and regularizers
    arguments: Any  # of the loss
    key: Any  # uint32, of all its random bits
    fold: Fold
    classes: Any  # (n_classes,) float32: what a training row of each counts; None: a regression
    depth: Any = None  # int32: hidden layers that are not passed by; None: all


class Epoch(NamedTuple):
    """One epoch of a lane."""

    number: Any  # int32, 0-based
    order: Any  # (n_rows or more,) int32: row indices, padded at the end
    steps: Any  # int32: batches to train
    rates: Any  # the optimizer's numbers
    learning_rates: Any  # (n_steps or more,) float32, one a batch
    batch_size: Any  # int32: rows a batch
    masks: Masks  # of the network


class Trained(NamedTuple):
    """What an epoch leaves behind."""

    state: State
    loss: Any  # as `fit` reports it: the mean over rows of their batches' losses
    average: Any  # (n_weights,) where the optimizer averages the weights, else None

    @property
    def weights(self) -> tuple[Any, Arrays]:
        """The vector of weights as `fit` would leave it, and the other variables."""
        return self.state.vector if self.average is None else self.average, self.state.others


class EvalOutput(NamedTuple):
    """What the validation rows say."""

    predictions: Any  # (n_chunks * n_chunk, n_outputs), in the target's own unit
    loss: Any  # as the network sees the target, regularization included


class Part(NamedTuple):
    """Rows of an epoch that are computed at once."""

    first: Any  # int32: place in the order
    counted: Any  # int32: how many there are
    key: Any  # uint32, of their random bits
    share: Any = None  # of their batch; None: they are all of it


class Gradients(NamedTuple):
    """The loss of rows and what it says of the weights."""

    loss: Any
    others: Arrays  # the other variables' new values
    gradients: Arrays


class Recipe:
    """What a trial's programs compute."""

    def __init__(
        self,
        network: Network,
        update: Update | OptimizerSwitch,
        objective: Objective | CompiledObjective,
        batch_size: int,
        schedule: Schedule,
        *,
        chunk: int | None = None,
        bends: bool = False,
        transforms: tuple[str, ...] = (),
        is_compiled: bool = False,
    ) -> None:
        """Put together what is compiled.

        Args:
            network: The trial's.
            update: Of its weights.
            objective: Its loss.
            batch_size: Rows a step.
            schedule: Of the learning rate.
            chunk: Rows that are computed at once, where a batch is computed in parts; None: all.
            bends: Whether a feature is scaled by quantiles.
            transforms: `Problem.transforms`.
            is_compiled: Whether the user's own `compile` names loss and optimizer.
        """
        self.is_compiled, self.bends = is_compiled, bends
        self.network, self.update, self.objective = network, update, objective
        self.batch_size, self.schedule, self.transforms = batch_size, schedule, transforms
        self.chunk, self.rows = chunk, chunk or batch_size
        self.flat = update.is_flat(network.trainable)
        self.shapes: list[tuple[int, ...]]  # of what is updated
        self.shapes = [(network.size,)] if self.flat else [v.shape for v in network.trainable]
        self.masks = masks_of(network.strengths, self.rows * network.widest)
        self.evaluate_key = f"{network.structure}|{objective.structure}|{bends}|{transforms}"
        self.train_key = f"{self.evaluate_key}|{update.structure}|{self.rows}|{chunk}"

    @property
    def strengths(self) -> Sequence[float]:
        """Of the network's noises and regularizers."""
        return [float(s) for s in self.network.strengths]

    def with_rows(self, rows: int) -> Recipe:
        """The same with `rows` in a batch at most."""
        return self._with(self.update, rows)

    def with_update(self, update: Update | OptimizerSwitch) -> Recipe:
        """The same with another optimizer."""
        return self._with(update, self.batch_size)

    def _with(self, update: Update | OptimizerSwitch, rows: int) -> Recipe:
        return Recipe(
            self.network,
            update,
            self.objective,
            rows,
            self.schedule,
            bends=self.bends,
            transforms=self.transforms,
            is_compiled=self.is_compiled,
        )

    def initial(self, seed: int, dropout_seed: int) -> State:
        """A lane's state before its first step."""
        vector, others = self.network.initial(seed, dropout_seed)
        values = [vector] if self.flat else [np.asarray(v) for v in self.network.split(vector)]
        return State(vector, others, self.update.initial(self.network.trainable, values))


def train_function(recipe: Recipe) -> Callable[..., Trained]:
    """The function of an epoch of one lane: (state, lane, epoch, rows) -> `Trained`."""
    network, update = recipe.network, recipe.update
    update.prepare(network.trainable, recipe.shapes)
    slope = gradients_function(recipe)

    def step(state: State, lane: Lane, epoch: Epoch, rows: Rows, place: Any) -> tuple[State, Any]:
        n_batch = recipe.batch_size if recipe.chunk is None else epoch.batch_size
        counted = jnp.clip(lane.fold.n_train - place * n_batch, 0, n_batch)  # without a reduction
        key = mixed(mixed(lane.key ^ epoch.number.astype(jnp.uint32)) + place.astype(jnp.uint32))
        batch = Part(place * n_batch, counted, key)
        value, others, gradients = slope(state, lane, epoch, rows, batch)
        values = [state.vector] if recipe.flat else network.split(state.vector)
        rate = epoch.learning_rates[place]
        values, optimizer = update(epoch.rates, rate, state.optimizer, gradients, values)
        vector = values[0] if recipe.flat else flattened(values)
        return State(vector, others, optimizer), value * counted

    def train(state: State, lane: Lane, epoch: Epoch, rows: Rows) -> Trained:
        def body(place: Any, carried: tuple[State, Any]) -> tuple[State, Any]:
            before, total = carried
            after, loss = step(before, lane, epoch, rows, place)
            return after, total + loss

        start = (state, jnp.float32(0))
        state, total = jax.lax.fori_loop(0, epoch.steps, body, start)
        values = [state.vector] if recipe.flat else network.split(state.vector)
        kept = update.kept(state.optimizer, values)
        average = None if kept is values else flattened(kept)
        return Trained(state, total / lane.fold.n_train, average)

    return train


def gradients_function(recipe: Recipe) -> Callable[..., Gradients]:
    """The function (state, lane, epoch, rows, batch) -> `Gradients`, in chunks or not."""
    network, size = recipe.network, recipe.rows

    def slope(state: State, lane: Lane, epoch: Epoch, rows: Rows, part: Part) -> Gradients:
        taken = jax.lax.dynamic_slice(epoch.order, (part.first,), (size,))
        valid = jnp.arange(size) < part.counted
        within = Step(lane.strengths, epoch.masks, part.key, valid)

        def loss(values: Arrays) -> tuple[Any, Any]:
            given = (values, state.others, lane, rows, taken, part.counted, within)
            cost, after = _batch_loss(recipe, *given)
            return cost if part.share is None else cost * part.share, after

        values = network.split(state.vector)
        (value, others), gradients = jax.value_and_grad(loss, has_aux=True)(values)
        return Gradients(value, others, [flattened(gradients)] if recipe.flat else gradients)

    def in_chunks(state: State, lane: Lane, epoch: Epoch, rows: Rows, batch: Part) -> Gradients:
        def add(place: Any, before: Gradients) -> Gradients:
            counted = jnp.clip(batch.counted - place * size, 0, size)
            key = mixed(batch.key + place.astype(jnp.uint32))
            share = counted / jnp.maximum(batch.counted, 1)
            part = Part(batch.first + place * size, counted, key, share)
            told = slope(state._replace(others=before.others), lane, epoch, rows, part)
            gradients = [a + b for a, b in zip(before.gradients, told.gradients, strict=True)]
            return Gradients(before.loss + told.loss, told.others, gradients)

        start = Gradients(jnp.float32(0), state.others, [jnp.zeros(s) for s in recipe.shapes])
        whole: Gradients = jax.lax.fori_loop(0, -(-batch.counted // size), add, start)
        return whole

    return slope if recipe.chunk is None else in_chunks


def _batch_loss(
    recipe: Recipe,
    values: Arrays,
    others: Arrays,
    lane: Lane,
    rows: Rows,
    taken: Any,
    counted: Any,
    within: Step,
) -> tuple[Any, Any]:
    """The loss of the first `counted` rows of `taken` as `fit` takes it, and the others."""
    seen = _seen(rows, lane.fold, taken)
    outputs, after, extra = recipe.network(values, others, seen, within, within.valid, lane.depth)
    truth = _learned(recipe, rows, lane.fold, taken)
    per_row = recipe.objective(lane.arguments, truth, outputs)
    if rows.weights is not None:
        per_row = per_row * _at(rows.weights, taken)
    if lane.classes is not None:
        per_row = per_row * _class_weight(truth, lane.classes)
    mean = jnp.sum(jnp.where(within.valid, per_row, 0)) / jnp.maximum(counted, 1)
    return mean + extra + recipe.network.penalty(values, lane.strengths), after


def _class_weight(truth: Any, classes: Any) -> Any:
    """What each row counts for its class, shape (n,)."""
    if truth.shape[1] == 1:
        return jnp.where(truth[:, 0] > 0.5, classes[1], classes[0])
    return jnp.sum(truth * classes, axis=1)


def evaluate_function(recipe: Recipe) -> Callable[..., EvalOutput]:
    """The function (vector, others, lane, rows) -> `EvalOutput`."""
    network = recipe.network

    def chunk(vector: Any, others: Arrays, lane: Lane, rows: Rows, place: Any) -> EvalOutput:
        taken = lane.fold.validation[place]
        size = taken.shape[0]
        valid = place * size + jnp.arange(size) < lane.fold.n_validation
        seen = _seen(rows, lane.fold, taken)
        outputs, _, extra = network(network.split(vector), others, seen, None, valid, lane.depth)
        truth = _learned(recipe, rows, lane.fold, taken)
        per_row = recipe.objective(lane.arguments, truth, outputs)
        if rows.weights is not None:
            per_row = per_row * _at(rows.weights, taken)
        answers = _linked(outputs, recipe.objective.link)
        unit = (lane.fold.target_center, lane.fold.target_scale, recipe.transforms)
        predictions = answered(jnp, answers, *unit)
        counted = jnp.clip(lane.fold.n_validation - place * size, 0, size)
        return EvalOutput(predictions, jnp.sum(jnp.where(valid, per_row, 0)) + extra * counted)

    def evaluate(vector: Any, others: Arrays, lane: Lane, rows: Rows) -> EvalOutput:
        n_chunks = lane.fold.validation.shape[0]
        places = jnp.arange(n_chunks)
        table, losses = jax.lax.map(lambda p: chunk(vector, others, lane, rows, p), places)
        penalty = network.penalty(network.split(vector), lane.strengths)
        loss = jnp.sum(losses) / lane.fold.n_validation + penalty
        return EvalOutput(table.reshape(-1, table.shape[-1]), loss)

    return evaluate


def _linked(outputs: Any, link: str | None) -> Any:
    """Probabilities, where a loss that the user compiled has left logits."""
    if link is None:
        return outputs
    return jax.nn.sigmoid(outputs) if link == "sigmoid" else jax.nn.softmax(outputs)


def measure_function(metrics: Sequence[Metric]) -> Callable[..., Any]:
    """The function (predictions, fold, rows) -> the metrics, (n_metrics,) float32."""

    def measure(predictions: Any, fold: Fold, rows: Rows) -> Any:
        taken = fold.validation.reshape(-1)
        weight = (jnp.arange(taken.shape[0]) < fold.n_validation).astype(jnp.float32)
        if rows.weights is not None:
            weight = weight * _at(rows.weights, taken)
        truth = _at(rows.target, taken)
        return jnp.stack([m.function(jnp, truth, predictions, weight) for m in metrics])

    return measure


def _at(array: Any, rows: Any) -> Any:
    return array.at[rows].get(mode="promise_in_bounds")


def _learned(recipe: Recipe, rows: Rows, fold: Fold, taken: Any) -> Any:
    """The target of the rows as the network learns it."""
    unit = (fold.target_center, fold.target_scale, recipe.transforms)
    return learned(jnp, _at(rows.target, taken), *unit)


def _seen(rows: Rows, fold: Fold, taken: Any) -> Any:
    """What the network sees of the rows; `Statistics.apply`."""
    places = taken
    if rows.last is not None:
        places = _at(rows.last, taken)[:, None] + rows.offsets
    x = _at(rows.features, places).astype(jnp.float32)
    filled = jnp.where(jnp.isnan(x), fold.impute, x)
    return scaled(jnp, filled, fold.center, fold.scale, fold.quantiles)
