"""RealMLP, TabM and the `mlp` with embeddings on degenerate columns: finite scores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from long_cases import long_unless

from hpsearch.data.columns import Column, Target
from hpsearch.data.schema import Schema
from hpsearch.data.split import Split
from hpsearch.data.statistics import fit_statistics
from hpsearch.models import make_training_defaults
from hpsearch.training.problem import Problem
from hpsearch.training.vectorized import VectorizedTrainer
from hpsearch.trial import TrialResult, TrialSpec

SMALL = {"layers": 1, "units": 4, "batch_size": 8, "embedding_frequencies": 2}
SMALL_TABM = {"layers": 1, "units": 32, "batch_size": 8, "members": 4}
SMALL_MLP = {"layers": 1, "units": 4, "batch_size": 8, "activation": "gelu"}


def make_problem(
    numbers: np.ndarray, target: np.ndarray, *, codes: np.ndarray | None = None, n: int = 1
) -> Problem:
    """Two folds of a regression; `codes` are a column of `n` categories."""
    columns = [Column(f"n{j}", "numeric") for j in range(numbers.shape[1])]
    if codes is not None:
        columns.append(Column("c", "categorical", tuple(f"v{i}" for i in range(n))))
        numbers = np.concatenate([numbers, codes[:, None]], axis=1)
    schema, rows = Schema(tuple(columns), Target("y", "regression")), np.arange(len(target))
    numbers, target = numbers.astype(np.float32), target[:, None].astype(np.float32)
    half = len(rows) // 2
    folds = (Split(rows[:half], rows[half:]), Split(rows[half:], rows[:half]))
    fitted = [
        fit_statistics(schema, numbers, target, f.train, scaling="robust_clip") for f in folds
    ]
    return Problem(
        task="regression",
        features=schema.expand(numbers),
        target=target,
        folds=folds,
        statistics=tuple(fitted),
        objective="rmse",
        metrics=("rmse",),
        model="realmlp",
        category_ranges=schema.category_ranges,
        fixed_params=make_training_defaults("realmlp", "regression"),
    )


def drawn(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, columns))


def outliers(rows: int) -> np.ndarray:
    target = drawn(rows, 1)[:, 0]
    target[[3, rows - 2]] = 1e12, -1e12
    return target


def constant_in_a_fold() -> Problem:
    """A column that is 7 in all rows of the first fold, and one that is missing there."""
    numbers = drawn(40, 3)
    numbers[:20, 0], numbers[:20, 1] = 7, np.nan
    return make_problem(numbers, numbers[:, 2])


def without_a_value() -> Problem:
    numbers = drawn(40, 2)
    numbers[:, 0] = np.nan
    return make_problem(numbers, numbers[:, 1])


CASES: dict[str, Any] = {
    "a column without a value": without_a_value,
    "150 categories": lambda: make_problem(
        drawn(300, 1), drawn(300, 1)[:, 0], codes=np.arange(300.0) % 150, n=150
    ),
    "a column constant in a fold's training rows": constant_in_a_fold,
    "12 rows, fewer than bins": lambda: make_problem(drawn(12, 2), drawn(12, 1)[:, 0]),
    "one category only": lambda: make_problem(drawn(40, 1), drawn(40, 1)[:, 0], codes=np.zeros(40)),
    "categories alone": lambda: make_problem(
        drawn(40, 0), drawn(40, 1)[:, 0], codes=np.arange(40.0) % 12, n=12
    ),
    "targets of 1e12": lambda: make_problem(drawn(40, 2), outliers(40)),
    "numbers of 1e30": lambda: make_problem(drawn(40, 2) * [1e30, 1], drawn(40, 1)[:, 0]),
    "2,000 columns": lambda: make_problem(drawn(30, 2000), drawn(30, 1)[:, 0]),
}


# Of one kind each: columns without spread, no number at all, figures that overflow a square.
USUAL = ("a column constant in a fold's training rows", "categories alone", "targets of 1e12")


@pytest.mark.parametrize("embedding", [pytest.param("pbld", marks=pytest.mark.long), "piecewise"])
@pytest.mark.parametrize("case", long_unless(USUAL.__contains__, CASES))
def test_scores_and_answers_are_finite(case: str, embedding: str) -> None:
    problem = CASES[case]()
    spec = TrialSpec(0, {**SMALL, "embedding": embedding}, seed=1, epochs=10)
    result = train_finite(problem, spec)
    for split in problem.folds:
        target, answers = problem.target[split.train], result.predictions[split.validation]
        assert target.min() <= answers.min()
        assert target.max() >= answers.max()


@pytest.mark.parametrize(
    "case", long_unless({"a column constant in a fold's training rows"}.__contains__, CASES)
)
def test_scores_of_tabm_are_finite(case: str) -> None:
    usual = {**make_training_defaults("tabm", "regression"), "scaling": "robust_clip"}
    problem = replace(CASES[case](), model="tabm", fixed_params=usual)
    train_finite(problem, TrialSpec(0, SMALL_TABM, seed=1, epochs=4))


@pytest.mark.parametrize("embedding", [pytest.param("plr", marks=pytest.mark.long), "piecewise"])
@pytest.mark.parametrize("case", long_unless({"a column without a value"}.__contains__, CASES))
def test_scores_of_the_mlp_with_embeddings_are_finite(case: str, embedding: str) -> None:
    problem = replace(CASES[case](), model="mlp", fixed_params={})
    train_finite(problem, TrialSpec(0, {**SMALL_MLP, "embedding": embedding}, seed=1, epochs=4))


def train_finite(problem: Problem, spec: TrialSpec) -> TrialResult:
    *_, result = VectorizedTrainer(problem).train([spec])
    assert result.error is None, result.error
    for name, curve in result.curves.items():
        assert np.isfinite(curve).all(), name
    return result
