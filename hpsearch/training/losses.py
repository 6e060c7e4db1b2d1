"""The losses of each task, by name.

Targets have shape (n_rows, n_outputs): 0/1, one-hot, or a number, standardized for the network.
A loss must be defined per row, because rows have weights and the last batch is short. Excluded
losses, with reasons:

- `sparse_categorical_crossentropy`, `categorical_generalized_cross_entropy` take class numbers;
  targets here are one-hot, so the first is `categorical_crossentropy`.
- `ctc` compares sequences, `circle` compares the rows of a batch with each other.
- `dice` and `tversky` are defined over the classes of each row; for a binary task, or over a whole
  batch, they are not a loss per row.
- `mean_absolute_percentage_error`, `mean_squared_logarithmic_error`, `poisson` of a regression need
  positive numbers, but the network's target is standardized.
- `cosine_similarity` of one number is its sign.

The quantiles of `data.quantiles` have a loss of their own, such as `pinball_10_50_90`.

Other losses can be custom functions, `FILE.py:FUNCTION`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..compat.keras import loss_of_function
from ..errors import SpecError
from ..spec.function_reference import is_reference, load_function
from ..spec.parameter_domains import LOSS_DOMAINS as READS
from ..spec.pinball import parse_pinball
from ..trial import Value

if TYPE_CHECKING:
    import keras

LOSS_CLASSES = {  # task -> name in a space -> class in keras.losses
    "binary": {
        "binary_crossentropy": "BinaryCrossentropy",
        "binary_focal_crossentropy": "BinaryFocalCrossentropy",
        "hinge": "Hinge",
        "squared_hinge": "SquaredHinge",
        "poisson": "Poisson",
        "mean_squared_error": "MeanSquaredError",
        "mean_absolute_error": "MeanAbsoluteError",
    },
    "multiclass": {
        "categorical_crossentropy": "CategoricalCrossentropy",
        "categorical_focal_crossentropy": "CategoricalFocalCrossentropy",
        "categorical_hinge": "CategoricalHinge",
        "kl_divergence": "KLDivergence",
        "cosine_similarity": "CosineSimilarity",
        "dice": "Dice",
        "tversky": "Tversky",
        "poisson": "Poisson",
        "mean_squared_error": "MeanSquaredError",
        "mean_absolute_error": "MeanAbsoluteError",
    },
    "regression": {
        "mean_squared_error": "MeanSquaredError",
        "mean_absolute_error": "MeanAbsoluteError",
        "huber": "Huber",
        "log_cosh": "LogCosh",
    },
}
# task -> name in a space -> (class in keras.losses, its hyperparameters)
LOSSES: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {
    task: {name: (kind, tuple(READS.get(name, ()))) for name, kind in classes.items()}
    for task, classes in LOSS_CLASSES.items()
}
# Per label; the loss of a row is their mean.
LOSSES["multilabel"] = LOSSES["binary"]

KERAS_ARGUMENT_NAMES = {
    "tversky_beta": "beta"
}  # name in a space -> name in Keras; `ftrl` also has a `beta`
FIXED_ARGUMENTS: dict[str, dict[str, Any]] = {
    "dice": {"axis": -1},
    "tversky": {"axis": -1},
}  # row by row


def list_loss_params(task: str, loss: str | None = None) -> tuple[str, ...]:
    """List the hyperparameters of `loss`, by default of the task's first loss.

    Raises:
        SpecError: If the task has no such loss.
    """
    if loss is not None and (is_reference(loss) or parse_pinball(loss)):
        return ()
    losses = LOSSES[task]
    name = loss or next(iter(losses))
    if name not in losses:
        known = ", ".join(sorted(losses))
        raise SpecError(
            f"loss {name!r} does not exist for {task}. Known: {known}, "
            "or your own function as FILE.py:FUNCTION."
        )
    return losses[name][1]


def make_loss(task: str, params: Mapping[str, Value]) -> keras.losses.Loss:
    """Create a loss; arguments missing from params have Keras's defaults.

    A custom loss receives (y_true, y_pred), (n, n_outputs) each, and returns the loss of each row,
    (n,).

    Raises:
        SpecError: If there is no such loss.
    """
    import keras

    name = str(params.get("loss") or next(iter(LOSSES[task])))
    if is_reference(name):
        return loss_of_function(load_custom_loss(name), name.rpartition(":")[2])
    if levels := parse_pinball(name):
        return loss_of_function(compute_pinball, name, levels=levels)
    arguments: dict[str, Any] = dict(FIXED_ARGUMENTS.get(name, {}))
    arguments |= {
        KERAS_ARGUMENT_NAMES.get(k, k): params[k]
        for k in list_loss_params(task, name)
        if k in params
    }
    if name == "binary_focal_crossentropy" and "alpha" in arguments:
        arguments["apply_class_balancing"] = True  # otherwise Keras ignores alpha
    return getattr(keras.losses, LOSSES[task][name][0])(**arguments)


def load_custom_loss(reference: str) -> Callable[..., Any]:
    """Load a custom loss, called as `(truth, prediction)`, which returns the loss of each row.

    Of a `keras.losses.Loss`, an instance or its class, this is its `call`.

    Raises:
        SpecError: If there is no such function, or importing its file fails.
    """
    import keras

    found: Any = load_function(reference)
    if isinstance(found, type) and issubclass(found, keras.losses.Loss):
        found = found()
    function: Callable[..., Any] = found.call if isinstance(found, keras.losses.Loss) else found
    return function


def compute_pinball(y_true: Any, y_pred: Any, levels: tuple[float, ...]) -> Any:
    """Compute the mean pinball loss of each row, (n,); the levels of the outputs repeat."""
    from keras import ops

    level = np.resize(levels, y_pred.shape[-1]).astype(np.float32)
    left = ops.subtract(y_true, y_pred)
    return ops.mean(ops.maximum(level * left, (level - 1) * left), axis=-1)
