"""A siamese network: one encoder for two groups of columns, and the distance between them."""

import keras
from keras import layers, ops


def build(params, inputs, outputs):
    encoder = keras.Sequential([layers.Dense(params["width"], activation="tanh"), layers.Dense(2)])
    right = keras.Input(inputs["right"], name="right")
    left = keras.Input(inputs["left"], name="left")
    x = ops.square(layers.Subtract()([encoder(left), encoder(right)]))
    return keras.Model([right, left], layers.Dense(outputs.units, outputs.activation)(x))
