"""Embeddings of numeric columns.

Gorishniy et al. 2022, "On embeddings for numerical features in tabular deep learning"
(arXiv:2203.05556), and Holzmüller et al. 2024 (arXiv:2407.04491). Made of stock layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.columns import ColumnInput
from ...errors import TrainingError
from ...trial import Value
from .category_encoding import CategoryRanges, encode_categories

if TYPE_CHECKING:
    import keras

# Hyperparameters of families that embed numbers.
DEFAULTS: dict[str, Value] = {
    "embedding": "none",  # or a key of `EMBEDDINGS`
    "embedding_scale": 0.1,  # standard deviation of the frequencies, in pbld and plr
    "embedding_frequencies": 16,  # frequencies per number, in pbld and plr
    "embedding_units": 4,  # size of each number's embedding
    "embedding_bins": 16,  # bins per number, in piecewise
}
BINS_LAYER = "number_bins"  # fitted to the training rows, not trained


def encode_features(features: Any, params: Mapping[str, Any], categories: CategoryRanges) -> Any:
    """Embed numbers and encode categories, for the network's first layer.

    Args:
        features: Tensor of shape (n, n_features).
        params: Includes the keys of `DEFAULTS` and those of `category_encoding`.
        categories: The ranges of categorical features; all others are numbers.

    Raises:
        TrainingError: If the embedding or encoding is unknown.
    """
    import keras

    kind = params["embedding"]
    if kind != "none" and kind not in EMBEDDINGS:
        known = ", ".join(["none", *EMBEDDINGS])
        raise TrainingError(f"embedding {kind!r} does not exist. Known: {known}.")
    runs = list(_find_number_runs(features.shape[1], categories))
    if kind == "none" or not runs:
        return encode_categories(features, params, categories)
    numbers = _concatenate([features[:, a:b] for a, b in runs], "numbers")
    parts = [keras.layers.Flatten(name="number_embedding")(EMBEDDINGS[kind](numbers, params))]
    if categories:
        hot = _concatenate([features[:, a : a + n] for a, n in categories], "categories")
        starts = np.cumsum([0, *(n for _, n in categories)]).tolist()
        shifted = tuple((start, n) for start, (_, n) in zip(starts, categories, strict=False))
        parts.append(encode_categories(hot, params, shifted))
    return _concatenate(parts, "features_encoded")


def list_number_features(
    n_features: int, categories: CategoryRanges, arrays: Sequence[ColumnInput] = ()
) -> list[int]:
    """List the numeric features, in the order in which they are embedded."""
    n_table = arrays[0].start if arrays else n_features
    return [j for a, b in _find_number_runs(n_table, categories) for j in range(a, b)]


def _find_number_runs(n_features: int, categories: CategoryRanges) -> Iterator[tuple[int, int]]:
    """Find the ranges [first, end) of numeric features."""
    at = 0
    for first, n in sorted(categories):
        if at < first:
            yield at, first
        at = first + n
    if at < n_features:
        yield at, n_features


def _concatenate(parts: Sequence[Any], name: str) -> Any:
    import keras

    return parts[0] if len(parts) == 1 else keras.layers.Concatenate(name=name)(parts)


def _embed_pbld(numbers: Any, params: Mapping[str, Any]) -> Any:
    """Embed as `[x, linear(cos(2 pi w x + b))]`: periodic, bias, linear, dense connection."""
    import keras
    from keras import initializers, ops

    n, frequencies = numbers.shape[1], int(params["embedding_frequencies"])
    waves = keras.layers.EinsumDense(
        "bd,dh->bdh",
        output_shape=(n, frequencies),
        bias_axes="dh",
        kernel_initializer=initializers.RandomNormal(0.0, params["embedding_scale"]),
        bias_initializer=initializers.RandomUniform(-np.pi, np.pi),
        name="number_frequencies",
    )(numbers * (2 * np.pi))
    itself = keras.layers.Reshape((n, 1), name="number_itself")(numbers)
    units = int(params["embedding_units"]) - 1
    if not units:
        return itself
    embedded = _make_linear(n, frequencies, units)(ops.cos(waves))
    return keras.layers.Concatenate(name="number_with_itself")([embedded, itself])


def _embed_plr(numbers: Any, params: Mapping[str, Any]) -> Any:
    """Embed as `relu(linear([cos(2 pi w x), sin(2 pi w x)]))`: periodic, linear, ReLU."""
    import keras
    from keras import initializers, ops

    n, half = numbers.shape[1], max(1, int(params["embedding_frequencies"]) // 2)
    waves = keras.layers.EinsumDense(
        "bd,dh->bdh",
        output_shape=(n, half),
        kernel_initializer=initializers.RandomNormal(0.0, params["embedding_scale"]),
        name="number_frequencies",
    )(numbers * (2 * np.pi))
    both = keras.layers.Concatenate(name="number_waves")([ops.cos(waves), ops.sin(waves)])
    embedded = _make_linear(n, 2 * half, int(params["embedding_units"]))(both)
    return keras.layers.ReLU(name="number_relu")(embedded)


def _embed_piecewise(numbers: Any, params: Mapping[str, Any]) -> Any:
    """Embed as `relu(linear(p))`, where p is the share of each quantile bin below x."""
    import keras
    from keras import ops

    n, bins = numbers.shape[1], int(params["embedding_bins"])
    position = keras.layers.EinsumDense(
        "bd,dt->bdt",
        output_shape=(n, bins),
        bias_axes="dt",
        kernel_initializer="zeros",
        trainable=False,
        name=BINS_LAYER,
    )(numbers)
    embedded = _make_linear(n, bins, int(params["embedding_units"]))(ops.clip(position, 0.0, 1.0))
    return keras.layers.ReLU(name="number_relu")(embedded)


def _make_linear(n: int, inputs: int, units: int) -> keras.layers.EinsumDense:
    """Make a separate linear layer for each number."""
    import keras

    bound = 1 / np.sqrt(inputs)
    return keras.layers.EinsumDense(
        "bdh,dhe->bde",
        output_shape=(n, units),
        bias_axes="de",
        kernel_initializer=keras.initializers.RandomUniform(-bound, bound),
        bias_initializer=keras.initializers.RandomUniform(-bound, bound),
        name="number_linear",
    )


EMBEDDINGS = {"pbld": _embed_pbld, "plr": _embed_plr, "piecewise": _embed_piecewise}


def fit_bins(numbers: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Fit kernel and bias of the bins, which rise from 0 to 1 between two quantiles of the rows.

    With few rows or many ties there are fewer bins; the remaining ones are 0.

    Args:
        numbers: Training rows as the network's input, (n, n_numbers).
        bins: Number of bins per number.

    Returns:
        Two arrays of shape (n_numbers, bins), float32.
    """
    kernel, bias = np.zeros((2, numbers.shape[1], bins), np.float32)
    edges = np.quantile(numbers.astype(np.float64), np.linspace(0, 1, bins + 1), axis=0)
    for j, column in enumerate(edges.T):
        own = np.unique(column.astype(np.float32)).astype(np.float64)
        slopes = 1 / np.maximum(np.diff(own), 1e-30)
        kernel[j, : len(slopes)] = slopes
        bias[j, : len(slopes)] = -own[:-1] * slopes
    return kernel, bias


def initialize_bins(
    params: Mapping[str, Any],
    network: keras.Model,
    weights: Sequence[np.ndarray],
    features: np.ndarray,
    rng: np.random.Generator | None = None,
    categories: CategoryRanges = (),
    arrays: Sequence[ColumnInput] = (),
) -> list[np.ndarray]:
    """Set the bins of a piecewise embedding in the weights, fitted to the training rows.

    Args:
        params: Hyperparameters.
        network: The network.
        weights: Its weights, in the order of `keras.Model.get_weights`.
        features: Training rows as the network's input, (n, n_features).
        rng: Unused: nothing is drawn.
        categories: The ranges of categorical features.
        arrays: The features of texts and images, which are the last ones.
    """
    found = [layer for layer in network.layers if layer.name == BINS_LAYER]
    filled = list(weights)
    indices = {id(v): i for i, v in enumerate(network.weights)}
    numbers = features[:, list_number_features(features.shape[1], categories, arrays)]
    for layer in found:
        fitted = fit_bins(numbers, int(params["embedding_bins"]))
        for variable, values in zip(layer.weights, fitted, strict=True):
            filled[indices[id(variable)]] = values
    return filled
