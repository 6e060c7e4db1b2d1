"""A user's models that fail."""

import keras


def raises_for_nine(params, inputs, outputs):
    if params["units"] == 9:
        raise ValueError("nine is not to be had")
    x = first = keras.Input(inputs)
    x = keras.layers.Dense(params["units"], activation="relu")(x)
    return keras.Model(first, keras.layers.Dense(outputs.units, activation=outputs.activation)(x))
