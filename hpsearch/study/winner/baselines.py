"""Baseline models from scikit-learn, to which the winner is compared.

They are fitted on the scaled development rows before the locked rows are read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ...data import TestRows
from ...data.columns import ColumnInput
from ...data.schema import Schema
from ...data.target_transform import apply_target_transforms, inverse_transform_target
from ...gc_pause import pause_gc
from ...training.problem import Problem
from .holdout_metrics import compute_or_warn

logger = logging.getLogger("hpsearch.study")

N_WORDS = 1 << 18  # hash buckets of words and pairs of words
PAIR_FACTOR = 1_000_003
MAX_NUMBERS = 20_000_000  # bytes of the training arrays
ONE_THREAD_NUMBERS = 1_000_000  # features times rows up to which one thread fits a baseline
Predict = Callable[[np.ndarray], np.ndarray]  # (n, n_features) -> (n, n_outputs)


@dataclass(frozen=True, slots=True)
class Baseline:
    """A fitted baseline model."""

    name: str
    model: Predict
    problem: Problem
    fold_score: float | None = None  # not measured

    def predict(self, schema: Schema, locked: TestRows) -> np.ndarray:
        """Predict the locked rows, (n_test, n_outputs)."""
        size = max(1, MAX_NUMBERS // int(np.prod(self.problem.row_shape)))
        columns = locked.columns
        parts = [columns[start : start + size] for start in range(0, len(columns), size)]
        return np.concatenate([self._predict_part(schema.expand(part)) for part in parts])

    def _predict_part(self, features: np.ndarray) -> np.ndarray:
        rows = self.problem.statistics[0].apply(features)
        numbers = _flatten_rows(rows, self.problem.array_inputs)
        with _limit_threads(numbers):
            return self.model(numbers)


def fit_baselines(problem: Problem) -> tuple[Baseline, ...]:
    """Fit a linear model, gradient boosting and a constant on the single fold of a problem.

    Skipped for large arrays; a model that fails is omitted with a warning.
    """
    n_rows = len(problem.target)
    if len(problem.row_shape) > 1 and n_rows * np.prod(problem.row_shape) > MAX_NUMBERS:
        return ()
    taken = _sample_rows(problem)
    whole = problem.windows is None and not problem.on_disk
    features = problem.features if whole else problem.take(np.arange(n_rows)[taken])
    rows = _flatten_rows(problem.statistics[0].apply(features), problem.array_inputs)
    fitted = []
    for name, estimator in make_estimators(
        problem.task, sparse=any(c.kind == "text" for c in problem.array_inputs)
    ).items():
        fit = partial(
            fit_estimator,
            estimator,
            problem.task,
            rows,
            problem.target[taken],
            None if problem.weights is None else problem.weights[taken],
            problem.target_transforms,
        )
        with _limit_threads(rows):
            model = compute_or_warn(f"the baseline {name}", fit)
        if model is not None:
            fitted.append(Baseline(name, model, problem))
    return tuple(fitted)


def _sample_rows(problem: Problem) -> np.ndarray | slice:
    """Sample evenly spaced rows if all are on disk, as many as baselines may have in memory."""
    n_rows = len(problem.target)
    n_taken = max(2, MAX_NUMBERS // problem.row_shape[0])
    if not problem.on_disk or n_taken >= n_rows:
        return slice(None)
    logger.warning(
        "baselines are fitted on %s of %s rows, which are not in memory",
        f"{n_taken:,}",
        f"{n_rows:,}",
    )
    return np.linspace(0, n_rows - 1, n_taken).astype(np.intp)


def _limit_threads(rows: Any) -> AbstractContextManager[object]:
    """Use one thread for small tables, and scikit-learn's default for others.

    The workers train the final model meanwhile. OpenMP's threads then wait actively for each other,
    longer than they compute.
    """
    from threadpoolctl import threadpool_limits

    threads = 1 if rows.size <= ONE_THREAD_NUMBERS else None
    limited: AbstractContextManager[object] = threadpool_limits(threads, user_api="openmp")
    return limited


def _flatten_rows(rows: np.ndarray, arrays: Sequence[ColumnInput]) -> Any:
    """Flatten rows to one vector each; texts become counts of their words and pairs of words.

    Args:
        rows: Scaled features, (n, *shape).
        arrays: Which features are the tokens of a text, the pixels of an image, which are left
            out, or what a frozen model makes of them.

    Returns:
        (n, n_numbers) float32; a sparse matrix if there are texts.
    """
    if not arrays:
        return rows.reshape(len(rows), -1)
    from scipy.sparse import csr_matrix, hstack

    passed = [a for a in arrays if a.kind == "image" and len(a.shape) == 1]  # a frozen model
    parts = [rows[:, : arrays[0].start], *(rows[:, a.start : a.stop] for a in passed)]
    table = np.concatenate(parts, axis=1)
    texts = [array for array in arrays if array.kind == "text"]
    if not texts:
        return table
    table = csr_matrix(table)
    return hstack([table, *(_count_words(rows[:, t.start : t.stop]) for t in texts)]).tocsr()


def _count_words(tokens: np.ndarray) -> Any:
    """Count words and pairs, hashed to `N_WORDS`, in rows of unit length."""
    from scipy.sparse import csr_matrix
    from sklearn.preprocessing import normalize

    single = tokens.astype(np.int64)
    pairs = np.where(single[:, 1:] > 0, single[:, :-1] * PAIR_FACTOR + single[:, 1:], 0)
    numbers = np.concatenate([single, pairs], axis=1)
    rows, _ = np.nonzero(numbers)
    found = numbers[numbers > 0] % N_WORDS
    counts = csr_matrix((np.ones(len(found)), (rows, found)), (len(tokens), N_WORDS))
    return normalize(counts)


@pause_gc()  # scikit-learn is imported
def make_estimators(task: str, *, sparse: bool = False) -> dict[str, Any]:
    """Make the estimators of a task by name, with scikit-learn's defaults.

    Boosting takes no `sparse` features and is left out for them.
    """
    known = _make_all_estimators(task)
    return {n: e for n, e in known.items() if not (sparse and n == "gradient_boosting")}


def _make_all_estimators(task: str) -> dict[str, Any]:
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.linear_model import LogisticRegression, Ridge

    if task == "regression":
        return {
            "ridge": Ridge(),
            "gradient_boosting": HistGradientBoostingRegressor(random_state=0),
            "constant": DummyRegressor(),
        }
    return {
        "logistic_regression": LogisticRegression(max_iter=2000),
        "gradient_boosting": HistGradientBoostingClassifier(random_state=0),
        "constant": DummyClassifier(),
    }


def fit_estimator(
    estimator: Any,
    task: str,
    features: np.ndarray,
    target: np.ndarray,
    weights: np.ndarray | None = None,
    transforms: Sequence[str] = (),
) -> Predict:
    """Fit a copy of an estimator per target or label.

    Args:
        estimator: A scikit-learn estimator that supports sample weights.
        task: The study's task.
        features: Scaled features of the development rows, (n_dev, n_features).
        target: Their target, (n_dev, n_outputs).
        weights: Their sample weights, (n_dev,).
        transforms: Transforms of the target, as for a network; see `data.target_transform`.
    """
    from sklearn.base import clone

    if task == "regression":
        columns = apply_target_transforms(np, target, transforms).T
        each = [clone(estimator).fit(features, column, weights) for column in columns]
        return lambda rows: inverse_transform_target(
            np, np.column_stack([model.predict(rows) for model in each]), 0.0, 1.0, transforms
        )
    if task == "multilabel":
        each = [clone(estimator).fit(features, label, weights) for label in target.T]
        return lambda rows: np.column_stack([model.predict_proba(rows)[:, 1] for model in each])
    is_binary = target.shape[1] == 1
    labels = target[:, 0] if is_binary else target.argmax(axis=1)
    model = clone(estimator).fit(features, labels, weights)
    return lambda rows: model.predict_proba(rows)[:, int(is_binary) :]
