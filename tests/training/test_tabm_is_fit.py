"""TabM is the paper's formula, and trains alike under both trainers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from long_cases import long_unless

from hpsearch.models import load_family, make_outputs, make_training_defaults
from hpsearch.models.members import average_loss, average_members, count_members, separate_members
from hpsearch.training.fold_weights import draw_fold_weights
from hpsearch.training.keras.keras_fit import KerasFitTrainer
from hpsearch.training.problem import Problem
from hpsearch.training.vectorized import VectorizedTrainer
from hpsearch.training.weight_initialization import build_blueprint
from hpsearch.trial import TrialSpec

from .test_realmlp_is_fit import curves, make_problem

SMALL = {"members": 3, "layers": 2, "units": 8, "embedding_units": 2, "embedding_bins": 4}
ROWS = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)


def make_tabm_problem(task: str) -> Problem:
    usual = {**make_training_defaults("tabm", task), "batch_size": 16, "scaling": "robust_clip"}
    return replace(make_problem(task), model="tabm", fixed_params=usual)


def build(n_outputs: int, activation: str = "sigmoid", **params: Any) -> keras.Model:
    outputs = replace(make_outputs("binary", n_outputs), activation=activation)
    return load_family("tabm").build({**SMALL, **params}, (5,), outputs)


CASES: list[tuple[str, dict[str, Any]]] = [
    ("multiclass", {"label_smoothing": 0.1}),
    ("binary", {"embedding": "none", "class_weight": "balanced"}),
    ("regression", {"embedding": "pbld", "optimizer": "muon", "use_ema": True}),
    ("regression", {"loss": "huber", "members": 1}),
]


@pytest.mark.parametrize(("task", "params"), long_unless(CASES[0].__eq__, CASES), ids=str)
@pytest.mark.parametrize("placement", ["threads", pytest.param("batch", marks=pytest.mark.long)])
def test_both_trainers_have_the_same_curves(task: str, params: Any, placement: str) -> None:
    problem = make_tabm_problem(task)
    spec = TrialSpec(0, {**SMALL, "dropout": 0.0, **params}, seed=11, epochs=3)
    expected = curves(KerasFitTrainer(problem), spec)
    found = curves(VectorizedTrainer(problem, placement=placement), spec)
    for name, curve in found.items():
        np.testing.assert_allclose(expected[name], curve, rtol=1e-4, err_msg=name)


def test_a_member_is_an_mlp_with_scales_of_its_own() -> None:
    """By hand, member by member, from the weights; the prediction is the members' mean."""
    model = build(2, "softmax", embedding="none", dropout=0.5)
    model.set_weights([np.random.default_rng(1).normal(size=w.shape) for w in model.get_weights()])
    weights = {v.path: np.asarray(v) for v in model.weights}
    members = []
    for m in range(3):
        x = ROWS
        for i, first in enumerate(("inputs", "inputs_1")):
            x = (x * weights[f"{first}/kernel"][m]) @ weights[f"dense_{i}/kernel"]
            own = weights[f"outputs_{i}/kernel"][m], weights[f"outputs_{i}/bias"][m]
            x = np.maximum(x * own[0] + own[1], 0)
        logits = x @ weights["last/kernel"][m] + weights["last/bias"][m]
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        members.append(odds / odds.sum(axis=1, keepdims=True))
    side_by_side = separate_members(model)
    assert 3 == count_members(side_by_side)
    found = np.asarray(side_by_side(ROWS))
    np.testing.assert_allclose(np.concatenate(members, axis=1), found, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.mean(members, axis=0), model(ROWS), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(average_members(found, 3), model(ROWS), rtol=1e-5)


def test_the_loss_is_the_mean_of_the_members_losses() -> None:
    truth = np.eye(2, dtype=np.float32)[[0, 1, 1]]
    outputs = np.random.default_rng(2).dirichlet([1, 1], (3, 4)).astype(np.float32)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.2)
    expected = np.mean([float(loss(truth, outputs[:, m])) for m in range(4)])
    assert expected == pytest.approx(float(average_loss(loss, 4)(truth, outputs.reshape(3, 8))))
    assert loss is average_loss(loss, 1)


@pytest.mark.parametrize("embedding", ["none", "piecewise"])
def test_members_begin_with_factors_of_their_own(embedding: str) -> None:
    """Random signs; with embeddings, a normal number for all units of a number's embedding."""
    problem, params = make_tabm_problem("binary"), {**SMALL, "embedding": embedding}
    network = build_blueprint(problem.make_builder(params, 0))
    weights = draw_fold_weights(problem, params, network, fold=0, seed=5)
    found = {v.path: w for v, w in zip(network.weights, weights, strict=True)}
    first = found["inputs/kernel"]
    assert not (first[0] == first[1]).all()
    if embedding == "none":
        assert {-1.0, 1.0} == set(first.ravel().tolist())
    else:
        np.testing.assert_array_equal(first[:, 0:6:2], first[:, 1:6:2])
        assert (np.abs(first) != 1).all()
    assert (found["inputs_1/kernel"] == 1).all()
    assert (found["outputs_0/kernel"] == 1).all()


def test_the_file_opens_anywhere(tmp_path: Path) -> None:
    model = build(1)
    model.save(tmp_path / "tabm.keras")
    opened = keras.models.load_model(tmp_path / "tabm.keras", safe_mode=True)
    np.testing.assert_array_equal(model(ROWS), opened(ROWS))
