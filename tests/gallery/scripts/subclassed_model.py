"""A subclassed model whose constructor takes an argument that is not serializable."""

import keras


class Classifier(keras.Model):
    def __init__(self, width, outputs):
        super().__init__()
        self.hidden = [keras.layers.Dense(width, activation="relu") for _ in range(2)]
        self.dropout = keras.layers.Dropout(0.1)
        self.head = keras.layers.Dense(outputs.units, activation=outputs.activation)

    def call(self, inputs, training=False):
        x = inputs
        for layer in self.hidden:
            x = layer(x)
        return self.head(self.dropout(x, training=training))


def build(params, inputs, outputs):
    return Classifier(params["width"], outputs)
