"""Compiled custom models: the curves of `fit`, and probabilities as predictions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from long_cases import long_unless
from training.trainer_contract import run, separable, three_classes

from hpsearch.models.family_registry import load_family
from hpsearch.training.batching import derive_order_seed, draw_epoch_order
from hpsearch.training.compiled_model import find_link_activation, takes_class_indices
from hpsearch.training.problem import Problem
from hpsearch.training.vectorized import VectorizedTrainer
from hpsearch.training.vectorized.vectorized_trainer import explain_unsuitable
from hpsearch.training.weight_initialization import build_blueprint, draw_weights
from hpsearch.trial import EpochReport, TrialSpec

HEAD = """
import keras

def pinball(truth, answer):
    return keras.ops.mean(keras.ops.maximum(truth - answer, 0.2 * (answer - truth)), axis=-1)

def dense(hp, last, *compiled, **more):
    model = keras.Sequential([keras.layers.Dense(hp.Int("units", 4, 8), "tanh"), last])
    model.compile(*compiled, **more)
    return model

def build(hp):
    rate = hp.Float("rate", 1e-3, 1e-1)
"""


def compiled(problem: Problem, tmp_path: Path, body: str) -> Problem:
    """`problem` with the model of Keras Tuner's that `body` returns."""
    file = tmp_path / "mine.py"
    file.write_text(HEAD + "".join(f"    {line}\n" for line in body.splitlines()))
    return replace(problem, model=f"keras_tuner:{file}:build")


def fitted(problem: Problem, trial: TrialSpec) -> tuple[list[float], Any]:
    """The training losses of fold 0 from `keras.Model.fit` itself, and the model."""
    build = load_family(problem.model).build

    def make() -> keras.Model:
        model = build(trial.params, problem.features.shape[1:], None)
        model.build((None, *problem.features.shape[1:]))
        return model

    model = make()
    model.set_weights(draw_weights(build_blueprint(make), trial.fold_seed(0, "weights")))
    statistics, split = problem.statistics[0], problem.folds[0]
    x, y = statistics.apply(problem.features), problem.target
    if takes_class_indices(model.loss):
        y = y.argmax(axis=1)
    losses = []
    for epoch in range(trial.epochs):
        order = draw_epoch_order(derive_order_seed(split.train), epoch, len(split.train))
        rows = split.train[order]
        history = model.fit(x[rows], y[rows], batch_size=32, shuffle=False, verbose=0)
        losses += history.history["loss"]
    return losses, model


def trial(number: int = 0, **params: Any) -> TrialSpec:
    return TrialSpec(number, {"units": 6, "rate": 0.02, **params}, seed=5, epochs=3)


OUTPUT = "keras.layers.Dense(1, 'sigmoid')"
MODELS = {
    "a name": (separable, f"return dense(hp, {OUTPUT}, 'rmsprop', 'binary_crossentropy')"),
    "objects": (
        separable,
        "optimizer = keras.optimizers.SGD(rate, momentum=0.8, nesterov=True)\n"
        f"return dense(hp, {OUTPUT}, optimizer, keras.losses.BinaryFocalCrossentropy())",
    ),
    "a function": (separable, f"return dense(hp, {OUTPUT}, 'adam', pinball)"),
    "logits": (
        separable,
        "loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1)\n"
        "return dense(hp, keras.layers.Dense(1), keras.optimizers.AdamW(rate), loss)",
    ),
    "sparse logits": (
        three_classes,
        "loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)\n"
        "return dense(hp, keras.layers.Dense(3), keras.optimizers.Adam(rate), loss)",
    ),
    "sparse": (
        three_classes,
        "loss = 'sparse_categorical_crossentropy'\n"
        "return dense(hp, keras.layers.Dense(3, 'softmax'), 'adam', loss, metrics=['accuracy'])",
    ),
}


@pytest.mark.parametrize(
    "kind", long_unless(("objects", "a function", "sparse logits").__contains__, MODELS)
)
def test_a_compiled_model_makes_the_curves_of_fit(kind: str, tmp_path: Path) -> None:
    make, body = MODELS[kind]
    problem = compiled(make(), tmp_path, body)
    reports, results = run(VectorizedTrainer(problem), [trial()])
    result = results[0]
    assert "COMPLETE" == result.state, result.traceback
    losses, model = fitted(problem, trial())
    measured = [r.metrics["train/loss"][0] for r in reports if isinstance(r, EpochReport)]
    np.testing.assert_allclose(measured, losses, rtol=1e-4)
    # Of the best epoch; the last one here, since every curve still rises or is flat.
    assert result.predictions is not None
    told = result.predictions[problem.folds[0].validation]
    assert (told >= 0).all()
    assert (told <= 1).all()
    if result.best_epoch == 2:
        rows = problem.folds[0].validation
        seen = problem.statistics[0].apply(problem.features[rows])
        link = keras.activations.get(find_link_activation(model, problem.task) or "linear")
        expected = np.asarray(link(model(seen)))
        np.testing.assert_allclose(told, expected, atol=1e-5)


@pytest.mark.parametrize("named", [{"optimizer": "SGD"}, {"optimizer": "sgd", "momentum": 0.1}])
def test_a_compiled_optimizer_reads_no_hyperparameter_by_name(
    named: dict[str, Any], tmp_path: Path
) -> None:
    make, body = MODELS["objects"]
    problem = compiled(make(), tmp_path, body)
    reports, results = run(VectorizedTrainer(problem), [trial(**named)])
    assert "COMPLETE" == results[0].state, results[0].traceback
    measured = [r.metrics["train/loss"][0] for r in reports if isinstance(r, EpochReport)]
    np.testing.assert_allclose(measured, fitted(problem, trial(**named))[0], rtol=1e-4)


def test_trials_that_differ_in_the_compiled_numbers_share_their_programs(tmp_path: Path) -> None:
    body = f"return dense(hp, {OUTPUT}, keras.optimizers.Adam(rate), 'binary_crossentropy')"
    trainer = VectorizedTrainer(compiled(separable(), tmp_path, body))
    counts = []
    for number, rate in enumerate((0.001, 0.01, 0.1)):
        run(trainer, [trial(number, rate=rate)])
        counts.append(trainer.compilations)
    assert counts[0] == counts[1] == counts[2]


@pytest.mark.parametrize(
    ("optimizer", "why"),
    [
        ("keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(rate, 9))", "a schedule of"),
        ("keras.optimizers.Adam(rate, gradient_accumulation_steps=2)", "gradient_accumulation"),
        ("keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam())", "LossScaleOptimizer"),
    ],
)
def test_what_no_program_can_hold_goes_to_the_other_trainer(
    optimizer: str, why: str, tmp_path: Path
) -> None:
    body = f"return dense(hp, {OUTPUT}, {optimizer}, 'binary_crossentropy')"
    problem = compiled(separable(), tmp_path, body)
    told = explain_unsuitable(problem, trial().params)
    assert told is not None
    assert why in told
    assert told.endswith("use trainer: keras_fit")


def test_a_loss_weight_is_refused_instead_of_left_out(tmp_path: Path) -> None:
    body = f"return dense(hp, {OUTPUT}, 'adam', 'binary_crossentropy', loss_weights=[2.0])"
    told = explain_unsuitable(compiled(separable(), tmp_path, body), trial().params)
    assert told is not None
    assert "compile(loss_weights=...) is not supported" in told
