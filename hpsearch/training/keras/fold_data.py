"""The rows of a fold as Keras's own `fit` takes them: arrays, or batches of rows on disk."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.target_transform import transform_target
from ...models.named_inputs import pack_inputs, split_features
from ...trial import Value
from ..batching import batch_size
from ..class_weights import class_weights, get_class_indices
from ..compiled_model import takes_class_indices
from ..input_layout import find_layout
from ..problem import Problem
from .disk_batches import make_batches, make_training_batches

if TYPE_CHECKING:
    import keras

PREDICTED_ROWS = 1024  # predicted at once


class FoldData:
    """Features, targets and weights of a fold."""

    def __init__(
        self, problem: Problem, params: Mapping[str, Value], fold: int, model: keras.Model
    ) -> None:
        """Read nothing yet; `model` is compiled before targets are read."""
        self._problem, self._params, self._fold, self._model = problem, params, fold, model
        self._statistics = problem.get_statistics(params)[fold]
        self.layout = find_layout(problem, model, params)
        self.structure: Any = None  # shapes of the outputs

    @cached_property
    def _takes_indices(self) -> bool:
        return takes_class_indices(getattr(self._model, "loss", None))

    def gather(self, rows: np.ndarray) -> tuple[Any, Any]:
        """Return features and targets of some rows for `fit`."""
        problem, s = self._problem, self._statistics
        target = problem.target[rows]
        if problem.task == "regression":
            unit = (s.target_center, s.target_scale, problem.target_transforms)
            target = transform_target(np, target, *unit)
        if self._takes_indices:
            target = target.argmax(axis=1)[:, None].astype(np.float32)
        return self.split_inputs(s.apply(problem.take(rows))), self._split_target(target)

    def split_inputs(self, features: np.ndarray) -> Any:
        """Split the features by input, if there are several."""
        from keras import ops

        if not self.layout:
            return features
        parts = split_features(features, self.layout)
        arrays = {name: np.asarray(ops.convert_to_numpy(part)) for name, part in parts.items()}
        return pack_inputs(self._model, arrays)

    def _split_target(self, target: np.ndarray) -> Any:
        """Split the target's columns by output, if there are several."""
        if isinstance(self.structure, Mapping):
            parts = self._split_columns(target, list(self.structure.values()))
            return dict(zip(self.structure, parts, strict=True))
        if isinstance(self.structure, list):
            return self._split_columns(target, self.structure)
        return target

    def _split_columns(self, target: np.ndarray, shapes: list[Any]) -> list[np.ndarray]:
        return np.split(target, np.cumsum([shape[-1] for shape in shapes])[:-1], axis=1)

    def _row_weights(self, rows: np.ndarray) -> np.ndarray | None:
        """Compute the weights of rows and classes; None if all are equal."""
        problem = self._problem
        weights = None if problem.weights is None else problem.weights[rows].astype(np.float32)
        classes = class_weights(problem, self._params, self._fold)
        if classes is not None and (classes != 1).any():
            of_class = classes[get_class_indices(problem.target[rows])]
            weights = of_class if weights is None else weights * of_class
        return weights

    def make_training_data(
        self, rows: np.ndarray, first_epoch: int
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return arguments of `fit` for training rows, positional ones and others."""
        if self._problem.on_disk:
            size = batch_size(self._params)
            given = (self.gather_weighted, self._problem, rows, size, first_epoch)
            return (make_training_batches(*given),), {"batch_size": None, "shuffle": False}
        x, y, *weights = self.gather_weighted(rows)
        return (x, y), {"sample_weight": weights[0]} if weights else {}

    def make_validation_data(self, rows: np.ndarray) -> Any:
        """Return the `validation_data` of `fit`."""
        if self._problem.on_disk:
            return make_batches(self._gather_validation, rows, PREDICTED_ROWS)
        return self._gather_validation(rows)

    def gather_weighted(self, rows: np.ndarray) -> tuple[Any, ...]:
        """Return features, targets and, if they differ, weights of training rows."""
        weights = self._row_weights(rows)
        return (*self.gather(rows), *([] if weights is None else [weights]))

    def _gather_validation(self, rows: np.ndarray) -> tuple[Any, ...]:
        weights = self._problem.weights
        return (*self.gather(rows), *([] if weights is None else [weights[rows]]))

    def make_predicted_data(self, rows: np.ndarray) -> Any:
        """Return the features of rows for `predict`; None if there are no rows."""
        if self._problem.on_disk and len(rows):
            return make_batches(lambda some: self.gather(some)[:1], rows, PREDICTED_ROWS)
        return self.gather(rows)[0] if len(rows) else None
