"""Calibrate the winner's predictions on the out-of-fold predictions of its trials.

Probabilities get a temperature (Guo, Pleiss, Sun & Weinberger 2017, "On calibration of modern
neural networks", ICML), where that lowers the log loss on folds by which it was not chosen. Numbers
get intervals, and classes get sets; see `data.prediction_intervals`. The locked rows are not read.
"""

from __future__ import annotations

import numpy as np

from ...data.prediction_intervals import find_output_bounds, find_set_bounds
from ...events import Calibration
from ...models.temperature import scale_by_temperature
from ...spec.pinball import parse_pinball
from ...training.problem import Problem

FLOOR = 1e-7  # least probability in a log loss
WIDEST = 20.0  # temperatures lie between 1/20 and 20


def calibrate(problem: Problem, answer: np.ndarray | None) -> Calibration:
    """Choose the temperature and the bounds of intervals of a model.

    Args:
        problem: The study's problem, with rows and folds.
        answer: The model's out-of-fold predictions, (n_rows, n_outputs); None: they are lost, and
            nothing is calibrated.
    """
    if not can_calibrate(problem) or answer is None:
        return Calibration()
    answer = answer.astype(np.float64)
    if problem.task == "regression":
        truth = problem.target.astype(np.float64)
        found = find_output_bounds(truth, answer, problem.target_transforms, problem.weights)
        return Calibration(bounds=found)
    temperature = choose_temperature(problem, answer)
    probabilities = both_classes(scale_by_temperature(np, answer, temperature))
    bounds = find_set_bounds(class_indices(problem.target), probabilities, problem.weights)
    return Calibration(temperature, bounds)


def can_calibrate(problem: Problem) -> bool:
    """Whether a temperature or intervals exist for the problem's task and objective."""
    return problem.task != "multilabel" and len(parse_pinball(problem.objective)) < 2


def choose_temperature(problem: Problem, probabilities: np.ndarray) -> float:
    """Choose the temperature of probabilities; 1 unless another one is better by its noise.

    For each fold a temperature is fitted to the other folds' rows. The one that is fitted to all
    rows is kept if those lower the log loss by more than the standard error of the difference.

    Args:
        problem: With target, folds and weights.
        probabilities: (n_rows, n_outputs), out of fold; NaN: never validated.
    """
    known = np.isfinite(probabilities).all(axis=1)
    weights = np.ones(len(known)) if problem.weights is None else problem.weights.astype(np.float64)
    before = row_log_loss(problem.target, probabilities)
    after = before.copy()
    for fold in problem.folds:
        inside = np.zeros(len(known), bool)
        inside[fold.validation] = True
        others = known & ~inside
        if not others.any():
            return 1.0
        fitted = _fit_temperature(problem.target[others], probabilities[others], weights[others])
        rows = known & inside
        scaled = scale_by_temperature(np, probabilities[rows], fitted)
        after[rows] = row_log_loss(problem.target[rows], scaled)
    gain, w = (before - after)[known], weights[known] / weights[known].sum()
    mean = float(gain @ w)
    error = float(np.sqrt(np.square(w * (gain - mean)).sum()))
    if not mean > error:
        return 1.0
    return _fit_temperature(problem.target[known], probabilities[known], weights[known])


def _fit_temperature(truth: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> float:
    """Find the temperature with the least log loss, by golden section over its logarithm."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        scaled = scale_by_temperature(np, probabilities, float(np.exp(log_temperature)))
        return float(row_log_loss(truth, scaled) @ weights)

    limit = float(np.log(WIDEST))
    return float(np.exp(minimize_scalar(loss, bounds=(-limit, limit), method="bounded").x))


def row_log_loss(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Compute the log loss of each row, (n_rows,).

    Args:
        truth: (n_rows, n_outputs): 0 or 1, or one-hot.
        probabilities: (n_rows, n_outputs).
    """
    given = both_classes(probabilities)[np.arange(len(truth)), class_indices(truth)]
    return np.asarray(-np.log(np.maximum(given, FLOOR)))


def class_indices(truth: np.ndarray) -> np.ndarray:
    """Return the index of each row's class, (n_rows,) int."""
    if truth.shape[1] == 1:
        return truth[:, 0].astype(int)
    return np.asarray(truth.argmax(axis=1))


def both_classes(probabilities: np.ndarray) -> np.ndarray:
    """Return one probability per class, (n_rows, n_classes), also of a binary task."""
    if probabilities.shape[1] > 1:
        return probabilities
    return np.concatenate([1 - probabilities, probabilities], axis=1)
