"""Train epochs of many trials in one call: the device runs the loop and makes its decisions.

Lanes are grouped in tiles. The trials of a tile have one batch size; each has an epoch of its own,
so that a new trial can take the slot of one that has ended. In an epoch, all trials read a fold's
rows in the same order, so a tile draws an order for each epoch at which its trials stand. One
program trains all tiles of a template; each tile takes the branch of its batch size. Early
stopping, the best epoch of the mean curve and losses that are not finite are decided here; the host
reads them when the call ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..counter_random import hash_bits, random_bits
from .device_data import BatchData, DeviceRows
from .device_stopping import StoppingRules, update_control
from .layers import make_lane_masks
from .program import (
    Gradients,
    Lane,
    LaneEpoch,
    LaneState,
    Recipe,
    RowChunk,
    gradients_function,
    spread_factors,
    with_decay_share,
    with_dropout_share,
)
from .schedule_rates import Plateau, rate_at, shares_at
from .template import TrialNumbers
from .tile_evaluation import evaluation_function
from .tile_lanes import BY_FOLD, BY_TRIAL, make_lanes
from .tile_state import Tiles, numbers_axes, put_tile, take_tile
from .update import flatten_arrays

MAX_EPOCHS_PER_CALL = 16  # of a tile in one call, at most
TRAINED, ENDED = 1.0, 2.0  # the last figure of an epoch; 0: the trial was not trained
N_AFTER = 3  # figures after the metrics: smallest and largest prediction, `TRAINED` or `ENDED`


class SegmentOrders(NamedTuple):
    """The host's instructions for a call."""

    tiles: Any  # (n_tiles,) int32: the tiles to train come first
    n_tiles: Any  # int32
    epochs: Any  # (n_tiles, n_trials) int32: epochs to train; 0: the trial does not change
    least: Any  # (n_tiles,) int32: a tile's call ends when fewer of its trials are trained
    batch_size: Any  # (n_tiles,) int32
    branch: Any  # (n_tiles,) int32: index of the batch size's branch


def segment_function(
    recipes: Sequence[Recipe],
    measure: Callable[..., Any],
    rules: StoppingRules,
    *,
    n_figures: int,
    n_orders: int,
) -> Callable[..., tuple[Tiles, Any]]:
    """Make the function (tiles, orders, data) -> (tiles, figures).

    Args:
        recipes: One for each batch size that has a branch.
        measure: The function of `program.measure_function`.
        rules: The study's rules.
        n_figures: `N_LOSSES` + metrics + `N_AFTER`.
        n_orders: Epochs at which the trials of a tile that train in a call may stand.

    Returns:
        The function; its figures have shape (n_tiles, EPOCHS, n_figures, n_folds, n_trials).
    """
    epochs = [epoch_function(recipe, measure, rules, n_orders) for recipe in recipes]

    def tile_epochs(train: Any, tile: Tiles, orders: Any, data: BatchData) -> Any:
        n_folds, n_trials = tile.control.stopped.shape
        table = jnp.zeros((MAX_EPOCHS_PER_CALL, n_figures, n_folds, n_trials), jnp.float32)

        def find_active(tile: Tiles, done: Any) -> Any:
            return ~tile.control.ended & (done < orders.epochs)

        def goes_on(carried: Any) -> Any:
            tile, _, done = carried
            enough = jnp.sum(find_active(tile, done)) >= jnp.maximum(orders.least, 1)
            return enough & (done < MAX_EPOCHS_PER_CALL)

        def body(carried: Any) -> Any:
            tile, table, done = carried
            tile, figures = train(tile, find_active(tile, done), orders.batch_size, data)
            return tile, table.at[done].set(figures), done + 1

        tile, table, _ = jax.lax.while_loop(goes_on, body, (tile, table, jnp.int32(0)))
        return tile, table

    def segment(tiles: Tiles, orders: SegmentOrders, data: BatchData) -> tuple[Tiles, Any]:
        n_tiles, n_folds, n_trials = tiles.control.stopped.shape
        figures = jnp.zeros(
            (n_tiles, MAX_EPOCHS_PER_CALL, n_figures, n_folds, n_trials), jnp.float32
        )
        branches = [
            lambda tile, own, train=train: tile_epochs(train, tile, own, data) for train in epochs
        ]

        def body(position: Any, carried: Any) -> Any:
            tiles, figures = carried
            at = orders.tiles[position]
            own = take_tile(orders._replace(n_tiles=None), at)
            tile, told = jax.lax.switch(own.branch, branches, take_tile(tiles, at), own)
            return put_tile(tiles, tile, at), put_tile(figures, told, at)

        result: tuple[Tiles, Any] = jax.lax.fori_loop(0, orders.n_tiles, body, (tiles, figures))
        return result

    return segment


def epoch_function(
    recipe: Recipe, measure: Callable[..., Any], rules: StoppingRules, n_orders: int
) -> Callable[..., tuple[Tiles, Any]]:
    """Make the function of one epoch: (tile, active, batch size, data) -> (tile, figures).

    `active`, (n_trials,) bool: the trials that train; the others do not change.
    """
    train, judge = train_function(recipe), evaluation_function(recipe, measure)

    def epoch(tile: Tiles, active: Any, size: Any, data: BatchData) -> tuple[Tiles, Any]:
        orders = tile_orders(tile.epoch, active, data, n_orders, beyond=recipe.rows)
        state, loss = train(tile, active, orders, size, data)
        lanes = make_lanes(tile.numbers, data.folds)
        predictions, figures = judge(state, lanes, data.rows) if rules.judged else (None, None)
        return finish_epoch(state, tile, active, loss, predictions, figures, rules, data)

    return epoch


def finish_epoch(
    state: LaneState,
    tile: Tiles,
    active: Any,
    loss: Any,
    predictions: Any,
    figures: Any,
    rules: StoppingRules,
    data: BatchData,
) -> tuple[Tiles, Any]:
    """Decide after an epoch which trials end.

    Args:
        state: The lanes after the epoch.
        tile: The tile before it.
        active: Whether a trial was trained, (n_trials,).
        loss: Training losses, (n_folds, n_trials).
        predictions: Of the validation rows; None: they were not evaluated.
        figures: Of `evaluation_function`, or None.
        rules: The study's rules.
        data: The data of the tile.

    Returns:
        The tile and its figures.
    """
    n_folds, n_trials = tile.control.stopped.shape
    if not rules.judged:
        predictions = tile.control.predictions
        figures = jnp.zeros((1 + N_AFTER - 1, n_folds, n_trials), jnp.float32)
    figures = jnp.concatenate([loss[None], figures, jnp.zeros((1, n_folds, n_trials))])
    frozen = tile.control.stopped & (tile.epoch > 0)
    figures = jnp.where(frozen, tile.control.figures, figures)
    control = update_control(tile, active, figures, predictions, rules, data)
    figures = figures.at[-1].set(jnp.where(control.ended, ENDED, TRAINED))
    figures = jnp.where(active, figures, 0)
    return Tiles(state, tile.numbers, control, tile.epoch + active), figures


class TileOrders(NamedTuple):
    """The row orders of a tile's trials in an epoch."""

    rows: Any  # (n_folds, n_orders * width) int32: the orders of a fold, one after another
    first: Any  # int32: index of a trial's order in `rows`; (n_trials,) if there are several


def tile_orders(
    epochs: Any, active: Any, data: BatchData, n_orders: int, *, beyond: int
) -> TileOrders:
    """Draw the row orders of a tile's active trials, which stand at up to `n_orders` epochs.

    Args:
        epochs: Epoch of each trial.
        active: Whether it trains.
        data: The data of the tile.
        n_orders: 1: all trials read the same rows, which takes less memory traffic.
        beyond: Rows that are read after the last one of an order.
    """
    latest = jnp.max(jnp.where(active, epochs, 0))
    draw = jax.vmap(jax.vmap(epoch_rows, (None, None, None, 0)), (0, 0, 0, None))
    given = (data.train, data.folds.n_train, data.seeds)
    if n_orders == 1:
        return TileOrders(jnp.pad(draw(*given, latest[None])[:, 0], [(0, 0), (0, beyond)]), 0)
    drawn = jnp.unique(jnp.where(active, epochs, latest), size=n_orders, fill_value=latest)
    index = jnp.minimum(jnp.searchsorted(drawn, epochs), n_orders - 1)
    rows = jnp.pad(draw(*given, drawn), [(0, 0), (0, 0), (0, beyond)])
    return TileOrders(rows.reshape(rows.shape[0], -1), index * rows.shape[2])


def epoch_rows(rows: Any, n_train: Any, seed: Any, epoch: Any) -> Any:
    """Return a fold's training rows in the order of an epoch; see `batching.draw_epoch_order`."""
    index = jax.lax.iota(jnp.uint32, rows.shape[0])
    bits = random_bits(jnp, index, seed, epoch)
    padding = (index >= n_train).astype(jnp.int32)
    return jax.lax.sort((padding, bits, index, rows), num_keys=3)[3]


class StepIndex(NamedTuple):
    """The current step of a trial."""

    epoch: Any  # int32
    first: Any  # int32: index of its row order; see `TileOrders`
    step: Any  # int32
    size: Any  # int32: rows per batch


def train_function(recipe: Recipe) -> Callable[..., tuple[LaneState, Any]]:
    """Make the function (tile, active, row orders, batch size, data) -> (states, losses)."""
    step = lane_step_function(recipe)

    def train(
        tile: Tiles, active: Any, orders: TileOrders, size: Any, data: BatchData
    ) -> tuple[LaneState, Any]:
        own = StepIndex(0, 0 if jnp.ndim(orders.first) else None, None, None)
        by_trial = (0, BY_TRIAL, numbers_axes(trial=True), 0, 0, None, own, None)
        by_fold = (0, BY_FOLD, numbers_axes(trial=False), None, 0, 0, None, None)
        steps = jax.vmap(jax.vmap(step, by_trial), by_fold)
        lanes, control = make_lanes(tile.numbers, data.folds), tile.control
        frozen = control.stopped | ~active

        def body(index: Any, carried: tuple[LaneState, Any]) -> tuple[LaneState, Any]:
            state, total = carried
            given = (state, lanes, tile.numbers, control.plateau, frozen, orders.rows)
            at = StepIndex(tile.epoch, orders.first, index, size)
            after, loss = steps(*given, at, data.rows)
            return after, total + loss

        start = (tile.state, jnp.zeros(control.stopped.shape, jnp.float32))
        n_steps = -(-jnp.max(data.folds.n_train) // size)
        state, total = jax.lax.fori_loop(0, n_steps, body, start)
        return state, total / data.folds.n_train[:, None]

    return train


def lane_step_function(recipe: Recipe) -> Callable[..., tuple[LaneState, Any]]:
    """Make the function of one step of a lane; it returns the next state, and rows times loss.

    A frozen lane, or one without rows left, does not change.
    """
    update, gradients = update_function(recipe), gradients_function(recipe)

    def lane_step(
        state: LaneState,
        lane: Lane,
        numbers: TrialNumbers,
        plateau: Plateau,
        frozen: Any,
        orders: Any,
        at: StepIndex,
        rows: DeviceRows,
    ) -> tuple[LaneState, Any]:
        done, n_train = at.step * at.size, lane.fold.n_train
        counted = jnp.clip(n_train - done, 0, at.size)
        passed = at.epoch + at.step / -(-n_train // at.size)
        shares = None if numbers.shares is None else shares_at(numbers.shares, passed)
        masks = make_lane_masks(lane.strengths)
        given = LaneEpoch(at.epoch, orders, None, None, None, None, None, masks)
        batch = RowChunk(at.first + done, counted, step_key(lane.key, at))
        found = gradients(state, lane, with_dropout_share(lane, given, shares), rows, batch)
        rate = rate_at(numbers.schedule, plateau, passed)
        after = update(state, lane, (numbers.rates, rate), found, shares)
        moves = (counted > 0) & ~frozen
        after = jax.tree.map(lambda new, old: jnp.where(moves, new, old), after, state)
        return after, jnp.where(moves, found.loss * counted, 0)

    return lane_step


def step_key(key: Any, at: StepIndex) -> Any:
    """Return the key of a step's random bits."""
    return hash_bits(hash_bits(key ^ at.epoch.astype(jnp.uint32)) + at.step.astype(jnp.uint32))


def update_function(recipe: Recipe) -> Callable[..., LaneState]:
    """Make the function (state, lane, optimizer's numbers, gradients, shares) -> next state."""
    network, update = recipe.network, recipe.update
    update.prepare(network.trainable, recipe.shapes)

    def apply(
        state: LaneState, lane: Lane, numbers: tuple[Any, Any], found: Gradients, shares: Any
    ) -> LaneState:
        values = [state.vector] if recipe.flat else network.split(state.vector)
        factors = with_decay_share(spread_factors(network, lane.factors), shares)
        own = (*numbers, state.optimizer, found.gradients, values)
        values, optimizer = update(*own, factors)
        vector = values[0] if recipe.flat else flatten_arrays(values)
        return LaneState(vector, found.others, optimizer)

    return apply
