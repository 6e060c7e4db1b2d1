"""The vectorised trainer does the arithmetic of `keras.Model.fit`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hpsearch.data.split import Split
from hpsearch.data.statistics import Statistics
from hpsearch.models import load_family, outputs_for
from hpsearch.training.initial import blueprint, initial_weights
from hpsearch.training.losses import LOSSES, make_loss
from hpsearch.training.optimizers import OPTIMIZERS, make_optimizer
from hpsearch.training.order import epoch_order
from hpsearch.training.problem import Problem
from hpsearch.trial import EpochReport, TrialSpec

N, FEATURES, BATCH, EPOCHS = 90, 5, 16, 2
TRAINERS: dict[tuple[Any, ...], Any] = {}
FOLDS_COMPARED = (1,)  # an eager `fit` takes half a second; that folds differ is tested elsewhere


def make_problem(task: str = "binary", **changes: Any) -> Problem:
    """Two folds of 45 training rows each, so the last batch of 16 is short."""
    rng = np.random.default_rng(3)
    features = rng.normal(2, 3, (N, FEATURES)).astype("float32")
    signal = features @ rng.normal(size=FEATURES)
    features[rng.random(features.shape) < 0.05] = np.nan
    target = {
        "binary": lambda: (signal > np.median(signal))[:, None],
        "multiclass": lambda: np.eye(3)[np.digitize(signal, np.quantile(signal, [0.3, 0.6]))],
        "regression": lambda: 100 + 7 * np.stack([signal, -signal], axis=1),
    }[task]().astype("float32")
    parts = np.array_split(rng.permutation(N), 2)
    folds = tuple(Split(np.sort(parts[1 - i]), np.sort(parts[i])) for i in range(2))
    metric = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}[task]
    problem = Problem(
        task=task,  # type: ignore[arg-type]
        features=features,
        target=target,
        folds=folds,
        statistics=tuple(statistics(features, target, f.train, task) for f in folds),
        objective=metric,
        metrics=(metric,),
    )
    return replace(problem, **changes)


def statistics(x: np.ndarray, y: np.ndarray, train: np.ndarray, task: str) -> Statistics:
    center, scale = np.zeros(y.shape[1], "f"), np.ones(y.shape[1], "f")
    if task == "regression":
        center, scale = y[train].mean(0), y[train].std(0)
    mean = np.nanmean(x[train], 0)
    return Statistics(mean, mean, 1 / np.nanstd(x[train], 0), center, scale)


def vectorized_curves(problem: Problem, trial: TrialSpec, **placed: Any) -> list[EpochReport]:
    from hpsearch.training.vectorized import VectorizedTrainer

    key = (placed.get("placement"), problem.task, problem.weights is None)
    if key not in TRAINERS:  # they share the programs that evaluate and measure
        TRAINERS[key] = VectorizedTrainer(problem, **placed)
    said = list(TRAINERS[key].train([trial]))
    assert said[-1].error is None, said[-1].traceback or said[-1].error
    return [report for [report] in said[:-1]]


def fit_curves(problem: Problem, trial: TrialSpec, fold: int) -> tuple[list[float], list[float]]:
    """Training and validation losses of each epoch from `keras.Model.fit` itself."""
    params = {**(problem.fixed or {}), **trial.params}
    build = load_family(problem.model).build
    shape = (problem.features.shape[1:], outputs_for(problem.task, problem.n_outputs))
    model = build(params, *shape)
    plan = blueprint(lambda: build(params, *shape))
    model.set_weights(initial_weights(plan, trial.fold_seed(fold, "weights")))
    loss = make_loss(problem.task, params)
    model.compile(make_optimizer(params), loss, run_eagerly=True)
    s, split = problem.statistics[fold], problem.folds[fold]
    x = s.apply(problem.features)
    y = (problem.target - s.target_center) / s.target_scale
    w = np.ones(N, "float32") if problem.weights is None else problem.weights
    training, validation = [], []
    for epoch in range(trial.epochs):
        order = epoch_order(trial.fold_seed(fold, "order"), epoch, len(split.train))
        rows, judged = split.train[order], split.validation
        given = {"batch_size": params["batch_size"], "verbose": 0}
        history = model.fit(x[rows], y[rows], sample_weight=w[rows], shuffle=False, **given)
        training += history.history["loss"]
        validation.append(model.evaluate(x[judged], y[judged], sample_weight=w[judged], **given))
    return training, validation


def assert_agrees(problem: Problem, params: dict[str, Any], **placed: Any) -> None:
    """Every epoch's training and validation loss, of every fold, within 1e-4 relative."""
    small = {"layers": 2, "units": 6, "batch_size": BATCH, "learning_rate": 0.01}
    trial = TrialSpec(number=0, params={**small, **params}, seed=11, epochs=EPOCHS)
    reports = vectorized_curves(problem, trial, **placed)
    for fold in FOLDS_COMPARED:
        training, validation = fit_curves(problem, trial, fold)
        np.testing.assert_allclose([r.metrics["train/loss"][fold] for r in reports], training, 1e-4)
        np.testing.assert_allclose([r.metrics["val/loss"][fold] for r in reports], validation, 1e-4)


# What each optimizer reads beside its learning rate, away from its defaults.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
    "rmsprop": {"rho": 0.8, "momentum": 0.5, "centered": True},
    "adam": {"beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-5, "amsgrad": True},
    "adamw": {"weight_decay": 0.05},
    "adamax": {"beta_1": 0.8},
    "nadam": {"beta_2": 0.99},
    "adagrad": {"initial_accumulator_value": 0.2},
    "adadelta": {"rho": 0.9, "learning_rate": 1.0},
    "adafactor": {"clip_threshold": 0.9},
    "ftrl": {"l1_regularization_strength": 0.001, "beta": 0.1},
    "lion": {"beta_1": 0.85, "learning_rate": 0.001},
    "lamb": {"beta_2": 0.99},
    "muon": {"momentum": 0.9},
    "schedule_free_adamw": {"warmup_steps": 3},
}


def test_every_optimizer_is_in_the_table_above() -> None:
    assert set(OPTIMIZERS) == set(ARGUMENTS)


@pytest.mark.parametrize("optimizer", ARGUMENTS)
def test_optimizer_makes_the_curves_of_fit(optimizer: str) -> None:
    assert_agrees(make_problem(), {"optimizer": optimizer, **ARGUMENTS[optimizer]})


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop"])
def test_no_momentum_is_momentum_of_zero(optimizer: str) -> None:
    assert_agrees(make_problem(), {"optimizer": optimizer})


LOSS_ARGUMENTS: dict[str, dict[str, Any]] = {
    "binary_crossentropy": {"label_smoothing": 0.1},
    "binary_focal_crossentropy": {"label_smoothing": 0.1, "alpha": 0.3, "gamma": 1.5},
    "categorical_crossentropy": {"label_smoothing": 0.1},
    "categorical_focal_crossentropy": {"label_smoothing": 0.1, "alpha": 0.3, "gamma": 1.5},
    "huber": {"delta": 0.5},
}


@pytest.mark.parametrize(("task", "loss"), [(t, loss) for t in LOSSES for loss in LOSSES[t]])
def test_loss_is_that_of_fit(task: str, loss: str) -> None:
    assert_agrees(make_problem(task), {"loss": loss, **LOSS_ARGUMENTS.get(loss, {})})


def test_loss_without_its_arguments_is_that_of_fit() -> None:
    assert_agrees(make_problem(), {"loss": "binary_crossentropy"})


@pytest.mark.parametrize("clip", ["clipnorm", "clipvalue", "global_clipnorm"])
def test_clipped_gradients_are_those_of_fit(clip: str) -> None:
    assert_agrees(make_problem(), {clip: 0.02, "optimizer": "sgd", "learning_rate": 0.5})


def test_regularizers_count_in_the_loss_and_in_the_gradient() -> None:
    assert_agrees(make_problem(), {"l1": 0.003, "l2": 0.01})


def test_sample_weights_count_as_in_fit() -> None:
    weights = np.random.default_rng(0).uniform(0, 3, N).astype("float32")
    assert_agrees(make_problem(weights=weights), {})


@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_normalization_leaves_out_the_rows_that_pad_a_short_batch(normalization: str) -> None:
    assert_agrees(make_problem(), {"normalization": normalization})


@pytest.mark.parametrize("activation", ["tanh", "selu", "sigmoid", "softplus"])
def test_activation_is_exact_whether_or_not_it_can_be_padded(activation: str) -> None:
    assert_agrees(make_problem(), {"activation": activation})


@pytest.mark.parametrize("params", [{}, {"normalization": "batch", "l2": 0.01, "optimizer": "sgd"}])
def test_one_batch_of_all_lanes_does_the_same(params: dict[str, Any]) -> None:
    assert_agrees(make_problem("multiclass"), params, placement="batch")


def test_one_batch_larger_than_the_rows_is_one_short_batch() -> None:
    assert_agrees(make_problem(), {"batch_size": 64})


def test_averaged_weights_are_what_is_judged() -> None:
    params = {"batch_size": BATCH, "use_ema": True, "ema_momentum": 0.6, "units": 6}
    trial = TrialSpec(number=0, params=params, seed=11, epochs=1)  # `fit` overwrites at its end
    [report] = vectorized_curves(make_problem(), trial)
    training, validation = fit_curves(make_problem(), trial, 1)
    np.testing.assert_allclose([report.metrics["train/loss"][1]], training, 1e-4)
    np.testing.assert_allclose([report.metrics["val/loss"][1]], validation, 1e-4)
