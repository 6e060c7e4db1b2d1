"""Residual blocks with batch normalization, dropout and weight decay by regularizers."""

import keras
from keras import layers


def build(params, inputs, outputs):
    first = keras.Input(inputs)
    x = layers.Dense(params["width"])(first)
    for _ in range(2):
        shortcut = x
        x = layers.BatchNormalization()(x)
        x = layers.Dense(params["width"], activation="relu", kernel_regularizer="l2")(x)
        x = layers.Add()([shortcut, layers.Dropout(0.1)(x)])
    return keras.Model(first, layers.Dense(outputs.units, outputs.activation)(x))
