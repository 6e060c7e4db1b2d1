"""Metrics, implemented for both numpy and JAX.

Every function takes the array module `xp`, the truth and the prediction of shape
(n_rows, n_outputs) and row weights of shape (n_rows,), and returns a scalar. A row of weight 0
does not count, so padded rows have no effect. Binary tasks have one column (0/1 against the
probability of the positive class), multiclass tasks one column per class (one-hot against
probabilities), multilabel tasks one per label (0/1 against its probability), regressions one per
target in its original unit.

The definitions are scikit-learn's, which `tests/training/test_metrics.py` compares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ..errors import SpecError
from ..plugins import describe_known, find_object
from ..spec.pinball import name_pinball, parse_pinball
from ..trial import Direction

CLASSIFICATION_TASKS = ("binary", "multiclass", "multilabel")


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of predictions and truth."""

    name: str
    direction: Direction
    tasks: tuple[str, ...]
    function: Callable[..., Any]  # (xp, truth, prediction, weights) -> scalar
    multilabel_function: Callable[..., Any] | None = (
        None  # multilabel; None: the mean over the labels
    )
    needs_numpy: bool = False  # whether it only accepts numpy arrays
    uses_threshold: bool = False  # whether binary predictions are compared with a threshold

    def __call__(
        self,
        truth: np.ndarray,
        prediction: np.ndarray,
        weights: np.ndarray | None = None,
        *,
        threshold: float = 0.5,
    ) -> float:
        """Compute the metric in float64 on the host; see the module for shapes.

        `threshold` is the probability above which a row of a binary task is called positive.
        """
        if self.uses_threshold and prediction.shape[1] == 1:
            prediction = np.where(prediction > threshold, 1.0, 0.0)
        weights = np.ones(len(truth)) if weights is None else weights
        wide = (np.asarray(a, np.float64) for a in (truth, prediction, weights))
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(self.function(np, *wide))

    def is_defined(self, truth: np.ndarray, weights: np.ndarray | None = None) -> bool:
        """Whether the metric is defined: a ROC curve needs two classes, R² a spread."""
        if self.needs_numpy:
            return True
        if weights is not None:
            truth, weights = truth[weights > 0], weights[weights > 0]
        if self.tasks == ("regression",):  # from 0, so that the mean of a constant is exact
            truth = truth - truth[:1]
        return bool(np.isfinite(self(truth, truth, weights)))


def _weighted_mean(xp: Any, values: Any, w: Any) -> Any:
    return xp.sum(values * w) / xp.sum(w)


def _class_indices(xp: Any, table: Any) -> Any:
    """Return the class index of each row."""
    if table.shape[1] == 1:
        return (table[:, 0] > 0.5).astype(int)
    return xp.argmax(table, axis=1)


def _accuracy(xp: Any, y: Any, p: Any, w: Any) -> Any:
    return _weighted_mean(xp, (_class_indices(xp, y) == _class_indices(xp, p)) * 1.0, w)


def _count_by_class(xp: Any, y: Any, p: Any, w: Any) -> tuple[Any, Any, Any]:
    """Count weighted true positives, predicted and actual rows per class, (n_classes,) each."""
    n_classes = max(2, y.shape[1])
    classes = xp.arange(n_classes)
    actual = (_class_indices(xp, y)[:, None] == classes) * w[:, None]
    hit = _class_indices(xp, p)[:, None] == classes
    return xp.sum(actual * hit, 0), xp.sum(hit * w[:, None], 0), xp.sum(actual, 0)


def _balanced_accuracy(xp: Any, y: Any, p: Any, w: Any) -> Any:
    hits, _, actual = _count_by_class(xp, y, p, w)
    present = actual > 0
    recall = xp.where(present, hits / xp.where(present, actual, 1), 0)
    return xp.sum(recall) / xp.sum(present)


def _f1_scores(xp: Any, hits: Any, total: Any) -> Any:
    """Compute `2 hits / (predicted + actual)` per class; 0 for a class without rows."""
    return xp.where(total > 0, 2 * hits / xp.where(total > 0, total, 1), 0)


def _f1(xp: Any, y: Any, p: Any, w: Any) -> Any:
    hits, predicted, actual = _count_by_class(xp, y, p, w)
    total = predicted + actual
    scores = _f1_scores(xp, hits, total)
    if y.shape[1] == 1:
        return scores[1]
    seen = total > 0
    return xp.sum(scores) / xp.sum(seen)


def _f1_micro(xp: Any, y: Any, p: Any, w: Any) -> Any:
    hits, predicted, actual = _count_by_class(xp, y, p, w)
    return 2 * xp.sum(hits) / (xp.sum(predicted) + xp.sum(actual))


def _f1_weighted(xp: Any, y: Any, p: Any, w: Any) -> Any:
    """Compute the mean over the classes, weighted by their rows; both classes of a binary task."""
    hits, predicted, actual = _count_by_class(xp, y, p, w)
    return xp.sum(_f1_scores(xp, hits, predicted + actual) * actual) / xp.sum(actual)


def _precision_or_recall(index: int, xp: Any, y: Any, p: Any, w: Any) -> Any:
    """Compute precision (1) or recall (2): hits among predicted or actual rows of each class."""
    counts = _count_by_class(xp, y, p, w)
    hits, among = counts[0], counts[index]
    shares = xp.where(among > 0, hits / xp.where(among > 0, among, 1), 0)
    if y.shape[1] == 1:
        return shares[1]
    seen = counts[1] + counts[2] > 0
    return xp.sum(shares) / xp.sum(seen)


def _matthews_corrcoef(xp: Any, y: Any, p: Any, w: Any) -> Any:
    """Gorodkin 2004; 0 if all rows have, or are predicted as, one class."""
    hits, predicted, actual = _count_by_class(xp, y, p, w)
    n = xp.sum(actual)
    covariance = xp.sum(hits) * n - xp.sum(predicted * actual)
    spread = (n**2 - xp.sum(predicted**2)) * (n**2 - xp.sum(actual**2))
    return xp.where(spread > 0, covariance / xp.sqrt(xp.where(spread > 0, spread, 1)), 0)


def _log_loss(xp: Any, y: Any, p: Any, w: Any) -> Any:
    tiny = float(np.finfo(p.dtype).eps)
    if y.shape[1] == 1:
        q = xp.clip(p[:, 0], tiny, 1 - tiny)
        t = y[:, 0]
        return -_weighted_mean(xp, t * xp.log(q) + (1 - t) * xp.log1p(-q), w)
    q = xp.clip(p, tiny, 1)
    q = q / xp.sum(q, axis=1, keepdims=True)
    return -_weighted_mean(xp, xp.sum(y * xp.log(q), axis=1), w)


def _brier(xp: Any, y: Any, p: Any, w: Any) -> Any:
    return _weighted_mean(xp, xp.sum((y - p) ** 2, axis=1), w)


def _rank_rows(xp: Any, t: Any, s: Any, w: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Sort rows by score; return positive weights, cumulative weights and the ranges of ties.

    Returns the rows' positive weights, the cumulated positive and negative weight (each with a
    leading 0), and for each row the first and the one-past-last index of its ties.
    """
    order = xp.argsort(s)
    s, t, w = s[order], t[order], w[order]
    zero = xp.zeros(1, w.dtype)
    positive = xp.concatenate([zero, xp.cumsum(w * t)])
    negative = xp.concatenate([zero, xp.cumsum(w * (1 - t))])
    left = xp.searchsorted(s, s, side="left")
    right = xp.searchsorted(s, s, side="right")
    return w * t, positive, negative, left, right


def _binary_auc(xp: Any, t: Any, s: Any, w: Any) -> Any:
    weight, positive, negative, left, right = _rank_rows(xp, t, s, w)
    below = (negative[left] + negative[right]) / 2
    return xp.sum(weight * below) / (positive[-1] * negative[-1])


def _binary_average_precision(xp: Any, t: Any, s: Any, w: Any) -> Any:
    weight, positive, negative, left, _ = _rank_rows(xp, t, s, w)
    hits = positive[-1] - positive[left]
    chosen = hits + negative[-1] - negative[left]
    return xp.sum(weight * hits / xp.where(chosen > 0, chosen, 1)) / positive[-1]


def _mean_over_classes(binary: Callable[..., Any], xp: Any, y: Any, p: Any, w: Any) -> Any:
    """Average a binary metric over the classes, one-vs-rest."""
    scores = [binary(xp, y[:, k], p[:, k], w) for k in range(y.shape[1])]
    return sum(scores) / len(scores)


def _mean_over_labels(binary: Callable[..., Any], xp: Any, y: Any, p: Any, w: Any) -> Any:
    """Average a binary metric over the labels."""
    scores = [binary(xp, y[:, k : k + 1], p[:, k : k + 1], w) for k in range(y.shape[1])]
    return sum(scores) / len(scores)


def _subset_accuracy(xp: Any, y: Any, p: Any, w: Any) -> Any:
    """Compute the share of rows with all labels correct."""
    return _weighted_mean(xp, xp.all((y > 0.5) == (p > 0.5), axis=1) * 1.0, w)


def _count_by_label(xp: Any, y: Any, p: Any, w: Any) -> tuple[Any, Any, Any]:
    """Count as `_count_by_class` does for each label's positive class, (n_labels,) each."""
    actual, predicted = (y > 0.5) * w[:, None], (p > 0.5) * w[:, None]
    return xp.sum(actual * (p > 0.5), 0), xp.sum(predicted, 0), xp.sum(actual, 0)


def _labels_f1_micro(xp: Any, y: Any, p: Any, w: Any) -> Any:
    hits, predicted, actual = (xp.sum(counts) for counts in _count_by_label(xp, y, p, w))
    return _f1_scores(xp, hits, predicted + actual)


def _labels_f1_weighted(xp: Any, y: Any, p: Any, w: Any) -> Any:
    hits, predicted, actual = _count_by_label(xp, y, p, w)
    scores, rows = _f1_scores(xp, hits, predicted + actual), xp.sum(actual)
    return xp.sum(scores * actual) / xp.where(rows > 0, rows, 1)


def _mse(xp: Any, y: Any, p: Any, w: Any) -> Any:
    return _weighted_mean(xp, xp.mean((y - p) ** 2, axis=1), w)


def _rmse(xp: Any, y: Any, p: Any, w: Any) -> Any:
    return xp.mean(xp.sqrt(xp.sum((y - p) ** 2 * w[:, None], axis=0) / xp.sum(w)))


def _mae(xp: Any, y: Any, p: Any, w: Any) -> Any:
    return _weighted_mean(xp, xp.mean(xp.abs(y - p), axis=1), w)


def _mape(xp: Any, y: Any, p: Any, w: Any) -> Any:
    tiny = float(np.finfo(np.float64).eps)  # also in float32, where a truth of 0 has the same loss
    return _weighted_mean(xp, xp.mean(xp.abs(y - p) / xp.maximum(xp.abs(y), tiny), axis=1), w)


def _median_absolute_error(xp: Any, y: Any, p: Any, w: Any) -> Any:
    medians = [_weighted_median(xp, error, w) for error in xp.abs(y - p).T]
    return sum(medians) / len(medians)


def _weighted_median(xp: Any, values: Any, w: Any) -> Any:
    """Compute the weighted median; a mean of two values if exactly half the weight is below."""
    order = xp.argsort(values)
    below = xp.cumsum(w[order])
    ends = [xp.searchsorted(below, below[-1] / 2, side=side) for side in ("left", "right")]
    low, high = (values[order[xp.minimum(end, len(order) - 1)]] for end in ends)
    return (low + high) / 2


def _pinball(levels: Sequence[float], xp: Any, y: Any, p: Any, w: Any) -> Any:
    """Compute the quantile loss (Koenker & Bassett 1978); the levels of the outputs repeat."""
    level = xp.asarray(np.resize(levels, p.shape[1]), dtype=p.dtype)
    left = y - p
    return _weighted_mean(xp, xp.mean(xp.maximum(level * left, (level - 1) * left), axis=1), w)


def _r2(xp: Any, y: Any, p: Any, w: Any) -> Any:
    w = w[:, None]
    center = xp.sum(y * w, axis=0) / xp.sum(w)
    residual = xp.sum((y - p) ** 2 * w, axis=0)
    return xp.mean(1 - residual / xp.sum((y - center) ** 2 * w, axis=0))


def _make_pinball(levels: Sequence[float]) -> Metric:
    return Metric(name_pinball(levels), "minimize", ("regression",), partial(_pinball, levels))


METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric(
            "accuracy",
            "maximize",
            CLASSIFICATION_TASKS,
            _accuracy,
            _subset_accuracy,
            uses_threshold=True,
        ),
        Metric(
            "balanced_accuracy",
            "maximize",
            CLASSIFICATION_TASKS,
            _balanced_accuracy,
            uses_threshold=True,
        ),
        Metric("f1", "maximize", CLASSIFICATION_TASKS, _f1, uses_threshold=True),
        Metric(
            "f1_micro",
            "maximize",
            CLASSIFICATION_TASKS,
            _f1_micro,
            _labels_f1_micro,
            uses_threshold=True,
        ),
        Metric(
            "f1_weighted",
            "maximize",
            CLASSIFICATION_TASKS,
            _f1_weighted,
            _labels_f1_weighted,
            uses_threshold=True,
        ),
        Metric(
            "precision",
            "maximize",
            CLASSIFICATION_TASKS,
            partial(_precision_or_recall, 1),
            uses_threshold=True,
        ),
        Metric(
            "recall",
            "maximize",
            CLASSIFICATION_TASKS,
            partial(_precision_or_recall, 2),
            uses_threshold=True,
        ),
        Metric(
            "matthews_corrcoef",
            "maximize",
            CLASSIFICATION_TASKS,
            _matthews_corrcoef,
            uses_threshold=True,
        ),
        Metric(
            "roc_auc", "maximize", CLASSIFICATION_TASKS, partial(_mean_over_classes, _binary_auc)
        ),
        Metric(
            "average_precision",
            "maximize",
            CLASSIFICATION_TASKS,
            partial(_mean_over_classes, _binary_average_precision),
        ),
        Metric("log_loss", "minimize", CLASSIFICATION_TASKS, _log_loss),
        Metric("brier", "minimize", CLASSIFICATION_TASKS, _brier),
        Metric("mse", "minimize", ("regression",), _mse),
        Metric("rmse", "minimize", ("regression",), _rmse),
        Metric("mae", "minimize", ("regression",), _mae),
        Metric("median_absolute_error", "minimize", ("regression",), _median_absolute_error),
        Metric("r2", "maximize", ("regression",), _r2),
        Metric("mape", "minimize", ("regression",), _mape),
        *(_make_pinball([percent / 100]) for percent in (5, 10, 25, 50, 75, 90, 95)),
    )
}


def confusion_matrix(
    truth: np.ndarray, prediction: np.ndarray, *, threshold: float = 0.5
) -> np.ndarray:
    """Count rows by true class (first axis) and predicted class (second axis)."""
    n_classes = max(2, truth.shape[1])
    labels = [
        (a[:, 0] > limit).astype(int) if a.shape[1] == 1 else a.argmax(axis=1)
        for a, limit in ((truth, 0.5), (prediction, threshold))
    ]
    table = np.zeros((n_classes, n_classes), int)
    np.add.at(table, tuple(labels), 1)
    return table


def list_default_metrics(task: str, objective: str) -> tuple[str, ...]:
    """List the metrics computed every epoch: the task's defaults and the objective.

    Of several quantiles, only the objective: they are no estimate of the target itself.
    """
    if len(parse_pinball(objective)) > 1:
        return (objective,)
    everyday = {
        "binary": ("accuracy", "roc_auc", "log_loss"),
        "multiclass": ("accuracy", "log_loss"),
        "multilabel": ("f1", "roc_auc", "log_loss"),
        "regression": ("rmse", "mae", "r2"),
    }[task]
    return everyday if objective in everyday else (objective, *everyday)


def find_metric(name: str) -> Metric | None:
    """Find a built-in or installed metric by name; None if it is unknown."""
    if name in METRICS or ":" in name:
        return METRICS.get(name)
    if levels := parse_pinball(name):
        return _make_pinball(levels)
    found = find_object("metrics", name, Metric, "hpsearch.training.metrics.Metric")
    return None if found is None else replace(found, name=name)


def find_optimum(name: str) -> int | None:
    """Return the best possible value of a metric; None if it is not a built-in one."""
    if name in METRICS:
        return 0 if METRICS[name].direction == "minimize" else 1
    return 0 if parse_pinball(name) else None


def get_metric(name: str, task: str) -> Metric:
    """Return the metric `name`.

    Raises:
        SpecError: If the metric does not exist, or does not fit the task.
    """
    metric = find_metric(name)
    if metric is None or task not in metric.tasks:
        known = sorted(m.name for m in METRICS.values() if task in m.tasks)
        raise SpecError(
            f"metric {name!r} does not exist for {task}. {describe_known('metrics', known)}"
        )
    if task != "multilabel":
        return metric
    return replace(
        metric, function=metric.multilabel_function or partial(_mean_over_labels, metric.function)
    )
