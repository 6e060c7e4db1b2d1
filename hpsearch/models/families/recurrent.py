"""The `recurrent` family: LSTM or GRU layers, with a dense output after the last step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...trial import Value
from ..outputs import Outputs

if TYPE_CHECKING:
    import keras

# Hyperparameters of the family, with defaults.
DEFAULTS: dict[str, Value] = {
    "cell": "lstm",  # or "gru"
    "layers": 1,
    "units": 32,
    "bidirectional": False,  # bidirectional layers
    "dropout": 0.0,  # after each layer
    "l2": 0.0,
}


def build(params: Mapping[str, Value], inputs: tuple[int, ...], outputs: Outputs) -> keras.Model:
    """Build an uncompiled network.

    Args:
        params: Hyperparameters; missing ones default to `DEFAULTS`.
        inputs: Shape of one row, (steps, features).
        outputs: The output layer.
    """
    import keras
    from keras import layers as k

    p: dict[str, Any] = {**DEFAULTS, **params}
    kind = {"lstm": k.LSTM, "gru": k.GRU}[p["cell"]]
    penalty = keras.regularizers.L2(p["l2"]) if p["l2"] else None
    first = x = keras.Input(inputs, name="features")
    for i in range(p["layers"]):
        layer = kind(
            p["units"],
            return_sequences=i + 1 < p["layers"],
            kernel_regularizer=penalty,
            name=f"{p['cell']}_{i}",
        )
        x = k.Bidirectional(layer, name=f"both_ways_{i}")(x) if p["bidirectional"] else layer(x)
        if p["dropout"]:
            x = k.Dropout(p["dropout"], name=f"dropout_{i}")(x)
    last = k.Dense(outputs.units, activation=outputs.activation, name="output")(x)
    return keras.Model(first, last, name="recurrent")
