"""A custom function is built once per structure, not per trial, and agrees with `fit`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from training.test_compiled import fitted
from training.trainer_contract import curves_of_fit, first_fold, run, separable, spec

from hpsearch.training.problem import Problem
from hpsearch.training.vectorized import VectorizedTrainer
from hpsearch.training.vectorized.templates import Templates
from hpsearch.training.vectorized.watched_number import WatchedNumber, may_watch_numbers
from hpsearch.trial import TrialSpec

HEAD = "import keras\nfrom keras import layers as k\n\n"
BUILD = (
    HEAD
    + """
def build(params, inputs, outputs):
    p = {{"units": 6, **params}}
    x = first = keras.Input(inputs)
    {body}
    x = k.Dense(outputs.units, outputs.activation)(x)
    return keras.Model(first, x)
"""
)
DIRECT = """l2 = keras.regularizers.L2(p["shrinkage"])
    x = k.Dense(p["units"], "tanh", kernel_regularizer=l2)(x)
    x = k.Dropout(p["rate"])(x)"""


def problem_of_body(folder: Path, body: str) -> Problem:
    path = folder / "mine.py"
    path.write_text(BUILD.format(body=body))
    return replace(first_fold(separable()), model=f"{path}:build")


def trials_of(n: int = 4, **params: Any) -> list[Any]:
    return [
        spec(i, i, 2, rate=0.0, shrinkage=0.01 * (i + 1), learning_rate=0.01 * (i + 1), **params)
        for i in range(n)
    ]


def count_built(problem: Problem, trials: list[Any]) -> int:
    templates = Templates(problem)
    for trial in trials:
        templates.get(trial)
    return templates.built


def test_trials_that_differ_in_numbers_share_a_network_and_are_fit(tmp_path: Path) -> None:
    problem, trials = problem_of_body(tmp_path, DIRECT), trials_of()
    trainer = VectorizedTrainer(problem, placement="batch")
    results = run(trainer, trials)[1]
    assert 1 == trainer._engine.templates.built  # type: ignore[attr-defined]
    assert 1 == trainer._programs.count("segment")
    last = trials[-1]  # the network was built with the numbers of the first
    for name, expected in curves_of_fit(problem, last).items():
        np.testing.assert_allclose(expected, results[last.number].curves[name], rtol=1e-4)


def test_another_optimizer_or_batch_size_builds_nothing_more(tmp_path: Path) -> None:
    problem = problem_of_body(tmp_path, DIRECT)
    trials = [*trials_of(2), *trials_of(2, optimizer="sgd"), *trials_of(2, batch_size=16)]
    assert 1 == count_built(problem, trials)
    assert 2 == count_built(problem, [*trials, *trials_of(2, units=9)])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('x = k.Dense(4 if p["shrinkage"] > 0.02 else 6)(x)', 1 + 4),
        ('x = k.Dense(int(100 * p["shrinkage"]) + 1)(x)', 1 + 4),
        ('x = k.Dense(6, kernel_regularizer=keras.regularizers.L2(p["shrinkage"] / 2))(x)', 1 + 4),
        ('x = k.LeakyReLU(negative_slope=p["shrinkage"])(k.Dense(6)(x))', 1 + 4),
        ("x = k.Dense(6, name=f\"d{100 * p['shrinkage']:.0f}\")(x)", 1 + 4),
        (
            "x = k.Dense(6, kernel_initializer=keras.initializers.RandomNormal(0, "
            'p["shrinkage"]))(x)',
            1 + 4,
        ),
        ('x = x * keras.ops.exp(p["shrinkage"])', 4),  # may hide a number: each trial its own
        ('x = k.Lambda(lambda v: v * p["shrinkage"])(x)', 4),
    ],
)
def test_a_number_that_decides_about_the_structure_is_no_input(
    body: str, expected: int, tmp_path: Path
) -> None:
    """One more where a network was built to find that out."""
    problem = problem_of_body(tmp_path, body)
    assert expected == count_built(problem, [*trials_of(), *trials_of()])


@pytest.mark.long
def test_a_number_of_the_structure_is_trained_as_in_fit(tmp_path: Path) -> None:
    body = 'x = k.LeakyReLU(negative_slope=p["shrinkage"])(k.Dense(6)(x))'
    problem, trials = problem_of_body(tmp_path, body), trials_of(2)
    results = run(VectorizedTrainer(problem, placement="batch"), trials)[1]
    for trial in trials:
        for name, expected in curves_of_fit(problem, trial).items():
            np.testing.assert_allclose(
                expected, results[trial.number].curves[name], rtol=1e-4, err_msg=name
            )


COMPILED = (
    HEAD
    + """
def build(hp):
    model = keras.Sequential([
        k.Dense({units}, "tanh", kernel_regularizer=keras.regularizers.L2({shrinkage})),
        k.Dropout({rate}),
        k.Dense(1, "sigmoid"),
    ])
    optimizer = keras.optimizers.{optimizer}
    model.compile(optimizer, keras.losses.{loss}, metrics=[keras.metrics.AUC()])
    return model
"""
)
ASKED = {
    "keras_tuner": {
        "units": 'hp.Int("units", 4, 8)',
        "shrinkage": 'hp.Float("shrinkage", 1e-4, 1e-1)',
        "rate": 'hp.Float("rate", 0.0, 0.5)',
        "speed": 'hp.Float("learning_rate", 1e-3, 1.0)',
        "mass": 'hp.Float("mass", 0.0, 0.9)',
    },
    "optuna": {
        "units": 'hp.suggest_int("units", 4, 8)',
        "shrinkage": 'hp.suggest_float("shrinkage", 1e-4, 1e-1)',
        "rate": 'hp.suggest_float("rate", 0.0, 0.5)',
        "speed": 'hp.suggest_float("learning_rate", 1e-3, 1.0)',
        "mass": 'hp.suggest_float("mass", 0.0, 0.9)',
    },
}
MOMENTUM = "SGD({speed}, momentum={mass})"


def compiled_problem(
    folder: Path,
    convention: str = "keras_tuner",
    optimizer: str = MOMENTUM,
    loss: str = "BinaryCrossentropy()",
) -> Problem:
    asked, path = ASKED[convention], folder / "mine.py"
    text = {"optimizer": optimizer.format(**asked), "loss": loss.format(**asked)}
    path.write_text(COMPILED.format(**{**asked, **text}))
    return replace(first_fold(separable()), model=f"{convention}:{path}:build")


def compiled_trials(n: int = 4, **params: Any) -> list[Any]:
    given = {"units": 6, "batch_size": 32, "rate": 0.0, **params}
    return [
        TrialSpec(
            i,
            {
                **given,
                "shrinkage": 0.01 * i,
                "learning_rate": 0.01 * (i + 1),
                "mass": 0.3 * (i % 3),
            },
            seed=i,
            epochs=2,
        )
        for i in range(n)
    ]


@pytest.mark.parametrize("convention", ASKED)
@pytest.mark.filterwarnings("error:The value")
def test_a_function_that_compiles_its_model_is_built_once_per_structure(
    convention: str, tmp_path: Path
) -> None:
    problem = compiled_problem(tmp_path, convention)
    assert 1 == count_built(problem, [*compiled_trials(), *compiled_trials(batch_size=16)])
    assert 2 == count_built(problem, [*compiled_trials(), *compiled_trials(units=5)])


@pytest.mark.parametrize("placement", ["threads", pytest.param("batch", marks=pytest.mark.long)])
def test_compiled_models_that_share_a_network_are_fit(placement: Any, tmp_path: Path) -> None:
    problem, trials = compiled_problem(tmp_path), compiled_trials(2)
    trainer = VectorizedTrainer(problem, placement=placement)
    results = run(trainer, trials)[1]
    assert 1 == trainer._engine.templates.built  # type: ignore[attr-defined]
    expected = fitted(problem, trials[-1])[0]
    np.testing.assert_allclose(results[1].curves["train/loss"][:, 0], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("optimizer", "loss", "built"),
    [
        ("Adam({speed}, beta_1={mass})", "BinaryFocalCrossentropy()", 1),
        ("Adagrad({speed}, initial_accumulator_value={mass})", "BinaryCrossentropy()", 1),
        ("AdamW({speed}, weight_decay={mass})", "BinaryCrossentropy()", 1),
        ("SGD({speed}, clipvalue={mass})", "BinaryCrossentropy()", 1 + 3),  # 0: no limit
        ("SGD({speed})", "BinaryCrossentropy(label_smoothing={mass})", 1 + 3),
        ("SGD({speed} / 2)", "BinaryCrossentropy()", 1 + 4),
        ("SGD({speed}) if {mass} > 0.2 else 'adam'", "BinaryCrossentropy()", 1 + 3),
    ],
)
def test_a_number_of_a_compiled_model_is_an_input_if_its_optimizer_reads_it(
    optimizer: str, loss: str, built: int, tmp_path: Path
) -> None:
    """The trials have the numbers that networks of their own would have."""
    problem, trials = compiled_problem(tmp_path, optimizer=optimizer, loss=loss), compiled_trials()
    shared, own = Templates(problem), Templates(problem)
    own._may_watch = False
    for trial in trials:
        params = shared.resolve(trial)
        numbers = [t.get(trial).numbers(problem, trial, params, 1) for t in (shared, own)]
        for one, other in zip(*map(jax.tree.leaves, numbers), strict=True):
            np.testing.assert_array_equal(one, other)
        assert shared.get(trial).key == own.get(trial).key
    assert built == shared.built


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BUILD.format(body=DIRECT), True),
        ("import math\n" + BUILD.format(body=DIRECT), False),
        ("import numpy as np\n" + BUILD.format(body=DIRECT), False),
        ("from keras import ops\n" + BUILD.format(body=DIRECT), False),
        ("import keras.random\n" + BUILD.format(body=DIRECT), False),
        ("class Own(keras.Model):\n    pass\n" + BUILD.format(body=DIRECT), False),
        (BUILD.format(body="x = [v for v in params.values()]"), False),
    ],
)
def test_a_file_that_may_hide_numbers_is_told(text: str, expected: bool, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    assert expected == may_watch_numbers(f"{path}:build")
    assert expected == may_watch_numbers(f"keras_tuner:{path}:build")


def test_a_name_that_the_function_makes_is_one_that_it_reads(tmp_path: Path) -> None:
    problem = compiled_problem(tmp_path)
    path = tmp_path / "mine.py"
    text = path.read_text().replace('"learning_rate"', "f\"learning_{'rate'}\"")
    path.write_text(text)
    trials = compiled_trials()
    templates = Templates(problem)
    rates = [
        templates.get(t).numbers(problem, t, templates.resolve(t), 1).schedule.rate for t in trials
    ]
    np.testing.assert_array_equal(
        np.float32([t.params["learning_rate"] for t in trials]), np.asarray(rates)
    )
    assert 1 == templates.built


def test_every_look_at_a_number_is_noticed() -> None:
    looks = [
        *(lambda n: n + 1, lambda n: 1 - n, lambda n: n**2, lambda n: n < 1, bool, int, float),
        *(round, str, repr, hash, lambda n: f"{n}", lambda n: sum([n]), lambda n: max(n, 1)),
        *(lambda n: divmod(n, 2), lambda n: n.is_integer(), lambda n: {n: 1}, lambda n: n == 0.1),
    ]
    for look in looks:
        seen: set[str] = set()
        look(WatchedNumber(0.1, "rate", seen))
        assert {"rate"} == seen, look
