"""The families `cnn` and `conv1d`: convolution blocks with pooling, then a dense layer.

Simonyan and Zisserman 2014 (arXiv:1409.1556): small kernels, and twice the filters after each
pooling. A row that has become too small is not pooled further, so any depth fits any row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...trial import Value
from ..outputs import Outputs
from .blocks import apply_normalization, make_regularizer

if TYPE_CHECKING:
    import keras

# Hyperparameters of both families, with defaults.
SHARED_DEFAULTS: dict[str, Value] = {
    "blocks": 2,
    "convolutions": 1,  # convolutions per block
    "filters": 32,  # filters of the first block; doubled in each following one
    "kernel_size": 3,
    "pooling": "max",  # or "average": between blocks
    "global_pooling": "none",  # or "max", "average": after the last block, instead of flattening
    "units": 64,  # units of the dense layer before the output; 0: no such layer
    "activation": "relu",
    "initializer": "glorot_uniform",
    "normalization": "none",  # or "batch", "layer"
    "dropout": 0.0,  # rate before the output
    "spatial_dropout": 0.0,  # rate of spatial dropout after each block
    "l1": 0.0,
    "l2": 0.0,
}
CNN_DEFAULTS: dict[str, Value] = {
    **SHARED_DEFAULTS,
    "random_flip": "none",  # or "horizontal", "vertical", "horizontal_and_vertical"
    "random_translation": 0.0,  # maximum share of height and width
    "random_rotation": 0.0,  # maximum share of a full turn
    "random_zoom": 0.0,  # maximum share of the size
}
CONV1D_DEFAULTS: dict[str, Value] = SHARED_DEFAULTS


def build_cnn(
    params: Mapping[str, Value], inputs: tuple[int, ...], outputs: Outputs
) -> keras.Model:
    """Build an uncompiled network for images; its augmentation is active only in training.

    Args:
        params: Hyperparameters; missing ones take the defaults of `CNN`.
        inputs: Shape of one row, (height, width, channels) or (height, width).
        outputs: The last layer.
    """
    import keras

    p: dict[str, Any] = {**CNN_DEFAULTS, **params}
    first = x = keras.Input(inputs, name="features")
    if len(inputs) == 2:
        x = keras.layers.Reshape((*inputs, 1), name="one_channel")(x)
    for layer in _make_augmentation_layers(p):
        x = layer(x)
    return keras.Model(first, _build_layers(x, p, outputs, "2D"), name="cnn")


def build_conv1d(
    params: Mapping[str, Value], inputs: tuple[int, ...], outputs: Outputs
) -> keras.Model:
    """Build an uncompiled network for sequences.

    Args:
        params: Hyperparameters; missing ones default to `CONV1D_DEFAULTS`.
        inputs: Shape of one row, (steps, features).
        outputs: The last layer.
    """
    import keras

    first = keras.Input(inputs, name="features")
    answer = _build_layers(first, {**CONV1D_DEFAULTS, **params}, outputs, "1D")
    return keras.Model(first, answer, name="conv1d")


def _make_augmentation_layers(p: Mapping[str, Any]) -> list[Any]:
    import keras

    k, found = keras.layers, []
    if p["random_flip"] != "none":
        found.append(k.RandomFlip(p["random_flip"], name="random_flip"))
    if p["random_translation"]:
        share = p["random_translation"]
        found.append(k.RandomTranslation(share, share, name="random_translation"))
    if p["random_rotation"]:
        found.append(k.RandomRotation(p["random_rotation"], name="random_rotation"))
    if p["random_zoom"]:
        found.append(k.RandomZoom(p["random_zoom"], name="random_zoom"))
    return found


def _build_layers(x: Any, p: Mapping[str, Any], outputs: Outputs, rank: str) -> Any:
    """Apply blocks, dense layer and output layer; `rank` is "1D" or "2D"."""
    from keras import layers as k

    pool = {"max": f"MaxPooling{rank}", "average": f"AveragePooling{rank}"}[p["pooling"]]
    for block in range(p["blocks"]):
        for index in range(p["convolutions"]):
            convolution = getattr(k, f"Conv{rank}")(
                p["filters"] << block,
                p["kernel_size"],
                padding="same",
                name=f"convolution_{block}_{index}",
                **_make_kernel_arguments(p),
            )
            x = _apply_activation(convolution(x), p, f"{block}_{index}")
        if min(x.shape[1:-1]) >= 2:
            x = getattr(k, pool)(2, name=f"pooling_{block}")(x)
        if p["spatial_dropout"]:
            dropout = getattr(k, f"SpatialDropout{rank}")
            x = dropout(p["spatial_dropout"], name=f"spatial_dropout_{block}")(x)
    whole = {"none": "Flatten", "max": f"GlobalMaxPooling{rank}"}
    whole["average"] = f"GlobalAveragePooling{rank}"
    x = getattr(k, whole[p["global_pooling"]])(name="flat")(x)
    if p["units"]:
        x = _apply_activation(
            k.Dense(p["units"], name="dense", **_make_kernel_arguments(p))(x), p, "dense"
        )
    if p["dropout"]:
        x = k.Dropout(p["dropout"], name="dropout")(x)
    return k.Dense(outputs.units, activation=outputs.activation, name="output")(x)


def _make_kernel_arguments(p: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments shared by convolutions and dense layers."""
    return {
        # Batch normalization cancels a bias, and Adam would amplify its rounding errors.
        "use_bias": p["normalization"] != "batch",
        "kernel_initializer": p["initializer"],
        "kernel_regularizer": make_regularizer(p),
    }


def _apply_activation(x: Any, p: Mapping[str, Any], name: str) -> Any:
    """Apply normalization, if any, and activation."""
    from keras import layers as k

    x = apply_normalization(x, p, name)
    return k.Activation(p["activation"], name=f"activation_{name}")(x)
