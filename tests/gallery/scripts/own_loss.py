"""A custom loss, and an optimizer with a schedule."""

import keras
from keras import ops


def focal(truth, prediction):
    prediction = ops.clip(prediction, 1e-6, 1 - 1e-6)
    right = truth * prediction + (1 - truth) * (1 - prediction)
    return ops.mean(-((1 - right) ** 2) * ops.log(right), axis=-1)


def build(params, inputs, outputs):
    first = keras.Input(inputs)
    x = keras.layers.Dense(params["width"], activation="relu")(first)
    model = keras.Model(first, keras.layers.Dense(outputs.units, outputs.activation)(x))
    rate = keras.optimizers.schedules.ExponentialDecay(1e-2, 20, 0.9)
    model.compile(keras.optimizers.Adam(rate), focal)
    return model
