"""Choose the decision threshold of a binary task.

It is tuned on out-of-fold predictions, never on locked rows. The search compares trials at 0.5, so
that no trial gains from its own threshold.
"""

from __future__ import annotations

import numpy as np

from ...errors import TrainingError
from ...models.temperature import scale_by_temperature
from ...training.metrics import Metric
from ...training.problem import Problem

HALF = 0.5
CANDIDATES = 400  # maximum number of tested thresholds


def needs_tuning(problem: Problem) -> bool:
    """Whether the threshold is tuned."""
    is_declared = isinstance(problem.threshold, float)
    return not is_declared and problem.task == "binary" and problem.objective_metric.uses_threshold


def choose_threshold(
    problem: Problem, answer: np.ndarray | None, *, trial: int, temperature: float = 1.0
) -> float:
    """Choose the threshold of a model; 0.5 if it is not tuned.

    Args:
        problem: The study's problem, with objective, rows and declared threshold.
        answer: The model's out-of-fold predictions, (n_rows, 1); None: they are lost.
        trial: The trial to name where they are.
        temperature: The temperature of the model's probabilities.

    Raises:
        TrainingError: If the predictions are needed and lost.
    """
    if not needs_tuning(problem):
        return problem.threshold if isinstance(problem.threshold, float) else HALF
    if answer is None:
        raise TrainingError(
            "the threshold of the labels cannot be tuned: the out-of-fold predictions of trial "
            f"{trial} are lost, and could not be computed again. "
            "Run the same command again once the reason above is fixed, or start over with "
            "--fresh --set objective.threshold=0.5."
        )
    prediction = scale_by_temperature(np, answer.astype(np.float64), temperature)
    known = np.isfinite(prediction[:, 0])
    weights = None if problem.weights is None else problem.weights[known]
    return best_threshold(
        problem.objective_metric, problem.target[known], prediction[known], weights
    )


def best_threshold(
    metric: Metric, truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Find the threshold with the best metric; of ties, the nearest to 0.5.

    Args:
        metric: A metric of labels.
        truth: 0 or 1, shape (n_rows, 1).
        prediction: Probabilities, shape (n_rows, 1).
        weights: Shape (n_rows,).
    """
    values = np.unique(prediction)
    between = (values[1:] + values[:-1]) / 2
    if len(between) > CANDIDATES:
        between = np.quantile(prediction, np.linspace(0, 1, CANDIDATES + 2)[1:-1])
    tried = [HALF, *sorted(map(float, between), key=lambda t: abs(t - HALF))]
    sign = 1.0 if metric.direction == "maximize" else -1.0
    scores = [sign * metric(truth, prediction, weights, threshold=t) for t in tried]
    return tried[int(np.nanargmax(scores))]
