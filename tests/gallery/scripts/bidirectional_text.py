"""Text classification with two bidirectional LSTMs over masked words."""

import keras
from keras import layers


def build(params, inputs, outputs):
    words = keras.Input(shape=(None,), dtype="int32", name="message")
    x = layers.Embedding(params["text_vocabulary"], 8, mask_zero=True)(words)
    x = layers.Bidirectional(layers.LSTM(params["width"], return_sequences=True))(x)
    x = layers.Bidirectional(layers.LSTM(params["width"]))(x)
    return keras.Model(words, layers.Dense(outputs.units, activation=outputs.activation)(x))
