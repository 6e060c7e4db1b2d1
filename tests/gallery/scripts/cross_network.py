"""A deep and cross network: two branches over the same columns, concatenated."""

import keras
from keras import layers


def build(params, inputs, outputs):
    features = keras.Input(inputs)

    cross = x0 = layers.BatchNormalization()(features)
    for _ in range(2):
        units = cross.shape[-1]
        x = layers.Dense(units)(cross)
        cross = x0 * x + cross
    cross = layers.BatchNormalization()(cross)

    deep = features
    for units in [params["width"], params["width"]]:
        deep = layers.Dense(units)(deep)
        deep = layers.BatchNormalization()(deep)
        deep = layers.ReLU()(deep)
        deep = layers.Dropout(0.1)(deep)

    merged = layers.concatenate([cross, deep])
    return keras.Model(features, layers.Dense(outputs.units, outputs.activation)(merged))
