"""Transfer learning: a frozen convolutional backbone from a `.keras` file, and a trained head."""

import keras
from keras import layers


def build(params, inputs, outputs):
    backbone = keras.models.load_model("backbone.keras")
    backbone.trainable = False
    photo = keras.Input(inputs["photo"], name="photo")
    x = backbone(layers.Rescaling(1 / 127.5, offset=-1)(photo), training=False)
    x = layers.Normalization()(x)  # adapted to each fold
    x = layers.Dense(params["width"], activation="tanh")(x)
    return keras.Model(photo, layers.Dense(outputs.units, outputs.activation)(x))
