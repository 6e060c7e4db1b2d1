"""Decide which networks may be padded, so that different widths and batches share a program.

A layer of 40 units can be computed in one of 64 whose surplus weights are zero if f(0) = 0: surplus
units output 0, their gradients are 0, and an elementwise update of a zero weight with a zero
gradient is zero.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers as k

from ...compat.keras import feeds_alone, is_functional
from .layers import NOISE_LAYERS, CpuDense, Noise

# Elementwise activations with f(0) = 0.
THROUGH_ZERO = {
    "linear",
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "celu",
    "gelu",
    "silu",
    "swish",
    "mish",
    "tanh",
    "softsign",
    "hard_tanh",
    "tanh_shrink",
    "hard_silu",
    "hard_swish",
}
LEVELS = (keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2)
ELEMENTWISE = (k.ReLU, k.LeakyReLU, k.ELU, k.Identity)
BY_ROW = (
    *(k.InputLayer, k.Dense, CpuDense, k.Activation, k.Embedding, k.LayerNormalization),
    *(k.Flatten, k.Reshape, k.Concatenate, k.Add, *ELEMENTWISE),
)


def padded_width(units: int) -> int:
    """Return the padded width of a layer of `units`.

    Examples:
        >>> [padded_width(n) for n in (20, 64, 65, 200, 300)]
        [64, 64, 128, 256, 384]
    """
    if units <= 64:
        return 64
    return 128 * -(-units // 128)


def padded_widths(model: keras.Model) -> dict[str, int]:
    """Return the padded width of each hidden dense layer, by name; empty if none may be padded."""
    chain = _find_chain(model)
    if chain is None:
        return {}
    dense = [layer for layer in chain if type(layer) is k.Dense]
    if not dense or chain[-1] is not dense[-1]:
        return {}
    if not all(_is_exact(layer) for layer in chain[:-1]) or not has_no_side_effects(dense[-1]):
        return {}
    return {layer.name: padded_width(layer.units) for layer in dense[:-1]}


def hidden_blocks(model: keras.Model) -> list[list[Any]]:
    """Split a chain of layers: those before the first dense one, the hidden blocks, the last layer.

    Raises:
        ValueError: If the model is not a chain that `padded_widths` accepts.
    """
    chain = _find_chain(model)
    if chain is None:
        raise ValueError("the model is no chain of layers")
    blocks: list[list[Any]] = [[]]
    for layer in chain:
        if isinstance(layer, k.Dense):
            blocks.append([])
        blocks[-1].append(layer)
    return blocks


def _find_chain(model: keras.Model) -> list[Any] | None:
    """Return the layers in order if each feeds only the next."""
    if not isinstance(model, keras.Sequential | keras.models.Model):
        return None
    if not is_functional(model) and not isinstance(model, keras.Sequential):
        return None
    layers = [layer for layer in model.layers if not isinstance(layer, k.InputLayer)]
    if isinstance(model, keras.Sequential):
        return layers
    for before, after in zip(model.layers, model.layers[1:], strict=False):
        if not feeds_alone(before, after):
            return None
    return layers


def _is_exact(layer: Any) -> bool:
    """Whether a layer maps zero to zero, unit by unit."""
    if type(layer) is k.Dense:
        return _passes_zero(layer.activation) and has_no_side_effects(layer)
    if type(layer) is k.Activation:
        return _passes_zero(layer.activation)
    if type(layer) is k.BatchNormalization:
        return layer.axis in (-1, 1) and not layer.renorm and has_no_side_effects(layer)
    return (
        type(layer) in NOISE_LAYERS and type(layer) not in (k.AlphaDropout, k.GaussianNoise)
    ) or (type(layer) in ELEMENTWISE)


def _passes_zero(activation: Any) -> bool:
    return activation is None or getattr(activation, "__name__", "") in THROUGH_ZERO


def is_by_row(model: keras.Model) -> bool:
    """Whether a row's outputs depend only on that row, in training too.

    Batch normalization uses all rows; so may a custom operation, activation or `call`, which cannot
    be inspected.
    """
    if not (is_functional(model) or isinstance(model, keras.Sequential)):
        return False
    inside = model.operations if is_functional(model) else model.layers
    return all(is_by_row(x) if isinstance(x, keras.Model) else _is_by_row(x) for x in inside)


def _is_by_row(layer: Any) -> bool:
    if isinstance(layer, Noise):
        return layer.noise_shape is None
    activation = getattr(layer, "activation", None)
    own = activation is not None and not activation.__module__.startswith("keras.")
    return type(layer) in BY_ROW and getattr(layer, "axis", -1) == -1 and not own


def has_no_side_effects(layer: Any) -> bool:
    """Whether a layer's weights change only through the loss."""
    held = vars(layer).items()
    regularizers = [v for name, v in held if name.endswith("_regularizer") and v is not None]
    return (
        not any(v for name, v in held if name.endswith("_constraint"))
        and all(type(v) in LEVELS for v in regularizers)
        and getattr(layer, "activity_regularizer", None) is None
        and getattr(layer, "lora_rank", None) is None
        and getattr(layer, "quantization_mode", None) is None
    )
