"""What a fold's training rows say about its columns, kept as small vectors.

The only place where imputation, scaling and encoding statistics are computed, so the only
place where rows could leak. Knows no model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .schema import Column, Schema


@dataclass(frozen=True, slots=True)
class Statistics:
    """Per-feature vectors, and the scale of a regression's target.

    The network sees `(where(isnan(x), impute, x) - center) * scale`, and in a regression it
    learns `(y - target_center) / target_scale`.
    """

    impute: np.ndarray  # (n_features,) float32
    center: np.ndarray  # (n_features,) float32
    scale: np.ndarray  # (n_features,) float32; 0 hides a feature its training rows never showed
    target_center: np.ndarray  # (n_outputs,) float32; 0 in a classification
    target_scale: np.ndarray  # (n_outputs,) float32; 1 in a classification

    def apply(self, features: np.ndarray) -> np.ndarray:
        """What the network sees of `features`, shape (n, n_features), float32."""
        filled = np.where(np.isnan(features), self.impute, features)
        seen: np.ndarray = ((filled - self.center) * self.scale).astype(np.float32)
        return seen


def fit_statistics(
    schema: Schema, columns: np.ndarray, target: np.ndarray, rows: np.ndarray
) -> Statistics:
    """The statistics of the given rows, and of no other.

    As scikit-learn's SimpleImputer followed by StandardScaler (or MinMaxScaler, RobustScaler)
    would fit them; one-hot features are passed through, but hidden where the rows never show
    their category.

    Args:
        schema: What the columns mean.
        columns: Cleaned columns of all rows, (n_rows, n_columns).
        target: (n_rows, n_outputs).
        rows: Indices of the training rows, (n_train,).
    """
    vectors = [
        _of_numbers(columns[rows, j], column)
        if column.kind == "numeric"
        else _of_categories(columns[rows, j], column)
        for j, column in enumerate(schema.columns)
    ]
    impute, center, scale = (
        np.array([number for v in vectors for number in v[k]], np.float32) for k in range(3)
    )
    target_center, target_scale = _of_target(schema, target, rows)
    return Statistics(impute, center, scale, target_center, target_scale)


Vectors = tuple[list[float], list[float], list[float]]  # impute, center, scale by feature


def _of_numbers(values: np.ndarray, column: Column) -> Vectors:
    """Of one numeric column's training rows, (n_train,), and of its indicator."""
    missing = np.isnan(values)
    wide = values.astype(np.float64)
    impute = float(np.float32(_imputed(wide[~missing], column.impute)))
    wide[missing] = impute
    center, width = _scaled(wide, column.scaling)
    scale = 1.0 / width if wide.size and wide.max() > wide.min() and width > 0 else 0.0
    if not column.indicator:
        return [impute], [center], [scale]
    return [impute, 0.0], [center, 0.0], [scale, float(0 < missing.sum() < missing.size)]


def _imputed(known: np.ndarray, how: str | float) -> float:
    """What stands for a missing number; 0 where no row has one."""
    if isinstance(how, int | float):
        return float(how)
    if known.size == 0:
        return 0.0
    if how == "mean":
        return float(known.mean())
    if how == "most_frequent":  # the smallest of equals
        values, counts = np.unique(known, return_counts=True)
        return float(values[counts.argmax()])
    return float(np.median(known))


def _scaled(values: np.ndarray, how: str) -> tuple[float, float]:
    """What is subtracted from the values, and what they are then divided by."""
    if how == "none" or values.size == 0:
        return 0.0, 1.0
    if how == "minmax":
        return float(values.min()), float(values.max() - values.min())
    if how == "robust":
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        # Half of a column may be one value; its scale is then its standard deviation.
        return float(middle), float(high - low or values.std())
    return float(values.mean()), float(values.std())


def _of_categories(codes: np.ndarray, column: Column) -> Vectors:
    """Of one categorical column's training rows, (n_train,): which categories they show."""
    size = len(column.feature_names)
    known = codes[~np.isnan(codes)].astype(np.intp)
    shown = np.bincount(known, minlength=size) > 0
    if column.indicator:
        shown[-1] = 0 < len(known) < len(codes)
    return [0.0] * size, [0.0] * size, shown.astype(np.float64).tolist()


def _of_target(
    schema: Schema, target: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    n_outputs = target.shape[1]
    if schema.target is None or schema.target.kind != "regression":
        return np.zeros(n_outputs, np.float32), np.ones(n_outputs, np.float32)
    known = target[rows].astype(np.float64)
    spread = known.std(axis=0)
    constant = known.max(axis=0) == known.min(axis=0)
    return (
        known.mean(axis=0).astype(np.float32),
        np.where(constant, 1.0, spread).astype(np.float32),
    )
