"""Keras Tuner with named inputs: a text and two columns of the table."""

import keras
from keras import layers


def build(hp):
    words = keras.Input((6,), name="message")
    a, b = keras.Input((1,), name="a"), keras.Input((1,), name="b")
    x = layers.Embedding(20000, hp.Choice("size", [4, 8]), embeddings_initializer="zeros")(words)
    x = layers.Concatenate()([layers.GlobalAveragePooling1D()(x), a, b])
    model = keras.Model([a, b, words], layers.Dense(1, activation="sigmoid")(x))
    model.compile(keras.optimizers.Adam(hp.Float("lr", 1e-3, 1e-1)), "binary_crossentropy")
    return model
