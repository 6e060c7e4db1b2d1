"""Text classification: words embedded, convolved and pooled."""

import keras
from keras import layers


def build(params, inputs, outputs):
    words = keras.Input(inputs["message"], name="message")
    x = layers.Embedding(params["text_vocabulary"], 8)(words)
    x = layers.Conv1D(params["width"], 3, padding="same", activation="relu")(x)
    x = layers.Dropout(0.1)(layers.GlobalMaxPooling1D()(x))
    return keras.Model(words, layers.Dense(outputs.units, outputs.activation)(x))
