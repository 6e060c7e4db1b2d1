"""What a study says about its winner on the locked rows, beside plain models.

Figures that can be done without (intervals, other models, a metric that raises) are left out
with a warning: the locked rows are not read again for their sake.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ...data import TestRows
from ...data.schema import Schema
from ...events import BaselineScores, SingleTrialScores, WinnerEvaluated
from ...training.metrics import Metric, confusion_matrix
from ...training.problem import Problem
from . import holdout_metrics
from .baselines import Baseline


def evaluate_holdout(
    problem: Problem,
    schema: Schema,
    locked: TestRows,
    prediction: np.ndarray,
    *,
    threshold: float,
    baselines: Sequence[Baseline],
    single: tuple[int, np.ndarray] | None,
) -> WinnerEvaluated:
    """What the locked rows say.

    Args:
        problem: The study's; its metrics judge.
        schema: Of the columns.
        locked: The rows, with their truth.
        prediction: The winner's, (n_test, n_outputs).
        threshold: Of a binary task's labels.
        baselines: Fitted on the development rows.
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
        table = holdout_metrics.compute_or_warn(
            "the confusion",
            lambda: confusion_matrix(truth, prediction, threshold=threshold).tolist(),
        )
        judged = replace(judged, confusion=table)
    scores = _judge_baselines(baselines, problem, schema, locked, prediction, threshold)
    judged = replace(judged, baselines=scores)
    if single is not None:
        number, answer = single
        measured = _compute_metrics(metrics, locked, answer, threshold)
        judged = replace(judged, single=SingleTrialScores(number, measured))
    return judged


def _judge_baselines(
    baselines: Sequence[Baseline],
    problem: Problem,
    schema: Schema,
    locked: TestRows,
    prediction: np.ndarray,
    threshold: float,
) -> tuple[BaselineScores, ...]:
    """Their metrics on the locked rows, and by how much the winner is better in the objective."""
    metrics, objective = _defined_metrics(problem, locked), problem.objective_metric
    scores, answers = [], []
    for baseline in baselines:
        answer = holdout_metrics.compute_or_warn(
            f"the baseline {baseline.name}", partial(baseline.predict, schema, locked)
        )
        if answer is not None:
            measured = _compute_metrics(metrics, locked, answer, 0.5)
            scores.append(BaselineScores(baseline.name, measured))
            answers.append(answer)
    if not answers or objective.name not in (metric.name for metric in metrics):
        return tuple(scores)
    advantages = holdout_metrics.compute_or_warn(
        "the winner's advantage over the baselines",
        lambda: holdout_metrics.compute_advantages(
            objective, locked.target, prediction, answers, locked.weights, threshold=threshold
        ),
    )
    if advantages is None:
        return tuple(scores)
    return tuple(
        replace(each, advantage=interval) for each, interval in zip(scores, advantages, strict=True)
    )


def _defined_metrics(problem: Problem, locked: TestRows) -> list[Metric]:
    """Those that have a value on the locked rows."""
    each = [problem.get_metric(name) for name in problem.metrics]
    return [metric for metric in each if metric.is_defined(locked.target, locked.weights)]


def _compute_metrics(
    metrics: list[Metric], locked: TestRows, prediction: np.ndarray, threshold: float
) -> dict[str, float]:
    found: dict[str, float] = {}
    for metric in metrics:
        value = holdout_metrics.compute_or_warn(
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
    found = holdout_metrics.compute_or_warn(
        "the intervals",
        lambda: holdout_metrics.compute_intervals(
            metrics, truth, prediction, weights, threshold=threshold
        ),
    )
    return found or {}
