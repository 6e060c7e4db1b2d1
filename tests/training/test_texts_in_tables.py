"""`realmlp` and `tabm` learn from texts beside numbers, alike under both trainers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hpsearch.models import make_training_defaults
from hpsearch.models.families.number_embedding import BINS_LAYER
from hpsearch.training.fold_weights import draw_fold_weights
from hpsearch.training.keras.keras_fit import KerasFitTrainer
from hpsearch.training.problem import Problem
from hpsearch.training.vectorized import VectorizedTrainer
from hpsearch.training.weight_initialization import build_blueprint
from hpsearch.trial import TrialSpec

from .test_realmlp_is_fit import curves
from .trainer_contract import first_fold, texts

TEXT = {"text_vocabulary": 40, "text_size": 4, "dropout": 0.0, "units": 8, "layers": 1}
FAMILIES: dict[str, dict[str, Any]] = {
    "realmlp": {"learning_rate": 0.02, "embedding": "piecewise", "embedding_bins": 4},
    "tabm": {"learning_rate": 0.02, "members": 3, "embedding_bins": 4, "embedding_units": 2},
}


def make_problem(model: str) -> Problem:
    usual = {**make_training_defaults(model, "binary"), "batch_size": 32}
    del usual["scaling"]  # the numbers are scaled already
    return first_fold(replace(texts(), model=model, fixed_params=usual))


@pytest.mark.parametrize("model", ["realmlp", pytest.param("tabm", marks=pytest.mark.long)])
@pytest.mark.parametrize("placement", ["threads", pytest.param("batch", marks=pytest.mark.long)])
def test_both_trainers_have_the_same_curves(model: str, placement: Any) -> None:
    problem = make_problem(model)
    trial = TrialSpec(0, {**TEXT, **FAMILIES[model]}, seed=11, epochs=3)
    expected = curves(KerasFitTrainer(problem), trial)
    found = curves(VectorizedTrainer(problem, placement=placement), trial)
    assert expected.keys() == found.keys()
    for name, curve in found.items():
        np.testing.assert_allclose(expected[name], curve, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("model", FAMILIES)
def test_bins_are_fitted_to_the_numbers_and_not_to_the_tokens(model: str) -> None:
    problem = make_problem(model)
    params = problem.resolve({**TEXT, **FAMILIES[model]})
    network = build_blueprint(problem.make_builder(params, seed=0))
    weights = draw_fold_weights(problem, params, network, fold=0, seed=3)
    kernel, bias = (
        weights[index]
        for layer in network.layers
        if layer.name == BINS_LAYER
        for variable in layer.weights
        for index, known in enumerate(network.weights)
        if known is variable
    )
    assert kernel.shape == (1, 4)
    numbers = problem.statistics[0].apply(problem.features[problem.folds[0].train])[:, 0]
    middle = np.clip(kernel * np.median(numbers) + bias, 0, 1)
    np.testing.assert_allclose(middle[0], [1, 1, 0, 0], atol=1e-5)
