"""Search spaces of Keras Tuner and Optuna models, converted to declarations."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras_tuner
import pytest

from hpsearch.errors import HpsearchError
from hpsearch.models.family_registry import load_family
from hpsearch.models.outputs import Outputs
from hpsearch.spec.study_spec import StudySpec
from hpsearch.training.model_inspection import discover_space, inspect_model, why_input_mismatch
from hpsearch.training.problem import Problem, sample_problem
from tests import small_problem
from tests.models import users_models

FILE = Path(users_models.__file__)
ONE = Outputs(1, "sigmoid")


def space_of(name: str, convention: str = "keras_tuner") -> dict[str, Any]:
    return dict(discover_space(f"{convention}:{FILE}:{name}").declared)


def keras_tuners(build: Any, tmp_path: Path) -> dict[str, Any]:
    """Keras Tuner's own space of a build function, by name."""
    tuner = keras_tuner.RandomSearch(build, objective="loss", directory=tmp_path)
    return {hp.name: hp for hp in tuner.oracle.get_space().space}


def test_every_type_of_keras_tuner_has_its_range() -> None:
    expected = {
        "whole": {"type": "int", "low": 2, "high": 20, "step": 3},
        "octaves": {"type": "int", "low": 1, "high": 1000, "log": True},
        "real": {"type": "float", "low": 0.0, "high": 1.0},
        "steps": {"type": "float", "low": 0.0, "high": 0.5, "step": 0.25},
        "scaled": {"type": "float", "low": 1e-5, "high": 1e-1, "log": True},
        "number": {"type": "categorical", "choices": [1.5, 2.5]},
        "text": {"type": "categorical", "choices": ["a", "b"]},
        "truth": {"type": "categorical", "choices": [True, False]},
        "fixed": {"type": "fixed", "value": "always"},
        "units": {"type": "int", "low": 4, "high": 8},
    }
    assert expected == space_of("many")


@pytest.mark.parametrize("name", ["many", "Conditional", "tutorial"])
def test_the_space_has_the_names_and_values_of_keras_tuners_own(name: str, tmp_path: Path) -> None:
    own = getattr(users_models, name)
    theirs = keras_tuners(own() if isinstance(own, type) else own, tmp_path)
    found = space_of(name)
    assert theirs.keys() - found.keys() == set()
    # Keras Tuner meets the later turns of a loop only when a trial takes them.
    assert {"units_1", "units_2"} >= found.keys() - theirs.keys()
    declared = {k: v for k, v in found.items() if k in theirs}
    spec = StudySpec.model_validate({"data": {}, "search_space": {**found, **declared}})
    for parameter in spec.space:
        if parameter.name in theirs and parameter.size < 30:
            ours = sorted(parameter.value(k) for k in range(int(parameter.size)))
            expected = sorted(theirs[parameter.name].values)
            assert ours == (pytest.approx(expected) if isinstance(ours[0], float) else expected)


def test_conditions_are_those_that_keras_tuner_holds(tmp_path: Path) -> None:
    theirs = {
        name: {c.name: list(c.values) for c in hp.conditions}
        for name, hp in keras_tuners(users_models.Conditional(), tmp_path).items()
    }
    found = {name: d.get("when", {}) for name, d in space_of("Conditional").items()}
    assert theirs == found
    assert {"kind": ["dense"], "regularized": [True]} == found["rate"]


def test_a_function_a_class_and_an_instance_are_the_same_to_us() -> None:
    assert space_of("Conditional") == space_of("conditional")


def test_a_step_on_a_log_scale_is_a_list_and_reverse_log_is_drawn_evenly() -> None:
    found = space_of("reversed_log")
    assert {"type": "float", "low": 0.5, "high": 0.99} == found["rho"]
    assert "categorical" == found["rate"]["type"]
    assert pytest.approx([1e-4, 1e-3, 1e-2, 1e-1]) == found["rate"]["choices"]


def test_an_optuna_function_tells_its_space_with_its_branches() -> None:
    unit = {"type": "int", "low": 4, "high": 32, "log": True}
    rate = {"type": "float", "low": 0.0, "high": 0.4, "step": 0.1}
    expected = {
        "n_layers": {"type": "int", "low": 0, "high": 2},
        "optimizer": {"type": "categorical", "choices": ["SGD", "RMSprop"]},
        "learning_rate": {"type": "float", "low": 1e-3, "high": 1e-1, "log": True},
        "momentum": {"type": "float", "low": 0.0, "high": 0.9, "when": {"optimizer": ["SGD"]}},
        "n_units_0": {**unit, "when": {"n_layers": [1, 2]}},
        "dropout_0": {**rate, "when": {"n_layers": [1, 2]}},
        "n_units_1": {**unit, "when": {"n_layers": [2]}},
        "dropout_1": {**rate, "when": {"n_layers": [2]}},
    }
    assert expected == space_of("define_by_run", "optuna")


@pytest.mark.parametrize(
    ("convention", "name"), [("keras_tuner", "scoped_rates"), ("optuna", "branched_rates")]
)
def test_one_name_may_have_a_range_in_each_branch(convention: str, name: str) -> None:
    rate = {"type": "float", "log": True}
    ranges = [
        {**rate, "low": 1e-3, "high": 1e-1, "when": {"optimizer": ["sgd"]}},
        {**rate, "low": 1e-5, "high": 1e-3, "when": {"optimizer": ["adam"]}},
    ]
    assert ranges == space_of(name, convention)["rate"]
    for params in ({"optimizer": "sgd", "rate": 0.01}, {"optimizer": "adam", "rate": 1e-4}):
        model = load_family(f"{convention}:{FILE}:{name}").build(params, None, ONE)
        assert params["rate"] == pytest.approx(float(model.optimizer.learning_rate))


def test_a_fit_of_the_users_may_set_batch_size_and_epochs() -> None:
    found = space_of("WithFit")
    assert {"type": "categorical", "choices": [16, 32]} == found["batch_size"]
    assert {"type": "fixed", "value": 2} == found["epochs"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("WithFit", None),
        ("Shuffling", "HyperModel.fit sets shuffle"),
        ("OwnLoop", "HyperModel.fit works with the data or the model (TypeError)"),
    ],
)
def test_a_fit_that_does_more_has_to_be_run_as_it_is(name: str, why: str | None) -> None:
    assert why == discover_space(f"keras_tuner:{FILE}:{name}").own_fit


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("without_loss", "names no loss: give one, or do not compile the model"),
        ("failing", r"users_models.py:\d+: ZeroDivisionError: of the user's"),
        ("nothing_of_that_name", "users_models.py has no function 'nothing_of_that_name'"),
        ("keras", "keras is neither a function build.hp. nor a keras_tuner.HyperModel"),
    ],
)
def test_a_model_of_keras_tuner_that_cannot_be_used_says_why(name: str, why: str) -> None:
    with pytest.raises(HpsearchError, match=why):
        discover_space(f"keras_tuner:{FILE}:{name}")


def test_an_optuna_model_that_cannot_be_used_says_why() -> None:
    with pytest.raises(
        HpsearchError, match=r"'layer'\) offers <class .*Name the object by a string"
    ):
        discover_space(f"optuna:{FILE}:of_objects")


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("keras_tuner:with_lambda", r"layer 'lambda\w*' contains a lambda"),
        ("optuna:with_own_layer", r"layer 'doubled\w*' is a Doubled, a custom class"),
    ],
)
def test_code_of_the_users_in_a_model_is_known(model: str, code: str) -> None:
    convention, name = model.split(":")
    assert re.match(code, discover_space(f"{convention}:{FILE}:{name}").own_code or "")


def test_a_fixed_input_that_is_not_the_datas_is_refused_with_both() -> None:
    examined = discover_space(f"keras_tuner:{FILE}:conditional")
    assert why_input_mismatch(examined, (5,)) is None
    told = why_input_mismatch(examined, (30,))
    assert told is not None
    assert "takes 5 features" in told
    assert "the data have 30 after encoding" in told
    assert why_input_mismatch(discover_space(f"keras_tuner:{FILE}:tutorial"), (30,)) is None


def test_a_trials_params_make_the_model_that_the_function_makes_of_them() -> None:
    family = load_family(f"keras_tuner:{FILE}:conditional")
    params = {
        "kind": "dense",
        "body/units": 16,
        "regularized": True,
        "rate": 0.3,
        "optimizer": "sgd",
        "nesterov": True,
        "momentum": 0.9,
    }
    model = family.build(params, (5,), ONE)
    assert 16 == model.layers[1].units
    assert 0.3 == model.layers[2].rate
    assert model.optimizer.nesterov


def sample(function: str) -> Problem:
    return sample_problem(replace(small_problem.problem(), model=f"{FILE}:{function}"))


def test_what_a_plain_function_looks_up_is_known() -> None:
    points = [{"width": 4, "optimizer": "sgd"}]
    told = inspect_model(sample("plain_compiled"), points)
    assert (True, ("width",)) == (told.compiled, told.read)
    told = inspect_model(sample("plain_that_reads_its_optimizer"), points)
    assert (True, ("optimizer",)) == (told.compiled, told.read)


def test_a_plain_function_that_fails_at_every_point_says_where() -> None:
    with pytest.raises(HpsearchError, match=r"users_models.py:\d+: KeyError: 'width'"):
        inspect_model(sample("plain_compiled"), [{}, {"units": 3}])
