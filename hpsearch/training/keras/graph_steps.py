"""Run an epoch as one call of a TensorFlow graph, which gathers, prepares and trains.

Batch size, row order, learning rates and statistics are inputs, so all folds share one trace.
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


class GraphSteps:
    """The steps of `shared_model.SharedModel` under TensorFlow."""

    def __init__(self, model: keras.Model, problem: Problem, features: Any) -> None:
        import tensorflow as tf

        self._model = model
        self._regression = problem.task == "regression"
        self._transforms = problem.target_transforms
        self._features = features
        self._windows = problem.windows
        self._target = tf.convert_to_tensor(problem.target)
        weights = problem.weights
        self._weights = None if weights is None else tf.convert_to_tensor(weights)
        self._learning_rate = get_learning_rate_variable(model)
        order = tf.TensorSpec([None], tf.int32)
        vector, pieces = tf.TensorSpec([None], tf.float32), tf.TensorSpec([None, None], tf.float32)
        vectors = (*[vector] * 6, *[pieces] * 3, vector)
        self._scheduled = list_share_variables(model)
        taken = (order, tf.TensorSpec([], tf.int32), vector, StepShares(vector, vector), vectors)
        # Traced on the first call; the version without weights saves the multiplication.
        self._train_graph = tf.function(self._train_epoch, taken, autograph=False)
        self._weighted_train_graph = tf.function(
            self._train_epoch, (*taken, vector), autograph=False
        )
        self._evaluate_graph = tf.function(self._evaluate, (order, *vectors), autograph=False)

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
        given = (
            rows.astype(np.int32),
            np.int32(batch_size),
            rates,
            shares,
            _list_statistics_arrays(statistics),
        )
        if weights is None:
            return float(self._train_graph(*given))
        return float(self._weighted_train_graph(*given, weights))

    def evaluate(self, statistics: Statistics, rows: np.ndarray) -> tuple[np.ndarray, float]:
        """See `shared_model.EpochSteps`."""
        answer, loss = self._evaluate_graph(
            rows.astype(np.int32), *_list_statistics_arrays(statistics)
        )
        return answer.numpy(), float(loss)

    def _train_epoch(
        self,
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
            x, y, _ = self._gather(order[taken], *vectors)
            if self._learning_rate is not None:
                self._learning_rate.assign(rates[start // batch_size])
            for variable, values in self._scheduled:
                variable.assign(getattr(shares, values)[start // batch_size])
            counted = None if weights is None else weights[taken]
            return start + batch_size, self._model.train_step((x, y, counted))["loss"]

        n_rows = tf.size(order)
        _, loss = tf.while_loop(lambda start, _: start < n_rows, body, (0, 0.0))
        return loss

    def _evaluate(self, rows: Any, *vectors: Any) -> tuple[Any, Any]:
        x, y, weights = self._gather(rows, *vectors)
        answer = self._model(x, training=False)
        return answer, self._model.compute_loss(x, y, answer, weights, training=False)

    def _gather(
        self,
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

        indices = rows
        if self._windows is not None:
            indices = tf.gather(self._windows.last_rows, rows)[:, None] + self._windows.offsets
        x = tf.cast(tf.gather(self._features, indices), tf.float32)
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
