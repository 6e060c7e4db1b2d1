"""Models with one typical mistake each."""

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
