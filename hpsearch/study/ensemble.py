"""Greedy ensemble selection over the out-of-fold predictions of a study's trials.

Caruana, Niculescu-Mizil, Crew & Ksikes 2004, "Ensemble selection from libraries of models", ICML:
start from nothing, add again and again the model whose predictions improve the average most, with
replacement; how often a model was added is its weight. Every prediction is out of fold, so no
model is judged on rows that it was trained on. Knows arrays and no network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from ..data.split import Split
from ..training.metrics import Metric
from ..training.problem import Problem
from ..trial import Trial

POOL = 30  # the best trials; those far behind never help, and each costs an evaluation a pick
PICKS = 25  # with replacement; weights come in steps of at most 1/25


def load_predictions(trials: Sequence[Trial], folder: Path) -> dict[int, np.ndarray]:
    """Out-of-fold predictions by trial number, (n_rows, n_outputs) each; best trials first."""
    return {t.number: np.load(folder / str(t.predictions)) for t in pool(trials, folder)}


def pool(trials: Sequence[Trial], folder: Path) -> list[Trial]:
    """Those of `trials`, best first, that an ensemble may be made of."""
    kept = (t for t in trials if t.predictions and (folder / t.predictions).is_file())
    return list(islice(kept, POOL))


def select(
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
            number: sign * score(problem, metric, (total + table) / size)
            for number, table in predictions.items()
        }
        chosen = max(tried, key=lambda number: tried[number])
        picked.append(chosen)
        scores.append(tried[chosen])
        total += predictions[chosen]
    best = int(np.argmax(scores)) + 1  # the smallest of equally good ensembles
    return {n: picked[:best].count(n) for n in dict.fromkeys(picked[:best])}


def score(problem: Problem, metric: Metric, prediction: np.ndarray) -> float:
    """The mean over the folds of `metric` on the validation rows."""
    return float(np.mean([_on(problem, metric, prediction, fold) for fold in problem.folds]))


def _on(problem: Problem, metric: Metric, prediction: np.ndarray, fold: Split) -> float:
    rows = fold.validation
    weights = None if problem.weights is None else problem.weights[rows]
    return float(metric(problem.target[rows], prediction[rows], weights))
