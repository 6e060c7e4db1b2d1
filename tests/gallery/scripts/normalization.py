"""Stock layers with integer and scalar weights: `Normalization`, `Discretization`."""

import keras
from keras import layers


def build(params, inputs, outputs):
    first = keras.Input(inputs)
    bins = layers.Discretization(bin_boundaries=[-1.0, 0.0, 1.0], output_mode="int")(first)
    bins = layers.Flatten()(layers.Embedding(4, 2)(bins))
    x = layers.Concatenate()([layers.Normalization()(first), bins])
    x = layers.Dense(params["width"], activation="relu")(x)
    return keras.Model(first, layers.Dense(outputs.units, outputs.activation)(x))
