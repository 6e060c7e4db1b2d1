"""What the locked rows say: metrics with intervals, beside a plain linear model.

It is read once, after the winner is fixed. Knows the rows and the predictions, and no network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...data.target_transform import apply_target_transforms, inverse_transform_target
from ...training.metrics import Metric

RESAMPLES = 1000
MANY_ROWS, FEW_RESAMPLES = 20_000, 200  # whose interval is narrow, and each resample slow


def compute_metrics(
    metrics: Sequence[Metric],
    truth: np.ndarray,
    prediction: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    threshold: float = 0.5,
) -> dict[str, float]:
    """Each metric on the locked rows; arrays of shape (n_rows, n_outputs), weights (n_rows,)."""
    return {
        metric.name: metric(truth, prediction, weights, threshold=threshold) for metric in metrics
    }


def compute_intervals(
    metrics: Sequence[Metric],
    truth: np.ndarray,
    prediction: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    threshold: float = 0.5,
) -> dict[str, list[float]]:
    """95% intervals: Wilson's for the accuracy, percentiles of a bootstrap over rows for others.

    Wilson, E. B. (1927), JASA 22; Efron, B. (1979), Annals of Statistics 7. A resample in which a
    metric is not defined, such as one with a single class, does not count.
    """
    w = np.ones(len(truth)) if weights is None else weights
    drawn = [m for m in metrics if m.name != "accuracy" or weights is not None]
    scores = np.empty((RESAMPLES if len(truth) <= MANY_ROWS else FEW_RESAMPLES, len(drawn)))
    rng = np.random.default_rng(0)  # the same rows give the same interval
    for row in scores:
        d = rng.integers(0, len(truth), len(truth))
        row[:] = [m(truth[d], prediction[d], w[d], threshold=threshold) for m in drawn]
    known = np.where(np.isfinite(scores), scores, np.nan)
    bounds = np.nanpercentile(known, [2.5, 97.5], axis=0).T.tolist()
    found = dict(zip([m.name for m in drawn], bounds, strict=True))
    for metric in metrics:
        if metric not in drawn:
            share = metric(truth, prediction, threshold=threshold)
            found[metric.name] = list(wilson_interval(share, len(truth)))
    return {metric.name: found[metric.name] for metric in metrics}


def wilson_interval(share: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The Wilson score interval of a share seen among `n` rows."""
    center = share + z * z / (2 * n)
    half = z * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    return (center - half) / (1 + z * z / n), (center + half) / (1 + z * z / n)


@dataclass(frozen=True, slots=True)
class LinearModel:
    """A fitted model of scikit-learn's."""

    name: str  # "ridge" or "logistic_regression"
    predict: Callable[[np.ndarray], np.ndarray]  # (n, n_features) to (n, n_outputs)


def fit_linear(
    task: str,
    features: np.ndarray,
    target: np.ndarray,
    weights: np.ndarray | None = None,
    transforms: Sequence[str] = (),
) -> LinearModel:
    """Fit `LogisticRegression` (one a label) or `Ridge` with their defaults.

    Args:
        task: The study's.
        features: What a network sees of the development rows, (n_dev, n_features).
        target: Theirs, (n_dev, n_outputs).
        weights: Of the development rows, (n_dev,).
        transforms: What the model learns of the target, as a network does; see `data.unit`.
    """
    if task == "regression":
        from sklearn.linear_model import Ridge

        ridge = Ridge().fit(features, apply_target_transforms(np, target, transforms), weights)
        return LinearModel(
            "ridge",
            lambda rows: inverse_transform_target(
                np, _as_column(ridge.predict(rows)), 0.0, 1.0, transforms
            ),
        )
    from sklearn.linear_model import LogisticRegression

    if task == "multilabel":
        each = [fit_linear("binary", features, label[:, None], weights) for label in target.T]
        return LinearModel(
            "logistic_regression", lambda rows: np.hstack([m.predict(rows) for m in each])
        )
    labels = target[:, 0] if target.shape[1] == 1 else target.argmax(axis=1)
    model = LogisticRegression(max_iter=2000).fit(features, labels, weights)
    first = 1 if target.shape[1] == 1 else 0
    return LinearModel("logistic_regression", lambda rows: model.predict_proba(rows)[:, first:])


def _as_column(values: Any) -> np.ndarray:
    array = np.asarray(values)
    return array[:, None] if array.ndim == 1 else array
