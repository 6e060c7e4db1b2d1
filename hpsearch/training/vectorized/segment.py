"""Train epochs of many trials in one call: the device runs the loop and makes its decisions.

Lanes are grouped in tiles. The trials of a tile have one batch size and are in the same epoch, so
all lanes of a fold gather the same rows. One program trains all tiles of a template; each tile
takes the branch of its batch size. Early stopping, the best epoch of the mean curve and losses that
are not finite are decided here; the host reads them when the call ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from ...trial import Direction
from ..counter_random import hash_bits, random_bits
from .device_data import DeviceFold, DeviceRows
from .layers import make_lane_masks
from .program import (
    Gradients,
    Lane,
    LaneEpoch,
    LaneState,
    Recipe,
    RowChunk,
    evaluate_function,
    gradients_function,
    spread_factors,
    with_decay_share,
    with_dropout_share,
)
from .schedule_rates import Plateau, plateau_after, rate_at, shares_at
from .template import TrialNumbers
from .update import flatten_arrays

MAX_EPOCHS_PER_CALL = 16  # of a tile in one call, at most
N_LOSSES = 2  # figures before a lane's metrics: train/loss, val/loss
FOLDED = (
    "weight_seeds",
    "dropout_seeds",
    "classes",
    "given",
)  # fields of `TrialNumbers` with an axis of folds
LOWEST = -3e38  # below every score
# The axes over which `make_lanes` maps: first folds, then the trials of each.
BY_FOLD: Any = Lane._make((None, None, 0, 0, 0, None, None))
BY_TRIAL: Any = Lane._make((0, 0, 0, None, 0, 0, 0))
N_AFTER = 3  # and after them: smallest and largest prediction, whether the trial ended


class BatchData(NamedTuple):
    """The data of all tiles."""

    rows: DeviceRows
    folds: DeviceFold  # with an axis of folds
    train: Any  # (n_folds, capacity) int32, row indices padded with 0
    seeds: Any  # (n_folds,) uint32 seeds of the row orders
    patience: Any  # int32: epochs without improvement after which a trial ends
    min_delta: Any  # float32: an improvement of what `StoppingRules.scope` compares


class TileControl(NamedTuple):
    """Progress of each trial of a tile; (n_trials,) or (n_folds, n_trials)."""

    ended: Any  # bool
    best: Any  # (2, n_trials) float32: the best sum over folds, as high and low part
    waited: Any  # int32 epochs without improvement
    fold_best: Any  # (n_folds, n_trials) float32
    fold_waited: Any  # (n_folds, n_trials) int32
    stopped: Any  # (n_folds, n_trials) bool
    figures: Any  # (n_figures, n_folds, n_trials), of the last epoch
    plateau: Plateau
    predictions: Any  # (n_folds, n_trials, n_rows, n_outputs), of the best epoch


class Tiles(NamedTuple):
    """The state on the device between calls; the first axis is of tiles."""

    state: LaneState  # (n_tiles, n_folds, n_trials, ...)
    numbers: TrialNumbers  # (n_tiles, n_trials, ...), by fold (n_tiles, n_folds, n_trials, ...)
    control: TileControl
    epoch: Any  # (n_tiles,) int32: finished epochs


class SegmentOrders(NamedTuple):
    """The host's instructions for a call."""

    tiles: Any  # (n_tiles,) int32: the tiles to train come first
    n_tiles: Any  # int32
    until: Any  # (n_tiles,) int32: number of epochs to reach
    batch_size: Any  # (n_tiles,) int32
    branch: Any  # (n_tiles,) int32: index of the batch size's branch
    dropped: Any  # (n_tiles, n_trials) bool: trials to stop


class StoppingRules(NamedTuple):
    """The study's rules for ending trials."""

    scope: Literal["mean", "fold"]  # of early stopping; its numbers are in `BatchData`
    direction: Direction
    objective: int  # index among the figures
    judged: bool = True  # whether validation rows are evaluated


def segment_function(
    recipes: Sequence[Recipe], measure: Callable[..., Any], rules: StoppingRules, *, n_figures: int
) -> Callable[..., tuple[Tiles, Any]]:
    """Make the function (tiles, orders, data) -> (tiles, figures).

    Args:
        recipes: One for each batch size that has a branch.
        measure: The function of `program.measure_function`.
        rules: The study's rules.
        n_figures: `N_LOSSES` + metrics + `N_AFTER`.

    Returns:
        The function; its figures have shape (n_tiles, EPOCHS, n_figures, n_folds, n_trials).
    """
    epochs = [epoch_function(recipe, measure, rules) for recipe in recipes]

    def tile_epochs(train: Any, tile: Any, until: Any, size: Any, data: BatchData) -> Any:
        n_folds, n_trials = tile.control.stopped.shape
        table = jnp.zeros((MAX_EPOCHS_PER_CALL, n_figures, n_folds, n_trials), jnp.float32)

        def goes_on(carried: Any) -> Any:
            tile, _, done = carried
            return (
                (tile.epoch < until) & (done < MAX_EPOCHS_PER_CALL) & ~jnp.all(tile.control.ended)
            )

        def body(carried: Any) -> Any:
            tile, table, done = carried
            tile, figures = train(tile, size, data)
            return tile, table.at[done].set(figures), done + 1

        tile, table, _ = jax.lax.while_loop(goes_on, body, (tile, table, jnp.int32(0)))
        return tile, table

    def segment(tiles: Tiles, orders: SegmentOrders, data: BatchData) -> tuple[Tiles, Any]:
        n_tiles, n_folds, n_trials = tiles.control.stopped.shape
        control = tiles.control._replace(ended=tiles.control.ended | orders.dropped)
        tiles = tiles._replace(control=control)
        figures = jnp.zeros(
            (n_tiles, MAX_EPOCHS_PER_CALL, n_figures, n_folds, n_trials), jnp.float32
        )
        branches = [
            lambda tile, until, size, train=train: tile_epochs(train, tile, until, size, data)
            for train in epochs
        ]

        def body(position: Any, carried: Any) -> Any:
            tiles, figures = carried
            at = orders.tiles[position]
            tile = jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, at, 0, False), tiles)
            given = (tile, orders.until[at], orders.batch_size[at])
            tile, told = jax.lax.switch(orders.branch[at], branches, *given)
            put = jax.lax.dynamic_update_index_in_dim
            tiles = jax.tree.map(lambda a, one: put(a, one, at, 0), tiles, tile)
            return tiles, put(figures, told, at, 0)

        result: tuple[Tiles, Any] = jax.lax.fori_loop(0, orders.n_tiles, body, (tiles, figures))
        return result

    return segment


def epoch_function(
    recipe: Recipe, measure: Callable[..., Any], rules: StoppingRules
) -> Callable[..., tuple[Tiles, Any]]:
    """Make the function of one epoch: (tile, batch size, data) -> (tile, figures)."""
    train, judge = train_function(recipe), evaluation_function(recipe, measure)

    def epoch(tile: Tiles, size: Any, data: BatchData) -> tuple[Tiles, Any]:
        orders = jax.vmap(epoch_rows, (0, 0, 0, None))(
            data.train, data.folds.n_train, data.seeds, tile.epoch
        )
        state, loss = train(tile, orders, size, data)
        lanes = make_lanes(tile.numbers, data.folds)
        n_folds, n_trials = tile.control.stopped.shape
        if rules.judged:
            predictions, figures = judge(state, lanes, data.rows)
        else:
            predictions = tile.control.predictions
            figures = jnp.zeros((1 + N_AFTER - 1, n_folds, n_trials), jnp.float32)
        figures = jnp.concatenate([loss[None], figures, jnp.zeros((1, n_folds, n_trials))])
        frozen = tile.control.stopped & (tile.epoch > 0)
        figures = jnp.where(frozen, tile.control.figures, figures)
        control = update_control(tile, figures, predictions, rules, data)
        figures = figures.at[-1].set(control.ended.astype(jnp.float32))
        return Tiles(state, tile.numbers, control, tile.epoch + 1), figures

    return epoch


def epoch_rows(rows: Any, n_train: Any, seed: Any, epoch: Any) -> Any:
    """Return a fold's training rows in the order of an epoch; see `batching.draw_epoch_order`."""
    index = jax.lax.iota(jnp.uint32, rows.shape[0])
    bits = random_bits(jnp, index, seed, epoch)
    padding = (index >= n_train).astype(jnp.int32)
    return jax.lax.sort((padding, bits, index, rows), num_keys=3)[3]


def make_lanes(numbers: TrialNumbers, folds: DeviceFold) -> Lane:
    """Make the lanes of a tile; see `BY_FOLD` and `BY_TRIAL`."""
    return Lane(
        numbers.strengths,
        numbers.arguments,
        numbers.dropout_seeds,
        folds,
        numbers.classes,
        numbers.depth,
        numbers.factors,
    )


class StepIndex(NamedTuple):
    """The current step of a tile."""

    epoch: Any  # int32
    step: Any  # int32
    size: Any  # int32: rows per batch


def train_function(recipe: Recipe) -> Callable[..., tuple[LaneState, Any]]:
    """Make the function (tile, row orders, batch size, data) -> (states, training losses)."""
    step = lane_step_function(recipe)
    inner = jax.vmap(step, (0, BY_TRIAL, numbers_axes(trial=True), 0, 0, None, None, None))
    outer = jax.vmap(inner, (0, BY_FOLD, numbers_axes(trial=False), None, 0, 0, None, None))

    def train(tile: Tiles, orders: Any, size: Any, data: BatchData) -> tuple[LaneState, Any]:
        lanes = make_lanes(tile.numbers, data.folds)
        padded = jnp.pad(orders, [(0, 0), (0, recipe.rows)])
        control = tile.control

        def body(index: Any, carried: tuple[LaneState, Any]) -> tuple[LaneState, Any]:
            state, total = carried
            given = (state, lanes, tile.numbers, control.plateau, control.stopped, padded)
            after, loss = outer(*given, StepIndex(tile.epoch, index, size), data.rows)
            return after, total + loss

        steps = -(-jnp.max(data.folds.n_train) // size)
        start = (tile.state, jnp.zeros(control.stopped.shape, jnp.float32))
        state, total = jax.lax.fori_loop(0, steps, body, start)
        return state, total / data.folds.n_train[:, None]

    return train


def lane_step_function(recipe: Recipe) -> Callable[..., tuple[LaneState, Any]]:
    """Make the function of one step of a lane; it returns the next state, and rows times loss.

    A stopped lane, or one without rows left, does not change.
    """
    update, gradients = update_function(recipe), gradients_function(recipe)

    def lane_step(
        state: LaneState,
        lane: Lane,
        numbers: TrialNumbers,
        plateau: Plateau,
        stopped: Any,
        order: Any,
        at: StepIndex,
        rows: DeviceRows,
    ) -> tuple[LaneState, Any]:
        first, n_train = at.step * at.size, lane.fold.n_train
        counted = jnp.clip(n_train - first, 0, at.size)
        passed = at.epoch + at.step / -(-n_train // at.size)
        shares = None if numbers.shares is None else shares_at(numbers.shares, passed)
        given = LaneEpoch(at.epoch, order, None, None, None, None, make_lane_masks(lane.strengths))
        batch = RowChunk(first, counted, step_key(lane.key, at))
        found = gradients(state, lane, with_dropout_share(lane, given, shares), rows, batch)
        rate = rate_at(numbers.schedule, plateau, passed)
        after = update(state, lane, (numbers.rates, rate), found, shares)
        moves = (counted > 0) & ~stopped
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


def numbers_axes(*, trial: bool) -> Any:
    """Return the mapped axes of a tile's numbers, from outside to inside."""
    return TrialNumbers._make(0 if trial or n in FOLDED else None for n in TrialNumbers._fields)


def evaluation_function(
    recipe: Recipe, measure: Callable[..., Any]
) -> Callable[..., tuple[Any, Any]]:
    """Make the function (states, lanes, rows) -> predictions and figures of validation rows."""
    evaluate = evaluate_function(recipe)

    def lane(state: LaneState, lane: Lane, rows: DeviceRows) -> tuple[Any, Any]:
        values = [state.vector] if recipe.flat else recipe.network.split(state.vector)
        kept = recipe.update.final_weights(state.optimizer, values)
        vector = state.vector if kept is values else flatten_arrays(kept)
        seen = evaluate(vector, state.others, lane, rows)
        metrics = measure(seen.predictions, lane.fold, rows)
        counted = jnp.arange(seen.predictions.shape[0]) < lane.fold.n_validation
        counted = counted[:, None] & jnp.isfinite(seen.predictions)
        least = jnp.min(jnp.where(counted, seen.predictions, jnp.inf))
        largest = jnp.max(jnp.where(counted, seen.predictions, -jnp.inf))
        after = jnp.stack([least, largest])
        return seen.predictions, jnp.concatenate([seen.loss[None], metrics, after])

    def judge(states: LaneState, lanes: Lane, rows: DeviceRows) -> tuple[Any, Any]:
        inner = jax.vmap(lane, (0, BY_TRIAL, None))
        predictions, figures = jax.vmap(inner, (0, BY_FOLD, None))(states, lanes, rows)
        return predictions, jnp.moveaxis(figures, -1, 0)

    return judge


def update_control(
    tile: Tiles, figures: Any, predictions: Any, rules: StoppingRules, data: BatchData
) -> TileControl:
    """Update a tile's progress after an epoch, as `training.trial_result` does for curves."""
    before = tile.control
    finished = tile.epoch + 1 >= tile.numbers.n_epochs
    losses = figures[0] if not rules.judged else figures[:N_LOSSES]
    finite = jnp.all(jnp.isfinite(losses.reshape(-1, losses.shape[-1])), axis=0)
    if not rules.judged:
        return before._replace(ended=before.ended | finished | ~finite, figures=figures)
    scores = figures[rules.objective]
    finite &= jnp.all(jnp.isfinite(scores), axis=0)
    rising = scores if rules.direction == "maximize" else -scores
    total = exact_sum(rising)
    better = is_larger(total, before.best)
    ended, waited, stopped = before.ended | finished | ~finite, before.waited, before.stopped
    fold_best, fold_waited = before.fold_best, before.fold_waited
    best = jnp.where(better, total, before.best)
    if rules.scope == "mean":
        enough = is_larger(total, add_two_part(before.fold_best[:2], data.min_delta))
        marks = jnp.where(enough, total, before.fold_best[:2])
        fold_best = before.fold_best.at[:2].set(marks)
        waited = jnp.where(enough, 0, waited + 1)
        ended |= waited >= data.patience
    else:
        beats = rising > fold_best[2:] + data.min_delta
        fold_best = fold_best.at[2:].set(jnp.where(beats, rising, fold_best[2:]))
        fold_waited = jnp.where(beats, 0, fold_waited + 1)
        stopped = fold_waited >= data.patience
        ended |= jnp.all(stopped, axis=0)
    keeps = better & ~before.ended
    best = jnp.where(before.ended, before.best, best)
    kept = jnp.where(keeps[None, :, None, None], predictions, before.predictions)
    mean = jnp.mean(figures[1], axis=0)
    plateau = jax.vmap(plateau_after)(tile.numbers.schedule, before.plateau, mean)
    return TileControl(ended, best, waited, fold_best, fold_waited, stopped, figures, plateau, kept)


def exact_sum(values: Any) -> Any:
    """Sum over the first axis with twice the precision of float32: high and low part, (2, n).

    The best epoch is then the one that float64 finds on the host.
    """
    total = jnp.stack([values[0], jnp.zeros_like(values[0])])
    for value in values[1:]:
        total = add_two_part(total, value)
    return total


def add_two_part(total: Any, value: Any) -> Any:
    """Add a number to a two-part sum (Knuth's two-sum)."""
    high = total[0] + value
    part = high - total[0]
    low = total[1] + ((total[0] - (high - part)) + (value - part))
    top = high + low
    return jnp.stack([top, low - (top - high)])


def is_larger(a: Any, b: Any) -> Any:
    """Whether one two-part sum is larger than another; a non-finite one is not."""
    larger = (a[0] > b[0]) | ((a[0] == b[0]) & (a[1] > b[1]))
    return larger & jnp.isfinite(a[0])


def fresh_control(
    numbers: TrialNumbers, n_folds: int, n_figures: int, table: tuple[int, ...]
) -> TileControl:
    """Make the progress of a fresh tile; `table` is the shape of a lane's predictions."""
    n_trials = numbers.n_epochs.shape[0]
    lowest = jnp.full((2 + n_folds, n_trials), LOWEST, jnp.float32)
    none = jnp.zeros(n_trials, jnp.int32)
    plateau = Plateau(numbers.schedule.rate, jnp.full(n_trials, jnp.inf), none, none)
    return TileControl(
        numbers.n_epochs <= 0,
        lowest[:2],
        none,
        lowest,
        jnp.zeros((n_folds, n_trials), jnp.int32),
        jnp.zeros((n_folds, n_trials), bool),
        jnp.zeros((n_figures, n_folds, n_trials), jnp.float32),
        plateau,
        jnp.zeros((n_folds, n_trials, *table), jnp.float32),
    )


def fill_function(
    initial: Callable[..., LaneState], n_folds: int, n_figures: int, table: tuple[int, ...]
) -> tuple[Callable[..., Tiles], Callable[..., Tiles]]:
    """Make the functions that create fresh tiles.

    Returns:
        The function from a tile's numbers to the tile, and the function (tiles, numbers, which, n)
        that puts fresh tiles into the first n of `which`.
    """

    def lane(numbers: TrialNumbers) -> LaneState:
        seeds = (numbers.weight_seeds, numbers.dropout_seeds)
        return initial(numbers.draws, numbers.slots, *seeds, numbers.given)

    over = jax.vmap(jax.vmap(lane, (numbers_axes(trial=True),)), (numbers_axes(trial=False),))

    def tile_of(numbers: TrialNumbers) -> Tiles:
        control = fresh_control(numbers, n_folds, n_figures, table)
        return Tiles(over(numbers), numbers, control, jnp.int32(0))

    def fill(tiles: Tiles, numbers: TrialNumbers, which: Any, n: Any) -> Tiles:
        def body(position: Any, tiles: Tiles) -> Tiles:
            at = which[position]
            own = jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, at, 0, False), numbers)
            tile = tile_of(own)
            put = jax.lax.dynamic_update_index_in_dim
            filled: Tiles = jax.tree.map(lambda a, one: put(a, one, at, 0), tiles, tile)
            return filled

        filled: Tiles = jax.lax.fori_loop(0, n, body, tiles)
        return filled

    return tile_of, fill


def move_trials(tiles: Tiles, sources: Any, tile_sources: Any) -> Tiles:
    """Rearrange trials: the source index of each, (n_tiles * n_trials,), and of each tile."""
    by_fold: Any = TrialNumbers._make(2 if n in FOLDED else 1 for n in TrialNumbers._fields)
    control: Any = TileControl._make((1, 2, 1, 2, 2, 2, 3, 1, 2))
    axes = (2, by_fold, control)

    def moved(axis: int, array: Any) -> Any:
        flat = jnp.moveaxis(array, axis, 1)
        shape = flat.shape
        flat = flat.reshape(shape[0] * shape[1], *shape[2:])[sources].reshape(shape)
        return jnp.moveaxis(flat, 1, axis)

    parts = (tiles.state, tiles.numbers, tiles.control)
    state, numbers, where = (
        jax.tree.map(lambda axis, part: jax.tree.map(lambda a: moved(axis, a), part), *pair)
        for pair in zip(axes, parts, strict=True)
    )
    return Tiles(state, numbers, where, tiles.epoch[tile_sources])
