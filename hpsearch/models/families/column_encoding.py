"""Encode all columns of a table as the input of a network's first dense layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...data.columns import ColumnInput
from .category_encoding import CategoryRanges
from .number_embedding import encode_features
from .text_embedding import split_arrays


def encode_columns(
    features: Any,
    params: Mapping[str, Any],
    categories: CategoryRanges,
    arrays: Sequence[ColumnInput],
) -> Any:
    """Encode numbers and categories, and one vector for each text and image after them.

    Args:
        features: Tensor of shape (n, n_features); the arrays are its last features.
        params: Includes the keys of the defaults of all encodings.
        categories: The ranges of categorical features.
        arrays: The features of texts and images.
    """
    import keras

    table, encoded = split_arrays(features, arrays, params)
    parts = [] if table is None else [encode_features(table, params, categories)]
    parts += encoded
    return keras.layers.Concatenate(name="columns")(parts) if len(parts) > 1 else parts[0]
