"""Images with augmentation layers, which are active only in training."""

import keras
from keras import layers


def build(params, inputs, outputs):
    photo = keras.Input(inputs["photo"], name="photo")
    x = layers.Rescaling(1 / 255)(photo)
    x = layers.RandomFlip("horizontal")(x)
    x = layers.RandomTranslation(0.1, 0.1)(x)
    x = layers.Conv2D(params["width"], 3, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(photo, layers.Dense(outputs.units, outputs.activation)(x))
