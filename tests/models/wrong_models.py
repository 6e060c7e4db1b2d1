"""Models with one typical mistake each."""

from functools import partial

import keras

L = keras.layers


def head(x, outputs, **more):
    return L.Dense(outputs.units, **{"activation": outputs.activation, **more})(x)


def fine(params, inputs, outputs):
    first = keras.Input(inputs)
    return keras.Model(first, head(L.Dense(params["width"])(first), outputs))


def without_return(params, inputs, outputs):
    fine(params, inputs, outputs)


def a_layer(params, inputs, outputs):
    return L.Dense(outputs.units)


def missing_parameter(params, inputs, outputs):
    return fine({"width": params["widht"]}, inputs, outputs)


def raising(params, inputs, outputs):
    raise RuntimeError("no luck\nat all")


def raising_when_wide(params, inputs, outputs):
    if params["width"] > 4:
        raise RuntimeError("too wide")
    return fine(params, inputs, outputs)


def without_activation(params, inputs, outputs):
    first = keras.Input(inputs)
    return keras.Model(first, head(first, outputs, activation=None))


def scaled_output(params, inputs, outputs):
    """No probabilities, which no layer's config shows."""
    first = keras.Input(inputs)
    return keras.Model(first, L.Rescaling(50.0, offset=-20.0)(head(first, outputs)))


def softmax_of_one(params, inputs, outputs):
    first = keras.Input(inputs)
    return keras.Model(first, head(first, outputs, activation="softmax"))


def sigmoid(params, inputs, outputs):
    first = keras.Input(inputs)
    return keras.Model(first, head(first, outputs, activation="sigmoid"))


def hidden_sigmoid(params, inputs, outputs):
    first = keras.Input(inputs)
    return keras.Model(first, L.Rescaling(1.0)(head(first, outputs, activation="sigmoid")))


def sparse_loss_of_a_name(params, inputs, outputs):
    model = fine(params, inputs, outputs)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(name="mine"))
    return model


def own_sparse_loss(params, inputs, outputs):
    def own(truth, answer):
        return keras.losses.sparse_categorical_crossentropy(truth, answer)

    model = fine(params, inputs, outputs)
    model.compile("adam", own)
    return model


def logits(params, inputs, outputs):
    model = without_activation(params, inputs, outputs)
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    return model


def logits_behind_a_sigmoid(params, inputs, outputs):
    model = sigmoid(params, inputs, outputs)
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    return model


def two_inputs(params, inputs, outputs):
    first, second = keras.Input(inputs), keras.Input((2,))
    return keras.Model([first, second], head(L.Concatenate()([first, second]), outputs))


def wide_output(params, inputs, outputs):
    first = keras.Input(inputs)
    return keras.Model(first, L.Dense(7, activation="sigmoid")(first))


def other_input(params, inputs, outputs):
    first = keras.Input((30,))
    return keras.Model(first, head(first, outputs))


def squeezed(params, inputs, outputs):
    first = keras.Input(inputs)
    return keras.Model(first, keras.ops.squeeze(head(first, outputs), -1))


def sequence(params, inputs, outputs):
    first = keras.Input(inputs)
    return keras.Model(first, head(L.Reshape((*inputs, 1))(first), outputs))


def strings(params, inputs, outputs):
    first = keras.Input((1,), dtype="string", name="color")
    return keras.Model(first, head(first, outputs))


def no_input(params, inputs, outputs):
    return keras.layers.Dense(params["width"])(inputs)


def attribute(params, inputs, outputs):
    return fine({"width": params.width}, inputs, outputs)


class Misspelt(keras.Model):
    def call(self, x):
        return self.dense_of_no_name(x)


class Inverted(keras.Model):
    def predict_step(self, data):
        return 1.0 - super().predict_step(data)


def own_predict_step(params, inputs, outputs):
    first = keras.Input(inputs)
    return Inverted(first, head(first, outputs))


def misspelt_call(params, inputs, outputs):
    return Misspelt()


def hashing(params, inputs, outputs):
    first = keras.Input(inputs)
    numbers = L.Hashing(4)(keras.ops.cast(first, "int32"))
    return keras.Model(first, head(keras.ops.cast(numbers, "float32"), outputs))


def backup():
    return keras.callbacks.BackupAndRestore("backup")


def infinite_loss(params, inputs, outputs):
    model = fine(params, inputs, outputs)
    model.compile("adam", lambda truth, answer: keras.ops.log(each_row(answer, answer) - 1.0))
    return model


def loss_of_a_partial(params, inputs, outputs):
    model = fine(params, inputs, outputs)
    model.compile("adam", partial(keras.losses.binary_crossentropy, label_smoothing=0.1))
    return model


class Squares(keras.losses.Loss):
    def call(self, truth, answer):
        return each_row(truth, answer)


SQUARES = Squares()


def clearing(params, inputs, outputs):
    keras.backend.clear_session()
    return fine(params, inputs, outputs)


def normalizing(params, inputs, outputs):
    first = keras.Input(inputs)
    return keras.Model(first, head(L.Normalization()(first), outputs))


def one_argument(truth):
    return truth


def one_number(truth, answer):
    return keras.ops.mean(keras.ops.square(truth - answer))


def each_row(truth, answer):
    return keras.ops.mean(keras.ops.square(truth - answer), axis=-1)


def kt_without_return(hp):
    hp.Int("units", 2, 4)


def kt_linear(hp):
    first = keras.Input((5,))
    return keras.Model(first, L.Dense(1)(L.Dense(hp.Int("units", 2, 4))(first)))


def optuna_pruned_at_the_default(trial):
    import optuna

    units, layers = trial.suggest_int("units", 2, 5), trial.suggest_int("layers", 1, 2)
    if units * layers < 4:
        raise optuna.TrialPruned("too small")
    model = keras.Sequential([L.Dense(units, activation="relu") for _ in range(layers)])
    model.add(L.Dense(1, activation="sigmoid"))
    return model


def kt_failed(hp):
    import keras_tuner

    units = hp.Choice("units", [2, 3, 4])
    if units == 3:
        raise keras_tuner.errors.FailedTrialError("three is wrong\nfor a reason")
    return keras.Sequential([L.Dense(units), L.Dense(1, activation="sigmoid")])


def own_loss(params, inputs, outputs):
    first = keras.Input(inputs)
    model = keras.Model(first, L.Dense(outputs.units, activation="sigmoid")(first))
    model.compile("adam", each_row)
    return model
