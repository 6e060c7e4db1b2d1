"""A subclassed model that also reconstructs its input, with `add_loss`."""

import keras
from keras import layers, ops


class Reconstructing(keras.Model):
    def __init__(self, width):
        super().__init__()
        self.encode = keras.Sequential([layers.Dense(width, activation="relu")])
        self.decode = layers.Dense(4)
        self.head = layers.Dense(1, activation="sigmoid")

    def call(self, inputs):
        code = self.encode(inputs)
        self.add_loss(0.1 * ops.mean(ops.square(self.decode(code) - inputs)))
        return self.head(code)


def build(params, inputs, outputs):
    model = Reconstructing(params["width"])
    model.compile("adam", "binary_crossentropy")
    return model
