"""Greedy ensemble selection over the out-of-fold predictions of a study's trials.

Caruana, Niculescu-Mizil, Crew & Ksikes 2004, "Ensemble selection from libraries of models", ICML:
starting empty, repeatedly add the model that improves the averaged predictions most, with
replacement; a model's weight is the number of times it was added. All predictions are out of fold,
so no model is evaluated on its training rows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...data.split import Split
from ...training.metrics import Metric
from ...training.problem import Problem

POOL = 30  # candidates: worse trials never help, and each costs an evaluation per pick
PICKS = 25  # picks with replacement; weights are multiples of 1/25 or more


def select_ensemble(
    predictions: Mapping[int, np.ndarray], problem: Problem, metric: Metric
) -> dict[int, int]:
    """Select an ensemble; returns how often each of its trials was picked.

    Args:
        predictions: Out-of-fold predictions by trial, (n_rows, n_outputs); NaN: never validated.
        problem: The problem, with folds and targets.
        metric: The metric to optimize, averaged over the folds.

    Raises:
        ValueError: If there are no predictions.
    """
    if not predictions:
        raise ValueError("no trial has out-of-fold predictions")
    sign = 1.0 if metric.direction == "maximize" else -1.0
    total = np.zeros_like(next(iter(predictions.values())), np.float64)
    picked: list[int] = []
    scores: list[float] = []
    for size in range(1, PICKS + 1):
        tried = {
            number: sign * mean_fold_score(problem, metric, (total + table) / size)
            for number, table in predictions.items()
        }
        chosen = max(tried, key=lambda number: tried[number])
        picked.append(chosen)
        scores.append(tried[chosen])
        total += predictions[chosen]
    best = int(np.argmax(scores)) + 1  # the smallest of ties
    return {n: picked[:best].count(n) for n in dict.fromkeys(picked[:best])}


def mean_fold_score(problem: Problem, metric: Metric, prediction: np.ndarray) -> float:
    """Compute the mean over the folds of `metric` on the validation rows."""
    return float(
        np.mean([_fold_score(problem, metric, prediction, fold) for fold in problem.folds])
    )


def _fold_score(problem: Problem, metric: Metric, prediction: np.ndarray, fold: Split) -> float:
    rows = fold.validation
    weights = None if problem.weights is None else problem.weights[rows]
    return float(metric(problem.target[rows], prediction[rows], weights))
