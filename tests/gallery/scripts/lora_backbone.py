"""LoRA on the convolutions of a backbone from a `.keras` file, whose own weights stay frozen."""

import keras
from keras import layers


def build(params, inputs, outputs):
    backbone = keras.models.load_model("backbone.keras")
    for layer in backbone.layers:
        if hasattr(layer, "enable_lora"):
            layer.enable_lora(params["width"])
    photo = keras.Input(inputs["photo"], name="photo")
    x = backbone(layers.Rescaling(1 / 127.5, offset=-1)(photo))
    x = layers.Dense(4, activation="tanh")(layers.Normalization()(x))
    return keras.Model(photo, layers.Dense(outputs.units, outputs.activation)(x))
