"""RealMLP trains alike under both trainers, and as plain Keras does by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from hpsearch.data.schema import Column, Schema, Target
from hpsearch.data.split import Split
from hpsearch.data.statistics import fit_statistics
from hpsearch.models import make_training_defaults
from hpsearch.training.batching import derive_order_seed, draw_epoch_order
from hpsearch.training.fold_weights import draw_fold_weights
from hpsearch.training.keras.keras_fit import KerasFitTrainer
from hpsearch.training.problem import Problem
from hpsearch.training.weight_initialization import build_blueprint
from hpsearch.trial import EpochReport, TrialSpec

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
    metric = {"multiclass": "log_loss", "regression": "rmse"}.get(task, "roc_auc")
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
    ("multiclass", {"embedding": "plr", "parametrization": "standard", "bias_init": "zeros"}),
    ("regression", {"embedding": "piecewise"}),
]


@pytest.mark.parametrize(("task", "params"), CASES, ids=str)
@pytest.mark.parametrize("placement", ["threads", "batch"])
def test_both_trainers_have_the_same_curves(task: str, params: Any, placement: str) -> None:
    problem, spec = make_problem(task), trial(dropout=0.0, **params)
    expected = curves(KerasFitTrainer(problem), spec)
    for name, curve in curves(vectorized(problem, placement=placement), spec).items():
        np.testing.assert_allclose(expected[name], curve, rtol=1e-4, err_msg=name)
