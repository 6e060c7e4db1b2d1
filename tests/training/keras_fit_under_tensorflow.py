"""`keras_fit` under TensorFlow; `test_keras_fit.py` runs this file in a process of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from training.phased_training import check_phases_are_fits, check_resumed_phases
from training.trainer_contract import (
    TrainerContract,
    curves_of_fit,
    first_fold,
    images,
    linear,
    run,
    same,
    separable,
    sequences,
    spec,
    three_classes,
)

from hpsearch.models import make_training_defaults
from hpsearch.training.keras import graph_steps, shared_model
from hpsearch.training.keras.graph_steps import GraphSteps
from hpsearch.training.keras.keras_fit import KerasFitTrainer
from hpsearch.training.keras.shared_model import BatchSteps
from hpsearch.training.problem import Problem
from hpsearch.trial import TrialSpec


def test_the_backend_is_tensorflow() -> None:
    assert "tensorflow" == keras.backend.backend()


class TestKerasFit(TrainerContract):
    def make_trainer(self, problem: Problem) -> KerasFitTrainer:
        return KerasFitTrainer(problem)


@pytest.mark.parametrize(
    ("problem", "params"),
    [
        (separable(), {"l2": 1e-2}),
        (linear(), {"optimizer": "sgd", "momentum": 0.9, "nesterov": True}),
        (three_classes(), {"optimizer": "schedule_free_adamw", "normalization": "batch"}),
        (
            replace(separable(), weights=np.linspace(0, 2, 120, dtype=np.float32)),
            {"optimizer": "adamw", "weight_decay": 0.1, "label_smoothing": 0.1},
        ),
    ],
)
def test_every_loss_is_that_of_fit(problem: Problem, params: dict[str, Any]) -> None:
    problem, trial = first_fold(problem), spec(epochs=3, **params)
    curves = run(KerasFitTrainer(problem), [trial])[1][0].curves
    for name, expected in curves_of_fit(problem, trial).items():
        np.testing.assert_allclose(expected, curves[name], rtol=1e-5)


@pytest.mark.parametrize(
    ("problem", "params"),
    [
        # Where all units of a relu are active the next normalization takes their shift out: its
        # gradient is rounding alone, of which Adam makes whole steps.
        (
            replace(images(), model="cnn"),
            {"filters": 4, "normalization": "batch", "l2": 1e-3, "activation": "tanh"},
        ),
        (sequences(), {"cell": "gru", "layers": 2}),
        (replace(sequences(), model="conv1d"), {"filters": 4, "global_pooling": "average"}),
    ],
)
def test_every_loss_on_arrays_is_that_of_fit(problem: Problem, params: dict[str, Any]) -> None:
    problem, trial = first_fold(problem), spec(epochs=3, **params)
    curves = run(KerasFitTrainer(problem), [trial])[1][0].curves
    for name, expected in curves_of_fit(problem, trial).items():
        np.testing.assert_allclose(expected, curves[name], rtol=1e-4)


def test_trials_of_one_architecture_share_one_trace() -> None:
    trainer = KerasFitTrainer(separable())
    trials = [spec(n, n, 2, batch_size=8 * (n + 1), learning_rate=0.01 * n + 0.01) for n in (0, 1)]
    run(trainer, trials)
    (architecture,) = trainer._architectures.values()
    steps = architecture.shared_model._steps
    assert isinstance(steps, GraphSteps)
    assert [1, 0] == traces(steps)
    run(trainer, [spec(2, 2, 2, class_weight="balanced")])
    assert [architecture] == [*trainer._architectures.values()]
    assert [1, 1] == traces(steps)


def traces(steps: GraphSteps) -> list[int]:
    """Of the epoch without weights, and of the one with them."""
    epochs = steps._train_graph, steps._weighted_train_graph
    return [epoch.experimental_get_tracing_count() for epoch in epochs]


def user_model(tmp_path: Path, body: str) -> str:
    file = tmp_path / "mine.py"
    head = "import keras\n\ndef build(params, inputs, outputs):\n"
    file.write_text(head + "".join(f"    {line}\n" for line in body.splitlines()))
    return f"{file}:build"


def test_a_compiled_model_keeps_its_optimizer_and_loss(tmp_path: Path) -> None:
    model = user_model(
        tmp_path,
        "model = keras.Sequential([keras.layers.Dense(outputs.units, outputs.activation)])\n"
        "model.compile(keras.optimizers.SGD(0.0), 'sparse_categorical_crossentropy')\n"
        "return model",
    )
    result = run(KerasFitTrainer(replace(three_classes(), model=model)), [spec(epochs=3)])[1][0]
    assert (None, "COMPLETE") == (result.traceback, result.state)
    losses = result.curves["val/loss"]
    np.testing.assert_array_equal(losses[0], losses[2])  # its learning rate is 0
    np.testing.assert_allclose(result.curves["val/log_loss"], losses, rtol=1e-4)


def test_a_model_that_brings_its_weights_starts_from_them(tmp_path: Path) -> None:
    model = user_model(
        tmp_path,
        "model = keras.Sequential([keras.Input(inputs), keras.layers.Dense(1, 'sigmoid')])\n"
        "model.set_weights([w * 0 + 2 for w in model.get_weights()])\n"
        "return model",
    )
    trainer = KerasFitTrainer(replace(separable(), model=model))
    (first, second) = trainer.fit(spec(epochs=1, learning_rate=1e-9))
    np.testing.assert_allclose(first, 2, rtol=1e-5)
    np.testing.assert_allclose(second, 2, rtol=1e-5)


def test_an_output_of_the_wrong_shape_says_what_the_task_needs(tmp_path: Path) -> None:
    model = user_model(
        tmp_path,
        "return keras.Sequential([keras.Input(inputs), keras.layers.Dense(2, 'softmax')])",
    )
    result = run(KerasFitTrainer(replace(separable(), model=model)), [spec()])[1][0]
    assert "FAILED" == result.state
    assert "(None, 2), but the task needs (None, 1)" in (result.error or "")


STEPS = 4  # batches of 25 in the first fold's 80 rows


@pytest.mark.parametrize(
    ("params", "twin"),
    [
        (
            {"schedule": "exponential", "decay_rate": 0.3},
            lambda: keras.optimizers.schedules.ExponentialDecay(0.05, STEPS, 0.3),
        ),
        (
            {"schedule": "cosine", "warmup_epochs": 1},
            lambda: keras.optimizers.schedules.CosineDecay(
                0.0, 2 * STEPS, warmup_target=0.05, warmup_steps=STEPS
            ),
        ),
        (
            {"schedule": "piecewise", "boundaries": 1, "decay_rate": 0.2},
            lambda: keras.optimizers.schedules.PiecewiseConstantDecay([STEPS], [0.05, 0.01]),
        ),
    ],
    ids=lambda p: str(p)[:30],
)
def test_schedule_makes_the_curves_of_fit(params: dict[str, Any], twin: Any) -> None:
    problem, trial = first_fold(separable()), spec(epochs=3, learning_rate=0.05, **params)
    curves = run(KerasFitTrainer(problem), [trial])[1][0].curves
    expected = curves_of_fit(problem, trial, learning_rate=twin())
    for name, curve in expected.items():
        np.testing.assert_allclose(curve, curves[name], rtol=1e-4)


def test_balanced_classes_are_those_of_fit() -> None:
    problem = first_fold(separable())
    target = problem.target.copy()
    target[1::3] = 0  # of training rows alone
    problem = replace(problem, target=target)
    rows = target[problem.folds[0].train, 0]
    weights = np.where(target[:, 0] > 0.5, 1 / (2 * rows.mean()), 1 / (2 * (1 - rows.mean())))
    trial = spec(epochs=3, class_weight="balanced")
    curves = run(KerasFitTrainer(problem), [trial])[1][0].curves
    weighted = replace(problem, weights=weights.astype(np.float32))
    expected = curves_of_fit(weighted, trial)["train/loss"]
    np.testing.assert_allclose(expected, curves["train/loss"], rtol=1e-5)


def test_a_plateau_lowers_the_rate_and_a_fit_follows_the_curve_it_is_given() -> None:
    problem = first_fold(separable())
    params = {"schedule": "reduce_on_plateau", "plateau_patience": 1, "factor": 0.0}
    trainer = KerasFitTrainer(problem)
    still = replace(spec(epochs=4, **params), watched=(1.0, 1.0, 1.0, 1.0))
    once = replace(spec(epochs=2, **params), watched=(1.0, 1.0))
    for stopped, short in zip(trainer.fit(still), trainer.fit(once), strict=True):
        np.testing.assert_array_equal(short, stopped)  # from the third epoch on the rate is 0


def test_realmlp_is_trained_in_a_graph_as_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Factors, schedules and dropout of every step, with `train_on_batch` as the other way."""
    usual = {**make_training_defaults("realmlp", "binary"), "batch_size": 25}
    problem = replace(first_fold(separable()), model="realmlp", fixed_params=usual)
    trial = TrialSpec(0, {"units": 8, "layers": 1, "dropout": 0.4}, seed=1, epochs=2)
    in_a_graph = run(KerasFitTrainer(problem), [trial])[1][0].curves
    monkeypatch.setattr(
        shared_model, "GraphSteps", lambda model, problem, _: BatchSteps(model, problem)
    )
    for name, curve in run(KerasFitTrainer(problem), [trial])[1][0].curves.items():
        np.testing.assert_allclose(in_a_graph[name], curve, rtol=1e-4, err_msg=name)


def test_a_frozen_trial_gives_the_bits_of_an_uninterrupted_one() -> None:
    trainer = KerasFitTrainer(first_fold(separable()))
    trial = replace(spec(epochs=4, dropout=0.3, optimizer="adam"), checkpoint=1)
    reports, results = run(trainer, [trial])
    for frozen in reports[:-1]:
        thawed, found = run(trainer, [replace(trial, resume_from=frozen.checkpoint)])
        for a, b in zip(reports, thawed, strict=True):
            assert {n: v.tobytes() for n, v in a.metrics.items()} == {
                n: v.tobytes() for n, v in b.metrics.items()
            }
        first, second = results[0].predictions, found[0].predictions
        assert first is not None
        assert second is not None
        assert first.tobytes() == second.tobytes()


def on_disk(problem: Problem, path: Path) -> Problem:
    """The same problem, its rows mapped from a file."""
    np.save(path, problem.features)
    return replace(problem, features=np.load(path, mmap_mode="r"), on_disk=True)


@pytest.mark.parametrize("params", [{"dropout": 0.3}, {"class_weight": "balanced"}])
def test_rows_on_disk_are_trained_part_by_part_to_the_bits_of_rows_in_memory(
    params: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_steps, "PART_BYTES", 25 * 5 * 4 * 2)  # two batches
    problem = replace(separable(), weights=np.linspace(0, 2, 120, dtype=np.float32))
    trial = spec(epochs=3, batch_size=25, schedule="cosine", **params)
    expected = run(KerasFitTrainer(problem), [trial])[1][0]
    found = run(KerasFitTrainer(on_disk(problem, tmp_path / "rows.npy")), [trial])[1][0]
    assert (None, "COMPLETE") == (found.traceback, found.state)
    assert same(expected, found)


@pytest.mark.parametrize("params", [{}, {"compiled": True}], ids=str)
def test_phases_are_those_of_a_loop_of_fit(tmp_path: Path, params: dict[str, Any]) -> None:
    check_phases_are_fits(tmp_path, **params)


def test_a_trial_is_resumed_in_each_phase(tmp_path: Path) -> None:
    check_resumed_phases(tmp_path)
