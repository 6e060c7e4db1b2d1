"""Use the optimizer and loss of a compiled custom model.

Its metrics are not computed: the study's metrics use predictions. A loss with `from_logits` is
trained on logits; predictions and the served model return probabilities nevertheless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..compat.keras import (
    compile_settings,
    excludes_from_weight_decay,
    learning_rate,
    loss_arguments,
    loss_of_function,
)
from ..errors import TrainingError

if TYPE_CHECKING:
    import keras

# Unsupported settings of `compile`, which change what is trained.
UNSUPPORTED_SETTINGS = ("loss_weights",)


def get_compiled_loss(model: keras.Model) -> keras.losses.Loss:
    """Return the single loss of a compiled model, as `fit` would call it.

    Raises:
        TrainingError: If it was compiled with no loss, with several, or with weights for them.
    """
    import keras

    settings = compile_settings(model)
    for name in UNSUPPORTED_SETTINGS:
        if settings.get(name) is not None:
            raise TrainingError(f"compile({name}=...) is not supported: leave it out")
    loss: Any = model.loss
    if isinstance(loss, dict):
        loss = list(loss.values())
    if isinstance(loss, list | tuple):
        if len(loss) != 1:
            raise TrainingError(f"compile() names {len(loss)} losses: one output has one loss")
        [loss] = loss
    if loss is None:
        raise TrainingError("compile() names no loss: give one, or do not compile the model")
    loss = keras.losses.get(loss)
    if isinstance(loss, keras.losses.Loss):
        return loss
    return loss_of_function(loss)


def clone_compiled_optimizer(
    model: keras.Model, learning_rate: float | None = None
) -> keras.optimizers.Optimizer:
    """Create a new optimizer with the configuration of a compiled model's.

    `learning_rate` replaces the compiled one, or its schedule.
    """
    optimizer = model.optimizer
    config = optimizer.get_config()
    if learning_rate is not None:
        config["learning_rate"] = learning_rate
    return type(optimizer).from_config(config)


def takes_class_indices(loss: Any) -> bool:
    """Whether a loss takes class indices instead of one-hot rows."""
    import keras

    if isinstance(loss, keras.losses.SparseCategoricalCrossentropy):
        return True
    name = loss if isinstance(loss, str) else getattr(loss, "name", "")
    return str(name).startswith("sparse_categorical")


def takes_logits(loss: Any) -> bool:
    """Whether a loss takes logits instead of probabilities."""
    return bool(loss_arguments(loss).get("from_logits"))


def get_link_activation(task: str) -> str:
    """Return Keras's name of the activation that converts logits to probabilities."""
    return "softmax" if task == "multiclass" else "sigmoid"


def logits_to_probabilities(logits: np.ndarray, task: str) -> np.ndarray:
    """Convert logits of a classification to probabilities, shape (n, n_outputs)."""
    from scipy.special import expit, softmax

    result: np.ndarray = softmax(logits, axis=1) if task == "multiclass" else expit(logits)
    return result


def find_link_activation(model: keras.Model, task: str) -> str | None:
    """Find the activation that converts a model's outputs to probabilities; None if not needed."""
    if not model.compiled or getattr(model, "loss", None) is None:
        return None
    return get_link_activation(task) if takes_logits(get_compiled_loss(model)) else None


def why_not_vectorizable(model: keras.Model) -> str | None:
    """Explain why the compiled settings cannot be vectorized; None if they can."""
    import keras

    from .optimizers import OPTIMIZERS

    optimizer, loss = model.optimizer, get_compiled_loss(model)
    known = {getattr(keras.optimizers, name) for name, *_ in OPTIMIZERS.values()}
    if type(optimizer) not in known:
        return f"the optimizer {type(optimizer).__name__} is compiled, which is not Keras's own"
    if not isinstance(learning_rate(optimizer), keras.Variable):
        return "a schedule of the learning rate is compiled"
    for name in ("gradient_accumulation_steps", "loss_scale_factor", "ema_overwrite_frequency"):
        if getattr(optimizer, name, None) is not None:
            return f"the optimizer is compiled with {name}"
    if excludes_from_weight_decay(optimizer):
        return "the optimizer excludes variables from its weight decay"
    if loss.reduction != "sum_over_batch_size":
        return f"the loss is compiled with reduction={loss.reduction!r}"
    if model.run_eagerly:
        return "the model is compiled to run eagerly"
    return None
