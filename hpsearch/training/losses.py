"""Losses: which exist for a task, and the `keras.losses.Loss` behind a name.

Targets have shape (n_rows, n_outputs): 0/1, one-hot, or a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import SpecError
from ..trial import Value

if TYPE_CHECKING:
    import keras

# task -> name in a space -> (class in keras.losses, what it reads)
LOSSES: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {
    "binary": {
        "binary_crossentropy": ("BinaryCrossentropy", ("label_smoothing",)),
        "binary_focal_crossentropy": (
            "BinaryFocalCrossentropy",
            ("label_smoothing", "alpha", "gamma"),
        ),
        "mean_squared_error": ("MeanSquaredError", ()),
    },
    "multiclass": {
        "categorical_crossentropy": ("CategoricalCrossentropy", ("label_smoothing",)),
        "categorical_focal_crossentropy": (
            "CategoricalFocalCrossentropy",
            ("label_smoothing", "alpha", "gamma"),
        ),
        "kl_divergence": ("KLDivergence", ()),
        "mean_squared_error": ("MeanSquaredError", ()),
    },
    "regression": {
        "mean_squared_error": ("MeanSquaredError", ()),
        "mean_absolute_error": ("MeanAbsoluteError", ()),
        "huber": ("Huber", ("delta",)),
        "log_cosh": ("LogCosh", ()),
    },
}


def accepted(task: str, loss: str | None = None) -> tuple[str, ...]:
    """The hyperparameters that `loss` reads; the task's first loss where none is named.

    Raises:
        SpecError: If the task has no such loss.
    """
    losses = LOSSES[task]
    name = loss or next(iter(losses))
    if name not in losses:
        known = ", ".join(sorted(losses))
        raise SpecError(f"loss {name!r} does not exist for {task}. Known: {known}.")
    return losses[name][1]


def make_loss(task: str, params: Mapping[str, Value]) -> keras.losses.Loss:
    """A fresh loss; what the params do not say is Keras's default."""
    import keras

    name = str(params.get("loss") or next(iter(LOSSES[task])))
    arguments: dict[str, Any] = {k: params[k] for k in accepted(task, name) if k in params}
    if name == "binary_focal_crossentropy" and "alpha" in arguments:
        arguments["apply_class_balancing"] = True  # without it Keras does not read alpha
    return getattr(keras.losses, LOSSES[task][name][0])(**arguments)
