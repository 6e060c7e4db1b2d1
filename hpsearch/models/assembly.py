"""Assemble one Keras model from cleaned columns to predictions, to be saved and served.

Imputation, encoding, scaling and, in a regression, the target's unit are constants of its graph.
It consists of Keras's own operations, so Keras opens the file under any backend, with
`safe_mode=True` and without this package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.schema import Schema
from ..data.statistics import Statistics, clamp_answers, scale_features
from ..data.target_transform import inverse_transform_target
from .backbone import load_backbone
from .temperature import scale_by_temperature

if TYPE_CHECKING:
    import keras


MEMBER = "member_{}"  # name of the layer that holds the prediction of a network by its index


@dataclass(frozen=True, slots=True)
class _FeatureMap:
    """The origin of each feature; all arrays have shape (n_features,)."""

    column: np.ndarray  # index of the cleaned column, int32
    code: np.ndarray  # the category that it indicates, float32; NaN: none
    marks_missing: np.ndarray  # whether it indicates missing cells, bool

    @property
    def marks_category(self) -> np.ndarray:
        """Mask of the features that indicate a category, bool."""
        marks: np.ndarray = ~np.isnan(self.code)
        return marks


@dataclass(frozen=True, slots=True)
class WeightedNetwork:
    """One network of a model."""

    network: keras.Model  # or a `user_network` layer
    statistics: Statistics  # statistics of its training rows
    weight: float = 1.0  # weight of its predictions; a model's weights add up to 1
    link: str | None = None  # the activation applied to it if it returns logits


def assemble_model(
    parts: Sequence[WeightedNetwork],
    schema: Schema,
    task: str,
    backbones: Mapping[str, Path] | None = None,
) -> keras.Model:
    """Combine networks with their preprocessing and the inverse target transform.

    Args:
        parts: Networks of equal shapes, each trained on the schema's features scaled by its
            statistics. Imputation is that of the first.
        schema: The cleaned columns, in order.
        task: "binary", "multiclass", "multilabel" or "regression".
        backbones: The files of frozen models by column.

    Returns:
        A model with one input: cleaned columns, (n, n_columns) float32 with NaN for missing cells,
        or windows of them, or arrays of the schema's shape and type. Its output is the weighted
        mean of `network(statistics.apply(schema.expand(columns)))`, in a regression in the
        target's unit, of classes at the target's temperature. It shares the networks' weights.
    """
    import keras
    from keras import ops

    columns = keras.Input(schema.input_shape, dtype=schema.dtype, name="columns")
    statistics = parts[0].statistics
    cleaned = ops.cast(columns, "float32") if schema.dtype != "float32" else columns
    if any(column.backbone for column in schema.columns):
        cleaned = _apply_backbones(cleaned, schema, backbones or {})
        schema = schema.after_backbones
    features = _expand_features(cleaned, _map_features(schema), statistics.impute)
    transforms = schema.target.transforms if schema.target else ()
    answer = _average_networks(parts, features, task, transforms)
    if schema.target is not None:
        answer = scale_by_temperature(ops, answer, schema.target.temperature)
    return keras.Model(columns, answer, name="assembled")


def _apply_backbones(columns: Any, schema: Schema, files: Mapping[str, Path]) -> Any:
    """Replace the pixels of images by the outputs of their frozen models."""
    from keras import ops

    pieces: list[Any] = []
    for column, start in schema.iter_cleaned():
        piece = columns[:, start : start + column.n_cleaned]
        if column.backbone:
            backbone = load_backbone(files[column.name], column.backbone)
            backbone.name = f"backbone_{len(pieces)}"
            pixels = ops.reshape(ops.where(ops.isnan(piece), 0.0, piece), (-1, *column.shape))
            piece = ops.reshape(backbone(pixels, training=False), (-1, column.width))
        pieces.append(piece)
    return ops.concatenate(pieces, axis=-1) if len(pieces) > 1 else pieces[0]


def _average_networks(
    parts: Sequence[WeightedNetwork], features: Any, task: str, transforms: Sequence[str]
) -> Any:
    """Compute the weighted mean of the networks' predictions."""
    import keras
    from keras import ops

    answer = None
    for index, part in enumerate(parts):
        s = part.statistics
        if index:
            part.network.name = f"{part.network.name}_{index}"  # names must be unique in a model
        seen = scale_features(ops, features, s.center, s.scale, s.quantiles, s.clip)
        # Otherwise Keras would export active image augmentation.
        prediction = part.network(seen, training=False)
        if part.link is not None:
            prediction = keras.layers.Activation(part.link, dtype="float32")(prediction)
        if task == "regression":
            prediction = inverse_transform_target(
                ops, prediction, s.target_center, s.target_scale, transforms
            )
            prediction = clamp_answers(ops, prediction, s.target_range)
        if len(parts) > 1:
            prediction = keras.layers.Identity(name=MEMBER.format(index), dtype="float32")(
                prediction
            )
            prediction = ops.multiply(prediction, part.weight)
        answer = prediction if answer is None else ops.add(answer, prediction)
    return answer


def average_members(model: keras.Model, count: int) -> keras.Model:
    """Return the part of an assembled model that predicts by its first `count` networks alone.

    They have equal weights, and no temperature.
    """
    import keras
    from keras import ops

    answers = [model.get_layer(MEMBER.format(index)).output for index in range(count)]
    return keras.Model(model.input, ops.mean(ops.stack(answers), axis=0))


def _map_features(schema: Schema) -> _FeatureMap:
    column: list[int] = []
    code: list[float] = []
    marks_missing: list[bool] = []
    for c, start in schema.iter_cleaned():
        n_values = c.n_features - c.indicator
        if c.kind == "categorical":
            column += [start] * n_values
            code += range(n_values)
        else:
            column += range(start, start + n_values)
            code += [np.nan] * n_values
        marks_missing += [False] * n_values
        if c.indicator:
            column.append(start)
            code.append(np.nan)
            marks_missing.append(True)
    return _FeatureMap(
        np.array(column, np.int32), np.array(code, np.float32), np.array(marks_missing, bool)
    )


def _expand_features(columns: Any, features: _FeatureMap, impute: np.ndarray) -> Any:
    """Apply `Schema.expand` to cleaned columns, with missing numbers imputed."""
    from keras import ops

    if not np.array_equal(features.column, np.arange(columns.shape[-1])):
        columns = ops.take(columns, features.column, axis=-1)
    missing = ops.isnan(columns)
    values = ops.where(missing, impute, columns)
    if features.marks_category.any():
        hot = ops.cast(ops.equal(columns, np.nan_to_num(features.code, nan=-1)), "float32")
        values = ops.where(features.marks_category, hot, values)
    if features.marks_missing.any():
        values = ops.where(features.marks_missing, ops.cast(missing, "float32"), values)
    return values
