"""RealMLP trains alike under both trainers, and as plain Keras does by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from long_cases import long_unless

from hpsearch.data.columns import Column, Target
from hpsearch.data.schema import Schema
from hpsearch.data.split import Split
from hpsearch.data.statistics import fit_statistics
from hpsearch.models import load_family, make_training_defaults
from hpsearch.training.fold_weights import draw_fold_weights
from hpsearch.training.keras.keras_fit import KerasFitTrainer
from hpsearch.training.problem import Problem
from hpsearch.training.weight_initialization import build_blueprint
from hpsearch.trial import TrialSpec

N, EPOCHS = 80, 3
SMALL = {"layers": 2, "units": 8, "batch_size": 16, "embedding_frequencies": 4}


def make_problem(task: Any = "binary", **changes: Any) -> Problem:
    """Two folds of numbers and a column of nine categories, which are embedded."""
    rng = np.random.default_rng(3)
    vocabulary = tuple("abcdefghi")
    columns = np.stack([*rng.lognormal(size=(3, N)), rng.integers(0, 9, N)], 1).astype("f")
    numbers = [Column(name, "numeric") for name in "uvw"]
    kind = "regression" if task == "regression" else "categorical"
    schema = Schema((*numbers, Column("x", "categorical", vocabulary)), Target("y", kind))
    signal = columns[:, 0] - columns[:, 1] + (columns[:, 3] > 4)
    target = {
        "binary": lambda: (signal > np.median(signal))[:, None],
        "multiclass": lambda: np.eye(3)[np.digitize(signal, np.quantile(signal, [0.3, 0.6]))],
        "regression": lambda: 100 + 7 * signal[:, None],
    }[task]().astype("f")
    folds = (Split(np.arange(45), np.arange(45, N)), Split(np.arange(35, N), np.arange(35)))
    fitted = tuple(
        fit_statistics(schema, columns, target, f.train, scaling="robust_clip") for f in folds
    )
    metric = {"multiclass": "accuracy", "regression": "rmse"}.get(task, "roc_auc")
    problem = Problem(
        task=task,
        features=schema.expand(columns),
        target=target,
        folds=folds,
        statistics=fitted,
        objective=metric,
        metrics=(metric,),
        model="realmlp",
        category_ranges=schema.category_ranges,
        fixed_params=make_training_defaults("realmlp", task),
    )
    return replace(problem, **changes)


def trial(**params: Any) -> TrialSpec:
    return TrialSpec(number=0, params={**SMALL, **params}, seed=11, epochs=EPOCHS)


def curves(trainer: Any, spec: TrialSpec) -> dict[str, np.ndarray]:
    *_, result = trainer.train([spec])
    assert result.error is None, result.traceback or result.error
    found: dict[str, np.ndarray] = result.curves
    return found


def vectorized(problem: Problem, **placed: Any) -> Any:
    from hpsearch.training.vectorized import VectorizedTrainer

    return VectorizedTrainer(problem, **placed)


CASES: list[tuple[str, dict[str, Any]]] = [
    ("binary", {}),
    ("multiclass", {"embedding": "plr", "learning_rate": 0.005, "bias_init": "zeros"}),
    ("binary", {"parametrization": "standard", "learning_rate": 0.002, "embedding": "none"}),
    ("regression", {"embedding": "piecewise"}),
]


@pytest.mark.parametrize(
    ("task", "params"),
    long_unless(CASES[0].__eq__, CASES),
    ids=str,
)
@pytest.mark.parametrize("placement", ["threads", pytest.param("batch", marks=pytest.mark.long)])
def test_both_trainers_have_the_same_curves(task: str, params: Any, placement: str) -> None:
    problem, spec = make_problem(task), trial(dropout=0.0, **params)
    expected = curves(KerasFitTrainer(problem), spec)
    for name, curve in curves(vectorized(problem, placement=placement), spec).items():
        np.testing.assert_allclose(expected[name], curve, rtol=1e-4, err_msg=name)


def test_no_batch_is_much_smaller_than_the_others() -> None:
    problem = make_problem()  # 45 training rows in each fold
    for family in ("realmlp", "tabm"):
        own = replace(problem, model=family)
        sizes = {size: own.resolve({"batch_size": size})["batch_size"] for size in (16, 44, 256)}
        assert {16: 15, 44: 45, 256: 45} == sizes


def test_a_space_of_rates_strengths_and_factors_compiles_once() -> None:
    trainer = vectorized(make_problem())
    curves(trainer, trial())
    compiled = trainer.compilations
    for changed in (
        {"learning_rate": 0.1, "dropout": 0.4, "weight_decay": 0.001, "beta_2": 0.99},
        {"bias_lr_factor": 0.5, "scale_lr_factor": 2.0, "embedding_scale": 5.0, "cycles": 2},
        {"label_smoothing": 0.02, "embedding_lr_factor": 0.3, "schedule": "constant"},
    ):
        curves(trainer, trial(**changed))
    assert compiled == trainer.compilations


@pytest.mark.parametrize(
    "trainer", long_unless("threads".__eq__, ["threads", "batch", "keras_fit"])
)
def test_dropout_follows_its_schedule(trainer: str) -> None:
    """Half of the units at first and none at last: the last epoch trains as without dropout."""
    problem = make_problem(fixed_params={"learning_rate": 1e-9, "dropout_schedule": "flat_cosine"})
    spec = replace(trial(dropout=0.5), epochs=24)
    trains = (
        KerasFitTrainer(problem)
        if trainer == "keras_fit"
        else vectorized(problem, placement=trainer)
    )
    losses = curves(trains, spec)["train/loss"].mean(axis=1)
    plain = curves(trains, replace(spec, params={**spec.params, "dropout": 0.0}))
    still = plain["train/loss"].mean()  # nothing is learned
    assert abs(losses[-1] - still) < 0.2 * np.abs(losses[:12] - still).mean()


def test_a_step_is_adams_with_the_factors_of_each_weight() -> None:
    """By hand: the first step of Adam is the sign of the gradient."""
    from hpsearch.compat.keras import make_per_weight_optimizer

    weights = [keras.Variable(np.float32([2.0, -4.0])), keras.Variable(np.float32([1.0]))]
    optimizer = make_per_weight_optimizer(keras.optimizers.Adam)(0.1, weight_decay=0.5)
    optimizer.rate_factors, optimizer.decay_factors = [0.5, 3.0], [2.0, 0.0]
    optimizer.build(weights)
    optimizer.decay_share.assign(0.5)
    optimizer.apply([np.float32([1.0, -7.0]), np.float32([5.0])])
    shrunk = 1 - 0.1 * 0.5 * (0.5 * 2.0) * 0.5
    expected = [np.array([2.0, -4.0]) * shrunk - 0.05 * np.array([1, -1]), [1.0 - 0.3]]
    for variable, values in zip(weights, expected, strict=True):
        np.testing.assert_allclose(values, np.asarray(variable), rtol=1e-5)


def test_units_begin_with_variance_one_and_biases_among_the_rows() -> None:
    problem = make_problem("regression")
    family, params = load_family("realmlp"), {**SMALL, **(problem.fixed_params or {})}
    network = build_blueprint(problem.make_builder(params, 0))
    weights = draw_fold_weights(problem, params, network, fold=0, seed=5)
    model = problem.make_builder(params, 0)()
    model.set_weights(weights)
    rows = problem.statistics[0].apply(problem.features[problem.folds[0].train])
    inside = keras.Model(model.input, [model.get_layer(f"dense_{i}").output for i in range(2)])
    for i, units in enumerate(map(np.asarray, inside(rows))):
        bias = np.asarray(model.get_layer(f"dense_{i}").bias)
        np.testing.assert_allclose(1, units.std(axis=0), rtol=1e-3)
        assert (np.min(units - bias, axis=0) <= -bias).all()
        assert (np.max(units - bias, axis=0) >= -bias).all()
    factors = family.make_step_factors(params, network)  # type: ignore[misc]
    found = {v.path: f for v, *f in zip(network.trainable_variables, *factors, strict=True)}
    assert [6.0, 6.0] == found["scale/kernel"]
    np.testing.assert_allclose([8**-0.5, 8**0.5], found["dense_1/kernel"], rtol=1e-6)
    np.testing.assert_allclose([0.1, 0], found["dense_1/bias"], rtol=1e-6)


@pytest.mark.parametrize("model", ["mlp", "wide_and_deep", "realmlp", "tabm"])
def test_bins_are_fitted_by_default_hyperparameters(model: str) -> None:
    problem, params = replace(make_problem(), model=model), {"embedding": "piecewise"}
    network = build_blueprint(problem.make_builder(params, 0))
    weights = draw_fold_weights(problem, params, network, fold=0, seed=5)
    [bins] = [w for v, w in zip(network.weights, weights, strict=True) if "bins/k" in v.path]
    assert (bins.max(axis=1) > 0).all()


def test_an_answer_stays_in_the_range_of_the_training_targets() -> None:
    problem = make_problem("regression", fixed_params={"learning_rate": 5.0})
    spec = trial(dropout=0.0)
    trainers = {"keras": KerasFitTrainer, "vectorized": vectorized}
    for make in trainers.values():
        *_, free = make(problem).train([spec])
        clamped = {**(problem.fixed_params or {}), "clamp": True}
        *_, held = make(replace(problem, fixed_params=clamped)).train([spec])
        for split in problem.folds:
            target, rows = problem.target[split.train], split.validation
            low, high = target.min(), target.max()
            assert free.predictions[rows].max() > high + 1
            assert low <= held.predictions[rows].min()
            assert high >= held.predictions[rows].max()


def test_an_optimizer_without_a_rate_for_each_weight_is_left_to_keras() -> None:
    from hpsearch.training.vectorized import explain_unsuitable

    problem = make_problem()
    assert explain_unsuitable(problem, trial().params) is None
    reason = explain_unsuitable(problem, trial(optimizer="muon").params)
    assert "muon has no learning rate of its own for each weight" in str(reason)
    assert np.isfinite(curves(KerasFitTrainer(problem), trial(optimizer="muon"))["val/loss"]).all()
