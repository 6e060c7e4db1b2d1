"""Greedy ensemble selection over the out-of-fold predictions of a study's trials.

Caruana, Niculescu-Mizil, Crew & Ksikes 2004, "Ensemble selection from libraries of models", ICML:
start from nothing, add again and again the model whose predictions improve the average most, with
replacement; how often a model was added is its weight. Every prediction is out of fold, so no
model is judged on rows that it was trained on. Knows arrays and no network.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...data.split import Split
from ...training.metrics import Metric
from ...training.problem import Problem

POOL = 30  # the best trials; those far behind never help, and each costs an evaluation a pick
PICKS = 25  # with replacement; weights come in steps of at most 1/25


def select_ensemble(
    predictions: Mapping[int, np.ndarray], problem: Problem, metric: Metric
) -> dict[int, int]:
    """How often each trial is in the ensemble; trials that are not in it are left out.

    Args:
        predictions: Out of fold, (n_rows, n_outputs) by trial; NaN where never validated.
        problem: Its folds and targets judge.
        metric: What is improved, as the mean over the folds.

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
    best = int(np.argmax(scores)) + 1  # the smallest of equally good ensembles
    return {n: picked[:best].count(n) for n in dict.fromkeys(picked[:best])}


def mean_fold_score(problem: Problem, metric: Metric, prediction: np.ndarray) -> float:
    """The mean over the folds of `metric` on the validation rows."""
    return float(
        np.mean([_fold_score(problem, metric, prediction, fold) for fold in problem.folds])
    )


def _fold_score(problem: Problem, metric: Metric, prediction: np.ndarray, fold: Split) -> float:
    rows = fold.validation
    weights = None if problem.weights is None else problem.weights[rows]
    return float(metric(problem.target[rows], prediction[rows], weights))
