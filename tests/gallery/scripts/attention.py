"""Self-attention over the columns as a sequence."""

import keras
from keras import layers


def build(params, inputs, outputs):
    first = keras.Input(inputs)
    x = layers.Dense(params["width"])(layers.Reshape((*inputs, 1))(first))
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 4)(x, x))
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(first, layers.Dense(outputs.units, outputs.activation)(x))
