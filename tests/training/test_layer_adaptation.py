"""Layers with `adapt` in a custom model: adapted to each fold's training rows, by both trainers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from hpsearch.errors import SpecError
from hpsearch.models.introspection.model_facts import is_unadapted
from hpsearch.testing.executors import small_problem, small_trial
from hpsearch.training.final_model import _fit_network
from hpsearch.training.keras.keras_fit import KerasFitTrainer
from hpsearch.training.keras.own_training import find_own_training
from hpsearch.training.model_inspection import inspect_model
from hpsearch.training.problem import Problem, sample_problem
from hpsearch.training.vectorized import VectorizedTrainer
from hpsearch.trial import TrialResult

FILE = Path(__file__).with_name("adapted_models.py")
TRAINERS = [KerasFitTrainer, VectorizedTrainer]
TRIAL = small_trial(epochs=1, optimizer="sgd", learning_rate=0.0)


def problem_of(function: str) -> Problem:
    """Columns in units of their own; rows of the first fold's validation are far away."""
    problem = small_problem(f"{FILE}:{function}")
    features = 5 + 30 * problem.features
    features[problem.folds[0].validation] += 1e4
    return replace(problem, features=features)


def layers_of(model: keras.Model, kind: type) -> list[Any]:
    return [layer for layer in model._flatten_layers() if isinstance(layer, kind)]


def fit_first_fold(kind: Any, function: str) -> tuple[Problem, keras.Model]:
    """The network after a fit of the first fold, whose other weights keep their initial values."""
    problem = problem_of(function).first_folds(1)
    network, _ = _fit_network(kind(problem), problem, TRIAL)
    return problem, network


@pytest.mark.parametrize("kind", [pytest.param(TRAINERS[0], marks=pytest.mark.long), TRAINERS[1]])
def test_normalization_has_the_statistics_of_the_training_rows(kind: Any) -> None:
    problem, network = fit_first_fold(kind, "normalized")
    rows = problem.features[problem.folds[0].train]
    first, inner, last = layers_of(network, keras.layers.Normalization)
    expected = keras.layers.Normalization()
    expected.adapt(rows)
    for layer, given in ((first, rows), (inner, expected(rows))):
        np.testing.assert_allclose(np.mean(given, axis=0), layer.adapt_mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(np.var(given, axis=0), layer.adapt_variance, rtol=1e-3)
    seen = keras.Model(network.input, last.output).predict(rows, verbose=0)
    np.testing.assert_allclose(0, seen.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(1, seen.std(axis=0), rtol=1e-3)


@pytest.mark.long
def test_both_trainers_score_the_same() -> None:
    problem = problem_of("normalized")
    trial = small_trial(epochs=2, optimizer="sgd")
    found = []
    for kind in TRAINERS:
        *_, result = kind(problem).train([trial])
        assert isinstance(result, TrialResult)
        assert "COMPLETE" == result.state, result.error
        found.append(np.array(result.curves["val/loss"]))
    np.testing.assert_allclose(*found, rtol=1e-4)
    assert np.ptp(found[0][-1]) > 0  # each fold has statistics of its own


def test_a_model_with_loaded_weights_is_adapted_too() -> None:
    problem, network = fit_first_fold(KerasFitTrainer, "with_frozen_values")
    [layer] = layers_of(network, keras.layers.Normalization)
    mean = problem.features[problem.folds[0].train].mean(axis=0)
    np.testing.assert_allclose(mean, layer.adapt_mean, rtol=1e-4)


@pytest.mark.long
def test_discretization_is_trained_by_fit_and_keeps_its_boundaries(tmp_path: Path) -> None:
    problem, network = fit_first_fold(KerasFitTrainer, "discretized")
    assert "adapted to the training rows" in str(find_own_training_of(problem))
    [layer] = layers_of(network, keras.layers.Discretization)
    expected = keras.layers.Discretization(num_bins=4)
    expected.adapt(problem.features[problem.folds[0].train])
    assert expected.bin_boundaries == layer.bin_boundaries
    network.save(tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert [] == [x for x in layers_of(opened, keras.layers.Layer) if is_unadapted(x)]
    rows = problem.features[:20]
    np.testing.assert_allclose(
        network.predict(rows, verbose=0), opened.predict(rows, verbose=0), rtol=1e-5
    )


def find_own_training_of(problem: Problem) -> str | None:
    return find_own_training(problem.make_own_builder(TRIAL.params, 0)(), problem)


def test_check_says_what_is_adapted_and_refuses_a_lookup() -> None:
    found = inspect_model(sample_problem(problem_of("normalized")), [{}])
    assert "adapted to the training rows of each fold" in found.notes[0]
    assert found.own_training is None
    with pytest.raises(SpecError, match=r"IntegerLookup .* is computed by TensorFlow"):
        inspect_model(sample_problem(problem_of("looked_up")), [{}])
