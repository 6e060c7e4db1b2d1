"""Decide on the device whether trials end, and which epoch is their best.

As `training.trial_result` does for curves on the host.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from ...trial import Direction
from .device_data import BatchData
from .schedule_rates import plateau_after
from .tile_state import TileControl, Tiles

N_LOSSES = 2  # figures before a lane's metrics: train/loss, val/loss


class StoppingRules(NamedTuple):
    """The study's rules for ending trials."""

    scope: Literal["mean", "fold"]  # of early stopping; its numbers are in `BatchData`
    direction: Direction
    objective: int  # index among the figures
    judged: bool = True  # whether validation rows are evaluated


def update_control(
    tile: Tiles, active: Any, figures: Any, predictions: Any, rules: StoppingRules, data: BatchData
) -> TileControl:
    """Update the progress of the trials that were trained, (n_trials,) bool, after an epoch."""
    before = tile.control._replace(predictions=None)
    ended = before.ended | (tile.epoch + 1 >= tile.numbers.n_epochs)
    kept = tile.control.predictions
    if rules.judged:
        scores = figures[rules.objective]
        rising = scores if rules.direction == "maximize" else -scores
        total = exact_sum(rising)
        better = is_larger(total, before.best)
        kept = jnp.where((better & active)[None, :, None, None], predictions, kept)
        after = wait_for_mean if rules.scope == "mean" else wait_for_folds
        control = after(before, total if rules.scope == "mean" else rising, data)
        mean = jnp.mean(figures[1], axis=0)
        plateau = jax.vmap(plateau_after)(tile.numbers.schedule, before.plateau, mean)
        control = control._replace(best=jnp.where(better, total, before.best), plateau=plateau)
        ended |= control.ended | ~all_finite(figures[:N_LOSSES]) | ~all_finite(scores)
    else:
        control = before
        ended |= ~all_finite(figures[0])
    control = control._replace(ended=ended, figures=figures)
    control = jax.tree.map(lambda new, old: jnp.where(active, new, old), control, before)
    return control._replace(predictions=kept)  # type: ignore[no-any-return]


def wait_for_mean(before: TileControl, total: Any, data: BatchData) -> TileControl:
    """Count epochs in which a trial's mean over the folds does not improve."""
    enough = is_larger(total, add_two_part(before.fold_best[:2], data.min_delta))
    marks = jnp.where(enough, total, before.fold_best[:2])
    waited = jnp.where(enough, 0, before.waited + 1)
    fold_best = before.fold_best.at[:2].set(marks)
    return before._replace(fold_best=fold_best, waited=waited, ended=waited >= data.patience)


def wait_for_folds(before: TileControl, rising: Any, data: BatchData) -> TileControl:
    """Count epochs in which a fold does not improve; a trial ends with its last fold."""
    beats = rising > before.fold_best[2:] + data.min_delta
    marks = jnp.where(beats, rising, before.fold_best[2:])
    waited = jnp.where(beats, 0, before.fold_waited + 1)
    stopped = waited >= data.patience
    return before._replace(
        fold_best=before.fold_best.at[2:].set(marks),
        fold_waited=waited,
        stopped=stopped,
        ended=jnp.all(stopped, axis=0),
    )


def all_finite(values: Any) -> Any:
    """Whether all values of a trial, which is the last axis, are finite."""
    return jnp.all(jnp.isfinite(values.reshape(-1, values.shape[-1])), axis=0)


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
