"""A bidirectional LSTM followed by a GRU."""

import keras
from keras import layers


def build(params, inputs, outputs):
    first = keras.Input(inputs)
    x = layers.Bidirectional(layers.LSTM(params["width"], return_sequences=True))(
        layers.Reshape((*inputs, 1))(first)
    )
    x = layers.GRU(params["width"])(x)
    return keras.Model(first, layers.Dense(outputs.units, outputs.activation)(x))
