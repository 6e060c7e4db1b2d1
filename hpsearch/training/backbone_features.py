"""Pass images once through a frozen model, before any trial is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import SpecError
from ..models.backbone import load_backbone

BATCH_ROWS = 32  # images that pass at once; bounds the memory of activations


@dataclass(frozen=True, slots=True)
class FeatureRequest:
    """Pass images through a frozen model, and write its outputs to a file."""

    column: str
    backbone: Path  # `*.keras`
    digest: str  # of that file
    pixels: np.ndarray  # (n, n_pixels) float32
    shape: tuple[int, ...]  # of an image
    output: Path  # `*.npy`


def write_features(request: FeatureRequest) -> int:
    """Write the features; returns the number of images that passed the model.

    Raises:
        SpecError: If the file is no Keras model, or the model does not take the images.
    """
    model = load_backbone(request.backbone, request.digest)
    features = compute_features(model, request.pixels, request.shape, request.column)
    partial = request.output.with_name(f"partial-{request.output.name}")
    np.save(partial, features)
    partial.replace(request.output)
    return len(features)


def compute_features(model: Any, pixels: np.ndarray, shape: Sequence[int], name: str) -> np.ndarray:
    """Pass each image once through a frozen model.

    Args:
        model: From `load_backbone`.
        pixels: (n, n_pixels) float32.
        shape: Of an image.
        name: The column, for messages.

    Returns:
        (n, n_numbers) float32; outputs of several axes are flattened.

    Raises:
        SpecError: If the model takes images of another shape, or has an output of unknown shape.
    """
    takes = tuple(model.inputs[0].shape[1:])
    if len(takes) != 3 or any(a not in (None, b) for a, b in zip(takes, shape, strict=True)):
        raise SpecError(
            f"data.columns.{name}.backbone takes images of shape {takes}, but they are read as "
            f"{tuple(shape)}: declare size: {list(takes[:2])}"
        )
    images = pixels.reshape(-1, *shape)
    parts = [
        np.asarray(model.predict_on_batch(images[start : start + BATCH_ROWS]), np.float32)
        for start in range(0, len(images), BATCH_ROWS)
    ]
    features = np.concatenate(parts)
    return features.reshape(len(features), -1)
