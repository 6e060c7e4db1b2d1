"""Image classification from scratch: separable convolutions with residuals, like Xception."""

import keras
from keras import layers


def build(params, inputs, outputs):
    photo = keras.Input(inputs["photo"], name="photo")
    x = layers.Rescaling(1.0 / 255)(photo)
    x = layers.Conv2D(8, 3, strides=2, padding="same")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("relu")(x)
    previous_block_activation = x
    for size in [8, 4 * params["width"]]:
        x = layers.Activation("relu")(x)
        x = layers.SeparableConv2D(size, 3, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
        residual = layers.Conv2D(size, 1, strides=2, padding="same")(previous_block_activation)
        x = layers.add([x, residual])
        previous_block_activation = x
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.25)(x)
    return keras.Model(photo, layers.Dense(outputs.units, activation=outputs.activation)(x))
