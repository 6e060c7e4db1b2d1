"""A custom metric in both trainers, and in the evaluation of the winner."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training.trainer_contract import run, separable, spec

import hpsearch
from hpsearch.errors import SpecError
from hpsearch.promotion.gate import Gate, HoldoutPredictions, NotBetterError, compare_models
from hpsearch.training.custom_metric import load_custom_metric
from hpsearch.training.keras.keras_fit import KerasFitTrainer
from hpsearch.training.vectorized import VectorizedTrainer

CODE = """
import numpy as np

def squares(truth, prediction, weights):
    assert isinstance(prediction, np.ndarray)
    return float(np.average(((truth - prediction) ** 2).sum(axis=1), weights=weights))
"""


@pytest.fixture
def reference(tmp_path: Path) -> str:
    (tmp_path / "costs.py").write_text(CODE)
    return f"{tmp_path / 'costs.py'}:squares"


@pytest.mark.parametrize("trainer", [VectorizedTrainer, KerasFitTrainer])
def test_it_is_what_the_like_metric_of_ours_is(trainer: type, reference: str) -> None:
    problem = separable()
    own = replace(
        problem,
        objective="squares",
        metrics=("squares", "brier", "accuracy"),
        custom_metric=(reference, "minimize"),
        weights=np.linspace(0.5, 2, len(problem.target)).astype(np.float32),
    )
    result = run(trainer(own), [spec(epochs=3)])[1][0]
    assert "COMPLETE" == result.state, result.traceback
    curves = result.curves
    np.testing.assert_allclose(curves["val/brier"], curves["val/squares"], rtol=1e-5)
    assert result.score == pytest.approx(curves["val/squares"].mean(axis=1).min())


def test_a_batch_of_lanes_measures_it_too(reference: str) -> None:
    own = replace(
        separable(),
        objective="squares",
        metrics=("squares", "brier"),
        custom_metric=(reference, "minimize"),
    )
    curves = run(VectorizedTrainer(own, placement="batch"), [spec(epochs=2)])[1][0].curves
    np.testing.assert_allclose(curves["val/brier"], curves["val/squares"], rtol=1e-5)


@pytest.mark.parametrize("name", ["AUC", "auc"])
def test_a_metric_of_keras_has_no_memory_of_other_rows(tmp_path: Path, name: str) -> None:
    file = tmp_path / "metrics.py"
    file.write_text("from keras.metrics import AUC\nauc = AUC()\n")
    metric = load_custom_metric(f"{file}:{name}", "maximize")
    truth, good = np.array([[0.0], [0.0], [1.0], [1.0]]), np.array([[0.1], [0.2], [0.8], [0.9]])
    for prediction, weights, expected in (
        (good, None, 1.0),
        (1 - good, None, 0.0),
        (np.array([[0.1], [0.9], [0.2], [0.8]]), np.array([1.0, 0.0, 1.0, 1.0]), 1.0),
    ):
        assert expected == pytest.approx(metric(truth, prediction, weights), abs=1e-6)


def declared(**objective: str) -> dict:
    return {
        "study": "own",
        "data": {"source": "sklearn:wine"},
        "objective": objective,
        "cross_validation": {"folds": 2},
        "training": {"epochs": 2},
        "search_space": {"units": 8},
        "budget": {"trials": 1},
        "selection": {"finalists": 0},
    }


def test_a_study_is_judged_by_it_on_the_locked_rows(reference: str, tmp_path: Path) -> None:
    spec = declared(metric=reference, direction="minimize")
    result = hpsearch.tune(spec, offline=True, root=tmp_path)
    assert "squares" == result.objective
    low, high = result.intervals["squares"]
    assert low < result.test["squares"] < high
    assert result.baselines[0].metrics["squares"] > 0


def test_a_direction_is_asked_for_and_a_missing_function_is_named(reference: str) -> None:
    with pytest.raises(SpecError, match=r"objective\.direction: is required of a function"):
        hpsearch.tune(declared(metric=reference))
    with pytest.raises(SpecError, match="has no function 'cubes'"):
        hpsearch.tune(declared(metric=reference.replace("squares", "cubes"), direction="minimize"))


def test_the_gate_does_not_compare_by_what_it_does_not_know(reference: str) -> None:
    rows = HoldoutPredictions(np.ones((3, 1)), np.ones((3, 1)), np.ones(3), "f")
    name = load_custom_metric(reference, "minimize").name
    with pytest.raises(NotBetterError, match="by the custom metric"):
        compare_models(rows, rows, name, Gate())
