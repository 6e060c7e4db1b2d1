"""What a study says about its winner on the locked rows, beside a linear model.

Figures that can be done without (intervals, the linear model, a metric that raises) are left out
with a warning: the locked rows are not read again for their sake.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np

from ...data import TestRows
from ...data.schema import Schema
from ...events import BaselineScores, SingleTrialScores, WinnerEvaluated
from ...training.metrics import Metric, confusion_matrix
from ...training.problem import Problem
from . import holdout_metrics

logger = logging.getLogger("hpsearch.study")

MAX_NUMBERS = 20_000_000  # of the arrays that a linear model is fitted on
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Baseline:
    """A linear model of the development rows, before any locked row was read."""

    model: holdout_metrics.LinearModel
    problem: Problem

    def predict(self, schema: Schema, locked: TestRows) -> np.ndarray:
        """Its predictions for the locked rows, (n_test, n_outputs)."""
        rows = self.problem.statistics[0].apply(schema.expand(locked.columns))
        return self.model.predict(rows.reshape(len(rows), -1))


def fit_baseline(problem: Problem) -> Baseline | None:
    """Fit it on the rows of a problem of one fold; None beside large arrays, or where it fails."""
    n_rows = len(problem.target)
    if len(problem.row_shape) > 1 and n_rows * np.prod(problem.row_shape) > MAX_NUMBERS:
        return None
    features = problem.features if problem.windows is None else problem.take(np.arange(n_rows))
    rows = problem.statistics[0].apply(features).reshape(len(features), -1)
    model = _compute_or_warn(
        "the linear model beside the winner",
        lambda: holdout_metrics.fit_linear(
            problem.task, rows, problem.target, problem.weights, problem.target_transforms
        ),
    )
    return None if model is None else Baseline(model, problem)


def evaluate_holdout(
    problem: Problem,
    schema: Schema,
    locked: TestRows,
    prediction: np.ndarray,
    *,
    threshold: float,
    baseline: Baseline | None,
    single: tuple[int, np.ndarray] | None,
) -> WinnerEvaluated:
    """What the locked rows say.

    Args:
        problem: The study's; its metrics judge.
        schema: Of the columns.
        locked: The rows, with their truth.
        prediction: The winner's, (n_test, n_outputs).
        threshold: Of a binary task's labels.
        baseline: The linear model.
        single: Number and predictions of an ensemble's best single trial.
    """
    truth, weights = locked.target, locked.weights
    metrics = _defined_metrics(problem, locked)
    test = _compute_metrics(metrics, locked, prediction, threshold)
    judged = WinnerEvaluated(
        threshold=threshold,
        test=test,
        intervals=_compute_intervals(
            [m for m in metrics if m.name in test], truth, prediction, weights, threshold
        ),
    )
    if problem.task in ("binary", "multiclass"):
        table = _compute_or_warn(
            "the confusion",
            lambda: confusion_matrix(truth, prediction, threshold=threshold).tolist(),
        )
        judged = replace(judged, confusion=table)
    if baseline is not None:
        theirs = _compute_or_warn(
            "the linear model beside the winner", lambda: baseline.predict(schema, locked)
        )
        if theirs is not None:
            measured = _compute_metrics(metrics, locked, theirs, 0.5)
            judged = replace(judged, baseline=BaselineScores(baseline.model.name, measured))
    if single is not None:
        number, answer = single
        measured = _compute_metrics(metrics, locked, answer, threshold)
        judged = replace(judged, single=SingleTrialScores(number, measured))
    return judged


def _defined_metrics(problem: Problem, locked: TestRows) -> list[Metric]:
    """Those that have a value on the locked rows."""
    each = [problem.get_metric(name) for name in problem.metrics]
    return [metric for metric in each if metric.is_defined(locked.target, locked.weights)]


def _compute_metrics(
    metrics: list[Metric], locked: TestRows, prediction: np.ndarray, threshold: float
) -> dict[str, float]:
    found: dict[str, float] = {}
    for metric in metrics:
        value = _compute_or_warn(
            f"{metric.name} on the locked rows",
            partial(
                holdout_metrics.compute_metrics,
                [metric],
                locked.target,
                prediction,
                locked.weights,
                threshold=threshold,
            ),
        )
        found |= value or {}
    return found


def _compute_intervals(
    metrics: list[Metric],
    truth: np.ndarray,
    prediction: np.ndarray,
    weights: np.ndarray | None,
    threshold: float,
) -> dict[str, list[float]]:
    found = _compute_or_warn(
        "the intervals",
        lambda: holdout_metrics.compute_intervals(
            metrics, truth, prediction, weights, threshold=threshold
        ),
    )
    return found or {}


def _compute_or_warn(what: str, compute: Callable[[], T]) -> T | None:
    """The value; None, with a warning, where a library or a user's metric raises."""
    try:
        return compute()
    except Exception as error:
        logger.warning("%s cannot be had: %s: %s", what, type(error).__name__, error)
        return None
