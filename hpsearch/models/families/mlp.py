"""The `mlp` family: dense layers of equal width, on rows of any shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...data.columns import ColumnInput
from ...trial import Value
from ..outputs import Outputs
from . import category_encoding, image_encoding, number_embedding, text_embedding
from .blocks import apply_normalization, make_regularizer
from .category_encoding import CategoryRanges
from .column_encoding import encode_columns

if TYPE_CHECKING:
    import keras

# Hyperparameters of the family, with defaults.
TABLE_DEFAULTS: dict[str, Value] = {
    "layers": 2,
    "units": 64,
    "activation": "relu",
    "initializer": "glorot_uniform",
    "normalization": "none",  # or "batch", "layer"
    "dropout": 0.0,
    "l1": 0.0,
    "l2": 0.0,
    **category_encoding.DEFAULTS,
    **number_embedding.DEFAULTS,
}
DEFAULTS: dict[str, Value] = {
    **TABLE_DEFAULTS,
    **text_embedding.DEFAULTS,
    **image_encoding.DEFAULTS,
}


def build(
    params: Mapping[str, Value],
    inputs: tuple[int, ...],
    outputs: Outputs,
    *,
    categories: CategoryRanges = (),
    arrays: Sequence[ColumnInput] = (),
) -> keras.Model:
    """Build an uncompiled network.

    Args:
        params: Hyperparameters; missing ones default to `DEFAULTS`.
        inputs: Shape of one row, (n_features,); other shapes are flattened.
        outputs: The output layer.
        categories: The ranges of features that encode one categorical column.
        arrays: The features of texts and images, which are the last ones.
    """
    import keras

    p: dict[str, Any] = {**DEFAULTS, **params}
    first = keras.Input(inputs, name="features")
    x = first if len(inputs) == 1 else keras.layers.Flatten(name="flat")(first)
    if len(inputs) == 1:
        x = encode_columns(x, p, categories, arrays)
    x = build_hidden_layers(x, p)
    last = keras.layers.Dense(outputs.units, activation=outputs.activation, name="output")(x)
    return keras.Model(first, last, name="mlp")


def build_hidden_layers(x: Any, p: Mapping[str, Any]) -> Any:
    """Apply the hidden layers with hyperparameters `p` to `x`."""
    import keras

    regularizer = make_regularizer(p)
    for i in range(p["layers"]):
        x = keras.layers.Dense(
            p["units"],
            activation=None if p["normalization"] != "none" else p["activation"],
            kernel_initializer=p["initializer"],
            kernel_regularizer=regularizer,
            use_bias=p["normalization"] != "batch",  # which would subtract it
            name=f"dense_{i}",
        )(x)
        x = apply_normalization(x, p, str(i))
        if p["normalization"] != "none":
            x = keras.layers.Activation(p["activation"], name=f"activation_{i}")(x)
        if p["dropout"]:
            x = keras.layers.Dropout(p["dropout"], name=f"dropout_{i}")(x)
    return x
