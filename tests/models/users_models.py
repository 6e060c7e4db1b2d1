"""Models as users of Keras Tuner and Optuna write them; nothing here knows hpsearch."""

import keras
import keras_tuner


def tutorial(hp):
    """Keras Tuner's own getting-started example, for a binary target."""
    model = keras.Sequential()
    model.add(keras.layers.Flatten())
    for i in range(hp.Int("num_layers", 1, 3)):
        model.add(
            keras.layers.Dense(
                units=hp.Int(f"units_{i}", min_value=4, max_value=16, step=4),
                activation=hp.Choice("activation", ["relu", "tanh"]),
            )
        )
    if hp.Boolean("dropout"):
        model.add(keras.layers.Dropout(rate=0.25))
    model.add(keras.layers.Dense(1, activation="sigmoid"))
    learning_rate = hp.Float("lr", min_value=1e-4, max_value=1e-2, sampling="log")
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=learning_rate),
        loss="binary_crossentropy",
        metrics=["accuracy"],
    )
    return model


class Conditional(keras_tuner.HyperModel):
    """Scopes, nested scopes, `parent_name`, name scopes, and a fixed value."""

    def build(self, hp):
        kind = hp.Choice("kind", ["linear", "dense"])
        hp.Fixed("momentum", 0.9)
        x = first = keras.Input((5,))
        with hp.conditional_scope("kind", ["dense"]):
            if kind == "dense":
                with hp.name_scope("body"):
                    units = hp.Int("units", 4, 64, step=2, sampling="log")
                x = keras.layers.Dense(units, activation="relu")(x)
                regularized = hp.Boolean("regularized")
                with hp.conditional_scope("regularized", [True]):
                    if regularized:
                        x = keras.layers.Dropout(hp.Float("rate", 0.1, 0.5, step=0.1))(x)
        optimizer = hp.Choice("optimizer", ["sgd", "adam"])
        nesterov = hp.Boolean("nesterov", parent_name="optimizer", parent_values=["sgd"])
        if optimizer == "sgd":
            optimizer = keras.optimizers.SGD(0.01, momentum=0.9, nesterov=nesterov)
        model = keras.Model(first, keras.layers.Dense(3)(x))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss, metrics=["accuracy"])
        return model


conditional = Conditional()


def define_by_run(trial):
    """As an objective of Optuna's builds its model."""
    x = first = keras.Input((5,))
    for i in range(trial.suggest_int("n_layers", 0, 2)):
        x = keras.layers.Dense(trial.suggest_int(f"n_units_{i}", 4, 32, log=True), "relu")(x)
        x = keras.layers.Dropout(trial.suggest_float(f"dropout_{i}", 0.0, 0.4, step=0.1))(x)
    model = keras.Model(first, keras.layers.Dense(1)(x))
    name = trial.suggest_categorical("optimizer", ["SGD", "RMSprop"])
    rate = trial.suggest_float("learning_rate", 1e-3, 1e-1, log=True)
    options = {"momentum": trial.suggest_float("momentum", 0.0, 0.9)} if name == "SGD" else {}
    model.compile(getattr(keras.optimizers, name)(rate, **options), "mse")
    return model


class WithFit(keras_tuner.HyperModel):
    """Sets batch size and epochs as Keras Tuner's guide does."""

    def build(self, hp):
        model = keras.Sequential([keras.layers.Dense(hp.Choice("units", [4, 8])), OUTPUT()])
        model.compile("adam", "binary_crossentropy")
        return model

    def fit(self, hp, model, *args, **kwargs):
        batch_size = hp.Choice("batch_size", [16, 32])
        return model.fit(*args, batch_size=batch_size, epochs=2, **kwargs)


class Shuffling(WithFit):
    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, shuffle=hp.Boolean("shuffle"), **kwargs)


class OwnLoop(WithFit):
    def fit(self, hp, model, x, y, validation_data, callbacks=None, **kwargs):
        for row, truth in zip(x, y, strict=True):
            model.train_on_batch(row, truth)


def OUTPUT():  # noqa: N802  # a layer for the models above
    return keras.layers.Dense(1, activation="sigmoid")


def uncompiled(hp):
    return keras.Sequential([keras.layers.Dense(hp.Int("units", 4, 8)), OUTPUT()])


def with_lambda(hp):
    doubled = keras.layers.Lambda(lambda x: 2 * x)
    layers = [keras.layers.Dense(hp.Int("units", 4, 8)), OUTPUT()]
    return keras.Sequential([*layers[:1], doubled, *layers[1:]])


class Doubled(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs


def with_own_layer(trial):
    trial.suggest_int("units", 4, 8)
    return keras.Sequential([keras.Input((5,)), Doubled(), OUTPUT()])


def without_loss(hp):
    model = uncompiled(hp)
    model.compile("adam")
    return model


def failing(hp):
    raise ZeroDivisionError("of the user's")


def of_objects(trial):
    trial.suggest_categorical("layer", [keras.layers.Dense, keras.layers.Dropout])


def reversed_log(hp):
    model = keras.Sequential([keras.layers.Dropout(0.1), OUTPUT()])
    rho = hp.Float("rho", 0.5, 0.99, sampling="reverse_log")
    rate = hp.Float("rate", 1e-4, 1e-1, step=10, sampling="log")
    model.compile(keras.optimizers.RMSprop(rate, rho=rho), "binary_crossentropy")
    return model


def many(hp):
    """Everything that has a type; for the comparison with Keras Tuner's own space."""
    hp.Int("whole", 2, 20, step=3)
    hp.Int("octaves", 1, 1000, sampling="log")
    hp.Float("real", 0.0, 1.0)
    hp.Float("steps", 0.0, 0.5, step=0.25)
    hp.Float("scaled", 1e-5, 1e-1, sampling="log")
    hp.Choice("number", [1.5, 2.5], default=2.5)
    hp.Choice("text", ["a", "b"], ordered=False)
    hp.Boolean("truth", default=True)
    hp.Fixed("fixed", "always")
    return uncompiled(hp)


def plain_compiled(params, inputs, outputs):
    first = keras.Input(inputs)
    x = keras.layers.Dense(params["width"], activation="tanh")(first)
    model = keras.Model(first, keras.layers.Dense(outputs.units, outputs.activation)(x))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "binary_crossentropy")
    return model


def plain_that_reads_its_optimizer(params, inputs, outputs):
    model = keras.Sequential([keras.Input(inputs), OUTPUT()])
    model.compile(params["optimizer"], "binary_crossentropy")
    return model


def scoped_rates(hp):
    """One name with a range for each optimizer, as Keras Tuner's scopes allow."""
    kind = hp.Choice("optimizer", ["sgd", "adam"])
    with hp.conditional_scope("optimizer", ["sgd"]):
        if kind == "sgd":
            rate = hp.Float("rate", 1e-3, 1e-1, sampling="log")
    with hp.conditional_scope("optimizer", ["adam"]):
        if kind == "adam":
            rate = hp.Float("rate", 1e-5, 1e-3, sampling="log")
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
    model.compile(loss="mse", optimizer=keras.optimizers.get(kind))
    model.optimizer.learning_rate = rate
    return model


def branched_rates(trial):
    """The same for Optuna."""
    kind = trial.suggest_categorical("optimizer", ["sgd", "adam"])
    low, high = (1e-3, 1e-1) if kind == "sgd" else (1e-5, 1e-3)
    rate = trial.suggest_float("rate", low, high, log=True)
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
    model.compile(loss="mse", optimizer=keras.optimizers.get(kind))
    model.optimizer.learning_rate = rate
    return model
