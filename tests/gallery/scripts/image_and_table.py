"""An image beside a table: convolutions, concatenated with the columns."""

import keras
from keras import layers


def build(params, inputs, outputs):
    photo = keras.Input(inputs["photo"], name="photo")
    table = keras.Input(inputs["features"], name="features")
    x = layers.Conv2D(params["width"], 3, activation="relu")(layers.Rescaling(1 / 255)(photo))
    x = layers.Concatenate()([layers.GlobalMaxPooling2D()(x), layers.Dense(3)(table)])
    return keras.Model([photo, table], layers.Dense(outputs.units, outputs.activation)(x))
