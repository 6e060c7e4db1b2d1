"""Optimizers have Keras's names and arguments."""

from __future__ import annotations

import inspect
import math

import keras
import pytest

from hpsearch.errors import SpecError
from hpsearch.spec import parameter_domains as table
from hpsearch.spec.parameter_domains import Domain
from hpsearch.training.optimizers import OPTIMIZERS, list_optimizer_params, make_optimizer

# Of `keras.optimizers` these are no update rules of their own.
WRAPPERS = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer"}


def test_every_optimizer_of_keras_is_offered() -> None:
    kinds = {
        name
        for name, value in vars(keras.optimizers).items()
        if inspect.isclass(value) and issubclass(value, keras.optimizers.Optimizer)
    }
    assert kinds - WRAPPERS == {kind for kind, _ in OPTIMIZERS.values()}


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_every_optimizer_reads_what_its_keras_class_takes(name: str) -> None:
    known = inspect.signature(getattr(keras.optimizers, OPTIMIZERS[name][0])).parameters
    assert set(list_optimizer_params(name)) <= known.keys()


def bounds(domain: Domain) -> list[object]:
    """The ends of a domain, or values just inside them."""
    if domain.type == "bool":
        return [True, False]
    low = domain.low + 1e-6 * domain.excludes_low
    high = domain.high - 1e-6 * domain.excludes_high
    kind = int if domain.type == "int" else float
    found: list[object] = [kind(end) for end in (low, high) if math.isfinite(end)]
    return [*found, None] if domain.nullable else found


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_keras_takes_the_bounds_of_every_argument(name: str) -> None:
    for argument, domain in table.OPTIMIZER_DOMAINS[name].items():
        for value in bounds(domain):
            config = make_optimizer({"optimizer": name, argument: value}).get_config()
            assert value == pytest.approx(config[argument])


def test_activations_and_initializers_are_those_of_keras() -> None:
    from keras.src.activations import ALL_OBJECTS_DICT

    assert set(ALL_OBJECTS_DICT) - {"glu", "threshold"} == set(table.ACTIVATIONS)
    for name in table.INITIALIZERS:
        assert (3, 2) == keras.initializers.get(name)((3, 2)).shape


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_the_defaults_are_those_of_keras(name: str) -> None:
    made = make_optimizer({"optimizer": name}).get_config()
    theirs = getattr(keras.optimizers, OPTIMIZERS[name][0])().get_config()
    assert 1e-3 == pytest.approx(made["learning_rate"])
    for key in ("name", "learning_rate"):
        made.pop(key)
        theirs.pop(key)
    assert theirs == made


def test_arguments_reach_the_optimizer_and_others_do_not_matter() -> None:
    params = {"optimizer": "sgd", "learning_rate": 0.5, "momentum": 0.9, "units": 3, "beta_1": 0.1}
    config = make_optimizer(params).get_config()
    assert (0.5, 0.9) == (config["learning_rate"], config["momentum"])


def test_an_unknown_optimizer_is_named_with_the_known_ones() -> None:
    with pytest.raises(SpecError, match=r"'adan' does not exist\. Known: adadelta, "):
        list_optimizer_params("adan")
