"""Custom models with several outputs, and their training by `keras.Model.fit`."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from training.trainer_contract import first_fold, problem_of, spec

from hpsearch.models import load_family, make_outputs
from hpsearch.training.batching import derive_order_seed, draw_epoch_order
from hpsearch.training.losses import make_loss
from hpsearch.training.multi_output import concatenate_outputs, iter_output_slices
from hpsearch.training.optimizers import make_optimizer
from hpsearch.training.problem import Problem
from hpsearch.training.weight_initialization import build_blueprint, draw_weights
from hpsearch.trial import TrialSpec

HEAD = """
import keras

def cubic(truth, answer):
    return keras.ops.mean(keras.ops.abs(truth - answer) ** 3, axis=-1)

def build(params, inputs, outputs):
    first = keras.Input(inputs)
    x = keras.layers.Dense(6, "tanh", kernel_regularizer="l2")(first)
    pair = keras.layers.Dense(2, name="left")(x)
    single = keras.layers.Dense(1, name="right")(keras.layers.Dropout(0.0)(x))
"""
LIST = "model = keras.Model(first, [pair, single])"
DICT = "model = keras.Model(first, {'pair': pair, 'alone': single})"  # its names do not rise
# name -> how the model ends, hyperparameters
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "a list": (LIST, {}),
    "a dict": (DICT, {"loss": "huber", "delta": 0.5}),
    "a list compiled with one loss": (f"{LIST}\nmodel.compile('adam', 'mae')", {}),
    "a list compiled with names": (
        f"{LIST}\nmodel.compile('sgd', {{'right': 'mse', 'left': cubic}})",
        {},
    ),
    "a dict compiled with weights": (
        f"{DICT}\nmodel.compile(keras.optimizers.SGD(0.02), {{'pair': 'mse', 'alone': 'mae'}},"
        " loss_weights={'pair': 0.3, 'alone': 2.0})",
        {},
    ),
    "a dict compiled with a list": (f"{DICT}\nmodel.compile('rmsprop', ['mae', 'log_cosh'])", {}),
}


@cache
def three_columns() -> Problem:
    """A regression of three columns in small units, with weights."""
    rng = np.random.default_rng(6)
    features = rng.normal(size=(120, 4))
    target = features @ rng.normal(size=(4, 3)) + 0.1 * rng.normal(size=(120, 3)) + 1
    weights = rng.uniform(0.2, 2, 120).astype(np.float32)
    return problem_of("regression", "r2", features, target, weights=weights)


def made(kind: str, folder: Path) -> tuple[Problem, TrialSpec]:
    """A problem of one fold whose model is of `kind`, and its trial."""
    ending, params = KINDS[kind]
    file = folder / "mine.py"
    file.write_text(
        HEAD + "".join(f"    {line}\n" for line in [*ending.split("\n"), "return model"])
    )
    problem = replace(first_fold(three_columns()), model=f"{file}:build")
    return problem, spec(epochs=3, seed=8, **params)


def curves_of_fit(problem: Problem, trial: TrialSpec) -> dict[str, list[float]]:
    """The losses of the first fold from `fit` of the user's own model, its targets apart."""
    inputs, outputs = problem.features.shape[1:], make_outputs(problem.task, 3)
    model = load_family(problem.model).build(trial.params, inputs, outputs)
    plan = build_blueprint(problem.make_builder(trial.params, trial.seed))
    joined = concatenate_outputs(model)
    joined.set_weights(draw_weights(plan, trial.fold_seed(0, "weights")))
    if not model.compiled:
        model.compile(make_optimizer(trial.params), make_loss(problem.task, trial.params))
    model.run_eagerly = True
    statistics, split = problem.statistics[0], problem.folds[0]
    x = statistics.apply(problem.features)
    y = (problem.target - statistics.target_center) / statistics.target_scale
    assert problem.weights is not None

    def rows(taken: np.ndarray) -> tuple[Any, Any, Any]:
        first, second = (y[taken][:, columns] for columns in iter_output_slices((2, 1)))
        apart = isinstance(model.output, dict)
        truth: Any = {"pair": first, "alone": second} if apart else [first, second]
        weights = problem.weights[taken]  # type: ignore[index]
        shared: Any = {"pair": weights, "alone": weights} if apart else [weights, weights]
        return x[taken], truth, shared

    curves: dict[str, list[float]] = {"train/loss": [], "val/loss": []}
    for epoch in range(trial.epochs):
        order = draw_epoch_order(derive_order_seed(split.train), epoch, len(split.train))
        given = {"batch_size": trial.params["batch_size"], "shuffle": False, "verbose": 0}
        seen, truth, weights = rows(split.train[order])
        history = model.fit(
            seen,
            truth,
            sample_weight=weights,
            validation_data=rows(split.validation),
            **given,
        ).history
        curves["train/loss"] += history["loss"]
        curves["val/loss"] += history["val_loss"]
    return curves
