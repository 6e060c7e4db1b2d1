"""The state of tiles on the device, and how trials enter and move between them.

A tile has an axis of trials in each of its arrays; every trial has an epoch of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .program import LaneState
from .schedule_rates import Plateau
from .template import TrialNumbers

FOLDED = (
    "weight_seeds",
    "dropout_seeds",
    "classes",
    "given",
)  # fields of `TrialNumbers` with an axis of folds
LOWEST = -3e38  # below every score


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
    epoch: Any  # (n_tiles, n_trials) int32: finished epochs


# The axis of trials of each array of one tile.
TRIAL_AXES = Tiles(
    1,  # type: ignore[arg-type]
    TrialNumbers._make(1 if name in FOLDED else 0 for name in TrialNumbers._fields),
    TileControl(0, 1, 0, 1, 1, 1, 2, 0, 1),  # type: ignore[arg-type]
    0,
)


def map_trials(function: Callable[..., Any], *tiles: Tiles) -> Tiles:
    """Apply `function(axis of trials, *arrays)` to the arrays of one tile."""
    mapped: Tiles = _map_axes(function, TRIAL_AXES, tiles)
    return mapped


def map_numbers(function: Callable[..., Any], *numbers: TrialNumbers) -> TrialNumbers:
    """Apply `function(axis of trials, *arrays)` to a tile's numbers, or to those of trials."""
    mapped: TrialNumbers = _map_axes(function, TRIAL_AXES.numbers, numbers)
    return mapped


def put_numbers(numbers: TrialNumbers, own: TrialNumbers, tile: int, slot: int) -> None:
    """Write a trial's numbers into those of tiles, which are arrays of numpy."""

    def put(axis: int, array: Any, value: Any) -> None:
        array[(tile, *[slice(None)] * axis, slot)] = value

    map_numbers(put, numbers, own)


def _map_axes(function: Callable[..., Any], axes: Any, given: Sequence[Any]) -> Any:
    def over(axis: int, *parts: Any) -> Any:
        return jax.tree.map(lambda *arrays: function(axis, *arrays), *parts)

    return jax.tree.map(over, axes, *given)


def numbers_axes(*, trial: bool) -> Any:
    """Return the mapped axes of a tile's numbers, from outside to inside."""
    return TrialNumbers._make(0 if trial or n in FOLDED else None for n in TrialNumbers._fields)


def take_tile(tiles: Any, index: Any) -> Any:
    """Return one tile."""
    return jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, index, 0, False), tiles)


def put_tile(tiles: Any, tile: Any, index: Any) -> Any:
    """Return tiles with another one at `index`."""
    put = jax.lax.dynamic_update_index_in_dim
    return jax.tree.map(lambda a, one: put(a, one, index, 0), tiles, tile)


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
    """Make the functions that start trials.

    Returns:
        The function from a tile's numbers to a fresh tile, and the function (tiles, numbers, which,
        n, fresh) that starts the trials `fresh`, (n_tiles, n_trials) bool, in the first n tiles of
        `which`.
    """

    def lane(numbers: TrialNumbers) -> LaneState:
        seeds = (numbers.weight_seeds, numbers.dropout_seeds)
        return initial(numbers.draws, numbers.slots, *seeds, numbers.given)

    over = jax.vmap(jax.vmap(lane, (numbers_axes(trial=True),)), (numbers_axes(trial=False),))

    def tile_of(numbers: TrialNumbers) -> Tiles:
        control = fresh_control(numbers, n_folds, n_figures, table)
        return Tiles(over(numbers), numbers, control, jnp.zeros_like(numbers.n_epochs))

    def fill(tiles: Tiles, numbers: TrialNumbers, which: Any, n: Any, fresh: Any) -> Tiles:
        def body(position: Any, tiles: Tiles) -> Tiles:
            at = which[position]

            def choose(axis: int, new: Any, old: Any) -> Any:
                mask = fresh[at].reshape(-1, *[1] * (new.ndim - axis - 1))
                return jnp.where(mask, new, old)

            started = map_trials(choose, tile_of(take_tile(numbers, at)), take_tile(tiles, at))
            filled: Tiles = put_tile(tiles, started, at)
            return filled

        filled: Tiles = jax.lax.fori_loop(0, n, body, tiles)
        return filled

    return tile_of, fill


def move_trials(tiles: Tiles, sources: Any) -> Tiles:
    """Rearrange trials; `sources`: the former index of each, (n_tiles * n_trials,)."""

    def moved(axis: int, array: Any) -> Any:
        flat = jnp.moveaxis(array, axis + 1, 1)
        shape = flat.shape
        flat = flat.reshape(shape[0] * shape[1], *shape[2:])[sources].reshape(shape)
        return jnp.moveaxis(flat, 1, axis + 1)

    return map_trials(moved, tiles)
