"""Above which probability a row of a binary task is called the positive class.

Chosen on out-of-fold predictions: rows that the network which predicts them was not trained on,
and no locked row. The search itself compares trials at one half, so that no trial is flattered by
a threshold of its own. Knows arrays and a metric.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from ...errors import TrainingError
from ...training.final_model import MemberSpec
from ...training.metrics import Metric
from ...training.problem import Problem

HALF = 0.5
CANDIDATES = 400  # thresholds that are tried at most


def choose_threshold(
    members: Sequence[MemberSpec],
    problem: Problem,
    predictions_of: Callable[[Collection[int]], Mapping[int, np.ndarray]],
) -> float:
    """The best threshold of a model made of `members`; one half where it is not to be tuned.

    Args:
        members: Of the final model, their weights adding up to 1.
        problem: The study's: its objective, its rows, what was declared of the threshold.
        predictions_of: Gives the out-of-fold predictions of trials, by their numbers.

    Raises:
        TrainingError: If a member's predictions cannot be had.
    """
    declared = problem.threshold
    if isinstance(declared, float):
        return declared
    if problem.task != "binary" or not problem.objective_metric.uses_threshold:
        return HALF
    numbers = {member.trial.number for member in members}
    predictions = predictions_of(numbers)
    if missing := sorted(numbers - predictions.keys()):
        raise TrainingError(
            "the threshold of the labels cannot be tuned: the out-of-fold predictions of trial "
            f"{', '.join(map(str, missing))} are lost, and training again did not bring them "
            "back. Run the same command again once the reason above is gone, or begin anew with "
            "--fresh --set objective.threshold=0.5 for labels above one half."
        )
    prediction = np.zeros((len(problem.target), 1))
    for member in members:
        prediction += member.weight * predictions[member.trial.number]
    known = np.isfinite(prediction[:, 0])
    weights = None if problem.weights is None else problem.weights[known]
    return best_threshold(
        problem.objective_metric, problem.target[known], prediction[known], weights
    )


def best_threshold(
    metric: Metric, truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """The threshold at which the metric is best; of equals that nearest to one half.

    Args:
        metric: Of labels.
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
