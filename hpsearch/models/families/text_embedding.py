"""Embed the tokens of a text, and pool or convolve them to one vector.

Joulin et al. 2017, "Bag of tricks for efficient text classification" (arXiv:1607.01759): words and
n-grams share one table of embeddings, whose rows are found by hashing. Kim 2014, "Convolutional
neural networks for sentence classification" (arXiv:1408.5882): the maximum of each filter over the
text. Made of stock layers.
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
    "text_pooling": "sqrtn",  # sum by the root of the count; or "mean", "max"
    "text_filters": 0,  # filters of a convolution beside the pooled embeddings; 0: none
    "text_kernel_size": 3,  # neighbouring tokens that a filter sees
}

LOWEST = -1e4  # added to the padding before a maximum; finite in every precision


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
    """Embed tokens, (n, n_tokens), and pool them; with filters, also convolve them."""
    import keras
    from keras import ops

    vocabulary, n_tokens = int(params["text_vocabulary"]), int(params["text_tokens"])
    numbers = hash_ngrams(tokens, vocabulary, ngrams=int(params["text_ngrams"]), n_tokens=n_tokens)
    table = keras.layers.Embedding(vocabulary, int(params["text_size"]), name=f"text_{name}")
    is_token = ops.expand_dims(ops.cast(ops.not_equal(numbers, 0), "float32"), -1)
    embedded = ops.multiply(table(numbers), is_token)
    pooled = _pool(embedded, is_token, str(params["text_pooling"]))
    if not params["text_filters"]:
        return pooled
    n = min(tokens.shape[1], n_tokens or tokens.shape[1])  # n-grams follow the single tokens
    convolved = _convolve(embedded[:, :n], is_token[:, :n], params, name)
    return keras.layers.Concatenate(name=f"text_{name}_parts")([pooled, convolved])


def _pool(embedded: Any, is_token: Any, pooling: str) -> Any:
    """Pool the embeddings of each text, (n, n_numbers, size), to (n, size); 0 without tokens."""
    from keras import ops

    if pooling == "max":
        padding = ops.multiply(ops.subtract(1.0, is_token), LOWEST)
        return ops.multiply(ops.max(ops.add(embedded, padding), axis=1), ops.max(is_token, axis=1))
    count = ops.maximum(ops.sum(is_token, axis=1), 1.0)
    return ops.divide(ops.sum(embedded, axis=1), ops.sqrt(count) if pooling == "sqrtn" else count)


def _convolve(embedded: Any, is_token: Any, params: Mapping[str, Any], name: str) -> Any:
    """Return the maximum of each filter over a text, (n, n_filters).

    One product of windows instead of `Conv1D`, which XLA computes slowly in a lane on a processor.
    """
    from keras import layers, ops

    size, n = int(params["text_kernel_size"]), embedded.shape[1]
    before = (size - 1) // 2
    padded = ops.pad(embedded, [[0, 0], [before, size - 1 - before], [0, 0]])
    windows = ops.concatenate([padded[:, k : k + n] for k in range(size)], axis=-1)
    filters = layers.Dense(
        int(params["text_filters"]), activation="relu", name=f"text_{name}_convolution"
    )
    return ops.max(ops.multiply(filters(windows), is_token), axis=1)
