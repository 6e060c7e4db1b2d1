"""Evaluate the winner and the baselines on the locked rows.

Optional results (intervals, baselines, a metric that raises) are omitted with a warning on
failure, so that the locked rows need not be read again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ...data import TestRows
from ...data.schema import Schema
from ...events import BaselineScores, SingleTrialScores, WinnerEvaluated
from ...training.metrics import Metric, confusion_matrix
from ...training.problem import Problem
from . import holdout_metrics
from .baselines import Baseline
from .coverage import compute_coverage
from .forecast_baselines import ForecastBaseline
from .output_scores import compute_output_scores


@dataclass(frozen=True, slots=True)
class SinglePrediction:
    """The predictions for the locked rows of an ensemble's best single trial, calibrated."""

    trial: int
    prediction: np.ndarray  # (n_test, n_outputs)
    threshold: float


def evaluate_holdout(
    problem: Problem,
    schema: Schema,
    locked: TestRows,
    prediction: np.ndarray,
    *,
    threshold: float,
    baselines: Sequence[Baseline | ForecastBaseline],
    single: SinglePrediction | None,
    baseline_rows: tuple[Schema, TestRows] | None = None,
) -> WinnerEvaluated:
    """Evaluate the predictions for the locked rows.

    Args:
        problem: The study's problem, with its metrics.
        schema: The schema of the columns, with the bounds of the target's intervals.
        locked: The locked rows.
        prediction: The winner's predictions, (n_test, n_outputs).
        threshold: Decision threshold of a binary task.
        baselines: Baseline models, fitted on the development rows.
        single: The predictions of an ensemble's best single trial.
        baseline_rows: Schema and locked rows for the baselines, if they take other columns.
    """
    truth, weights = locked.target, locked.weights
    metrics = _defined_metrics(problem, locked)
    test = _compute_metrics(metrics, locked, prediction, threshold)
    judged = WinnerEvaluated(
        threshold=threshold,
        test=test | _compute_output_scores(problem, schema, locked, prediction),
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
    judged = replace(judged, coverage=compute_coverage(schema.target, truth, prediction, weights))
    answers = _predict_baselines(baselines, *(baseline_rows or (schema, locked)))
    advantages = _compute_advantages(problem, metrics, locked, prediction, answers, threshold)
    judged = replace(
        judged,
        baselines=tuple(
            BaselineScores(
                baseline.name,
                _compute_metrics(metrics, locked, answers[baseline.name], 0.5)
                | _compute_output_scores(problem, schema, locked, answers[baseline.name]),
                advantages.get(baseline.name),
                baseline.fold_score,
            )
            for baseline in baselines
            if baseline.name in answers
        ),
    )
    if single is not None:
        measured = _compute_metrics(metrics, locked, single.prediction, single.threshold)
        judged = replace(judged, single=SingleTrialScores(single.trial, measured))
    return judged


def _compute_output_scores(
    problem: Problem, schema: Schema, locked: TestRows, prediction: np.ndarray
) -> dict[str, float]:
    """Compute the scores of steps and quantiles; empty with a warning if a metric raises."""
    if schema.target is None:
        return {}
    found = holdout_metrics.compute_or_warn(
        "the scores of the outputs",
        partial(
            compute_output_scores,
            *(problem.objective_metric, schema.target, locked.target, prediction, locked.weights),
        ),
    )
    return found or {}


def _predict_baselines(
    baselines: Sequence[Baseline | ForecastBaseline], schema: Schema, locked: TestRows
) -> dict[str, np.ndarray]:
    """Predict the locked rows with each baseline; failing ones are omitted with a warning."""
    answers = {}
    for baseline in baselines:
        answer = holdout_metrics.compute_or_warn(
            f"the baseline {baseline.name}", partial(baseline.predict, schema, locked)
        )
        if answer is not None:
            answers[baseline.name] = answer
    return answers


def _compute_advantages(
    problem: Problem,
    metrics: list[Metric],
    locked: TestRows,
    prediction: np.ndarray,
    answers: Mapping[str, np.ndarray],
    threshold: float,
) -> dict[str, list[float]]:
    """Compute the winner's advantage over each baseline in the objective; empty if unknown."""
    objective = next((m for m in metrics if m.name == problem.objective_metric.name), None)
    if objective is None or not answers:
        return {}
    intervals = holdout_metrics.compute_or_warn(
        "the winner's advantage over the baselines",
        lambda: holdout_metrics.compute_advantages(
            objective,
            locked.target,
            prediction,
            list(answers.values()),
            locked.weights,
            threshold=threshold,
        ),
    )
    return dict(zip(answers, intervals or (), strict=False))


def _defined_metrics(problem: Problem, locked: TestRows) -> list[Metric]:
    """Return the metrics that are defined on the locked rows."""
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
        lambda: holdout_metrics.compute_metric_intervals(
            metrics, truth, prediction, weights, threshold=threshold
        ),
    )
    return found or {}
