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

from ..metrics import Metric
from .layers import Step, mixed
from .network import Network
from .objective import Objective
from .table import Fold, Rows
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


class Epoch(NamedTuple):
    """One epoch of a lane."""

    number: Any  # int32, 0-based
    order: Any  # (n_steps * batch_size,) int32: row indices, padded at the end
    steps: Any  # int32: batches to train; the same in all lanes of a batch
    active: Any  # bool: False leaves the lane as it is
    rates: Any  # the optimizer's numbers


class Trained(NamedTuple):
    """What an epoch leaves behind."""

    state: State
    loss: Any  # as `fit` reports it: the mean over rows of their batches' losses
    average: Any  # (n_weights,) where the optimizer averages the weights, else None

    @property
    def weights(self) -> tuple[Any, Arrays]:
        """The vector of weights as `fit` would leave it, and the other variables."""
        return self.state.vector if self.average is None else self.average, self.state.others


class Judged(NamedTuple):
    """What the validation rows say."""

    predictions: Any  # (n_chunks * n_chunk, n_outputs), in the target's own unit
    loss: Any  # as the network sees the target, regularization included


class Recipe:
    """What a trial's programs compute."""

    def __init__(
        self, network: Network, update: Update, objective: Objective, batch_size: int
    ) -> None:
        self.network, self.update, self.objective = network, update, objective
        self.batch_size = batch_size
        self.flat = update.is_flat(network.trainable)
        self.evaluate_key = f"{network.structure}|{objective.structure}"
        self.train_key = f"{self.evaluate_key}|{update.structure}|{batch_size}"

    def initial(self, seed: int, dropout_seed: int) -> State:
        """A lane's state before its first step."""
        vector, others = self.network.initial(seed, dropout_seed)
        values = [vector] if self.flat else [np.asarray(v) for v in self.network.split(vector)]
        return State(vector, others, self.update.initial(self.network.trainable, values))


def train_function(recipe: Recipe, *, batched: bool) -> Callable[..., Trained]:
    """The function of an epoch: (state, lane, epoch, rows) -> `Trained`.

    Args:
        recipe: What to compute.
        batched: Whether it is to be mapped over lanes, where a stopped one must stand still.
    """
    network, update, size = recipe.network, recipe.update, recipe.batch_size
    shapes = [tuple(v.shape) for v in network.trainable]
    update.prepare(network.trainable, [(network.size,)] if recipe.flat else shapes)

    def step(state: State, lane: Lane, epoch: Epoch, rows: Rows, place: Any) -> tuple[State, Any]:
        valid = place * size + jnp.arange(size) < lane.fold.n_train
        taken = jax.lax.dynamic_slice(epoch.order, (place * size,), (size,))
        key = mixed(mixed(lane.key ^ epoch.number.astype(jnp.uint32)) + place.astype(jnp.uint32))
        within = Step(lane.strengths, key, valid)

        def loss(values: Arrays) -> tuple[Any, Any]:
            return _batch_loss(recipe, values, state.others, lane, rows, taken, valid, within)

        values = network.split(state.vector)
        (value, others), gradients = jax.value_and_grad(loss, has_aux=True)(values)
        if recipe.flat:
            values, gradients = [state.vector], [flattened(gradients)]
        values, optimizer = update(epoch.rates, state.optimizer, gradients, values)
        vector = values[0] if recipe.flat else flattened(values)
        return State(vector, others, optimizer), value * jnp.sum(valid)

    def train(state: State, lane: Lane, epoch: Epoch, rows: Rows) -> Trained:
        def body(place: Any, carried: tuple[State, Any]) -> tuple[State, Any]:
            before, total = carried
            after, loss = step(before, lane, epoch, rows, place)
            if batched:  # a shorter fold has no rows left in the last batch of a longer one
                moves = epoch.active & (place * size < lane.fold.n_train)
                after = jax.tree.map(lambda new, old: jnp.where(moves, new, old), after, before)
                loss = jnp.where(moves, loss, 0)
            return after, total + loss

        start = (state, jnp.float32(0))
        state, total = jax.lax.fori_loop(0, epoch.steps, body, start)
        values = [state.vector] if recipe.flat else network.split(state.vector)
        kept = update.kept(state.optimizer, values)
        average = None if kept is values else flattened(kept)
        return Trained(state, total / lane.fold.n_train, average)

    return train


def _batch_loss(
    recipe: Recipe,
    values: Arrays,
    others: Arrays,
    lane: Lane,
    rows: Rows,
    taken: Any,
    valid: Any,
    within: Step | None,
) -> tuple[Any, Any]:
    """The loss of the rows `taken` as `fit` takes it, and the other variables' new values."""
    outputs, after, extra = recipe.network(values, others, _seen(rows, lane.fold, taken), within)
    truth = (_at(rows.target, taken) - lane.fold.target_center) / lane.fold.target_scale
    per_row = recipe.objective(lane.arguments, truth, outputs)
    weight = valid.astype(jnp.float32)
    counted = jnp.maximum(jnp.sum(weight), 1)
    if rows.weights is not None:
        weight = weight * _at(rows.weights, taken)
    mean = jnp.sum(jnp.where(valid, per_row, 0) * weight) / counted
    return mean + extra + recipe.network.penalty(values, lane.strengths), after


def evaluate_function(recipe: Recipe) -> Callable[..., Judged]:
    """The function (vector, others, lane, rows) -> `Judged`."""
    network = recipe.network

    def chunk(vector: Any, others: Arrays, lane: Lane, rows: Rows, place: Any) -> Judged:
        taken = lane.fold.validation[place]
        size = taken.shape[0]
        valid = place * size + jnp.arange(size) < lane.fold.n_validation
        outputs, _, extra = network(
            network.split(vector), others, _seen(rows, lane.fold, taken), None
        )
        truth = (_at(rows.target, taken) - lane.fold.target_center) / lane.fold.target_scale
        per_row = recipe.objective(lane.arguments, truth, outputs)
        if rows.weights is not None:
            per_row = per_row * _at(rows.weights, taken)
        predictions = outputs * lane.fold.target_scale + lane.fold.target_center
        counted = jnp.sum(valid)
        return Judged(predictions, jnp.sum(jnp.where(valid, per_row, 0)) + extra * counted)

    def evaluate(vector: Any, others: Arrays, lane: Lane, rows: Rows) -> Judged:
        n_chunks = lane.fold.validation.shape[0]
        places = jnp.arange(n_chunks)
        table, losses = jax.lax.map(lambda p: chunk(vector, others, lane, rows, p), places)
        penalty = network.penalty(network.split(vector), lane.strengths)
        loss = jnp.sum(losses) / lane.fold.n_validation + penalty
        return Judged(table.reshape(-1, table.shape[-1]), loss)

    return evaluate


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


def _seen(rows: Rows, fold: Fold, taken: Any) -> Any:
    """What the network sees of the rows; `Statistics.apply`."""
    x = _at(rows.features, taken)
    return (jnp.where(jnp.isnan(x), fold.impute, x) - fold.center) * fold.scale
