"""Run an epoch as one call of a TensorFlow graph, which gathers, prepares and trains.

Batch size, row order, learning rates and statistics are inputs, so all folds share one trace.
Rows on disk are inputs too, some batches at a time: an epoch is then several calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...compat.keras import learning_rate
from ...data.statistics import QuantileScaling, Statistics, scale_features
from ...data.target_transform import transform_target
from ..schedules import StepShares
from .scheduled_steps import SHARE

if TYPE_CHECKING:
    import keras

    from ..problem import Problem

PART_BYTES = 1 << 24  # of rows on disk that are in memory at a time


class GraphSteps:
    """The steps of `shared_model.SharedModel` under TensorFlow."""

    def __init__(self, model: keras.Model, problem: Problem, features: Any) -> None:
        import tensorflow as tf

        self._model = model
        self._regression = problem.task == "regression"
        self._transforms = problem.target_transforms
        self._problem = problem
        self._features = None if problem.on_disk else features
        self._windows = problem.windows
        self._target = tf.convert_to_tensor(problem.target)
        weights = problem.weights
        self._weights = None if weights is None else tf.convert_to_tensor(weights)
        self._learning_rate = get_learning_rate_variable(model)
        order = tf.TensorSpec([None], tf.int32)
        vector, pieces = tf.TensorSpec([None], tf.float32), tf.TensorSpec([None, None], tf.float32)
        vectors = (*[vector] * 6, *[pieces] * 3, vector)
        self._scheduled = list_share_variables(model)
        rows = tf.TensorSpec([None, *problem.features.shape[1:]], problem.features.dtype)
        taken = (
            *(rows, order, order, tf.TensorSpec([], tf.int32)),
            *(vector, StepShares(vector, vector), vectors),
        )
        # Traced on the first call; the version without weights saves the multiplication.
        self._train_graph = tf.function(self._train_epoch, taken, autograph=False)
        self._weighted_train_graph = tf.function(
            self._train_epoch, (*taken, vector), autograph=False
        )
        self._evaluate_graph = tf.function(
            self._evaluate, (rows, order, order, *vectors), autograph=False
        )

    def train(
        self,
        statistics: Statistics,
        rows: np.ndarray,
        batch_size: int,
        *,
        weights: np.ndarray | None,
        rates: np.ndarray,
        shares: StepShares,
    ) -> float:
        """See `shared_model.EpochSteps`."""
        self._model.reset_metrics()
        loss, vectors = 0.0, _list_statistics_arrays(statistics)
        n_steps = self._count_steps(len(rates), batch_size)
        for first in range(0, len(rates), n_steps):
            steps = slice(first, first + n_steps)
            part = slice(steps.start * batch_size, steps.stop * batch_size)
            given = (
                *self._load(rows[part]),
                np.int32(batch_size),
                rates[steps],
                StepShares(*(share[steps] for share in shares)),
                vectors,
            )
            if weights is None:
                loss = self._train_graph(*given)
            else:
                loss = self._weighted_train_graph(*given, weights[part])
        return float(loss)  # the metric's mean over all parts

    def evaluate(self, statistics: Statistics, rows: np.ndarray) -> tuple[np.ndarray, float]:
        """See `shared_model.EpochSteps`."""
        vectors = _list_statistics_arrays(statistics)
        answer, loss = self._evaluate_graph(*self._load(rows), *vectors)
        return answer.numpy(), float(loss)

    def _count_steps(self, n_steps: int, batch_size: int) -> int:
        """Return the number of steps per call of the graph."""
        if self._features is not None:
            return n_steps
        features = self._problem.features
        row_bytes: int = features.itemsize * features.shape[1]
        return max(1, PART_BYTES // (batch_size * row_bytes))

    def _load(self, rows: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray]:
        """Return features, and the indices of `rows` in them and in the target."""
        own = rows.astype(np.int32)
        if self._features is not None:
            return self._features, own, own
        return self._problem.take(rows), np.arange(len(rows), dtype=np.int32), own

    def _train_epoch(
        self,
        features: Any,
        indices: Any,
        order: Any,
        batch_size: Any,
        rates: Any,
        shares: StepShares,
        vectors: Any,
        weights: Any = None,
    ) -> Any:
        import tensorflow as tf

        def body(start: Any, _: Any) -> tuple[Any, Any]:
            taken = slice(start, start + batch_size)
            x, y, _ = self._gather(features, indices[taken], order[taken], *vectors)
            if self._learning_rate is not None:
                self._learning_rate.assign(rates[start // batch_size])
            for variable, values in self._scheduled:
                variable.assign(getattr(shares, values)[start // batch_size])
            counted = None if weights is None else weights[taken]
            return start + batch_size, self._model.train_step((x, y, counted))["loss"]

        n_rows = tf.size(order)
        _, loss = tf.while_loop(lambda start, _: start < n_rows, body, (0, 0.0))
        return loss

    def _evaluate(self, features: Any, indices: Any, rows: Any, *vectors: Any) -> tuple[Any, Any]:
        x, y, weights = self._gather(features, indices, rows, *vectors)
        answer = self._model(x, training=False)
        return answer, self._model.compute_loss(x, y, answer, weights, training=False)

    def _gather(
        self,
        features: Any,
        indices: Any,
        rows: Any,
        impute: Any,
        center: Any,
        scale: Any,
        clip: Any,
        shift: Any,
        unit: Any,
        *pieces: Any,
    ) -> tuple[Any, Any, Any]:
        import tensorflow as tf
        from keras import ops

        if self._windows is not None:
            indices = tf.gather(self._windows.last_rows, rows)[:, None] + self._windows.offsets
        x = tf.cast(tf.gather(features, indices), tf.float32)
        x = tf.where(tf.math.is_nan(x), impute, x)
        x = scale_features(ops, x, center, scale, QuantileScaling(*pieces), clip)
        y = tf.gather(self._target, rows)
        if self._regression:
            y = transform_target(ops, y, shift, unit, self._transforms)
        return x, y, None if self._weights is None else tf.gather(self._weights, rows)


def list_share_variables(model: keras.Model) -> list[tuple[Any, str]]:
    """Return the variables for the shares of a step, with their field of `StepShares`."""
    found = [(v, "dropout") for v in model.weights if v.name == SHARE]
    share = getattr(model.optimizer, "decay_share", None)
    return found if share is None else [*found, (share, "weight_decay")]


def get_learning_rate_variable(model: keras.Model) -> Any:
    """Return the learning-rate variable; None if a schedule was compiled."""
    import keras

    rate = learning_rate(model.optimizer)
    return rate if isinstance(rate, keras.Variable) else None


def _list_statistics_arrays(statistics: Statistics) -> tuple[np.ndarray, ...]:
    none = np.zeros((0, len(statistics.center)), np.float32)
    return (
        statistics.impute,
        statistics.center,
        statistics.scale,
        np.zeros_like(statistics.scale) if statistics.clip is None else statistics.clip,
        statistics.target_center,
        statistics.target_scale,
        *(
            statistics.quantiles
            or QuantileScaling(none, none, none, np.zeros_like(statistics.center))
        ),
    )
