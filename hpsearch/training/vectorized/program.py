"""One lane's epoch and evaluation: pure functions, traced and compiled.

A lane is one fold of one trial. On a CPU a program trains one lane and the lanes run on threads;
on an accelerator a program trains all lanes at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ...data.statistics import clamp_answers, scale_features
from ...data.target_transform import inverse_transform_target, transform_target
from ...models.members import average_members, count_members
from ...models.step_factors import StepFactors
from ..counter_random import hash_bits
from ..metrics import Metric
from ..schedules import Schedule, StepShares
from .device_data import DeviceFold, DeviceRows
from .layers import Masks, TracedStep, make_lane_masks, make_masks
from .network import LaneNetwork
from .objective import TrainingObjective
from .update import Arrays, Update, flatten_arrays


class LaneState(NamedTuple):
    """State of a lane that changes with each batch."""

    vector: Any  # (n_weights,) float32, the trainable weights
    others: Arrays  # the other variables: moving statistics, seeds
    optimizer: Arrays  # the optimizer's variables except the learning rate


class Lane(NamedTuple):
    """Inputs of a lane that do not change during training."""

    strengths: Any  # of the network's noise layers and regularizers
    arguments: Any  # of the loss
    key: Any  # uint32 key of all random bits
    fold: DeviceFold
    classes: Any  # (n_classes,) float32 class weights of training rows; None: a regression
    depth: Any = None  # int32: hidden layers that are not skipped; None: all
    factors: Any = None  # `StepFactors` of each variable, (n_variables,) each; None: all are 1

    def without_validation(self) -> Lane:
        """Return what training needs, so that it shares programs whatever is evaluated."""
        return self._replace(fold=self.fold._replace(validation=None, n_validation=None))


class LaneEpoch(NamedTuple):
    """Inputs of one epoch of a lane."""

    number: Any  # int32, 0-based
    order: Any  # (n_rows or more,) int32: row indices, padded at the end
    first: Any  # int32: the first batch to train
    steps: Any  # int32: batches to train
    rates: Any  # the optimizer's numbers
    learning_rates: Any  # (n_steps or more,) float32, one per batch
    batch_size: Any  # int32: rows per batch
    masks: Masks  # of the network
    shares: Any = None  # `StepShares`, (n_steps or more,) each; None: all are 1


class EpochOutput(NamedTuple):
    """Result of an epoch."""

    state: LaneState
    loss: Any  # as `fit` reports it: the batches' losses, averaged over rows
    average: Any  # (n_weights,) averaged weights, or None

    @property
    def weights(self) -> tuple[Any, Arrays]:
        """Return the vector of weights after `fit`, and the other variables."""
        return self.state.vector if self.average is None else self.average, self.state.others


class EvalOutput(NamedTuple):
    """Predictions and loss on the validation rows."""

    predictions: Any  # (n_chunks * n_chunk, n_outputs), in the target's original unit
    loss: Any  # of the scaled target, with regularization


class RowChunk(NamedTuple):
    """Rows of an epoch that are computed together."""

    first: Any  # int32: index in the order
    counted: Any  # int32: number of rows
    key: Any  # uint32 key of random bits
    share: Any = None  # share of their batch; None: the whole batch


class Gradients(NamedTuple):
    """The loss of some rows and its gradients."""

    loss: Any
    others: Arrays  # the other variables' new values
    gradients: Arrays


class Recipe:
    """The functions that a trial's programs compute."""

    def __init__(
        self,
        network: LaneNetwork,
        update: Update,
        objective: TrainingObjective,
        batch_size: int,
        schedule: Schedule,
        *,
        chunk: int | None = None,
        scaling: str = "",
        transforms: tuple[str, ...] = (),
        is_compiled: bool = False,
        steps: str = "",
    ) -> None:
        """Combine the parts of a trial.

        Args:
            network: The network.
            update: The optimizer.
            objective: The loss.
            batch_size: Rows per step.
            schedule: The learning-rate schedule.
            chunk: Rows that are computed together if a batch is split; None: all.
            scaling: From `describe_scaling`.
            transforms: `Problem.target_transforms`.
            is_compiled: Whether the model's `compile` names loss and optimizer.
            steps: Which parts of a step have factors or schedules of their own.
        """
        self.steps = steps
        self.is_compiled, self.scaling = is_compiled, scaling
        self.network, self.update, self.objective = network, update, objective
        self.batch_size, self.schedule, self.transforms = batch_size, schedule, transforms
        self.chunk, self.rows = chunk, chunk or batch_size
        self.n_members = count_members(network.plan)
        self.flat = update.is_flat(network.trainable)
        self.shapes: list[tuple[int, ...]]  # of the updated arrays
        self.shapes = [(network.size,)] if self.flat else [v.shape for v in network.trainable]
        self.masks = make_masks(network.strengths, self.rows * network.max_dense_inputs)
        self.evaluate_key = f"{network.structure}|{objective.structure}|{scaling}|{transforms}"
        self.structure_key = f"{self.evaluate_key}|{update.structure}|{steps}"  # of any batch size
        self.train_key = f"{self.structure_key}|{self.rows}|{chunk}"

    @property
    def strengths(self) -> Sequence[float]:
        """The strengths of the network's noise layers and regularizers."""
        return [float(s) for s in self.network.strengths]

    def with_rows(self, rows: int) -> Recipe:
        """Return a copy with at most `rows` per batch."""
        return self._replace(self.update, rows)

    def with_update(self, update: Update) -> Recipe:
        """Return a copy with another optimizer."""
        return self._replace(update, self.batch_size)

    def _replace(self, update: Update, rows: int) -> Recipe:
        return Recipe(
            self.network,
            update,
            self.objective,
            rows,
            self.schedule,
            scaling=self.scaling,
            transforms=self.transforms,
            is_compiled=self.is_compiled,
            steps=self.steps,
        )


def train_function(recipe: Recipe) -> Callable[..., EpochOutput]:
    """Make the function (state, lane, epoch, rows) -> `EpochOutput` of one lane."""
    network, update = recipe.network, recipe.update
    update.prepare(network.trainable, recipe.shapes)
    slope = gradients_function(recipe)

    def step(
        state: LaneState,
        lane: Lane,
        epoch: LaneEpoch,
        rows: DeviceRows,
        place: Any,
        factors: StepFactors | None,
    ) -> tuple[LaneState, Any]:
        n_batch = recipe.batch_size if recipe.chunk is None else epoch.batch_size
        counted = jnp.clip(lane.fold.n_train - place * n_batch, 0, n_batch)  # without a reduction
        key = hash_bits(
            hash_bits(lane.key ^ epoch.number.astype(jnp.uint32)) + place.astype(jnp.uint32)
        )
        batch = RowChunk(place * n_batch, counted, key)
        shares = None
        if epoch.shares is not None:
            shares = StepShares(*(share[place] for share in epoch.shares))
        value, others, gradients = slope(
            state, lane, with_dropout_share(lane, epoch, shares), rows, batch
        )
        values = [state.vector] if recipe.flat else network.split(state.vector)
        rate = epoch.learning_rates[place]
        given = (epoch.rates, rate, state.optimizer, gradients, values)
        values, optimizer = update(*given, with_decay_share(factors, shares))
        vector = values[0] if recipe.flat else flatten_arrays(values)
        return LaneState(vector, others, optimizer), value * counted

    def train(state: LaneState, lane: Lane, epoch: LaneEpoch, rows: DeviceRows) -> EpochOutput:
        factors = spread_factors(network, lane.factors)

        def body(place: Any, carried: tuple[LaneState, Any]) -> tuple[LaneState, Any]:
            before, total = carried
            after, loss = step(before, lane, epoch, rows, place, factors)
            return after, total + loss

        start = (state, jnp.float32(0))
        end = epoch.first + epoch.steps
        state, total = jax.lax.fori_loop(epoch.first, end, body, start)
        values = [state.vector] if recipe.flat else network.split(state.vector)
        kept = update.final_weights(state.optimizer, values)
        average = None if kept is values else flatten_arrays(kept)
        return EpochOutput(state, total / lane.fold.n_train, average)

    return train


def spread_factors(network: LaneNetwork, factors: StepFactors | None) -> StepFactors | None:
    """Repeat the factors of variables for each weight."""
    return None if factors is None else StepFactors(*map(network.spread, factors))


def with_decay_share(factors: StepFactors | None, shares: Any) -> StepFactors | None:
    """Multiply the weight decay of a step by its share."""
    if shares is None:
        return factors
    rates, decays = (1.0, 1.0) if factors is None else factors
    return StepFactors(rates, decays * shares.weight_decay)


def with_dropout_share(lane: Lane, epoch: LaneEpoch, shares: Any) -> LaneEpoch:
    """Multiply the dropout rates of an epoch's masks by the share of a step."""
    if shares is None:
        return epoch
    masks = make_lane_masks(lane.strengths * shares.dropout)
    return epoch._replace(masks=masks._replace(whole=epoch.masks.whole))


def gradients_function(recipe: Recipe) -> Callable[..., Gradients]:
    """Make the function (state, lane, epoch, rows, batch) -> `Gradients`."""
    network, size = recipe.network, recipe.rows

    def slope(
        state: LaneState, lane: Lane, epoch: LaneEpoch, rows: DeviceRows, part: RowChunk
    ) -> Gradients:
        taken = jax.lax.dynamic_slice(epoch.order, (part.first,), (size,))
        valid = jnp.arange(size) < part.counted
        within = TracedStep(lane.strengths, epoch.masks, part.key, valid)

        def loss(values: Arrays) -> tuple[Any, Any]:
            given = (values, state.others, lane, rows, taken, part.counted, within)
            cost, after = _batch_loss(recipe, *given)
            return cost if part.share is None else cost * part.share, after

        values = network.split(state.vector)
        (value, others), gradients = jax.value_and_grad(loss, has_aux=True)(values)
        return Gradients(value, others, [flatten_arrays(gradients)] if recipe.flat else gradients)

    def in_chunks(
        state: LaneState, lane: Lane, epoch: LaneEpoch, rows: DeviceRows, batch: RowChunk
    ) -> Gradients:
        def add(place: Any, before: Gradients) -> Gradients:
            counted = jnp.clip(batch.counted - place * size, 0, size)
            key = hash_bits(batch.key + place.astype(jnp.uint32))
            share = counted / jnp.maximum(batch.counted, 1)
            part = RowChunk(batch.first + place * size, counted, key, share)
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
    rows: DeviceRows,
    taken: Any,
    counted: Any,
    within: TracedStep,
) -> tuple[Any, Any]:
    """Return the loss of the first `counted` rows as in `fit`, and the other variables."""
    seen = _scaled_features(rows, lane.fold, taken)
    outputs, after, extra = recipe.network(values, others, seen, within, within.valid, lane.depth)
    truth = _scaled_target(recipe, rows, lane.fold, taken)
    per_row = recipe.objective(lane.arguments, truth, outputs)
    if rows.weights is not None:
        per_row = per_row * _gather_rows(rows.weights, taken)
    if lane.classes is not None:
        per_row = per_row * _row_class_weights(truth, lane.classes)
    mean = jnp.sum(jnp.where(within.valid, per_row, 0)) / jnp.maximum(counted, 1)
    return mean + extra + recipe.network.penalty(values, lane.strengths), after


def _row_class_weights(truth: Any, classes: Any) -> Any:
    """Return the class weight of each row, (n,)."""
    if truth.shape[1] == 1:
        return jnp.where(truth[:, 0] > 0.5, classes[1], classes[0])
    return jnp.sum(truth * classes, axis=1)


def evaluate_function(recipe: Recipe) -> Callable[..., EvalOutput]:
    """Make the function (vector, others, lane, rows) -> `EvalOutput`."""
    network = recipe.network

    def chunk(vector: Any, others: Arrays, lane: Lane, rows: DeviceRows, place: Any) -> EvalOutput:
        taken = lane.fold.validation[place]
        size = taken.shape[0]
        valid = place * size + jnp.arange(size) < lane.fold.n_validation
        seen = _scaled_features(rows, lane.fold, taken)
        outputs, _, extra = network(network.split(vector), others, seen, None, valid, lane.depth)
        truth = _scaled_target(recipe, rows, lane.fold, taken)
        per_row = recipe.objective(lane.arguments, truth, outputs)
        if rows.weights is not None:
            per_row = per_row * _gather_rows(rows.weights, taken)
        answers = _apply_link(average_members(outputs, recipe.n_members), recipe.objective.link)
        unit = (lane.fold.target_center, lane.fold.target_scale, recipe.transforms)
        predictions = inverse_transform_target(jnp, answers, *unit)
        if "clamp" in recipe.scaling:
            predictions = clamp_answers(jnp, predictions, lane.fold.target_range)
        counted = jnp.clip(lane.fold.n_validation - place * size, 0, size)
        return EvalOutput(predictions, jnp.sum(jnp.where(valid, per_row, 0)) + extra * counted)

    def evaluate(vector: Any, others: Arrays, lane: Lane, rows: DeviceRows) -> EvalOutput:
        n_chunks = lane.fold.validation.shape[0]
        places = jnp.arange(n_chunks)
        table, losses = jax.lax.map(lambda p: chunk(vector, others, lane, rows, p), places)
        penalty = network.penalty(network.split(vector), lane.strengths)
        loss = jnp.sum(losses) / lane.fold.n_validation + penalty
        return EvalOutput(table.reshape(-1, table.shape[-1]), loss)

    return evaluate


def _apply_link(outputs: Any, link: str | None) -> Any:
    """Convert logits to probabilities if the compiled loss takes logits."""
    if link is None:
        return outputs
    return jax.nn.sigmoid(outputs) if link == "sigmoid" else jax.nn.softmax(outputs)


def measure_function(metrics: Sequence[Metric]) -> Callable[..., Any]:
    """Make the function (predictions, fold, rows) -> metrics, (n_metrics,) float32."""

    def measure(predictions: Any, fold: DeviceFold, rows: DeviceRows) -> Any:
        taken = fold.validation.reshape(-1)
        weight = (jnp.arange(taken.shape[0]) < fold.n_validation).astype(jnp.float32)
        if rows.weights is not None:
            weight = weight * _gather_rows(rows.weights, taken)
        truth = _gather_rows(rows.target, taken)
        return jnp.stack([m.function(jnp, truth, predictions, weight) for m in metrics])

    return measure


def _gather_rows(array: Any, rows: Any) -> Any:
    return array.at[rows].get(mode="promise_in_bounds")


def _scaled_target(recipe: Recipe, rows: DeviceRows, fold: DeviceFold, taken: Any) -> Any:
    """Return the scaled target of the rows."""
    unit = (fold.target_center, fold.target_scale, recipe.transforms)
    return transform_target(jnp, _gather_rows(rows.target, taken), *unit)


def _scaled_features(rows: DeviceRows, fold: DeviceFold, taken: Any) -> Any:
    """Return the scaled features of the rows; see `Statistics.apply`."""
    places = taken
    if rows.slots is not None:
        places = _gather_rows(rows.slots, taken)
    if rows.last is not None:
        places = _gather_rows(rows.last, taken)[:, None] + rows.offsets
    x = _gather_rows(rows.features, places).astype(jnp.float32)
    filled = jnp.where(jnp.isnan(x), fold.impute, x)
    return scale_features(jnp, filled, fold.center, fold.scale, fold.quantiles, fold.clip)
