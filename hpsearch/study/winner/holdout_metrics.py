"""Metrics on the locked rows with confidence intervals, and differences between models.

Works on truth and predictions only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from ...training.metrics import Metric
from ...trial import orient

logger = logging.getLogger("hpsearch.study")

T = TypeVar("T")
RESAMPLES = 1000
MANY_ROWS, FEW_RESAMPLES = (
    20_000,
    200,
)  # more rows: narrow intervals, slow resamples


def compute_metrics(
    metrics: Sequence[Metric],
    truth: np.ndarray,
    prediction: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    threshold: float = 0.5,
) -> dict[str, float]:
    """Compute the metrics; arrays of shape (n_rows, n_outputs), weights (n_rows,)."""
    return {
        metric.name: metric(truth, prediction, weights, threshold=threshold) for metric in metrics
    }


def compute_metric_intervals(
    metrics: Sequence[Metric],
    truth: np.ndarray,
    prediction: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    threshold: float = 0.5,
) -> dict[str, list[float]]:
    """Compute 95% intervals: Wilson's for accuracy, bootstrap percentiles for other metrics.

    Wilson, E. B. (1927), JASA 22; Efron, B. (1979), Annals of Statistics 7. Resamples in
    which a metric is undefined, such as with a single class, are ignored.
    """
    drawn = [m for m in metrics if m.name != "accuracy" or weights is not None]
    bounds = _bootstrap(
        lambda rows, w: [m(truth[rows], prediction[rows], w, threshold=threshold) for m in drawn],
        len(truth),
        weights,
    )
    found = dict(zip([m.name for m in drawn], bounds, strict=True))
    for metric in metrics:
        if metric not in drawn:
            share = metric(truth, prediction, threshold=threshold)
            found[metric.name] = list(wilson_interval(share, len(truth)))
    return {metric.name: found[metric.name] for metric in metrics}


def compute_advantages(
    metric: Metric,
    truth: np.ndarray,
    prediction: np.ndarray,
    others: Sequence[np.ndarray],
    weights: np.ndarray | None = None,
    *,
    threshold: float = 0.5,
) -> list[list[float]]:
    """Compute 95% intervals of the advantage of `prediction` over each other prediction.

    Percentiles of a paired bootstrap over rows; positive means that `prediction` is better. The
    threshold of the others is 0.5.
    """

    def compare(rows: np.ndarray, w: np.ndarray) -> list[float]:
        ours = metric(truth[rows], prediction[rows], w, threshold=threshold)
        other_scores = (metric(truth[rows], other[rows], w) for other in others)
        return [orient(ours - each, metric.direction) for each in other_scores]

    return _bootstrap(compare, len(truth), weights)


def _bootstrap(
    measure: Callable[[np.ndarray, np.ndarray], list[float]],
    n_rows: int,
    weights: np.ndarray | None,
) -> list[list[float]]:
    """Compute bootstrap intervals of `measure`, a function of drawn rows and their weights."""
    w = np.ones(n_rows) if weights is None else weights
    rng = np.random.default_rng(0)  # seeded: the same rows give the same interval
    draws = (
        rng.integers(0, n_rows, n_rows)
        for _ in range(RESAMPLES if n_rows <= MANY_ROWS else FEW_RESAMPLES)
    )
    scores = np.array([measure(drawn, w[drawn]) for drawn in draws])
    known = np.where(np.isfinite(scores), scores, np.nan)
    bounds: list[list[float]] = np.nanpercentile(known, [2.5, 97.5], axis=0).T.tolist()
    return bounds


def wilson_interval(share: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Compute the Wilson score interval of a share of `n` rows."""
    center = share + z * z / (2 * n)
    half = z * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    return (center - half) / (1 + z * z / n), (center + half) / (1 + z * z / n)


def compute_or_warn(what: str, compute: Callable[[], T]) -> T | None:
    """Compute a value; None, with a warning, if a library or a custom metric raises."""
    try:
        return compute()
    except Exception as error:
        logger.warning("%s cannot be computed: %s: %s", what, type(error).__name__, error)
        return None
