"""Keras Tuner's getting-started example."""

import keras
from keras import layers


def build(hp):
    model = keras.Sequential()
    for i in range(hp.Int("num_layers", 1, 2)):
        activation = hp.Choice("activation", ["relu", "tanh"])
        model.add(layers.Dense(hp.Int(f"units_{i}", 4, 12, step=4), activation=activation))
    if hp.Boolean("dropout"):
        model.add(layers.Dropout(rate=0.25))
    model.add(layers.Dense(1, activation="sigmoid"))
    rate = hp.Float("lr", 1e-4, 1e-2, sampling="log")
    model.compile(keras.optimizers.Adam(rate), "binary_crossentropy", metrics=["accuracy"])
    return model
