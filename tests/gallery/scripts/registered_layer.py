"""A registered layer with a config, which calls `add_loss`."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("mine")
class Sparse(keras.layers.Layer):
    def __init__(self, strength, **kwargs):
        super().__init__(**kwargs)
        self.strength = strength

    def call(self, inputs):
        self.add_loss(self.strength * ops.mean(ops.abs(inputs)))
        return inputs

    def get_config(self):
        return {**super().get_config(), "strength": self.strength}


def build(params, inputs, outputs):
    first = keras.Input(inputs)
    x = Sparse(1e-3)(keras.layers.Dense(params["width"], activation="relu")(first))
    return keras.Model(first, keras.layers.Dense(outputs.units, outputs.activation)(x))
