"""Frozen models that images pass before the network: the files are checked and loaded."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SpecError, first_line
from .keras_files import describe_keras_file

if TYPE_CHECKING:
    import keras


def compute_file_digest(path: Path) -> str:
    """Compute the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_backbone(path: Path, digest: str) -> keras.Model:
    """Load a frozen model, in safe mode: its file runs no code.

    Raises:
        SpecError: If the file has changed or is no Keras model of one input and one output.
    """
    import keras

    if compute_file_digest(path) != digest:
        raise SpecError(f"{path}: the backbone has changed since the study began")
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise SpecError(
            f"{path}: not readable as a Keras model of Keras's own layers: {first_line(error)}"
            f"{describe_keras_file(path)}. Write it with model.save('backbone.keras')"
        ) from error
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise SpecError(f"{path}: a backbone needs one input and one output")
    model.trainable = False
    return model
