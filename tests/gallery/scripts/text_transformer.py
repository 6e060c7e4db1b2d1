"""Text classification with a transformer block."""

import keras
from keras import layers


def build(params, inputs, outputs):
    words = keras.Input(inputs["message"], name="message")
    x = layers.Embedding(params["text_vocabulary"], 4)(words)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, params["width"])(x, x))
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(words, layers.Dense(outputs.units, outputs.activation)(x))
