"""Create a `keras.optimizers.Optimizer` from hyperparameters named as in Keras.

`spec/parameter_domains.py` defines the hyperparameters and bounds of each optimizer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import SpecError
from ..spec import parameter_domains
from ..trial import Value
from .schedules import DEFAULT_LEARNING_RATE

if TYPE_CHECKING:
    import keras

OPTIMIZER_CLASSES = {  # name in a space -> class in keras.optimizers
    "sgd": "SGD",
    "rmsprop": "RMSprop",
    "adam": "Adam",
    "adamw": "AdamW",
    "adamax": "Adamax",
    "nadam": "Nadam",
    "adagrad": "Adagrad",
    "adadelta": "Adadelta",
    "adafactor": "Adafactor",
    "ftrl": "Ftrl",
    "lion": "Lion",
    "lamb": "Lamb",
    "muon": "Muon",
    "schedule_free_adamw": "ScheduleFreeAdamW",
}
# name in a space -> (class in keras.optimizers, its hyperparameters)
OPTIMIZERS: dict[str, tuple[str, tuple[str, ...]]] = {
    name: (OPTIMIZER_CLASSES[name], tuple(reads))
    for name, reads in parameter_domains.OPTIMIZER_DOMAINS.items()
}

DEFAULT_OPTIMIZER = parameter_domains.DEFAULT_OPTIMIZER


def list_optimizer_params(optimizer: str) -> tuple[str, ...]:
    """List the hyperparameters of `optimizer`.

    Raises:
        SpecError: If the optimizer does not exist.
    """
    if optimizer not in OPTIMIZERS:
        known = ", ".join(sorted(OPTIMIZERS))
        raise SpecError(f"optimizer {optimizer!r} does not exist. Known: {known}.")
    return OPTIMIZERS[optimizer][1]


def make_optimizer_arguments(params: Mapping[str, Value]) -> tuple[str, dict[str, Any]]:
    """Return the class in `keras.optimizers` and its keyword arguments."""
    name = str(params.get("optimizer", DEFAULT_OPTIMIZER))
    arguments = {k: params[k] for k in list_optimizer_params(name) if k in params}
    arguments.setdefault("learning_rate", DEFAULT_LEARNING_RATE)
    return OPTIMIZERS[name][0], arguments


def make_optimizer(params: Mapping[str, Value]) -> keras.optimizers.Optimizer:
    """Create an optimizer; arguments missing from params have Keras's defaults."""
    import keras

    kind, arguments = make_optimizer_arguments(params)
    return getattr(keras.optimizers, kind)(**arguments)
