"""Lanes of a batch that share a program agree with `keras.Model.fit`, whatever trains beside them.

Every population has lanes of several optimizers, batch sizes, depths and widths, and more trials
than slots: a trial takes the slot of one that ended, beside others at later epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from training.test_shared_programs import BY_VARIABLE, FLAT
from training.test_vectorized_is_fit import (
    CASES,
    LOSS_ARGUMENTS,
    fit_curves,
    make_problem,
)
from training.trainer_contract import run

from hpsearch.training.problem import Problem
from hpsearch.training.vectorized import VectorizedTrainer
from hpsearch.training.vectorized.group_factory import GroupFactory
from hpsearch.training.vectorized.tile_entry import GroupSize
from hpsearch.trial import TrialSpec

pytestmark = pytest.mark.long

SIZES = {"layers": (1, 2, 3), "units": (4, 64), "batch_size": (10, 16)}
RATES = {"adadelta": 1.0, "lion": 0.001, "muon": 0.001, "ftrl": 0.05}


@pytest.fixture(autouse=True)
def few_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GroupFactory, "_size", lambda *_: GroupSize(3, 2, orders=2))


def mixed_problem(task: str = "binary", **changes: Any) -> Problem:
    return make_problem(task, batch_sizes_vary=True, sizes=SIZES, **changes)


def lanes_of(optimizers: Sequence[str], **params: Any) -> list[TrialSpec]:
    """A trial of each optimizer, in turn of each batch size, depth, width and length."""
    return [
        TrialSpec(
            n,
            {
                "optimizer": name,
                "learning_rate": RATES.get(name, 0.01) * (1 + n % 2),
                "batch_size": (16, 10)[n // 2 % 2],
                "layers": 1 + n % 3,
                "units": (4, 6, 40, 17)[n % 4],
                "l1": 0.001 * (n % 3),
                "l2": 0.002 * (n % 4),
                **{k: v * (1 - 0.04 * n) if k != "activation" else v for k, v in params.items()},
            },
            seed=20 + n,
            epochs=(3, 1, 2)[n % 3],
        )
        for n, name in enumerate(optimizers)
    ]


def assert_lanes_are_fit(
    problem: Problem, trials: Sequence[TrialSpec], n_programs: int | None = 1
) -> None:
    """Compare every epoch of the last fold of each trial.

    Ftrl begins with weights of 0, so that a deep network predicts a constant, as it does in `fit`.
    """
    trainer = VectorizedTrainer(problem, placement="batch")
    results = run(trainer, trials)[1]
    for trial in trials:
        result = results[trial.number]
        assert result.error is None or "predicts a constant" in result.error, trial.params
        curves = fit_curves(problem, trial, 1)
        for name, expected in zip(("train/loss", "val/loss"), curves, strict=True):
            told = f"{name} of {trial.params}"
            np.testing.assert_allclose(result.curves[name][:, 1], expected, 1e-4, err_msg=told)
    if n_programs is not None:
        assert n_programs == trainer._programs.count("segment")


def test_all_optimizers_that_share_a_program_are_fit() -> None:
    arguments = {"momentum": 0.8, "beta_1": 0.9, "beta_2": 0.99, "rho": 0.9, "weight_decay": 0.02}
    trials = lanes_of([*FLAT, "adam"], activation="tanh", **arguments)
    assert_lanes_are_fit(mixed_problem(optimizers=FLAT), trials)


@pytest.mark.parametrize("clip", ["clipvalue", "global_clipnorm"])
def test_clipped_lanes_are_fit(clip: str) -> None:
    optimizers = ("sgd", "adam", "rmsprop", "sgd", "adam")
    trials = lanes_of(optimizers, **{clip: 0.02})
    assert_lanes_are_fit(mixed_problem(optimizers=("sgd", "adam", "rmsprop")), trials)


@pytest.mark.parametrize("optimizer", BY_VARIABLE)
def test_lanes_of_an_optimizer_that_looks_at_each_variable_are_fit(optimizer: str) -> None:
    """Their programs are their own, beside those of the others."""
    trials = lanes_of([optimizer, "sgd", optimizer, optimizer, "sgd"])
    assert_lanes_are_fit(mixed_problem(optimizers=(optimizer, "sgd")), trials, None)


def test_lanes_clipped_by_the_norm_of_each_variable_are_fit() -> None:
    trials = lanes_of(["sgd", "adam", "sgd"], clipnorm=0.02)
    assert_lanes_are_fit(mixed_problem(optimizers=("sgd", "adam")), trials, None)


@pytest.mark.parametrize(("task", "loss"), CASES)
def test_lanes_of_every_loss_are_fit(task: str, loss: str) -> None:
    arguments = LOSS_ARGUMENTS.get(loss, {})
    trials = lanes_of(("sgd", "adam", "sgd", "adam"), **arguments)
    trials = [
        TrialSpec(t.number, {**t.params, "loss": loss}, t.seed, 1 + t.epochs % 2) for t in trials
    ]
    assert_lanes_are_fit(mixed_problem(task, optimizers=("adam", "sgd")), trials)


REGULARIZED = """
import keras
from keras import layers as k

def build(params, inputs, outputs):
    one, two = params["one"], params["two"]
    r = keras.regularizers
    x = first = keras.Input(inputs)
    dense = k.Dense(  # a bias of 0 has no derivative of its L1, which JAX and TensorFlow set apart
        6,
        "relu",
        bias_initializer="ones",
        kernel_regularizer=r.L1L2(one, two),
        bias_regularizer=r.L1(two),
    )
    x = dense(x)
    x = k.Dense(4, "tanh", kernel_regularizer=r.L2(one), activity_regularizer=r.L2(0.05))(x)
    x = k.Dense(outputs.units, outputs.activation, kernel_regularizer=r.L1(one))(x)
    return keras.Model(first, x)
"""


def test_regularizers_of_a_function_are_fit(tmp_path: Any) -> None:
    (tmp_path / "mine.py").write_text(REGULARIZED)
    trials = lanes_of(("sgd", "adam", "sgd", "adam", "adam"), one=0.01, two=0.02)
    model = f"{tmp_path / 'mine.py'}:build"
    assert_lanes_are_fit(mixed_problem(model=model, optimizers=("adam", "sgd")), trials)


def test_a_lane_among_64_mixed_ones_is_the_lane_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within rounding, also when others end, are stopped at a rung, and are replaced."""
    monkeypatch.setattr(GroupFactory, "_size", lambda *_: GroupSize(3, 16, orders=3))
    trainer = VectorizedTrainer(
        mixed_problem(optimizers=("sgd", "adam", "rmsprop")), placement="batch"
    )
    trials = [
        replace(t, params={**t.params, "dropout": 0.2}, rungs=(1,) if t.epochs == 3 else ())
        for t in lanes_of(["sgd", "adam", "rmsprop", "adam", "sgd"] * 13)
    ]
    among = run(trainer, trials, lambda report: report.epoch == 0 and report.trial % 4 == 3)[1]
    assert {"COMPLETE", "PRUNED"} == {result.state for result in among.values()}
    assert trainer._programs.count("segment") == 1
    for number in (6, 31, 64):
        alone = run(trainer, [trials[number]])[1][number]
        for name, curve in alone.curves.items():
            np.testing.assert_allclose(among[number].curves[name], curve, 2e-5, err_msg=name)
