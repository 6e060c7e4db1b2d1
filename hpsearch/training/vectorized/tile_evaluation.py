"""Evaluate the trials of a tile: predictions of validation rows, and the figures of an epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .device_data import DeviceFold, DeviceRows
from .program import Lane, LaneState, Recipe, evaluate_function
from .tile_lanes import BY_FOLD, BY_TRIAL
from .update import flatten_arrays


def evaluation_function(
    recipe: Recipe, measure: Callable[..., Any]
) -> Callable[..., tuple[Any, Any]]:
    """Make the function (states, lanes, rows) -> predictions and figures of validation rows."""
    evaluate = evaluate_function(recipe)

    def lane(state: LaneState, lane: Lane, rows: DeviceRows) -> tuple[Any, Any]:
        seen = evaluate(trained_vector(recipe, state), state.others, lane, rows)
        figures = measure_predictions(measure, seen.predictions, seen.loss, lane.fold, rows)
        return seen.predictions, figures

    def judge(states: LaneState, lanes: Lane, rows: DeviceRows) -> tuple[Any, Any]:
        inner = jax.vmap(lane, (0, BY_TRIAL, None))
        predictions, figures = jax.vmap(inner, (0, BY_FOLD, None))(states, lanes, rows)
        return predictions, jnp.moveaxis(figures, -1, 0)

    return judge


def trained_vector(recipe: Recipe, state: LaneState) -> Any:
    """Return the vector of weights that is evaluated: averaged ones, if there are such."""
    values = [state.vector] if recipe.flat else recipe.network.split(state.vector)
    kept = recipe.update.final_weights(state.optimizer, values)
    return state.vector if kept is values else flatten_arrays(kept)


def measure_predictions(
    measure: Callable[..., Any], predictions: Any, loss: Any, fold: DeviceFold, rows: DeviceRows
) -> Any:
    """Return a lane's figures: loss, metrics, smallest and largest prediction."""
    metrics = measure(predictions, fold, rows)
    counted = jnp.arange(predictions.shape[0]) < fold.n_validation
    counted = counted[:, None] & jnp.isfinite(predictions)
    least = jnp.min(jnp.where(counted, predictions, jnp.inf))
    largest = jnp.max(jnp.where(counted, predictions, -jnp.inf))
    return jnp.concatenate([loss[None], metrics, jnp.stack([least, largest])])
