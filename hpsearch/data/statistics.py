"""What a fold's training rows say about its columns, kept as small vectors.

The only place where imputation, scaling and encoding statistics are computed, so the only place
where rows could leak.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .schema import Column, Schema
from .target_transform import apply_target_transforms

N_KNOTS = 33  # of quantile scaling
MIN_WIDTH = 1e-37  # for the scale of a narrower column float32 has no number
TAIL_PROBABILITY = (
    0.001  # the level of a quantile scaling's ends, where a normal distribution has none
)
CHUNK_ROWS = 4096  # which bounds the memory of quantile scaling
MAX_VALUES = 1 << 24  # of a column of rows that are arrays
CLIP_AT = 3.0  # the bound that smooth clipping approaches
CLIP_LIMIT = 1e15  # beyond which a number is the same to smooth clipping; its square is a float32


class QuantileScaling(NamedTuple):
    """A broken line for each feature: `offset + sum(slope * clip(x - middle, -half, half))`."""

    middle: np.ndarray  # (n_pieces, n_features) float32
    half_width: np.ndarray  # (n_pieces, n_features) float32, of a piece's width
    slope: np.ndarray  # (n_pieces, n_features) float32; 0 in a feature that is not scaled so
    offset: np.ndarray  # (n_features,) float32


@dataclass(frozen=True, slots=True)
class Statistics:
    """Per-feature vectors, and the scale of a regression's target.

    The network sees `scaled(where(isnan(x), impute, x))`, and in a regression it learns
    `(y - target_center) / target_scale`, y transformed where that is declared (see `unit`).
    """

    impute: np.ndarray  # (n_features,) float32
    center: np.ndarray  # (n_features,) float32
    scale: np.ndarray  # (n_features,) float32; 0 hides a feature its training rows never showed
    target_center: np.ndarray  # (n_outputs,) float32; 0 in a classification
    target_scale: np.ndarray  # (n_outputs,) float32; 1 in a classification
    quantiles: QuantileScaling | None = None  # None: no feature is scaled by quantiles
    clip: np.ndarray | None = None  # (n_features,) float32, see `clip_smoothly`; None: no feature
    # (2, n_outputs) float32: the least and the largest target, beyond which no answer goes; None:
    # answers are as the network says, as always in a classification
    target_range: np.ndarray | None = None

    def apply(self, features: np.ndarray) -> np.ndarray:
        """What the network sees of `features`, shape (n, ..., n_features), float32."""
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
    """`(filled - center) * scale`, what quantiles add to it, and smooth clipping.

    Args:
        xp: Whose functions are called: numpy, jax.numpy or keras.ops.
        filled: (n, ..., n_features) without NaN.
        center: (n_features,).
        scale: (n_features,).
        quantiles: Of a fold; None: no feature is scaled by quantiles.
        clip: (n_features,), see `clip_smoothly`; None: no feature is clipped.
    """
    seen = xp.multiply(xp.subtract(filled, center), scale)
    if quantiles is not None:
        seen = _add_quantile_pieces(xp, seen, filled, quantiles)
    return seen if clip is None else clip_smoothly(xp, seen, clip)


def clip_smoothly(xp: Any, seen: Any, clip: Any) -> Any:
    """`seen / sqrt(1 + (clip * seen) ** 2)`, which stays between -1/clip and 1/clip.

    Holzmüller et al. 2024 (arXiv:2407.04491). A feature whose `clip` is 0 stays as it is.
    """
    limited = xp.maximum(xp.minimum(seen, CLIP_LIMIT), -CLIP_LIMIT)
    return xp.divide(limited, xp.sqrt(xp.add(xp.square(xp.multiply(limited, clip)), 1.0)))


def _add_quantile_pieces(xp: Any, seen: Any, filled: Any, quantiles: QuantileScaling) -> Any:
    apart = xp.subtract(xp.expand_dims(filled, -2), quantiles.middle)
    within = xp.maximum(xp.minimum(apart, quantiles.half_width), -quantiles.half_width)
    pieces = xp.sum(xp.multiply(within, quantiles.slope), axis=-2)
    return xp.add(seen, xp.add(pieces, quantiles.offset))


def clamp_answers(xp: Any, answers: Any, target_range: Any) -> Any:
    """Answers in the target's own unit, moved into its range; None: they stay as they are."""
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
    """The statistics of the given rows, and of no other.

    As scikit-learn's SimpleImputer followed by StandardScaler (or MinMaxScaler, RobustScaler)
    would fit them; one-hot features are passed through, but hidden where the rows never show
    their category. Scaling by quantiles is QuantileTransformer's to a normal distribution, with
    straight lines between `N_KNOTS` quantiles. `robust_clip` centers on the median, divides by the
    distance of the quartiles (half of the range where they are equal), and clips smoothly.

    Args:
        schema: What the columns mean.
        columns: Cleaned columns of all rows, (n_rows, n_columns); where rows are arrays,
            (n_rows, *shape), and a column is a place of the last axis. Of many large rows
            `MAX_VALUES` numbers a column are looked at, in rows evenly apart.
        target: (n_rows, n_outputs).
        rows: Indices of the training rows, (n_train,).
        scaling: Of the numeric columns that declare none.
        read: Indices of the rows of `columns` that the training rows' features are, where these
            are windows; None: the training rows themselves.
    """
    every, rows = rows, _subsample_rows(rows if read is None else read, columns.shape[1:-1])
    vectors = [
        _fit_numeric(columns[rows, ..., j].ravel(), column, column.scaling or scaling)
        if column.kind == "numeric"
        else _fit_categorical(columns[rows, j], column)
        for j, column in enumerate(schema.columns)
    ]
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
    """The `clip` of each feature; None where no column is clipped smoothly."""
    clips: list[float] = []
    for column in schema.columns:
        clipped = column.kind == "numeric" and (column.scaling or scaling) == "robust_clip"
        indicators = [0.0] * column.indicator
        values = len(column.feature_names) - len(indicators)
        clips += [1 / CLIP_AT if clipped else 0.0] * values + indicators
    return np.array(clips, np.float32) if any(clips) else None


def _subsample_rows(rows: np.ndarray, inner: tuple[int, ...]) -> np.ndarray:
    """The rows, or as many evenly apart as hold `MAX_VALUES` arrays of `inner` numbers."""
    most = max(1, MAX_VALUES // int(np.prod(inner)))
    if not inner or len(rows) <= most:
        return rows
    kept: np.ndarray = rows[np.linspace(0, len(rows) - 1, most).astype(np.intp)]
    return kept


FeatureVectors = tuple[list[float], list[float], list[float]]  # impute, center, scale by feature


def _fit_numeric(values: np.ndarray, column: Column, scaling: str) -> FeatureVectors:
    """Of one numeric column's training rows, (n_train,), and of its indicator."""
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
    """What replaces a missing number; 0 where no row has one."""
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


def _fit_scaling(values: np.ndarray, how: str) -> tuple[float, float]:
    """What is subtracted from the values, and what they are then divided by."""
    if how == "quantile":
        return 0.0, 0.0  # `QuantileScaling` say it all
    if how == "none" or values.size == 0:
        return 0.0, 1.0
    if how == "minmax":
        return float(values.min()), float(values.max() - values.min())
    if how == "robust":
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        # Half of a column may be one value; its scale is then its standard deviation.
        return float(middle), float(high - low or values.std())
    if how == "robust_clip":
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        return float(middle), float(high - low or (values.max() - values.min()) / 2)
    return float(values.mean()), float(values.std())


def _fit_quantile_scaling(
    schema: Schema, columns: np.ndarray, rows: np.ndarray, impute: np.ndarray, scaling: str
) -> QuantileScaling | None:
    """The functions of the columns that are scaled by quantiles; None where there is none."""
    bent = [c.kind == "numeric" and (c.scaling or scaling) == "quantile" for c in schema.columns]
    if not any(bent):
        return None
    middles, halves, slopes = np.zeros((3, N_KNOTS - 1, len(impute)), np.float32)
    found = QuantileScaling(middles, halves, slopes, np.zeros(len(impute), np.float32))
    at = 0
    for j, column in enumerate(schema.columns):
        if bent[j]:
            values = columns[rows, ..., j].ravel()
            middle, half, slope, offset = _fit_quantile_pieces(
                np.where(np.isnan(values), impute[at], values)
            )
            for vectors, numbers in zip(found, (middle, half, slope), strict=False):
                vectors[: len(numbers), at] = numbers
            found.offset[at] = offset
        at += len(column.feature_names)
    return found


def _fit_quantile_pieces(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Middle, half width and slope of each piece, (n_pieces,), and the offset.

    A value that stands at several levels, as a column of many zeros has it, is at their mean.
    """
    from scipy.special import ndtri

    levels = np.linspace(0, 1, N_KNOTS)
    at = np.quantile(values, levels) if values.size else np.zeros(N_KNOTS)
    knots, places, counts = np.unique(
        at.astype(np.float32), return_inverse=True, return_counts=True
    )
    means = np.bincount(places, levels) / counts
    normal = ndtri(np.clip(means, TAIL_PROBABILITY, 1 - TAIL_PROBABILITY))
    wide = knots.astype(np.float64)
    half = np.diff(wide) / 2
    slope = np.where(2 * half > MIN_WIDTH, np.diff(normal) / np.diff(wide), 0.0)
    if half.size == 0:
        return half, half, slope, 0.0
    return (wide[1:] + wide[:-1]) / 2, half, slope, float(normal[0] + (slope * half).sum())


def _fit_categorical(codes: np.ndarray, column: Column) -> FeatureVectors:
    """Of one categorical column's training rows, (n_train,): which categories they show."""
    size = len(column.feature_names)
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
