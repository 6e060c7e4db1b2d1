"""Fine-tuning with LoRA, whose rank is a hyperparameter."""

import keras
from keras import layers


def build(params, inputs, outputs):
    first = keras.Input(inputs)
    pretrained = layers.Dense(8, activation="relu")
    x = pretrained(first)
    pretrained.enable_lora(params["width"])
    return keras.Model(first, layers.Dense(outputs.units, outputs.activation)(x))
