"""Layers in bfloat16, the output in float32."""

import keras
from keras import layers


def build(params, inputs, outputs):
    first = keras.Input(inputs)
    x = layers.Dense(params["width"], activation="relu", dtype="mixed_bfloat16")(first)
    last = layers.Dense(outputs.units, outputs.activation, dtype="float32")(x)
    return keras.Model(first, last)
