"""Draw the initial state of all lanes on the device, in one call.

The weights equal those of `training.initial`, whatever a layer is padded to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..counter_random import (
    random_bits,
    signed_uniform,
    uniform_to_normal,
    uniform_to_truncated_normal,
)
from ..weight_initialization import Distribution
from .network import LaneNetwork
from .program import LaneState
from .update import flatten_arrays


class Draws(NamedTuple):
    """The distributions of a trial's weights: V variables of the network, in Keras's order."""

    centers: Any  # (V,) float32
    spreads: Any  # (V,) float32
    shapes: Any  # (V, R) int32, without padding; 0: the trial lacks the variable
    indices: Any  # (V,) int32, among the trial's own weights


class Slots(NamedTuple):
    """The initial values of a trial's optimizer: N variables."""

    values: Any  # (N,) float32
    copies: Any  # (N,) bool: whether a variable starts as a copy of the weights


class LaneGiven(NamedTuple):
    """Weights that were drawn on the host."""

    vector: Any  # (n_weights,) float32
    others: Any  # values of variables outside `vector`; None: drawn here


class Slot(NamedTuple):
    """A variable of an optimizer."""

    shape: tuple[int, ...]
    dtype: Any
    source: int | None  # it starts as a copy of: 0 all weights, n the n-th weight; None: neither


def trial_draws(
    found: Sequence[Distribution], shapes: Sequence[tuple[int, ...] | None], rank: int
) -> Draws:
    """Return the draws of one trial.

    Args:
        found: Each variable's distribution.
        shapes: Each variable's own shape; None: the trial lacks the variable.
        rank: The largest number of dimensions.
    """
    wide = np.zeros((len(shapes), max(1, rank)), np.int32)
    for row, shape in zip(wide, shapes, strict=True):
        if shape is not None:
            row[: max(1, len(shape))] = shape or 1
    present = [shape is not None for shape in shapes]
    return Draws(
        np.array([f.center for f in found], np.float32),
        np.array([f.spread for f in found], np.float32),
        wide,
        (np.cumsum(present) - 1).astype(np.int32),
    )


def fill_slots(
    slots: Sequence[Slot], begins: Slots, vector: np.ndarray, split: Callable[..., Any]
) -> list[np.ndarray]:
    """Return the optimizer's initial variables on the host, as `state_function` does.

    Args:
        slots: The optimizer's variables.
        begins: Their initial values.
        vector: The initial weights.
        split: Splits `vector` into the trainable variables' values.
    """
    values = [vector, *split(vector)]
    return [
        np.array(values[slot.source], slot.dtype)
        if slot.source is not None and copied
        else np.full(slot.shape, value, slot.dtype)
        for slot, value, copied in zip(slots, begins.values, begins.copies, strict=True)
    ]


def state_function(
    network: LaneNetwork, kinds: Sequence[str], seeds: Sequence[int | None], slots: Sequence[Slot]
) -> Callable[..., LaneState]:
    """Make the function (draws, slots, weight seed, dropout seed, given) -> `LaneState` of a lane.

    Args:
        network: The network.
        kinds: Each variable's kind of distribution.
        seeds: The seed that the model's code gives each variable, or None.
        slots: The optimizer's variables.
    """
    order = {id(v): index for index, v in enumerate(network.model.weights)}

    def drawn(variable: Any, draws: Draws, seed: Any) -> Any:
        index = order[id(variable)]
        own = seeds[index]
        return _draw_variable(
            kinds[index],
            tuple(variable.shape),
            draws.centers[index],
            draws.spreads[index],
            draws.shapes[index],
            seed if own is None else own,
            draws.indices[index],
        ).astype(variable.dtype)

    def state(draws: Draws, begins: Slots, seed: Any, dropout: Any, given: Any) -> LaneState:
        trainable = [drawn(v, draws, seed) for v in network.trainable]
        vector = flatten_arrays(trainable) if given is None else given.vector
        kept = None if given is None else given.others
        others = [
            (drawn(v, draws, seed) if kept is None else kept[place])
            if id(v) in order
            else jnp.stack([random_bits(jnp, 0, dropout, place)[0], jnp.uint32(0)]).astype(v.dtype)
            for place, v in enumerate(network.model.non_trainable_variables)
        ]
        values = [vector, *network.split(vector)]
        optimizer = []
        for index, (shape, dtype, source) in enumerate(slots):
            value = jnp.full(shape, begins.values[index]).astype(dtype)
            if source is not None:
                value = jnp.where(begins.copies[index], values[source], value)
            optimizer.append(value)
        return LaneState(vector, others, optimizer)

    return state


def _draw_variable(
    kind: str,
    shape: tuple[int, ...],
    center: Any,
    spread: Any,
    own: Any,
    seed: Any,
    index: Any,
) -> Any:
    """Draw a variable's initial value, zero in the padding."""
    count, inside = jnp.zeros(shape, jnp.uint32), own[0] > 0
    for axis in range(len(shape)):
        at = jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
        count = count * own[axis].astype(jnp.uint32) + at
        inside = inside & (at < own[axis].astype(jnp.uint32))
    if kind == "constant":
        return jnp.where(inside, center, 0)
    signed = signed_uniform(jnp, random_bits(jnp, count, seed, index))
    if kind == "normal":
        signed = uniform_to_normal(jax.scipy.special.erfinv, signed)
    elif kind == "truncated":
        signed = uniform_to_truncated_normal(jax.scipy.special.erfinv, signed)
    return jnp.where(inside, center + spread * signed, 0)
