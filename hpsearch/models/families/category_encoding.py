"""Encodings of categorical columns: one-hot or embeddings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...errors import TrainingError
from ...trial import Value

CategoryRanges = tuple[
    tuple[int, int], ...
]  # first feature and number of features of each categorical column

# Hyperparameters of families that embed categories.
DEFAULTS: dict[str, Value] = {
    "encoding": "one_hot",  # or "embedding"
    "embedding_size": 0,  # size of an embedding; 0: `default_embedding_size`
    "max_one_hot": 2,  # columns with at most this many categories stay one-hot
}
ENCODINGS = ("one_hot", "embedding")


def encode_categories(features: Any, params: Mapping[str, Any], categories: CategoryRanges) -> Any:
    """Encode the categories, for the network's first layer.

    An embedding is a dense layer without bias on a column's one-hot features. It is equivalent to
    `keras.layers.Embedding`, except that missing categories, and those absent from a fold's
    training rows, map to the zero vector (Guo & Berkhahn 2016, "Entity embeddings of categorical
    variables").

    Args:
        features: Tensor of shape (n, n_features).
        params: Includes `encoding`, `embedding_size` and `max_one_hot`.
        categories: The ranges of categorical features; those of up to `max_one_hot` features
            are unchanged.

    Raises:
        TrainingError: If the encoding is unknown.
    """
    import keras

    if params["encoding"] not in ENCODINGS:
        raise TrainingError(
            f"encoding {params['encoding']!r} does not exist. Known: {', '.join(ENCODINGS)}."
        )
    wide = [(first, n) for first, n in categories if n > params["max_one_hot"]]
    if params["encoding"] == "one_hot" or not wide:
        return features
    parts, at = [], 0
    for index, (first, n) in enumerate(wide):
        if at < first:
            parts.append(features[:, at:first])
        dense = keras.layers.Dense(
            int(params["embedding_size"]) or default_embedding_size(n),
            use_bias=False,
            kernel_initializer="uniform",  # as in Embedding
            name=f"embedding_{index}",
        )
        parts.append(dense(features[:, first : first + n]))
        at = first + n
    if at < features.shape[1]:
        parts.append(features[:, at:])
    return keras.layers.Concatenate(name="encoded")(parts) if len(parts) > 1 else parts[0]


def default_embedding_size(n_categories: int) -> int:
    """Return the embedding size of n categories: `min(50, 1.6 * n ** 0.56)`, fastai's rule.

    Examples:
        >>> [default_embedding_size(n) for n in (3, 10, 100, 1000)]
        [3, 6, 21, 50]
    """
    return min(50, n_categories, round(1.6 * math.pow(n_categories, 0.56)))
