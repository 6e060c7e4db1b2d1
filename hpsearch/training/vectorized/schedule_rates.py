"""Compute `training.schedules` inside a program, for many trials at once.

A trial's schedule is a row of numbers, so trials with any schedules share a program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ...trial import Value
from ..schedules import (
    SCHEDULES,
    Schedule,
    StepShares,
    has_scheduled_strengths,
    is_scheduled,
)

KINDS = (*SCHEDULES, "by_epoch")
N_NUMBERS = 5
TOLERANCE = 1e-5  # epochs within which a step counts as at a boundary; steps are farther apart


class ScheduleNumbers(NamedTuple):
    """A trial's schedule; with a leading axis, those of several trials."""

    kind: Any  # int32, index among `KINDS`
    rate: Any  # float32, the initial rate
    numbers: Any  # (N_NUMBERS,) float32 arguments of its kind
    boundaries: Any  # (n_boundaries,) float32 epochs, padded with infinity; or one rate per epoch


class ShareNumbers(NamedTuple):
    """The schedules of a trial's dropout and weight decay."""

    falls: Any  # (2,) bool: `flat_cosine`, in the order of `StepShares`
    n_epochs: Any  # float32


def share_numbers(params: Mapping[str, Value], n_epochs: int) -> ShareNumbers | None:
    """Return a trial's schedules of strengths as numbers; None if both are constant."""
    if not has_scheduled_strengths(params):
        return None
    falls = [is_scheduled(params, f"{name}_schedule") for name in StepShares._fields]
    return ShareNumbers(np.array(falls), np.float32(n_epochs))


def shares_at(numbers: ShareNumbers, passed: Any) -> StepShares:
    """Return a trial's shares after `passed` epochs; see `schedules.strength_shares`."""
    angle = jnp.pi * jnp.clip(2 * passed / numbers.n_epochs - 1, 0, 1)
    return StepShares(*jnp.where(numbers.falls, 0.5 + 0.5 * jnp.cos(angle), 1.0))


class Plateau(NamedTuple):
    """State of `reduce_on_plateau`."""

    rate: Any  # float32
    best: Any  # float32, best mean validation loss
    waited: Any  # int32 epochs
    cooling: Any  # int32 epochs


def schedule_numbers(
    schedule: Schedule, n_epochs: int, watched: Sequence[float] = ()
) -> ScheduleNumbers:
    """Return a trial's schedule as numbers.

    Args:
        schedule: The schedule.
        n_epochs: Number of planned epochs.
        watched: Mean validation losses of the search, for a trial that is trained again.
    """
    if schedule.needs_losses and watched:
        return _rates_by_epoch(schedule, n_epochs, watched)
    n_boundaries = 8 * -(-len(schedule.arguments.get("boundaries", ())) // 8)
    found: Mapping[str, Any] = schedule.arguments
    boundaries = np.full(n_boundaries, np.inf, np.float32)
    numbers: tuple[float, ...] = ()
    if schedule.kind == "exponential":
        numbers = (found["decay_rate"], found["decay_epochs"], found["staircase"])
    elif schedule.kind == "cosine":
        warmup, decay = found["warmup_epochs"], found["decay_epochs"]
        decay = max(n_epochs - warmup, 1e-9) if decay is None else decay
        numbers = (decay, found["decay_alpha"], warmup)
    elif schedule.kind == "coslog":
        numbers = (2.0 ** found["cycles"] - 1, n_epochs)
    elif schedule.kind == "piecewise":
        numbers = (found["decay_rate"],)
        boundaries[: len(found["boundaries"])] = found["boundaries"]
    elif schedule.kind == "reduce_on_plateau":
        names = ("factor", "plateau_patience", "plateau_min_delta", "cooldown", "min_lr")
        numbers = tuple(found[name] for name in names)
    padded = np.zeros(N_NUMBERS, np.float32)
    padded[: len(numbers)] = numbers
    kind = np.int32(KINDS.index(schedule.kind))
    return ScheduleNumbers(kind, np.float32(schedule.initial_learning_rate), padded, boundaries)


def _rates_by_epoch(schedule: Schedule, n_epochs: int, watched: Sequence[float]) -> ScheduleNumbers:
    rates = [
        schedule.rates(epoch, n_steps=1, n_epochs=n_epochs, losses=watched)[0]
        for epoch in range(n_epochs)
    ]
    kind = np.int32(KINDS.index("by_epoch"))
    numbers = np.zeros(N_NUMBERS, np.float32)
    return ScheduleNumbers(kind, rates[0], numbers, np.array(rates, np.float32))


def rate_at(schedule: ScheduleNumbers, plateau: Plateau, passed: Any) -> Any:
    """Return a trial's learning rate after `passed` epochs (float32)."""
    a, b, c = schedule.numbers[0], schedule.numbers[1], schedule.numbers[2]
    times = passed / jnp.where(b > 0, b, 1)
    times = jnp.where(c > 0, jnp.floor(times + TOLERANCE), times)
    exponential = jnp.power(a, times)
    share = jnp.clip((passed - c) / jnp.where(a > 0, a, 1), 0, 1)
    cooled = (1 - b) * 0.5 * (1 + jnp.cos(jnp.pi * share)) + b
    cosine = jnp.where(passed < c - TOLERANCE, passed / jnp.where(c > 0, c, 1), cooled)
    cycles = jnp.log2(1 + a * passed / jnp.where(b > 0, b, 1))
    crossed = jnp.sum(passed > schedule.boundaries + TOLERANCE)
    factors = {
        "exponential": exponential,
        "cosine": cosine,
        "coslog": 0.5 - 0.5 * jnp.cos(2 * jnp.pi * cycles),
        "piecewise": jnp.power(a, crossed.astype(jnp.float32)),
    }
    rate = schedule.rate
    for kind, factor in factors.items():
        rate = jnp.where(schedule.kind == KINDS.index(kind), schedule.rate * factor, rate)
    if schedule.boundaries.shape[0]:
        epoch = jnp.floor(passed + TOLERANCE).astype(jnp.int32)
        of_epoch = schedule.boundaries.at[epoch].get(mode="clip")
        rate = jnp.where(schedule.kind == KINDS.index("by_epoch"), of_epoch, rate)
    return jnp.where(schedule.kind == KINDS.index("reduce_on_plateau"), plateau.rate, rate)


def plateau_after(schedule: ScheduleNumbers, before: Plateau, loss: Any) -> Plateau:
    """Return the state after an epoch of mean validation `loss`; see `schedules._plateau_rate`."""
    factor, patience, min_delta, cooldown, min_lr = (schedule.numbers[i] for i in range(N_NUMBERS))
    was_cooling = before.cooling > 0
    cooling = jnp.maximum(before.cooling - 1, 0)
    waited = jnp.where(was_cooling, 0, before.waited)
    better = loss + min_delta < before.best
    waits = ~better & (cooling <= 0)
    waited = jnp.where(better, 0, waited + waits)
    drops = waits & (waited >= patience) & (before.rate > min_lr)
    return Plateau(
        jnp.where(drops, jnp.maximum(before.rate * factor, min_lr), before.rate),
        jnp.where(better, loss, before.best),
        jnp.where(drops, 0, waited),
        jnp.where(drops, cooldown.astype(jnp.int32), cooling),
    )
