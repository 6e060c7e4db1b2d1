"""The `wide_and_deep` family: a linear model and dense layers on embeddings, trained jointly.

Cheng et al. 2016, "Wide & deep learning for recommender systems". The wide part is linear in the
one-hot features; the deep part is an `mlp` on embedded categories. On a window, the wide part is
an autoregression: linear in the values of each of its rows. It begins at zero, so that many inputs
do not begin as noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...trial import Value
from ..outputs import Outputs
from . import mlp
from .category_encoding import CategoryRanges
from .number_embedding import encode_features

if TYPE_CHECKING:
    import keras

DEFAULTS: dict[str, Value] = {**mlp.TABLE_DEFAULTS, "encoding": "embedding"}


def build(
    params: Mapping[str, Value],
    inputs: tuple[int, ...],
    outputs: Outputs,
    *,
    categories: CategoryRanges = (),
) -> keras.Model:
    """Build an uncompiled network; see `mlp.build`."""
    import keras

    p: dict[str, Any] = {**DEFAULTS, **params}
    first = keras.Input(inputs, name="features")
    is_table = len(inputs) == 1
    row = first if is_table else keras.layers.Flatten(name="flat")(first)
    wide = keras.layers.Dense(
        outputs.units, use_bias=False, kernel_initializer="zeros", name="wide"
    )(row)
    x = mlp.build_hidden_layers(encode_features(row, p, categories) if is_table else row, p)
    deep = keras.layers.Dense(outputs.units, name="deep")(x)
    both = keras.layers.Add(name="wide_and_deep")([wide, deep])
    last = keras.layers.Activation(outputs.activation, name="output")(both)
    return keras.Model(first, last, name="wide_and_deep")
