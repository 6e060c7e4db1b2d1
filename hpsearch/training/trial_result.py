"""Derive a trial's result from its curves and predictions: best epoch, end, divergence.

Pure functions without Keras; `trial_progress` applies them epoch by epoch.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from ..errors import TrainingError
from ..models.introspection.rejection import get_rejection_state
from ..redaction import MAX_ERROR_LENGTH, MAX_TRACEBACK_LENGTH, redact, shorten
from ..trial import Direction, State, TrialResult, TrialSpec, mean, orient
from .problem import EarlyStopping, Problem

ANSI_STYLE = re.compile(r"\x1b\[[0-9;]*m")  # Keras prints a layer's error in bold
KERAS_WRAPPER = re.compile(r"Exception encountered when calling (?P<layer>.*?)\.?")
KERAS_LEAD = "Error encountered:"  # ends the first line of another wrapper
PROBABILITY_TOLERANCE = 1e-5  # tolerance of probabilities beyond 0 and 1
SUM_TOLERANCE = 0.05  # of the probabilities of a row's classes, which may be bfloat16


@dataclass(frozen=True, slots=True)
class TrialScore:
    """The score of a trial: the fold scores at the best epoch of their mean."""

    best_epoch: int  # 0-based
    mean: float
    spread: float  # standard deviation over folds, of the population
    folds: np.ndarray  # (n_folds,)


def best_epoch(curve: np.ndarray, direction: Direction) -> int:
    """Find the epoch with the best mean over the folds.

    Args:
        curve: Validation scores, shape (n_epochs, n_folds).
        direction: Whether larger or smaller is better.

    Returns:
        0-based epoch; the earliest of ties. A mean that is not finite is worse than any other.

    Raises:
        ValueError: If `curve` has no epoch.
    """
    mean = _orient_curve(curve, direction).mean(axis=1)
    return int(np.argmax(np.where(np.isfinite(mean), mean, -np.inf)))


def score_curve(curve: np.ndarray, direction: Direction) -> TrialScore:
    """Compute the score of a trial from its validation scores, shape (n_epochs, n_folds)."""
    epoch = best_epoch(curve, direction)
    folds = np.asarray(curve[epoch], np.float64)
    return TrialScore(epoch, mean(folds.tolist()), float(folds.std()), folds)


def find_stopped_folds(
    curve: np.ndarray, early_stopping: EarlyStopping | None, direction: Direction
) -> np.ndarray:
    """Return which folds have stopped after the epochs of `curve`, shape (n_folds,), bool.

    With scope "mean" all stop together or none does. With scope "fold" a stopped fold repeats
    its last score in the curve, so it stays stopped.
    """
    curve = np.asarray(curve)
    if early_stopping is None or len(curve) <= early_stopping.first_epoch:
        return np.zeros(curve.shape[1], bool)
    curve = curve[early_stopping.first_epoch :]
    rising = _orient_curve(curve, direction)
    if early_stopping.scope == "mean":
        rising = rising.mean(axis=1, keepdims=True)
    waited = _count_stagnant_epochs(rising, early_stopping.min_delta)
    return np.broadcast_to(waited >= early_stopping.patience, curve.shape[1]).copy()


def why_diverged(
    figures: Mapping[str, np.ndarray], predictions: Sequence[np.ndarray] = ()
) -> str | None:
    """Explain why a trial has diverged; None if its numbers are sound.

    Args:
        figures: Losses and objective of an epoch by name, (n_folds,) each.
        predictions: Predictions of each fold's validation rows, (n_rows, n_outputs) each.

    A dead ReLU network predicts the same for every row while its loss stays finite, so constant
    predictions in every fold are a failure, too.
    """
    for name, values in figures.items():
        for fold, value in enumerate(values):
            if not np.isfinite(value):
                return f"{name} is {float(value)} in fold {fold}: the training diverged"
    for fold, table in enumerate(predictions):
        if not np.isfinite(table).all():
            return f"predictions of fold {fold} are not finite: the training diverged"
    judged = [table for table in predictions if len(table) > 1]
    if judged and all((table == table[0]).all() for table in judged):
        return "every fold predicts a constant: the network is dead"
    return None


def require_finite_loss(loss: np.ndarray, epoch: int) -> None:
    """Refuse a final fit whose training loss, shape (1,), is not finite.

    Raises:
        TrainingError: With the epoch.
    """
    if reason := why_diverged({"train/loss": loss}):
        raise TrainingError(f"final fit, epoch {epoch}: {reason}")


def why_output_unfit(task: str, predictions: Sequence[np.ndarray]) -> str | None:
    """Explain why predictions are invalid for the task; None if they are valid.

    Args:
        task: The study's task.
        predictions: Predictions for some rows, or the smallest and the largest of each output,
            (n_rows, n_outputs) each.
    """
    if task == "regression":
        return None
    values = np.concatenate([np.ravel(table) for table in predictions])
    values = values[np.isfinite(values)]
    if not len(values) or (
        values.min() >= -PROBABILITY_TOLERANCE and values.max() <= 1 + PROBABILITY_TOLERANCE
    ):
        return None
    activation = "softmax" if task == "multiclass" else "sigmoid"
    return (
        f"the network answers with values from {values.min():.3g} to {values.max():.3g}, but a "
        f"{task} task needs probabilities: give the last layer activation={activation!r}, or "
        "compile the model with a loss that has from_logits=True"
    )


def why_sums_unfit(task: str, predictions: np.ndarray) -> str | None:
    """Explain that probabilities of classes do not add up to 1; None if they do.

    Args:
        task: The study's task.
        predictions: Predictions for some rows, (n_rows, n_outputs).
    """
    sums = predictions.sum(axis=1, dtype=np.float64)
    if task != "multiclass" or not (np.abs(sums - 1) > SUM_TOLERANCE).any():  # NaN: told elsewhere
        return None
    return (
        f"the network's probabilities of a row's classes add up to numbers from {sums.min():.3g} "
        f"to {sums.max():.3g}, not to 1: give the last layer activation='softmax'"
    )


def assemble_out_of_fold(problem: Problem, predictions: Sequence[np.ndarray]) -> np.ndarray:
    """Scatter each fold's predictions to the indices of its validation rows.

    Args:
        problem: The problem, with its folds.
        predictions: Predictions per fold, (n_validation, n_outputs), in the order of the split.

    Returns:
        Shape (n_rows, n_outputs) float32; the mean if a row was validated several times, NaN if
        never.
    """
    total = np.zeros(problem.target.shape, np.float64)
    times = np.zeros((len(total), 1))
    for split, table in zip(problem.folds, predictions, strict=True):
        total[split.validation] += table
        times[split.validation] += 1
    return np.where(times > 0, total / np.maximum(times, 1), np.nan).astype(np.float32)


def build_failed_result(
    trial: TrialSpec,
    reason: str | BaseException,
    *,
    seconds: float,
    trainer: str,
    curves: Mapping[str, np.ndarray] | None = None,
    n_parameters: int | None = None,
) -> TrialResult:
    """Build a FAILED result, with the traceback of an exception.

    Message and traceback are shortened and redacted before they leave the process. An exception
    with which a custom function rejects the point has no traceback, and `optuna.TrialPruned` gives
    a PRUNED result.
    """
    trace, state = None, "FAILED"
    if isinstance(reason, BaseException) and (rejected := get_rejection_state(reason)):
        state, reason = rejected, str(reason).strip() or f"{type(reason).__name__}: no message"
    if isinstance(reason, BaseException):
        trace = "".join(traceback.format_exception(reason))
        trace = redact(shorten(trace, MAX_TRACEBACK_LENGTH))
        reason = f"{type(reason).__name__}: {summarize_message(str(reason)) or 'no message'}"
    return TrialResult(
        trial.number,
        cast(State, state),
        seconds,
        attempt=trial.attempt,
        curves=dict(curves or {}),
        n_parameters=n_parameters,
        trainer=trainer,
        error=redact(shorten(reason, MAX_ERROR_LENGTH)),
        traceback=trace,
    )


def summarize_message(text: str) -> str:
    """Summarize an exception's message in one line, without Keras's wrapper of a layer's error.

    Examples:
        >>> summarize_message("Exception encountered when calling A.call().\\n\\nno")
        'A.call(): no'
    """
    lines = [line.strip() for line in ANSI_STYLE.sub("", text).splitlines() if line.strip()]
    layer = ""
    while len(lines) > 1:
        if found := KERAS_WRAPPER.fullmatch(lines[0]):
            layer = f"{found['layer']}: "
        elif not lines[0].endswith(KERAS_LEAD):
            break
        del lines[0]
    return layer + lines[0] if lines else ""


def _orient_curve(curve: np.ndarray, direction: Direction) -> np.ndarray:
    """Return the curve in float64, negated if smaller is better."""
    curve = np.asarray(curve, np.float64)
    if curve.ndim != 2 or not len(curve):
        raise ValueError(f"a curve has shape (n_epochs, n_folds), got {curve.shape}")
    return orient(curve, direction)


def _count_stagnant_epochs(rising: np.ndarray, min_delta: float) -> np.ndarray:
    """Count the epochs since each column last improved by more than `min_delta`."""
    best = np.full(rising.shape[1], -np.inf)
    waited = np.zeros(rising.shape[1], int)
    for row in rising:
        better = row > best + min_delta
        best = np.where(better, row, best)
        waited = np.where(better, 0, waited + 1)
    return waited
