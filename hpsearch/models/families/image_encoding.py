"""Encode an image column as one vector: convolutions with pooling, averaged over the image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...data.columns import ColumnInput
from ...trial import Value

# Hyperparameters of families that take image columns.
DEFAULTS: dict[str, Value] = {
    "image_blocks": 3,  # a convolution and a pooling each
    "image_filters": 16,  # filters of the first block; doubled in each following one
}


def encode_image(pixels: Any, image: ColumnInput, params: Mapping[str, Any], name: str) -> Any:
    """Encode pixels from 0 to 255, (n, n_pixels), as (n, n_filters).

    The outputs of a frozen model, whose shape has one axis, are returned unchanged.
    """
    from keras import layers

    if len(image.shape) == 1:
        return pixels
    x = layers.Reshape(image.shape, name=f"image_{name}")(pixels)
    x = layers.Rescaling(1 / 255, name=f"image_{name}_rescaling")(x)
    for block in range(int(params["image_blocks"])):
        x = layers.Conv2D(
            int(params["image_filters"]) << block,
            3,
            padding="same",
            activation="relu",
            name=f"image_{name}_convolution_{block}",
        )(x)
        if min(x.shape[1:-1]) >= 2:
            x = layers.MaxPooling2D(2, name=f"image_{name}_pooling_{block}")(x)
    return layers.GlobalAveragePooling2D(name=f"image_{name}_average")(x)
