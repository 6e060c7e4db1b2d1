"""Train and evaluate many trials on the rows that are on the device: parts of an epoch.

What `segment` does in one call for rows that fit there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .device_data import BatchData
from .device_stopping import StoppingRules
from .program import Lane, LaneState, Recipe, evaluate_function
from .segment import MAX_EPOCHS_PER_CALL, StepIndex, finish_epoch, lane_step_function
from .tile_evaluation import measure_predictions, trained_vector
from .tile_lanes import BY_FOLD, BY_TRIAL, make_lanes
from .tile_state import Tiles, numbers_axes, put_tile, take_tile


class PartOrders(NamedTuple):
    """The host's instructions for a part of an epoch."""

    tiles: Any  # (n_tiles,) int32: the tiles to train come first
    n_tiles: Any  # int32
    active: Any  # (n_tiles, n_trials) bool: trials that train; the others do not change
    batch_size: Any  # (n_tiles,) int32
    branch: Any  # (n_tiles,) int32: index of the batch size's branch
    first: Any  # (n_tiles, n_folds) int32: the first batch, or chunk, of the part
    stop: Any  # (n_tiles, n_folds) int32


class EpochSums(NamedTuple):
    """Sums and predictions of an epoch; the first axes are those of lanes."""

    train_loss: Any  # (n_tiles, n_folds, n_trials) float32, times rows
    validation_loss: Any  # likewise, a share of the mean
    predictions: Any  # (n_tiles, n_folds, n_trials, n_rows or more, n_outputs)


def train_part_function(recipes: Sequence[Recipe]) -> Callable[..., tuple[Tiles, EpochSums]]:
    """Make the function (tiles, sums, orders, rows of the folds, data) -> (tiles, sums)."""
    trains = [_tile_train_function(recipe) for recipe in recipes]

    def train(
        tiles: Tiles, sums: EpochSums, orders: PartOrders, rows: Any, data: BatchData
    ) -> tuple[Tiles, EpochSums]:
        branches = [lambda *given, own=own: own(*given, rows, data) for own in trains]

        def body(position: Any, carried: Any) -> Any:
            tiles, losses = carried
            at = orders.tiles[position]
            own = take_tile(orders._replace(n_tiles=None), at)
            given = take_tile(tiles, at), losses[at], own
            tile, loss = jax.lax.switch(own.branch, branches, *given)
            return put_tile(tiles, tile, at), losses.at[at].set(loss)

        start = tiles, sums.train_loss
        tiles, losses = jax.lax.fori_loop(0, orders.n_tiles, body, start)
        return tiles, sums._replace(train_loss=losses)

    return train


def _tile_train_function(recipe: Recipe) -> Callable[..., tuple[Tiles, Any]]:
    step = lane_step_function(recipe)
    at_trial, at_fold = StepIndex(0, None, None, None), StepIndex(None, None, 0, None)
    by_trial = (0, BY_TRIAL, numbers_axes(trial=True), 0, 0, None, at_trial, None)
    by_fold = (0, BY_FOLD, numbers_axes(trial=False), None, 0, 0, at_fold, None)
    steps = jax.vmap(jax.vmap(step, by_trial), by_fold)

    def train(tile: Tiles, total: Any, own: PartOrders, rows: Any, data: BatchData) -> Any:
        lanes, control = make_lanes(tile.numbers, data.folds), tile.control

        def body(index: Any, carried: tuple[LaneState, Any]) -> tuple[LaneState, Any]:
            state, total = carried
            batch = own.first + index
            frozen = control.stopped | ~own.active | (batch >= own.stop)[:, None]
            given = (state, lanes, tile.numbers, control.plateau, frozen, rows)
            at = StepIndex(tile.epoch, jnp.int32(0), batch, own.batch_size)
            after, loss = steps(*given, at, data.rows)
            return after, total + loss

        count = jnp.max(own.stop - own.first)
        state, total = jax.lax.fori_loop(0, count, body, (tile.state, total))
        return tile._replace(state=state), total

    return train


def evaluate_part_function(recipe: Recipe, n_chunks: int) -> Callable[..., EpochSums]:
    """Make the function (tiles, sums, orders, data) -> sums; at most `n_chunks` of a fold."""
    evaluate = evaluate_function(recipe)

    def lane(state: LaneState, lane: Lane, rows: Any) -> tuple[Any, Any]:
        seen = evaluate(trained_vector(recipe, state), state.others, lane, rows)
        counted = lane.fold.n_validation > 0
        return seen.predictions, jnp.where(counted, seen.loss * lane.fold.n_validation, 0)

    def tile_sums(tile: Tiles, loss: Any, table: Any, own: PartOrders, data: BatchData) -> Any:
        folds = data.folds
        size = folds.validation.shape[2]
        padded = jnp.pad(folds.validation, [(0, 0), (0, n_chunks), (0, 0)])
        take = jax.vmap(lambda rows, first: jax.lax.dynamic_slice_in_dim(rows, first, n_chunks))
        counted = jnp.minimum(folds.n_validation, own.stop * size) - own.first * size
        some = folds._replace(
            validation=take(padded, own.first), n_validation=jnp.maximum(counted, 0)
        )
        lanes = make_lanes(tile.numbers, some)
        inner = jax.vmap(lane, (0, BY_TRIAL, None))
        found, losses = jax.vmap(inner, (0, BY_FOLD, None))(tile.state, lanes, data.rows)
        put = jax.vmap(
            lambda old, new, first: jax.lax.dynamic_update_slice_in_dim(old, new, first * size, 1)
        )
        return loss + losses / folds.n_validation[:, None], put(table, found, own.first)

    def evaluate_part(
        tiles: Tiles, sums: EpochSums, orders: PartOrders, data: BatchData
    ) -> EpochSums:
        def body(position: Any, carried: Any) -> Any:
            losses, tables = carried
            at = orders.tiles[position]
            own = take_tile(orders._replace(n_tiles=None), at)
            loss, table = tile_sums(take_tile(tiles, at), losses[at], tables[at], own, data)
            return losses.at[at].set(loss), tables.at[at].set(table)

        start = sums.validation_loss, sums.predictions
        found = jax.lax.fori_loop(0, orders.n_tiles, body, start)
        return sums._replace(validation_loss=found[0], predictions=found[1])

    return evaluate_part


def end_epoch_function(
    measure: Callable[..., Any], rules: StoppingRules, n_figures: int
) -> Callable[..., tuple[Tiles, Any]]:
    """Make the function (tiles, sums, orders, data) -> (tiles, figures); see `segment`."""
    by_trial = jax.vmap(lambda *given: measure_predictions(measure, *given), (0, 0, None, None))
    summarize = jax.vmap(by_trial, (0, 0, 0, None))

    def end_epoch(
        tiles: Tiles, sums: EpochSums, orders: PartOrders, data: BatchData
    ) -> tuple[Tiles, Any]:
        n_tiles, n_folds, n_trials = tiles.control.stopped.shape
        shape = (n_tiles, MAX_EPOCHS_PER_CALL, n_figures, n_folds, n_trials)

        def body(position: Any, carried: Any) -> Any:
            tiles, figures = carried
            at = orders.tiles[position]
            tile, own = take_tile(tiles, at), take_tile(sums, at)
            n_rows = tile.control.predictions.shape[2]
            predictions = own.predictions[:, :, :n_rows] if rules.judged else None
            found = None
            if rules.judged:
                seen = summarize(predictions, own.validation_loss, data.folds, data.rows)
                found = jnp.moveaxis(seen, -1, 0)
            loss = own.train_loss / data.folds.n_train[:, None]
            given = (tile, orders.active[at], loss, predictions, found, rules, data)
            tile, told = finish_epoch(tile.state, *given)
            return put_tile(tiles, tile, at), figures.at[at, 0].set(told)

        start = tiles, jnp.zeros(shape, jnp.float32)
        result: tuple[Tiles, Any] = jax.lax.fori_loop(0, orders.n_tiles, body, start)
        return result

    return end_epoch
