"""The `tabm` family: many MLPs for tables in one network, which share most weights.

TabM of Gorishniy, Kotelnikov and Babenko 2025, "TabM: advancing tabular deep learning with
parameter-efficient ensembling" (ICLR, arXiv:2410.24210), with the published defaults. Each member
has its own factors of a layer's inputs and outputs, its own biases and its own output layer
(BatchEnsemble, Wen et al. 2020); the kernels are shared. The loss is the mean of the members'
losses, the prediction the mean of their predictions; see `members`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.columns import ColumnInput
from ...trial import Value
from ..members import average_predictions
from ..outputs import Outputs
from . import category_encoding, image_encoding, number_embedding, text_embedding
from .category_encoding import CategoryRanges
from .column_encoding import encode_columns
from .number_embedding import initialize_bins, list_number_features

if TYPE_CHECKING:
    import keras

# Hyperparameters of the family, with defaults.
DEFAULTS: dict[str, Value] = {
    "members": 32,
    "layers": 2,
    "units": 512,
    "activation": "relu",
    "dropout": 0.1,
    **category_encoding.DEFAULTS,
    **number_embedding.DEFAULTS,
    **text_embedding.DEFAULTS,
    **image_encoding.DEFAULTS,
    "embedding": "piecewise",
    "embedding_units": 16,
    "embedding_bins": 48,
}
# Points for small tables, of few and of many steps: benchmarks/tables.md.
_SMALL: dict[str, Value] = {"members": 8, "units": 128, "batch_size": 64}
PORTFOLIO: tuple[dict[str, Value], ...] = (
    {**_SMALL, "layers": 3, "dropout": 0.1, "learning_rate": 0.004, "weight_decay": 0.03},
    {**_SMALL, "layers": 2, "dropout": 0.015, "learning_rate": 0.009, "weight_decay": 1e-4},
    {**_SMALL, "layers": 1, "dropout": 0.25, "learning_rate": 0.01, "weight_decay": 0.002},
)
FIRST_SCALE = "inputs"  # the layer in which the members begin to differ


def make_training_defaults(task: str) -> dict[str, Value]:
    """Return the default training hyperparameters."""
    return {
        "optimizer": "adamw",
        "learning_rate": 0.002,
        "weight_decay": 3e-4,
        "batch_size": 256,
        "scaling": "quantile",
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
        inputs: Shape of one row, (n_features,).
        outputs: The output layer.
        categories: The ranges of features that encode one categorical column.
        arrays: The features of texts and images, which are the last ones.
    """
    import keras
    from keras import layers as k

    p: dict[str, Any] = {**DEFAULTS, **params}
    first = keras.Input(inputs, name="features")
    x = encode_columns(first, p, categories, arrays)
    x = _apply_own_weights(x, "bd,kd->bkd", (p["members"], x.shape[-1]), FIRST_SCALE, "normal")
    for i in range(p["layers"]):
        if i:
            x = _apply_own_weights(x, "bkd,kd->bkd", tuple(x.shape[1:]), f"inputs_{i}")
        x = k.Dense(
            p["units"],
            use_bias=False,
            kernel_initializer=_make_uniform(x.shape[-1]),
            name=f"dense_{i}",
        )(x)
        own = (x, "bkd,kd->bkd", tuple(x.shape[1:]), f"outputs_{i}")
        x = _apply_own_weights(*own, bias_axes="kd")
        x = k.Activation(p["activation"], name=f"activation_{i}")(x)
        x = k.Dropout(p["dropout"], name=f"dropout_{i}")(x) if p["dropout"] else x
    last = (x, "bkd,kdo->bko", (p["members"], outputs.units), "last", _make_uniform(x.shape[-1]))
    x = k.Activation(outputs.activation, name="members")(_apply_own_weights(*last, bias_axes="ko"))
    return keras.Model(first, average_predictions(x), name="tabm")


def _apply_own_weights(
    x: Any,
    equation: str,
    shape: tuple[int, ...],
    name: str,
    initializer: Any = "ones",
    bias_axes: str | None = None,
) -> Any:
    """Apply weights that each member has of its own; `shape` is that of a row's outputs."""
    import keras

    if initializer == "normal":
        initializer = keras.initializers.RandomNormal(0.0, 1.0)
    return keras.layers.EinsumDense(
        equation,
        output_shape=shape,
        bias_axes=bias_axes,
        kernel_initializer=initializer,
        bias_initializer=_make_uniform(x.shape[-1]),
        name=name,
    )(x)


def _make_uniform(inputs: int) -> keras.initializers.Initializer:
    import keras

    bound = 1 / np.sqrt(max(1, inputs))
    return keras.initializers.RandomUniform(-bound, bound)


def initialize(
    params: Mapping[str, Value],
    network: keras.Model,
    weights: Sequence[np.ndarray],
    features: np.ndarray,
    rng: np.random.Generator,
    categories: CategoryRanges = (),
    arrays: Sequence[ColumnInput] = (),
) -> list[np.ndarray]:
    """Compute the initial weights: the bins, and the first factors of the members.

    Without embeddings of numbers, these factors are random signs. Otherwise they are normal
    numbers, one for all units of a number's embedding.

    Args:
        params: Hyperparameters.
        network: The network, whose own weights are not used.
        weights: The drawn weights, in the order of `keras.Model.get_weights`.
        features: Training rows as the network's input, (n, n_features).
        rng: Unused: nothing more is drawn.
        categories: The ranges of categorical features.
        arrays: The features of texts and images, which are the last ones.
    """
    p: dict[str, Any] = {**DEFAULTS, **params}
    filled = initialize_bins(p, network, weights, features, rng, categories, arrays)
    [kernel] = network.get_layer(FIRST_SCALE).weights
    index = next(i for i, v in enumerate(network.weights) if v is kernel)
    drawn = np.array(filled[index])
    numbers = list_number_features(features.shape[1], categories, arrays)
    if p["embedding"] == "none" or not numbers:
        filled[index] = np.where(drawn < 0, -1, 1).astype(np.float32)
        return filled
    units = int(p["embedding_units"])
    embedded = drawn[:, : len(numbers) * units]
    drawn[:, : len(numbers) * units] = np.repeat(embedded[:, ::units], units, axis=1)
    filled[index] = drawn
    return filled
