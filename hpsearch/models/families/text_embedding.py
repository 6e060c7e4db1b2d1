"""Embed the tokens of a text, and pool them to one vector.

Joulin et al. 2017, "Bag of tricks for efficient text classification" (arXiv:1607.01759): words and
n-grams share one table of embeddings, whose rows are found by hashing. Made of stock layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...data.columns import ColumnInput
from ...trial import Value
from ..named_inputs import hash_ngrams
from .image_encoding import encode_image

# Hyperparameters of families that take texts.
DEFAULTS: dict[str, Value] = {
    "text_vocabulary": 20000,  # rows of the embedding, which words and n-grams share by hashing
    "text_ngrams": 2,  # longest run of neighbouring tokens with an embedding of its own
    "text_tokens": 0,  # first tokens of a text that are used; 0: all that were read
    "text_size": 32,  # size of an embedding
}


def split_arrays(features: Any, arrays: Sequence[ColumnInput], params: Mapping[str, Any]) -> Any:
    """Split features into those of a table, and one vector for each text and image.

    Args:
        features: Tensor of shape (n, n_features); the arrays are its last features.
        arrays: Which features are the tokens of a text or the pixels of an image.
        params: Includes the keys of `DEFAULTS` and `image_encoding.DEFAULTS`.

    Returns:
        The table's features, None if there are none; and the vectors, (n, size) each.
    """
    n_table = arrays[0].start if arrays else features.shape[1]
    if n_table == features.shape[1]:
        return features, []
    encoded = []
    for index, array in enumerate(arrays):
        part = features[:, array.start : array.stop]
        if array.kind == "image":
            encoded.append(encode_image(part, array, params, str(index)))
        else:
            encoded.append(embed_text(part, params, str(index)))
    return (features[:, :n_table] if n_table else None), encoded


def embed_text(tokens: Any, params: Mapping[str, Any], name: str) -> Any:
    """Embed tokens, (n, n_tokens), and sum them, divided by the root of their number."""
    import keras
    from keras import ops

    vocabulary = int(params["text_vocabulary"])
    numbers = hash_ngrams(
        tokens, vocabulary, ngrams=int(params["text_ngrams"]), n_tokens=int(params["text_tokens"])
    )
    table = keras.layers.Embedding(vocabulary, int(params["text_size"]), name=f"text_{name}")
    is_token = ops.expand_dims(ops.cast(ops.not_equal(numbers, 0), "float32"), -1)
    total = ops.sum(ops.multiply(table(numbers), is_token), axis=1)
    return ops.divide(total, ops.sqrt(ops.maximum(ops.sum(is_token, axis=1), 1.0)))
