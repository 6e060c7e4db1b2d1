"""The vectorized trainer agrees with `keras.Model.fit`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from long_cases import long_unless

from hpsearch.data.split import Split
from hpsearch.data.statistics import Statistics
from hpsearch.models import load_family, make_outputs
from hpsearch.training.batching import derive_order_seed, draw_epoch_order
from hpsearch.training.losses import LOSSES, make_loss
from hpsearch.training.optimizers import OPTIMIZERS, make_optimizer
from hpsearch.training.problem import Problem
from hpsearch.training.weight_initialization import build_blueprint, draw_weights
from hpsearch.trial import EpochReport, TrialSpec

N, FEATURES, BATCH, EPOCHS = 90, 5, 16, 2
SMALL = {"layers": 2, "units": 6, "batch_size": BATCH, "learning_rate": 0.01}
TRAINERS: dict[tuple[Any, ...], Any] = {}


def make_problem(task: str = "binary", **changes: Any) -> Problem:
    """Two folds of 45 training rows each, so the last batch of 16 is short."""
    rng = np.random.default_rng(3)
    features = rng.normal(2, 3, (N, FEATURES)).astype("float32")
    signal = features @ rng.normal(size=FEATURES)
    features[rng.random(features.shape) < 0.05] = np.nan
    target = {
        "binary": lambda: (signal > np.median(signal))[:, None],
        "multiclass": lambda: np.eye(3)[np.digitize(signal, np.quantile(signal, [0.3, 0.6]))],
        "multilabel": lambda: np.stack([signal > np.median(signal), signal < signal.mean()], 1),
        "regression": lambda: 100 + 7 * np.stack([signal, -signal], axis=1),
    }[task]().astype("float32")
    parts = np.array_split(rng.permutation(N), 2)
    folds = tuple(Split(np.sort(parts[1 - i]), np.sort(parts[i])) for i in range(2))
    metric = {"multiclass": "log_loss", "regression": "rmse"}.get(task, "roc_auc")
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

    key = (placed.get("placement"), problem.target.tobytes(), problem.weights is None)
    key = (*key, problem.model, problem.category_ranges, len(problem.folds))
    key = (*key, problem.optimizers, problem.batch_sizes_vary)
    if key not in TRAINERS:  # they share the programs that evaluate and measure
        TRAINERS[key] = VectorizedTrainer(problem, **placed)
    said = list(TRAINERS[key].train([trial]))
    assert said[-1].error is None, said[-1].traceback or said[-1].error
    return [report for [report] in said[:-1]]


def fit_curves(
    problem: Problem,
    trial: TrialSpec,
    fold: int,
    *,
    compiled: dict[str, Any] | None = None,
    fitted: dict[str, Any] | None = None,
) -> tuple[list[float], list[float]]:
    """Training and validation losses of each epoch from `keras.Model.fit` itself.

    `compiled` replaces hyperparameters by what Keras has for them, and `fitted` goes to `fit`.
    """
    params = {**(problem.fixed_params or {}), **trial.params}
    family = load_family(problem.model)
    build = (
        partial(family.build, categories=problem.category_ranges)
        if family.takes_categories
        else family.build
    )
    shape = (problem.features.shape[1:], make_outputs(problem.task, problem.n_outputs))
    model = build(params, *shape)
    plan = build_blueprint(lambda: build(params, *shape))
    model.set_weights(draw_weights(plan, trial.fold_seed(fold, "weights")))
    params |= compiled or {}
    loss = params["loss"] if callable(params.get("loss")) else make_loss(problem.task, params)
    model.compile(make_optimizer(params), loss, run_eagerly=True)
    s, split = problem.statistics[fold], problem.folds[fold]
    x = s.apply(problem.features)
    y = (problem.target - s.target_center) / s.target_scale
    w = np.ones(N, "float32") if problem.weights is None else problem.weights
    training, validation = [], []
    for epoch in range(trial.epochs):
        order = draw_epoch_order(derive_order_seed(split.train), epoch, len(split.train))
        rows, judged = split.train[order], split.validation
        given = {"batch_size": params["batch_size"], "verbose": 0}
        more = {"sample_weight": w[rows], **(fitted or {})}
        if "class_weight" in more:
            del more["sample_weight"]  # `fit` takes one of them
        if "callbacks" in more:
            more["validation_data"] = (x[judged], y[judged], w[judged])
        history = model.fit(x[rows], y[rows], shuffle=False, **more, **given)
        training += history.history["loss"]
        validation.append(model.evaluate(x[judged], y[judged], sample_weight=w[judged], **given))
    return training, validation


def assert_agrees(
    problem: Problem,
    params: dict[str, Any],
    *,
    epochs: int = EPOCHS,
    compiled: dict[str, Any] | None = None,
    fitted: dict[str, Any] | None = None,
    **placed: Any,
) -> None:
    """Every epoch's training and validation loss within 1e-4 relative.

    Of the last fold alone: an eager `fit` takes half a second, and that folds differ is tested
    elsewhere.
    """
    trial = TrialSpec(number=0, params={**SMALL, **params}, seed=11, epochs=epochs)
    reports = vectorized_curves(problem, trial, **placed)
    for fold in range(len(problem.folds))[-1:]:
        training, validation = fit_curves(problem, trial, fold, compiled=compiled, fitted=fitted)
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


# Of one variable at a time, of factors, of matrices, with two sets of weights; the others are
# trained as one of several in test_shared_programs.py.
USUAL = ("sgd", "adafactor", "schedule_free_adamw")


@pytest.mark.parametrize("optimizer", long_unless(USUAL.__contains__, ARGUMENTS))
def test_optimizer_makes_the_curves_of_fit(optimizer: str) -> None:
    assert_agrees(make_problem(), {"optimizer": optimizer, **ARGUMENTS[optimizer]})


@pytest.mark.parametrize("optimizer", ["sgd", pytest.param("rmsprop", marks=pytest.mark.long)])
def test_no_momentum_is_momentum_of_zero(optimizer: str) -> None:
    assert_agrees(make_problem(), {"optimizer": optimizer})


LOSS_ARGUMENTS: dict[str, dict[str, Any]] = {
    "binary_crossentropy": {"label_smoothing": 0.1},
    "binary_focal_crossentropy": {"label_smoothing": 0.1, "alpha": 0.3, "gamma": 1.5},
    "categorical_crossentropy": {"label_smoothing": 0.1},
    "categorical_focal_crossentropy": {"label_smoothing": 0.1, "alpha": 0.3, "gamma": 1.5},
    "huber": {"delta": 0.5},
    "tversky": {"alpha": 0.3, "tversky_beta": 0.8},
}


CASES = [(task, loss) for task in LOSSES for loss in LOSSES[task]]
CASES.append(("regression", "pinball_10_90"))  # of two outputs
# One of each kind: of a probability with smoothing, weighted by it, with a kink, with a margin,
# of the overlap of a whole batch.
USUAL_CASES = (
    ("binary", "binary_crossentropy"),
    ("multiclass", "categorical_focal_crossentropy"),
    ("regression", "huber"),
)


@pytest.mark.parametrize(("task", "loss"), long_unless(USUAL_CASES.__contains__, CASES))
def test_loss_is_that_of_fit(task: str, loss: str) -> None:
    assert_agrees(make_problem(task), {"loss": loss, **LOSS_ARGUMENTS.get(loss, {})})


def test_loss_without_its_arguments_is_that_of_fit() -> None:
    assert_agrees(make_problem(), {"loss": "binary_crossentropy"})


@pytest.mark.parametrize(
    "clip", long_unless("clipnorm".__eq__, ["clipnorm", "clipvalue", "global_clipnorm"])
)
def test_clipped_gradients_are_those_of_fit(clip: str) -> None:
    assert_agrees(make_problem(), {clip: 0.02, "optimizer": "sgd", "learning_rate": 0.5})


def test_regularizers_count_in_the_loss_and_in_the_gradient() -> None:
    assert_agrees(make_problem(), {"l1": 0.003, "l2": 0.01})


@pytest.mark.parametrize("model", ["mlp", pytest.param("wide_and_deep", marks=pytest.mark.long)])
def test_embeddings_are_trained_as_in_fit(model: str) -> None:
    problem = replace(make_problem(), model=model, category_ranges=((1, 3),))
    assert_agrees(problem, {"encoding": "embedding", "embedding_size": 2})


def test_sample_weights_count_as_in_fit() -> None:
    weights = np.random.default_rng(0).uniform(0, 3, N).astype("float32")
    assert_agrees(make_problem(weights=weights), {})


def test_an_initializer_by_name_is_where_a_network_begins() -> None:
    assert_agrees(make_problem(), {"initializer": "orthogonal"})


@pytest.mark.parametrize("normalization", ["batch", pytest.param("layer", marks=pytest.mark.long)])
def test_normalization_leaves_out_the_rows_that_pad_a_short_batch(normalization: str) -> None:
    assert_agrees(make_problem(), {"normalization": normalization})


@pytest.mark.parametrize(  # through zero, and not
    "activation",
    long_unless(("tanh", "sigmoid").__contains__, ["tanh", "selu", "sigmoid", "softplus"]),
)
def test_activation_is_exact_whether_or_not_it_can_be_padded(activation: str) -> None:
    assert_agrees(make_problem(), {"activation": activation})


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({}, marks=pytest.mark.long),
        {"normalization": "batch", "l2": 0.01, "optimizer": "sgd"},
    ],
)
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


STEPS = -(-(N // 2) // BATCH)
schedules = keras.optimizers.schedules


class Coslog(schedules.LearningRateSchedule):  # type: ignore[misc]
    """The schedule of Holzmüller et al. 2024, in steps of three epochs."""

    def __call__(self, step: Any) -> Any:
        share = keras.ops.cast(step, "float32") / (3 * STEPS)
        return 0.05 * (1 - keras.ops.cos(2 * np.pi * keras.ops.log2(1 + 15 * share))) / 2


SCHEDULED: list[tuple[dict[str, Any], Any]] = [
    ({"schedule": "coslog"}, Coslog),
    (
        {"schedule": "exponential", "decay_rate": 0.3, "staircase": True},
        lambda: schedules.ExponentialDecay(0.05, STEPS, 0.3, staircase=True),
    ),
    (
        {"schedule": "cosine", "warmup_epochs": 1, "decay_alpha": 0.1},
        lambda: schedules.CosineDecay(0.0, 2 * STEPS, 0.1, warmup_target=0.05, warmup_steps=STEPS),
    ),
    (
        {"schedule": "piecewise", "boundaries": 1, "decay_rate": 0.2},
        lambda: schedules.PiecewiseConstantDecay([STEPS], [0.05, 0.01]),
    ),
]


@pytest.mark.parametrize(
    ("params", "twin"), SCHEDULED, ids=lambda p: str(p)[:30] if isinstance(p, dict) else "fit"
)
def test_schedule_makes_the_curves_of_fit(params: dict[str, Any], twin: Any) -> None:
    given = {"learning_rate": 0.05, "optimizer": "sgd", **params}
    assert_agrees(make_problem(), given, epochs=3, compiled={"learning_rate": twin()})


class Plateau(keras.callbacks.ReduceLROnPlateau):  # type: ignore[misc]
    """Keras's own, over several calls of `fit`."""

    def on_train_begin(self, logs: Any = None) -> None:
        if not hasattr(self, "began"):
            self.began = True
            super().on_train_begin(logs)


def test_plateau_of_one_fold_is_that_of_the_callback() -> None:
    problem = make_problem()
    problem = replace(problem, folds=problem.folds[:1], statistics=problem.statistics[:1])
    own = {"factor": 0.3, "cooldown": 1}
    params = {"schedule": "reduce_on_plateau", "plateau_patience": 1, "plateau_min_delta": 0.05}
    callback = Plateau(mode="min", patience=1, min_delta=0.05, **own)
    given = {"learning_rate": 0.05, "optimizer": "sgd", **params, **own}
    assert_agrees(problem, given, epochs=5, fitted={"callbacks": [callback]})
    assert float(callback.model.optimizer.learning_rate) < 0.02


def test_a_schedule_compiles_nothing_anew() -> None:
    from hpsearch.training.vectorized import VectorizedTrainer

    trainer = VectorizedTrainer(make_problem())
    params = {"units": 6, "batch_size": BATCH}
    trials = [
        TrialSpec(n, {**params, "schedule": kind, "boundaries": 1, "class_weight": weight}, 1, 2)
        for n, (kind, weight) in enumerate([("constant", "none"), ("cosine", "balanced")])
    ]
    list(trainer.train(trials[:1]))
    compilations = trainer.compilations
    list(trainer.train(trials[1:]))
    assert compilations == trainer.compilations


@pytest.mark.parametrize("task", [pytest.param("binary", marks=pytest.mark.long), "multiclass"])
def test_class_weights_are_those_of_fit(task: str) -> None:
    problem = skewed(task)
    weights = balanced(problem)
    assert_agrees(problem, {"class_weight": "balanced"}, fitted={"class_weight": weights})


def test_class_and_sample_weights_are_multiplied() -> None:
    problem = skewed("binary")
    weights = np.random.default_rng(0).uniform(0, 3, N).astype("float32")
    weighted = replace(problem, weights=weights)
    trial = TrialSpec(0, {**SMALL, "class_weight": "balanced"}, seed=11, epochs=1)
    [report] = vectorized_curves(weighted, trial)
    of_class = balanced(problem)
    both = weights * np.where(problem.target[:, 0] > 0.5, of_class[1], of_class[0])
    training, _ = fit_curves(replace(problem, weights=both.astype("float32")), trial, 1)
    np.testing.assert_allclose([report.metrics["train/loss"][1]], training, 1e-4)


def skewed(task: str) -> Problem:
    """A problem whose classes differ in size."""
    problem = make_problem(task)
    target = problem.target.copy()
    rare = np.random.default_rng(5).random(N) < 0.6
    target[rare] = [0.0] if task == "binary" else [1.0, 0.0, 0.0]
    return replace(problem, target=target)


def balanced(problem: Problem) -> dict[int, float]:
    """scikit-learn's balanced weights of the last fold's training rows."""
    from sklearn.utils.class_weight import compute_class_weight

    target = problem.target[problem.folds[-1].train]
    classes = target[:, 0] if target.shape[1] == 1 else target.argmax(axis=1)
    present = np.unique(classes)
    weights = compute_class_weight("balanced", classes=present, y=classes)
    return dict(zip(present.astype(int).tolist(), weights.tolist(), strict=True))


def test_a_loss_of_the_users_own_is_that_of_fit(tmp_path: Path) -> None:
    file = tmp_path / "losses.py"
    file.write_text(
        "from keras import ops\n\n"
        "def cubic(y_true, y_pred):\n"
        "    return ops.mean(ops.abs(y_true - y_pred) ** 3, axis=-1)\n"
    )

    def cubic(y_true: Any, y_pred: Any) -> Any:
        return keras.ops.mean(keras.ops.abs(y_true - y_pred) ** 3, axis=-1)

    params = {"loss": f"{file}:cubic"}
    assert_agrees(make_problem("regression"), params, compiled={"loss": cubic})


LAYERS = {
    "embedding": (
        "x = keras.ops.cast(keras.ops.abs(first) * 3 % 7, 'int32')\n"
        "x = keras.layers.Flatten()(keras.layers.Embedding(7, 3)(x))\n"
    ),
    "attention": (
        "x = keras.layers.Reshape((5, 1))(first)\n"
        "x = keras.layers.Dense(4)(x)\n"
        "x = keras.layers.MultiHeadAttention(2, 3)(x, x)\n"
        "x = keras.layers.GlobalAveragePooling1D()(x)\n"
    ),
    "lstm": "x = keras.layers.LSTM(4)(keras.layers.Reshape((5, 1))(first))\n",
    "gru": "x = keras.layers.GRU(4)(keras.layers.Reshape((5, 1))(first))\n",
    "noises of no strength": (
        "x = keras.layers.SpatialDropout1D(0.0)(keras.layers.Reshape((5, 1))(first))\n"
        "x = keras.layers.Dropout(0.0)(keras.layers.Flatten()(x))\n"
        "x = keras.layers.GaussianNoise(0.0)(keras.layers.GaussianDropout(0.0)(x))\n"
        "x = keras.layers.AlphaDropout(0.0)(x)\n"
    ),
    "activity": "x = keras.layers.Dense(4, 'relu', activity_regularizer='l2')(first)\n",
    "kernel": (
        "l1_l2 = keras.regularizers.L1L2(0.01, 0.02)\n"
        "dense = keras.layers.Dense(4, kernel_regularizer=l1_l2, bias_regularizer='l2')\n"
        "x = dense(first)\n"
    ),
}


SIMPLE = ("noises of no strength",)  # test_arrays_are_fit.py trains a recurrent network


@pytest.mark.parametrize("kind", long_unless(SIMPLE.__contains__, LAYERS))
def test_a_model_of_the_users_own_trains_as_in_fit(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    body = f"first = keras.Input(inputs)\n{LAYERS[kind]}"
    body += "x = keras.layers.Dense(outputs.units, outputs.activation)(x)\n"
    body += "return keras.Model(first, x)\n"
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    file.write_text(f"import keras\n\ndef build(params, inputs, outputs):\n{lines}")
    assert_agrees(make_problem(model=f"{file}:build"), {})
