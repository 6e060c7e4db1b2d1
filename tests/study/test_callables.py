"""Functions passed to `hpsearch.tune` instead of their names."""

from __future__ import annotations

import copy
import functools
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from models import users_models

import hpsearch
from hpsearch.errors import SpecError
from hpsearch.spec.function_reference import load_function, load_object
from hpsearch.study.callables import make_function_overrides, name_function
from hpsearch.study.function_description import describe_function

X = np.random.default_rng(0).normal(size=(80, 4))
Y = (X[:, 0] > 0).astype(int)


def make_build(width: int, activation: str = "relu") -> Any:
    """A `build` as a notebook has it: of no file that a worker could import."""

    def build(params: Any, inputs: Any, outputs: Any) -> Any:
        import keras

        first = keras.Input(inputs)
        x = keras.layers.Dense(width * params["factor"], activation=activation)(first)
        return keras.Model(first, keras.layers.Dense(outputs.units, outputs.activation)(x))

    return build


def gap(truth: Any, prediction: Any, weights: Any) -> float:
    return float(np.abs(truth - prediction).mean())


def tune(root: Path, trials: int, **functions: Any) -> Any:
    declared = {
        "study": "handed",
        "data": {"test_fraction": 0.2},
        "cross_validation": {"folds": 2},
        "training": {"epochs": 1, "early_stopping": None},
        "objective": {"direction": "minimize"},
        "search_space": {"factor": [1, 2]},
        "budget": {"trials": trials},
        "selection": {"finalists": 0},
    }
    return hpsearch.tune(declared, data=(X, Y), offline=True, root=root, **functions)


@pytest.mark.usefixtures("inline_workers")
def test_a_study_of_a_function_goes_on_with_the_same_and_refuses_another(tmp_path: Path) -> None:
    counts = []
    for trials in (1, 2):
        result = tune(tmp_path, trials, model=make_build(3), metric=gap)
        counts.append([trial.state for trial in result.trials])
    assert [["COMPLETE"], ["COMPLETE", "COMPLETE"]] == counts
    with pytest.raises(SpecError, match=r"model: .*model_\w+.py:build' then, "):
        tune(tmp_path, 3, model=make_build(4), metric=gap)


def test_a_function_is_kept_as_source_and_by_value(tmp_path: Path) -> None:
    reference = name_function(make_build(3), "model", tmp_path)
    place, name = reference.rsplit(":", 1)
    assert "build" == name
    text = Path(place).read_text(encoding="utf-8")
    assert "# def build(params: Any, inputs: Any, outputs: Any) -> Any:" in text
    assert "# width = 3" in text
    assert callable(load_function(reference))


def test_the_file_is_another_once_a_value_that_the_function_uses_is_another(tmp_path: Path) -> None:
    names = [
        name_function(make_build(*given), "model", tmp_path)
        for given in [(3,), (3,), (4,), (3, "tanh")]
    ]
    assert names[0] == names[1]
    assert 3 == len(set(names))


def test_a_function_of_a_module_is_named_by_its_file(tmp_path: Path) -> None:
    expected = f"{Path(users_models.__file__).resolve()}:tutorial"
    assert expected == name_function(users_models.tutorial, "model", tmp_path)
    assert [] == list(tmp_path.glob("*.py"))


def test_an_instance_keeps_its_plain_values(tmp_path: Path) -> None:
    class Counter:
        def __init__(self, start: int) -> None:
            self.start = start

        def __call__(self) -> int:
            return self.start

    found = load_object(name_function(Counter(5), "model", tmp_path))
    assert 5 == found()
    assert list(describe_function(Counter(5))) != list(describe_function(Counter(6)))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (lambda hp: None, '{"keras_tuner": '),
        (lambda trial: None, '{"optuna": '),
        (lambda params, inputs, outputs: None, '"'),
        (users_models.Conditional(), '{"keras_tuner": '),
        ("mlp", '"mlp"'),
    ],
)
def test_who_calls_a_function_is_told_by_what_it_takes(
    given: Any, expected: str, tmp_path: Path
) -> None:
    [override] = make_function_overrides(tmp_path, model=given)
    assert override.startswith(f"model={expected}")


def test_an_object_that_keras_cannot_restore_is_taken_by_its_class(tmp_path: Path) -> None:
    import keras

    class Squares(keras.losses.Loss):
        def call(self, truth: Any, prediction: Any) -> Any:
            return keras.ops.mean(keras.ops.square(truth - prediction), axis=-1)

    with pytest.raises(SpecError, match=r"Squares cannot be taken .* or hand over its class$"):
        name_function(Squares(), "loss", tmp_path)
    assert issubclass(load_object(name_function(Squares, "loss", tmp_path)), keras.losses.Loss)
    shipped = keras.losses.Huber(0.5)
    named = name_function(shipped, "loss", tmp_path)
    assert isinstance(load_object(named), keras.losses.Huber)
    assert named == name_function(shipped, "loss", tmp_path)


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"takes \(a, b\). Known: build\(params, inputs"):
        make_function_overrides(tmp_path, model=lambda a, b: None)
    with pytest.raises(SpecError, match=r"callbacks: hand over a function .* Received: 3"):
        make_function_overrides(tmp_path, callbacks=[3])
    one = lambda: None  # noqa: E731
    single, several = (make_function_overrides(tmp_path, callbacks=c) for c in (one, [one]))
    assert single == several
    lock = threading.Lock()
    with pytest.raises(SpecError, match=r"loss: .* cannot be taken to a worker: TypeError"):
        make_function_overrides(tmp_path, loss=lambda truth, prediction: lock)


def make_builder(table: Any) -> Any:
    def build(hp: Any) -> Any:
        return table, hp

    return build


class Network:
    def __init__(self, sizes: Any) -> None:
        self.sizes = sizes

    def build(self, hp: Any) -> Any:
        return self.sizes, hp


def with_units(hp: Any, units: Any) -> Any:
    return hp, units


@pytest.mark.parametrize(
    "make",
    [
        make_builder,
        lambda value: functools.partial(with_units, units=value),
        lambda value: Network(value).build,
        Network,
    ],
    ids=["closure", "partial", "method", "instance"],
)
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.zeros(5000), np.r_[np.zeros(4999), 1]),
        ([1, 2, 1], [1, 2, 2]),
        ({"a": [np.ones(2)]}, {"a": [np.ones(3)]}),
        (pd.DataFrame({"a": ["x"]}), pd.DataFrame({"a": ["y"]})),
    ],
    ids=["array", "list", "dict", "frame"],
)
def test_every_value_that_a_function_holds_tells_it_apart(
    tmp_path: Path, make: Any, one: Any, other: Any
) -> None:
    def name(value: Any) -> str:
        return name_function(make(value), "model", tmp_path)

    assert name(one) == name(copy.deepcopy(one)) != name(other)
