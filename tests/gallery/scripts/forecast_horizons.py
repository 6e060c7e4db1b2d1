"""A forecast of several horizons: an LSTM over the last rows, and an output for each step ahead."""

import keras
from keras import layers


def build(params, inputs, outputs):
    past = keras.Input(inputs)
    x = layers.LSTM(params["width"], return_sequences=True)(past)
    x = layers.LSTM(params["width"])(x)
    return keras.Model(past, layers.Dense(outputs.units)(x))
