"""Learning-rate schedules: the learning rate of every step of an epoch.

Equivalent to `keras.optimizers.schedules` and `ReduceLROnPlateau`, but counted in epochs instead of
steps, so that folds of different size follow the same schedule. Rates are computed on the host and
passed to a trainer epoch by epoch, so schedules are not part of compiled programs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..errors import SpecError
from ..trial import Value

DEFAULT_SCHEDULE = "constant"
DEFAULT_LEARNING_RATE = 1e-3

# name in a space -> its hyperparameters with defaults
SCHEDULES: dict[str, dict[str, Value]] = {
    "constant": {},
    # Keras's ExponentialDecay: the rate is multiplied by `decay_rate` every `decay_epochs`
    "exponential": {"decay_rate": 0.96, "decay_epochs": 1.0, "staircase": False},
    # Keras's CosineDecay, its warm-up from 0; `decay_epochs` None: to the last epoch
    "cosine": {"decay_epochs": None, "decay_alpha": 0.0, "warmup_epochs": 0.0},
    # `cycles` cosines from 0 to the rate and back, each twice as long as the previous one
    # (Holzmüller et al. 2024, arXiv:2407.04491)
    "coslog": {"cycles": 4},
    # Keras's PiecewiseConstantDecay; each value is `decay_rate` times the previous one
    "piecewise": {"boundaries": None, "decay_rate": 0.1},
    # Keras's ReduceLROnPlateau of the validation loss, here the mean over the folds
    "reduce_on_plateau": {
        "factor": 0.1,
        "plateau_patience": 10,
        "plateau_min_delta": 1e-4,
        "cooldown": 0,
        "min_lr": 0.0,
    },
}


class StepShares(NamedTuple):
    """Factors of dropout and weight decay in each step, (n_steps,) float32."""

    dropout: Any
    weight_decay: Any


@dataclass(frozen=True, slots=True)
class Schedule:
    """The learning-rate schedule of a trial."""

    kind: str  # a key of SCHEDULES
    initial_learning_rate: float  # initial rate, or the rate after the warm-up
    arguments: Mapping[str, Any]

    @property
    def needs_losses(self) -> bool:
        """Whether rates depend on earlier validation losses."""
        return self.kind == "reduce_on_plateau"

    @property
    def depends_on_length(self) -> bool:
        """Whether the rate in an epoch depends on how many are planned."""
        ends_with_trial = self.kind == "cosine" and self.arguments["decay_epochs"] is None
        return ends_with_trial or self.kind == "coslog"

    def rates(
        self, epoch: int, *, n_steps: int, n_epochs: int, losses: Sequence[float]
    ) -> np.ndarray:
        """Compute the rate of each step of an epoch.

        Args:
            epoch: 0-based.
            n_steps: Batches in an epoch.
            n_epochs: Planned epochs of the trial, whether or not it stops before.
            losses: Mean validation loss of each earlier epoch; later ones are ignored.

        Returns:
            Shape (n_steps,) float32.
        """
        if self.needs_losses:
            factor = _plateau_rate(self.initial_learning_rate, losses[:epoch], **self.arguments)
            return np.full(n_steps, factor, np.float32)
        passed = epoch + np.arange(n_steps) / n_steps  # epochs since the start
        if self.kind == "exponential":
            factors = _exponential_factors(passed, **self.arguments)
        elif self.kind == "cosine":
            factors = _cosine_factors(passed, n_epochs, **self.arguments)
        elif self.kind == "coslog":
            factors = _coslog_factors(passed / n_epochs, **self.arguments)
        elif self.kind == "piecewise":
            factors = _piecewise_factors(passed, **self.arguments)
        else:
            factors = np.ones(n_steps)
        return (self.initial_learning_rate * factors).astype(np.float32)


def list_schedule_params(schedule: str) -> tuple[str, ...]:
    """List the hyperparameters of `schedule` besides `learning_rate`.

    Raises:
        SpecError: If the schedule does not exist.
    """
    if schedule not in SCHEDULES:
        known = ", ".join(SCHEDULES)
        raise SpecError(f"schedule {schedule!r} does not exist. Known: {known}.")
    return tuple(SCHEDULES[schedule])


def make_schedule(params: Mapping[str, Value]) -> Schedule:
    """Make the schedule named in the hyperparameters.

    Raises:
        SpecError: If the schedule does not exist, or its arguments are invalid.
    """
    kind = str(params.get("schedule") or DEFAULT_SCHEDULE)
    arguments: dict[str, Any] = {
        name: SCHEDULES[kind][name] if params.get(name) is None else params[name]
        for name in list_schedule_params(kind)
    }
    if kind == "piecewise":
        arguments["boundaries"] = parse_boundaries(arguments["boundaries"])
    if kind == "reduce_on_plateau" and not 0 <= arguments["factor"] < 1:
        raise SpecError(f"factor must be below 1, got {arguments['factor']}")
    if not (arguments.get("decay_epochs") is None or arguments["decay_epochs"] > 0):
        raise SpecError(f"decay_epochs must be above 0, got {arguments['decay_epochs']}")
    return Schedule(kind, initial_learning_rate(params), arguments)


def is_scheduled(params: Mapping[str, Value], name: str) -> bool:
    """Whether the schedule `name` of a strength is not "constant"."""
    return (params.get(name) or "constant") != "constant"


def has_scheduled_strengths(params: Mapping[str, Value]) -> bool:
    """Whether dropout or weight decay is scheduled."""
    return any(is_scheduled(params, f"{name}_schedule") for name in StepShares._fields)


def find_length_schedules(params: Mapping[str, Value]) -> list[str]:
    """Return the schedules by which an epoch's result depends on how many are planned."""
    schedule = make_schedule(params)
    names = [f"{name}_schedule" for name in StepShares._fields]
    return [
        *([f"schedule={schedule.kind}"] if schedule.depends_on_length else []),
        *(f"{name}={params[name]}" for name in names if is_scheduled(params, name)),
    ]


def strength_shares(
    params: Mapping[str, Value], epoch: int, *, n_steps: int, n_epochs: int
) -> StepShares | None:
    """Compute the shares of an epoch's steps; None if both are always 1. See `Schedule.rates`.

    `flat_cosine` is 1 for half of the trial, and then follows a cosine to 0.
    """
    if not has_scheduled_strengths(params):
        return None
    passed = (epoch + np.arange(n_steps) / n_steps) / n_epochs
    falling = (0.5 + 0.5 * np.cos(np.pi * np.clip(2 * passed - 1, 0, 1))).astype(np.float32)
    ones = np.ones(n_steps, np.float32)
    return StepShares(
        *(
            falling if is_scheduled(params, f"{name}_schedule") else ones
            for name in StepShares._fields
        )
    )


def initial_learning_rate(params: Mapping[str, Value]) -> float:
    """Return the initial learning rate of a trial; Keras's default if it is not given."""
    rate = params.get("learning_rate", DEFAULT_LEARNING_RATE)
    assert isinstance(rate, int | float)
    return float(rate)


def parse_boundaries(value: Value) -> tuple[float, ...]:
    """Parse the epochs of a piecewise schedule: a number, or a string of increasing numbers.

    Examples:
        >>> parse_boundaries("10, 20.5"), parse_boundaries(8)
        ((10.0, 20.5), (8.0,))

    Raises:
        SpecError: If it is neither.
    """
    try:
        numbers = tuple(float(part) for part in str(value).replace(",", " ").split())
    except ValueError:
        numbers = ()
    if not numbers or any(not math.isfinite(n) or n < 0 for n in numbers):
        raise SpecError(f'boundaries must be epochs, as in 10 or "10, 20"; received {value!r}')
    if list(numbers) != sorted(set(numbers)):
        raise SpecError(f"boundaries must rise, received {value!r}")
    return numbers


def _exponential_factors(
    passed: np.ndarray, *, decay_rate: float, decay_epochs: float, staircase: bool
) -> np.ndarray:
    times = passed / decay_epochs
    if staircase:
        times = np.floor(times + 1e-9)  # rounds the start of an epoch to a whole number
    factors: np.ndarray = np.power(float(decay_rate), times)
    return factors


def _cosine_factors(
    passed: np.ndarray,
    n_epochs: int,
    *,
    decay_epochs: float | None,
    decay_alpha: float,
    warmup_epochs: float,
) -> np.ndarray:
    decay = max(n_epochs - warmup_epochs, 1e-9) if decay_epochs is None else decay_epochs
    share = np.clip((passed - warmup_epochs) / decay, 0, 1)
    cooled = (1 - decay_alpha) * 0.5 * (1 + np.cos(np.pi * share)) + decay_alpha
    if not warmup_epochs:
        return cooled
    return np.where(passed < warmup_epochs - 1e-9, passed / warmup_epochs, cooled)


def _coslog_factors(share: np.ndarray, *, cycles: int) -> np.ndarray:
    """Return the factors after a `share` of all epochs."""
    factors: np.ndarray = 0.5 - 0.5 * np.cos(2 * np.pi * np.log2(1 + (2.0**cycles - 1) * share))
    return factors


def _piecewise_factors(
    passed: np.ndarray, *, boundaries: Sequence[float], decay_rate: float
) -> np.ndarray:
    # Keras holds a value up to and including the step at its boundary.
    crossed = (passed[:, None] > np.asarray(boundaries) + 1e-9).sum(axis=1)
    factors: np.ndarray = np.power(float(decay_rate), crossed)
    return factors


def _plateau_rate(
    rate: float,
    losses: Sequence[float],
    *,
    factor: float,
    plateau_patience: int,
    plateau_min_delta: float,
    cooldown: int,
    min_lr: float,
) -> float:
    """Compute the rate after `losses`, as `keras.callbacks.ReduceLROnPlateau.on_epoch_end` does."""
    best, waited, cooling = math.inf, 0, 0
    for loss in losses:
        if cooling > 0:
            cooling -= 1
            waited = 0
        if loss + plateau_min_delta < best:
            best, waited = loss, 0
        elif cooling <= 0:
            waited += 1
            if waited >= plateau_patience and rate > min_lr:
                rate = max(rate * factor, min_lr)
                cooling, waited = cooldown, 0
    return rate
