"""Statistics of a fold's training rows, kept as small vectors.

The only module that computes imputation, scaling and encoding statistics, and so the only one
where rows could leak.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .columns import Column
from .schema import Schema
from .target_transform import apply_target_transforms

N_KNOTS = 33  # of quantile scaling
MIN_WIDTH = 1e-37  # a narrower column has no float32 scale
TAIL_PROBABILITY = (
    0.001  # quantile level of the outermost knots, where a normal quantile is infinite
)
CHUNK_ROWS = 4096  # bounds the memory of quantile scaling
MAX_VALUES = 1 << 24  # per column of array rows
CLIP_AT = 3.0  # the asymptote of smooth clipping
CLIP_LIMIT = 1e15  # larger numbers clip to the same value; its square fits float32


class QuantileScaling(NamedTuple):
    """Piecewise linear per feature: `offset + sum(slope * clip(x - middle, -half, half))`."""

    middle: np.ndarray  # (n_pieces, n_features) float32
    half_width: np.ndarray  # (n_pieces, n_features) float32, half the width of a piece
    slope: np.ndarray  # (n_pieces, n_features) float32; 0 for features scaled otherwise
    offset: np.ndarray  # (n_features,) float32


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics per feature, and the scale of a regression's target.

    The network's input is `scaled(where(isnan(x), impute, x))`. Its target in a regression is
    `(y - target_center) / target_scale`, with y transformed if declared (see `target_transform`).
    """

    impute: np.ndarray  # (n_features,) float32
    center: np.ndarray  # (n_features,) float32
    scale: np.ndarray  # (n_features,) float32; 0 hides a feature absent from the training rows
    target_center: np.ndarray  # (n_outputs,) float32; 0 in a classification
    target_scale: np.ndarray  # (n_outputs,) float32; 1 in a classification
    quantiles: QuantileScaling | None = None  # None: no feature is scaled by quantiles
    clip: np.ndarray | None = None  # (n_features,) float32, see `clip_smoothly`; None: no feature
    # (2, n_outputs) float32: smallest and largest target, to which predictions are clamped; None:
    # no clamping, always so in a classification
    target_range: np.ndarray | None = None

    def apply(self, features: np.ndarray) -> np.ndarray:
        """Impute and scale `features`, (n, ..., n_features) float32, as the network's input."""
        seen = np.empty(features.shape, np.float32)
        for start in range(0, len(features), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            filled = np.where(np.isnan(features[rows]), self.impute, features[rows])
            scaling = (self.center, self.scale, self.quantiles, self.clip)
            seen[rows] = scale_features(np, filled, *scaling)
        return seen


def scale_features(
    xp: Any,
    filled: Any,
    center: Any,
    scale: Any,
    quantiles: QuantileScaling | None,
    clip: Any = None,
) -> Any:
    """Compute `(filled - center) * scale`, plus quantile scaling and smooth clipping.

    Args:
        xp: The array module: numpy, jax.numpy or keras.ops.
        filled: (n, ..., n_features) without NaN.
        center: (n_features,).
        scale: (n_features,).
        quantiles: The fold's quantile scaling; None: no feature uses it.
        clip: (n_features,), see `clip_smoothly`; None: no feature is clipped.
    """
    seen = xp.multiply(xp.subtract(filled, center), scale)
    if quantiles is not None:
        seen = _add_quantile_pieces(xp, seen, filled, quantiles)
    return seen if clip is None else clip_smoothly(xp, seen, clip)


def clip_smoothly(xp: Any, seen: Any, clip: Any) -> Any:
    """Compute `seen / sqrt(1 + (clip * seen) ** 2)`, bounded by -1/clip and 1/clip.

    Holzmüller et al. 2024 (arXiv:2407.04491). A `clip` of 0 leaves a feature unchanged.
    """
    limited = xp.maximum(xp.minimum(seen, CLIP_LIMIT), -CLIP_LIMIT)
    return xp.divide(limited, xp.sqrt(xp.add(xp.square(xp.multiply(limited, clip)), 1.0)))


def _add_quantile_pieces(xp: Any, seen: Any, filled: Any, quantiles: QuantileScaling) -> Any:
    apart = xp.subtract(xp.expand_dims(filled, -2), quantiles.middle)
    within = xp.maximum(xp.minimum(apart, quantiles.half_width), -quantiles.half_width)
    pieces = xp.sum(xp.multiply(within, quantiles.slope), axis=-2)
    return xp.add(seen, xp.add(pieces, quantiles.offset))


def clamp_answers(xp: Any, answers: Any, target_range: Any) -> Any:
    """Clamp predictions, in the target's unit, to `range`; None: no clamping."""
    if target_range is None:
        return answers
    return xp.minimum(xp.maximum(answers, target_range[0]), target_range[1])


def fit_statistics(
    schema: Schema,
    columns: np.ndarray,
    target: np.ndarray,
    rows: np.ndarray,
    *,
    scaling: str = "standard",
    read: np.ndarray | None = None,
) -> Statistics:
    """Fit the statistics on the given rows alone; see `fit_fold_statistics`."""
    covered = None if read is None else [read]
    return fit_fold_statistics(schema, columns, target, [rows], scaling=scaling, read=covered)[0]


def fit_fold_statistics(
    schema: Schema,
    columns: np.ndarray,
    target: np.ndarray,
    folds: Sequence[np.ndarray],
    *,
    scaling: str = "standard",
    read: Sequence[np.ndarray] | None = None,
) -> tuple[Statistics, ...]:
    """Fit the statistics of each fold on its rows alone, in one pass over the columns.

    Equivalent to scikit-learn's SimpleImputer followed by StandardScaler (or MinMaxScaler,
    RobustScaler). One-hot features pass through, but are hidden if their category does not occur in
    the rows. `quantile` is QuantileTransformer to a normal distribution, linear between `N_KNOTS`
    quantiles. `robust_clip` subtracts the median, divides by the interquartile range (or by half
    of the range, if the quartiles are equal), and clips smoothly.

    Args:
        schema: The columns.
        columns: Cleaned columns of all rows, (n_rows, n_columns); for array rows (n_rows, *shape),
            where a column is an index of the last axis. Of many large rows, an evenly spaced sample
            of `MAX_VALUES` numbers per column is used.
        target: (n_rows, n_outputs).
        folds: Indices of the training rows of each fold, (n_train,).
        scaling: Default scaling of numeric columns.
        read: Indices of the rows of `columns` that the windows of each fold's training rows cover;
            None: the training rows themselves.
    """
    inner = columns.shape[1:-1]
    covered = [_subsample_rows(rows, inner) for rows in (folds if read is None else read)]
    vectors: list[list[FeatureVectors]] = [[] for _ in folds]
    for column, start in schema.iter_cleaned():
        stop = start + column.n_cleaned
        for found, rows in zip(vectors, covered, strict=True):
            found.append(_fit_column(columns[rows, ..., start:stop], column, scaling))
    each = zip(folds, covered, vectors, strict=True)
    return tuple(
        _combine_vectors(schema, columns, target, rows, read_rows, found, scaling)
        for rows, read_rows, found in each
    )


def _combine_vectors(
    schema: Schema,
    columns: np.ndarray,
    target: np.ndarray,
    every: np.ndarray,
    rows: np.ndarray,
    vectors: Sequence[FeatureVectors],
    scaling: str,
) -> Statistics:
    """Combine the vectors of a fold's columns; `every` are its rows, `rows` those that are read."""
    impute, center, scale = (
        np.array([number for v in vectors for number in v[k]], np.float32) for k in range(3)
    )
    target_center, target_scale = _fit_target(schema, target, every)
    return Statistics(
        *(impute, center, scale, target_center, target_scale),
        quantiles=_fit_quantile_scaling(schema, columns, rows, impute, scaling),
        clip=_list_clips(schema, scaling),
        target_range=_find_target_range(schema, target, every),
    )


def _find_target_range(schema: Schema, target: np.ndarray, rows: np.ndarray) -> np.ndarray | None:
    if schema.target is None or schema.target.kind != "regression" or not len(rows):
        return None
    return np.stack([target[rows].min(axis=0), target[rows].max(axis=0)]).astype(np.float32)


def _list_clips(schema: Schema, scaling: str) -> np.ndarray | None:
    """Return the `clip` of each feature; None if no column is clipped smoothly."""
    clips: list[float] = []
    for column in schema.columns:
        clipped = column.kind == "numeric" and (column.scaling or scaling) == "robust_clip"
        indicators = [0.0] * column.indicator
        values = column.n_features - len(indicators)
        clips += [1 / CLIP_AT if clipped else 0.0] * values + indicators
    return np.array(clips, np.float32) if any(clips) else None


def _subsample_rows(rows: np.ndarray, inner: tuple[int, ...]) -> np.ndarray:
    """Subsample the rows evenly so that each column has at most `MAX_VALUES` numbers."""
    most = max(1, MAX_VALUES // int(np.prod(inner)))
    if not inner or len(rows) <= most:
        return rows
    kept: np.ndarray = rows[np.linspace(0, len(rows) - 1, most).astype(np.intp)]
    return kept


FeatureVectors = tuple[list[float], list[float], list[float]]  # impute, center, scale by feature


def _fit_column(values: np.ndarray, column: Column, scaling: str) -> FeatureVectors:
    """Fit one column to its cleaned values, (n_train, ..., n_cleaned)."""
    if column.kind == "numeric":
        return _fit_numeric(values.ravel(), column, column.scaling or scaling)
    if column.kind == "categorical":
        return _fit_categorical(values[:, 0], column)
    n = column.n_cleaned
    return [0.0] * n, [0.0] * n, [1.0] * n  # tokens and pixels are not scaled


def _fit_numeric(values: np.ndarray, column: Column, scaling: str) -> FeatureVectors:
    """Fit one numeric column, (n_train,), and its indicator."""
    missing = np.isnan(values)
    wide = values.astype(np.float64)
    impute = float(np.float32(_compute_imputation(wide[~missing], column.impute)))
    wide[missing] = impute
    center, width = _fit_scaling(wide, scaling)
    scale = 1.0 / width if wide.size and wide.max() > wide.min() and width > MIN_WIDTH else 0.0
    if not column.indicator:
        return [impute], [center], [scale]
    return [impute, 0.0], [center, 0.0], [scale, float(0 < missing.sum() < missing.size)]


def _compute_imputation(known: np.ndarray, how: str | float) -> float:
    """Compute the value that replaces missing numbers; 0 if all are missing."""
    if isinstance(how, int | float):
        return float(how)
    if known.size == 0:
        return 0.0
    if how == "mean":
        return float(known.mean())
    if how == "most_frequent":  # the smallest of ties
        values, counts = np.unique(known, return_counts=True)
        return float(values[counts.argmax()])
    return float(np.median(known))


def _fit_scaling(values: np.ndarray, how: str) -> tuple[float, float]:
    """Compute center and scale of the values."""
    if how == "quantile":
        return 0.0, 0.0  # `QuantileScaling` say it all
    if how == "none" or values.size == 0:
        return 0.0, 1.0
    if how == "minmax":
        return float(values.min()), float(values.max() - values.min())
    if how == "robust":
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        # If half of the values are equal, fall back to the standard deviation.
        return float(middle), float(high - low or values.std())
    if how == "robust_clip":
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        return float(middle), float(high - low or (values.max() - values.min()) / 2)
    return float(values.mean()), float(values.std())


def _fit_quantile_scaling(
    schema: Schema, columns: np.ndarray, rows: np.ndarray, impute: np.ndarray, scaling: str
) -> QuantileScaling | None:
    """Fit the quantile scaling of the columns that declare it; None if none does."""
    bent = [c.kind == "numeric" and (c.scaling or scaling) == "quantile" for c in schema.columns]
    if not any(bent):
        return None
    middles, halves, slopes = np.zeros((3, N_KNOTS - 1, len(impute)), np.float32)
    found = QuantileScaling(middles, halves, slopes, np.zeros(len(impute), np.float32))
    at = 0
    for is_bent, (column, start) in zip(bent, schema.iter_cleaned(), strict=True):
        if is_bent:
            values = columns[rows, ..., start].ravel()
            middle, half, slope, offset = _fit_quantile_pieces(
                np.where(np.isnan(values), impute[at], values)
            )
            for vectors, numbers in zip(found, (middle, half, slope), strict=False):
                vectors[: len(numbers), at] = numbers
            found.offset[at] = offset
        at += column.n_features
    return found


def _fit_quantile_pieces(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Fit middle, half width and slope of each piece, (n_pieces,), and the offset.

    A repeated value that spans several quantile levels, such as many zeros, gets their mean.
    """
    from scipy.special import ndtri

    levels = np.linspace(0, 1, N_KNOTS)
    at = np.quantile(values, levels) if values.size else np.zeros(N_KNOTS)
    knots, indices, counts = np.unique(
        at.astype(np.float32), return_inverse=True, return_counts=True
    )
    means = np.bincount(indices, levels) / counts
    normal = ndtri(np.clip(means, TAIL_PROBABILITY, 1 - TAIL_PROBABILITY))
    wide = knots.astype(np.float64)
    half = np.diff(wide) / 2
    slope = np.where(2 * half > MIN_WIDTH, np.diff(normal) / np.diff(wide), 0.0)
    if half.size == 0:
        return half, half, slope, 0.0
    return (wide[1:] + wide[:-1]) / 2, half, slope, float(normal[0] + (slope * half).sum())


def _fit_categorical(codes: np.ndarray, column: Column) -> FeatureVectors:
    """Fit one categorical column, (n_train,): which categories occur."""
    size = column.n_features
    known = codes[~np.isnan(codes)].astype(np.intp)
    shown = np.bincount(known, minlength=size) > 0
    if column.indicator:
        shown[-1] = 0 < len(known) < len(codes)
    return [0.0] * size, [0.0] * size, shown.astype(np.float64).tolist()


def _fit_target(
    schema: Schema, target: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    n_outputs = target.shape[1]
    if schema.target is None or schema.target.kind != "regression":
        return np.zeros(n_outputs, np.float32), np.ones(n_outputs, np.float32)
    known = apply_target_transforms(np, target[rows].astype(np.float64), schema.target.transforms)
    spread = known.std(axis=0)
    constant = known.max(axis=0) == known.min(axis=0)
    return (
        known.mean(axis=0).astype(np.float32),
        np.where(constant, 1.0, spread).astype(np.float32),
    )
