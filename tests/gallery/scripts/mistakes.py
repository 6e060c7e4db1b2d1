"""Models with a mistake that `check` tells."""

import keras

L = keras.layers


def two_inputs(params, inputs, outputs):
    first, second = keras.Input(inputs), keras.Input((2,))
    x = L.Concatenate()([first, second])
    return keras.Model([first, second], L.Dense(outputs.units, outputs.activation)(x))


def wrong_width(params, inputs, outputs):
    first, second = keras.Input((2,), name="a"), keras.Input((1,), name="b")
    x = L.Concatenate()([first, second])
    return keras.Model([first, second], L.Dense(outputs.units, outputs.activation)(x))


def without_return(params, inputs, outputs):
    keras.Sequential([L.Dense(outputs.units, outputs.activation)])


def wide_head(params, inputs, outputs):
    return keras.Sequential([L.Dense(7, activation="sigmoid")])


def bare_head(params, inputs, outputs):
    return keras.Sequential([L.Dense(params["width"]), L.Dense(outputs.units)])


def misspelt(params, inputs, outputs):
    return keras.Sequential([L.Dense(params["widht"]), L.Dense(1, "sigmoid")])


class Gan(keras.Model):
    """Two networks, of which neither answers a row."""

    def __init__(self):
        super().__init__()
        self.generator, self.critic = L.Dense(5), L.Dense(1)

    def call(self, inputs):
        return self.generator(inputs), self.critic(self.generator(inputs))


def gan(params, inputs, outputs):
    return Gan()


def without_arguments():
    return keras.Sequential([L.Dense(1, activation="sigmoid")])


class Silent(keras.Model):
    def train_step(self, *args, **kwargs):
        super().train_step(*args, **kwargs)


def silent_step(params, inputs, outputs):
    first = keras.Input(inputs)
    model = Silent(first, L.Dense(outputs.units, outputs.activation)(first))
    model.compile("adam", "binary_crossentropy")
    return model
