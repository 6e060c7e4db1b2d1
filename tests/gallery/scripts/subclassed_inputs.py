"""A subclassed model of two inputs with a `train_step` of its own."""

import keras
from keras import layers


class TextAndTable(keras.Model):
    def __init__(self, width, vocabulary, outputs):
        super().__init__()
        self.embedding = layers.Embedding(vocabulary, 8)
        self.hidden = layers.Dense(width, activation="relu")
        self.head = layers.Dense(outputs.units, activation=outputs.activation)

    def call(self, inputs):
        text = keras.ops.mean(self.embedding(inputs["message"]), axis=1)
        x = keras.ops.concatenate([text, inputs["features"]], axis=-1)
        return self.head(self.hidden(x))

    def train_step(self, *args, **kwargs):
        return super().train_step(*args, **kwargs)


def build(params, inputs, outputs):
    return TextAndTable(params["width"], params["text_vocabulary"], outputs)
