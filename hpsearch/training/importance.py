"""Permutation importance: the loss in score when a column is shuffled.

Breiman 2001, "Random forests", section 10; the definition is that of scikit-learn's
`permutation_importance`. A raw column is shuffled together with all features derived from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..data.dataset import TestRows
from ..data.schema import Schema
from ..trial import orient
from .metrics import Metric

N_REPEATS = 5  # shuffles per column
MAX_ROWS = 1000
MIN_ROWS = 50  # with fewer rows, shuffling is too noisy
MAX_CELLS = 200_000_000  # most predicted cells, over all shuffles


@dataclass(frozen=True, slots=True)
class Importance:
    """The loss in the metric when a raw column is shuffled."""

    metric: str
    n_rows: int  # number of shuffled rows
    losses: dict[str, list[float]]  # column -> loss of each shuffle; largest first

    def as_json(self) -> dict[str, object]:
        """Return plain values for the journal and `importance.json`."""
        return {"metric": self.metric, "rows": self.n_rows, "columns": self.losses}


def permutation_importance(
    predict: Callable[[np.ndarray], np.ndarray], rows: TestRows, schema: Schema, metric: Metric
) -> Importance | None:
    """Compute the permutation importance of each raw column on at most `MAX_ROWS` rows.

    Args:
        predict: Maps cleaned columns, (n, n_columns), to predictions, (n, n_outputs).
        rows: Rows that were not used for training.
        schema: The schema, which maps raw columns to cleaned ones.
        metric: The metric of the predictions.

    Returns:
        The importance; None if there are too few rows, too many columns or an undefined metric, or
        if rows are arrays or windows.
    """
    if len(schema.input_shape) > 1:
        return None  # columns are not separate features
    indices = _group_by_raw_column(schema)
    rng = np.random.default_rng(0)  # the same rows give the same importance
    room = MAX_CELLS // (N_REPEATS * len(indices) * max(1, rows.columns.shape[1]))
    n_rows = min(len(rows.target), MAX_ROWS, room)
    if n_rows < MIN_ROWS:
        return None
    taken = np.sort(rng.permutation(len(rows.target))[:n_rows])
    columns, truth = rows.columns[taken], rows.target[taken]
    weights = None if rows.weights is None else rows.weights[taken]
    threshold = schema.target.threshold if schema.target else 0.5

    def score(prediction: np.ndarray) -> float:
        value = metric(truth, prediction, weights, threshold=threshold)
        return orient(value, metric.direction)

    whole = score(predict(columns))
    losses: dict[str, list[float]] = {}
    for name, own in indices.items():
        losses[name] = []
        for _ in range(N_REPEATS):
            shuffled = columns.copy()
            shuffled[:, own] = columns[rng.permutation(n_rows)][:, own]
            losses[name].append(whole - score(predict(shuffled)))
    if not np.isfinite(list(losses.values())).all():
        return None
    ordered = sorted(losses.items(), key=lambda item: -float(np.mean(item[1])))
    return Importance(metric.name, n_rows, dict(ordered))


def _group_by_raw_column(schema: Schema) -> dict[str, list[int]]:
    """Group the cleaned columns by raw column."""
    indices: dict[str, list[int]] = {}
    for column, start in schema.iter_cleaned():
        own = range(start, start + column.n_cleaned)
        indices.setdefault(column.raw_name, []).extend(own)
    return indices
