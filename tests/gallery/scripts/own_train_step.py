"""A custom `train_step`."""

import keras
from keras import layers


class Clipped(keras.Model):
    def train_step(self, *args, **kwargs):
        return super().train_step(*args, **kwargs)


def build(params, inputs, outputs):
    first = keras.Input(inputs)
    x = layers.Dense(params["width"], activation="relu")(first)
    model = Clipped(first, layers.Dense(outputs.units, outputs.activation)(x))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model
