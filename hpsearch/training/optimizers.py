"""Optimizers: from hyperparameters to a `keras.optimizers.Optimizer`, named as Keras names them.

The table of what each optimizer reads is plain data, so a file can be checked without Keras.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import SpecError
from ..trial import Value
from .schedules import DEFAULT_LEARNING_RATE

if TYPE_CHECKING:
    import keras

COMMON = (
    "learning_rate",
    "weight_decay",
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "use_ema",
    "ema_momentum",
)
ADAM = ("beta_1", "beta_2", "epsilon")

# name in a space -> (class in keras.optimizers, what it reads beside COMMON)
OPTIMIZERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sgd": ("SGD", ("momentum", "nesterov")),
    "rmsprop": ("RMSprop", ("rho", "momentum", "epsilon", "centered")),
    "adam": ("Adam", (*ADAM, "amsgrad")),
    "adamw": ("AdamW", (*ADAM, "amsgrad")),
    "adamax": ("Adamax", ADAM),
    "nadam": ("Nadam", ADAM),
    "adagrad": ("Adagrad", ("initial_accumulator_value", "epsilon")),
    "adadelta": ("Adadelta", ("rho", "epsilon")),
    "adafactor": (
        "Adafactor",
        ("beta_2_decay", "epsilon_1", "epsilon_2", "clip_threshold", "relative_step"),
    ),
    "ftrl": (
        "Ftrl",
        (
            "learning_rate_power",
            "initial_accumulator_value",
            "l1_regularization_strength",
            "l2_regularization_strength",
            "l2_shrinkage_regularization_strength",
            "beta",
        ),
    ),
    "lion": ("Lion", ("beta_1", "beta_2")),
    "lamb": ("Lamb", ADAM),
    "muon": ("Muon", ("momentum", "nesterov", "ns_steps", "adam_beta_1", "adam_beta_2")),
    "schedule_free_adamw": ("ScheduleFreeAdamW", (*ADAM, "warmup_steps")),
}

DEFAULT = "adam"


def accepted(optimizer: str) -> tuple[str, ...]:
    """The hyperparameters that `optimizer` reads.

    Raises:
        SpecError: If there is no such optimizer.
    """
    if optimizer not in OPTIMIZERS:
        known = ", ".join(sorted(OPTIMIZERS))
        raise SpecError(f"optimizer {optimizer!r} does not exist. Known: {known}.")
    return COMMON + OPTIMIZERS[optimizer][1]


def optimizer_arguments(params: Mapping[str, Value]) -> tuple[str, dict[str, Any]]:
    """The class in `keras.optimizers` and its keyword arguments."""
    name = str(params.get("optimizer", DEFAULT))
    arguments = {k: params[k] for k in accepted(name) if k in params}
    arguments.setdefault("learning_rate", DEFAULT_LEARNING_RATE)
    return OPTIMIZERS[name][0], arguments


def make_optimizer(params: Mapping[str, Value]) -> keras.optimizers.Optimizer:
    """A fresh optimizer; what the params do not say is Keras's default."""
    import keras

    kind, arguments = optimizer_arguments(params)
    return getattr(keras.optimizers, kind)(**arguments)
