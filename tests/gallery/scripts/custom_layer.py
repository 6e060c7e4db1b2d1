"""A custom layer with weights and without `get_config`."""

import keras
from keras import ops


class Linear(keras.layers.Layer):
    def __init__(self, units):
        super().__init__()
        self.units = units

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], self.units))
        self.b = self.add_weight(shape=(self.units,), initializer="zeros")

    def call(self, inputs):
        return ops.relu(ops.matmul(inputs, self.w) + self.b)


def build(params, inputs, outputs):
    first = keras.Input(inputs)
    x = Linear(params["width"])(first)
    return keras.Model(first, keras.layers.Dense(outputs.units, outputs.activation)(x))
