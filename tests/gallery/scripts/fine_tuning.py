"""Fine-tuning by `training.phases`: first the head, then also the last block of the backbone."""

import keras
from keras import layers


def build(params, inputs, outputs):
    backbone = keras.models.load_model("backbone.keras")
    backbone.trainable = False
    photo = keras.Input(inputs["photo"], name="photo")
    x = backbone(layers.Rescaling(1 / 127.5, offset=-1)(photo), training=False)
    x = layers.Dense(params["width"], activation="tanh", name="head")(layers.Normalization()(x))
    last = layers.Dense(outputs.units, outputs.activation, name="output")(x)
    return keras.Model(photo, last)
