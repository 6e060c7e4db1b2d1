"""Gated residual networks and variable selection over the columns, as nested custom layers."""

import keras
from keras import layers


class GatedLinearUnit(layers.Layer):
    def __init__(self, units):
        super().__init__()
        self.linear = layers.Dense(units)
        self.sigmoid = layers.Dense(units, activation="sigmoid")

    def call(self, inputs):
        return self.linear(inputs) * self.sigmoid(inputs)


class GatedResidualNetwork(layers.Layer):
    def __init__(self, units, dropout_rate):
        super().__init__()
        self.units = units
        self.elu_dense = layers.Dense(units, activation="elu")
        self.linear_dense = layers.Dense(units)
        self.dropout = layers.Dropout(dropout_rate)
        self.gated_linear_unit = GatedLinearUnit(units)
        self.layer_norm = layers.LayerNormalization()
        self.project = layers.Dense(units)

    def call(self, inputs):
        x = self.elu_dense(inputs)
        x = self.linear_dense(x)
        x = self.dropout(x)
        if inputs.shape[-1] != self.units:
            inputs = self.project(inputs)
        x = inputs + self.gated_linear_unit(x)
        return self.layer_norm(x)


class VariableSelection(layers.Layer):
    def __init__(self, num_features, units, dropout_rate):
        super().__init__()
        self.num_features = num_features
        self.grns = [GatedResidualNetwork(units, dropout_rate) for _ in range(num_features)]
        self.grn_concat = GatedResidualNetwork(units, dropout_rate)
        self.softmax = layers.Dense(units=num_features, activation="softmax")

    def call(self, inputs):
        v = self.grn_concat(inputs)
        v = keras.ops.expand_dims(self.softmax(v), axis=-1)
        x = [self.grns[i](inputs[:, i : i + 1]) for i in range(self.num_features)]
        x = keras.ops.stack(x, axis=1)
        return keras.ops.squeeze(keras.ops.matmul(keras.ops.transpose(v, [0, 2, 1]), x), axis=1)


def build(params, inputs, outputs):
    first = keras.Input(inputs)
    features = VariableSelection(inputs[0], params["width"], 0.1)(first)
    return keras.Model(first, layers.Dense(outputs.units, outputs.activation)(features))
