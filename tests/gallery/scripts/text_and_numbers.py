"""Text beside numbers: two named inputs, of which one is a sequence of words for a GRU."""

import keras
from keras import layers


def build(params, inputs, outputs):
    given = {name: keras.Input(shape, name=name) for name, shape in inputs.items()}
    words = layers.Embedding(params["text_vocabulary"], 8)(given["message"])
    numbers = layers.Dense(params["width"], activation="relu")(given["features"])
    x = layers.Concatenate()([layers.GRU(params["width"])(words), numbers])
    return keras.Model(given, layers.Dense(outputs.units, outputs.activation)(x))
