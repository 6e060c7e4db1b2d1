"""`keras_fit` under TensorFlow; `test_keras_fit.py` runs this file in a process of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from training.trainer_contract import (
    TrainerContract,
    curves_of_fit,
    first_fold,
    linear,
    run,
    separable,
    spec,
    three_classes,
)

from hpsearch.training.keras_fit import KerasFitTrainer
from hpsearch.training.problem import Problem


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


def test_trials_of_one_architecture_share_one_trace() -> None:
    trainer = KerasFitTrainer(separable())
    trials = [spec(n, n, 2, batch_size=8 * (n + 1), learning_rate=0.01 * n + 0.01) for n in (0, 1)]
    run(trainer, trials)
    (architecture,) = trainer._architectures.values()
    assert 1 == architecture.network._steps._epoch.experimental_get_tracing_count()  # type: ignore[union-attr]


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
