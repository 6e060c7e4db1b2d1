"""The private parts of Keras that hpsearch uses work in the installed version."""

import keras
import numpy as np
import pytest

from hpsearch.compat import keras as compat


def functional() -> keras.Model:
    rows = keras.Input((3,))
    hidden = keras.layers.Dense(4, activation="relu")(rows)
    return keras.Model(rows, keras.layers.Dense(1)(hidden))


def test_variables_made_without_values_get_none_afterwards():
    with compat.without_values() as scope:
        model = functional()
    with keras.StatelessScope():
        pass
    assert {} == scope.state_mapping
    assert [None] * 4 == [variable._value for variable in model.weights]


def test_an_optimizer_made_without_values_has_its_own():
    with compat.without_values(), compat.optimizers_with_values():
        optimizer = keras.optimizers.SGD(0.5)
    assert (0.5, 0) == (float(optimizer.learning_rate), int(optimizer.iterations))


def test_the_users_seed_is_told_from_a_made_up_one():
    seeded = [keras.initializers.HeNormal(seed) for seed in (3, None)]
    assert [3, None] == list(map(compat.user_seed, seeded))
    assert compat.user_seed(keras.initializers.Zeros()) is None


@pytest.mark.parametrize(("seed", "found"), [(None, None), (5, 5)])
def test_a_layer_that_clones_its_initializer_shows_the_users_seed_alone(seed, found):
    layer = keras.layers.EinsumDense(
        "ab,bc->ac", 4, kernel_initializer=keras.initializers.GlorotUniform(seed)
    )
    with compat.without_values():
        layer.build((None, 3))
    compat.forget_made_up_seed(layer)
    assert found == compat.user_seed(compat.variable_initializer(layer.kernel))


def test_fans_are_inputs_and_outputs_of_a_unit():
    initializer = keras.initializers.GlorotUniform()
    assert [(3, 4), (2 * 3 * 5, 2 * 3 * 7)] == [
        compat.compute_fans(shape, initializer) for shape in ((3, 4), (2, 3, 5, 7))
    ]


def test_a_functional_model_is_told_from_others():
    class Own(keras.Model):
        pass

    assert [True, False, False] == [
        compat.is_functional(m) for m in (functional(), keras.Sequential(), Own())
    ]


def test_all_layers_are_listed_those_inside_a_model_too():
    inner = functional()
    outer = keras.Sequential([keras.Input((3,)), inner])
    inside = compat.flat_layers(outer)
    assert inside[0] is outer
    assert {layer.name for layer in inner.layers} < {layer.name for layer in inside}
    assert outer not in compat.flat_layers(outer, include_self=False)


def test_a_layer_that_feeds_two_feeds_neither_alone():
    rows = keras.Input((3,))
    hidden = keras.layers.Dense(4)
    middle = keras.layers.Dense(4)
    both = keras.layers.Add()
    first = hidden(rows)
    keras.Model(rows, both([first, middle(first)]))
    assert not compat.feeds_alone(hidden, middle)
    assert not compat.feeds_alone(middle, both)
    _, before, after = functional().layers
    assert compat.feeds_alone(before, after)


def test_the_layer_of_an_output_is_found():
    model = functional()
    assert compat.layer_of(model.outputs[0]) is model.layers[-1]


def test_what_was_compiled_is_read():
    model = functional()
    assert {} == compat.compile_settings(model)
    model.compile("sgd", "mse", loss_weights=[2.0])
    assert [2.0] == compat.compile_settings(model)["loss_weights"]


def test_a_loss_of_a_function_has_its_name_and_costs_what_it_returns():
    def absolute(truth, answer):
        return keras.ops.abs(truth - answer)[:, 0]

    loss = compat.loss_of_function(absolute)
    assert ("absolute", "other") == (loss.name, compat.loss_of_function(absolute, "other").name)
    assert 1.5 == float(loss(np.zeros((2, 1)), np.array([[1.0], [2.0]])))


def test_the_arguments_of_a_loss_are_read():
    loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.25)
    arguments = compat.loss_arguments(loss)
    assert (True, 0.25) == (arguments["from_logits"], arguments["label_smoothing"])
    assert {} == compat.loss_arguments(object())


def test_a_schedule_is_told_from_a_rate():
    decay = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    assert compat.learning_rate(keras.optimizers.SGD(decay)) is decay
    assert isinstance(compat.learning_rate(keras.optimizers.SGD(0.1)), keras.Variable)


def test_averages_of_the_weights_are_found():
    optimizer = keras.optimizers.SGD(0.1, use_ema=True)
    optimizer.build([keras.Variable(np.ones(3, np.float32))])
    assert [(3,)] == [tuple(v.shape) for v in compat.moving_averages(optimizer)]


def test_a_variable_excluded_from_weight_decay_is_seen():
    optimizer = keras.optimizers.AdamW()
    assert not compat.excludes_from_weight_decay(optimizer)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    assert compat.excludes_from_weight_decay(optimizer)


def test_a_variable_takes_the_path_of_another():
    variable = keras.Variable(np.ones(2))
    compat.set_path(variable, "dense/kernel")
    assert "dense/kernel" == variable.path


def test_layers_are_listed_with_their_models_and_frozen_weights_are_told_from_statistics():
    inner = [
        keras.Input((2,)),
        keras.layers.Dense(2, name="deep"),
        keras.layers.BatchNormalization(name="norm"),
    ]
    model = keras.Sequential(
        [keras.Sequential(inner, name="inner"), keras.layers.Dense(1, name="head")]
    )
    model.build((None, 2))
    names = [path for path, layer in compat.list_named_layers(model) if layer.weights]
    assert ["inner", "inner/deep", "inner/norm", "head"] == names
    assert [] == compat.frozen_variables(model)
    model.get_layer("inner").trainable = False
    assert {"kernel", "bias", "gamma", "beta"} == {v.name for v in compat.frozen_variables(model)}
