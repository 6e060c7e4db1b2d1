"""Custom models with layers that a Keras user would adapt to the training rows."""

import keras
from keras import layers


def normalized(params, inputs, outputs):
    first = keras.Input(inputs)
    inner = keras.Sequential([layers.Normalization(), layers.Dense(3, activation="tanh")])
    x = layers.Normalization()(inner(layers.Normalization()(first)))
    return keras.Model(first, layers.Dense(outputs.units, outputs.activation)(x))


def with_frozen_values(params, inputs, outputs):
    first = keras.Input(inputs)
    dense = layers.Dense(2)
    x = dense(layers.Normalization()(first))
    dense.set_weights([w + 0.5 for w in dense.get_weights()])
    return keras.Model(first, layers.Dense(outputs.units, outputs.activation)(x))


def discretized(params, inputs, outputs):
    first = keras.Input(inputs)
    bins = layers.Discretization(num_bins=4, output_mode="int")(first)
    x = layers.Flatten()(layers.Embedding(4, 2)(bins))
    x = layers.Concatenate()([layers.Normalization()(first), x])
    return keras.Model(first, layers.Dense(outputs.units, outputs.activation)(x))


def looked_up(params, inputs, outputs):
    first = keras.Input(inputs)
    x = layers.Flatten()(layers.Embedding(9, 2)(layers.IntegerLookup(max_tokens=9)(first)))
    return keras.Model(first, layers.Dense(outputs.units, outputs.activation)(x))
