"""A table with several inputs: groups of columns, and one column alone."""

import keras
from keras import layers


def build(params, inputs, outputs):
    wide = keras.Input(inputs["wide"], name="wide")
    rest = keras.Input(inputs["features"], name="features")
    only = keras.Input((1,), name="c")
    x = layers.Dense(params["width"], activation="relu")(layers.Concatenate()([rest, only]))
    x = layers.Concatenate()([x, wide])
    return keras.Model([rest, only, wide], layers.Dense(outputs.units, outputs.activation)(x))
