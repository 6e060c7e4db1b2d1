"""A head without activation and a loss `from_logits`; metrics in `compile`."""

import keras


def build(params, inputs, outputs):
    first = keras.Input(inputs)
    x = keras.layers.Dense(params["width"], activation="gelu")(first)
    model = keras.Model(first, keras.layers.Dense(outputs.units)(x))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy", keras.metrics.AUC()])
    return model
