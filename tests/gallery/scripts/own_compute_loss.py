"""A custom `compute_loss`."""

import keras
from keras import layers, ops


class Confident(keras.Model):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x, y, y_pred, sample_weight)
        return loss + 0.1 * ops.mean(y_pred * (1 - y_pred))


def build(params, inputs, outputs):
    first = keras.Input(inputs)
    x = layers.Dense(params["width"], activation="relu")(first)
    model = Confident(first, layers.Dense(outputs.units, outputs.activation)(x))
    model.compile("adam", "binary_crossentropy")
    return model
