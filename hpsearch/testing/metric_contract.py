"""The contract of metrics; see `hpsearch.training.metrics.Metric`."""

from __future__ import annotations

import numpy as np
import pytest

from ..training.metrics import Metric

ROWS = 40


def rows_of(task: str, n: int = ROWS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Make truth and predictions of a task, (n, n_outputs) each, with all classes."""
    rng = np.random.default_rng(seed)
    if task == "regression":
        values = rng.normal(size=(n, 2)) + 3
        return values, values + rng.normal(size=(n, 2)) / 4
    if task == "multiclass":
        raw = rng.random((n, 3)) + 0.1
        return np.eye(3)[np.arange(n) % 3], raw / raw.sum(axis=1, keepdims=True)
    columns = 1 if task == "binary" else 3
    truth = (np.arange(n)[:, None] + np.arange(columns)) % 2.0
    return truth, rng.uniform(0.02, 0.98, (n, columns))


class MetricContract:
    """Inherit from it and provide a fixture `metric` that returns a `Metric`."""

    @pytest.fixture
    def task(self, metric: Metric) -> str:
        """The metric's first task."""
        return metric.tasks[0]

    def test_it_is_one_finite_number(self, metric: Metric, task: str) -> None:
        assert np.isfinite(metric(*rows_of(task)))

    def test_right_predictions_are_better_than_others(self, metric: Metric, task: str) -> None:
        truth, prediction = rows_of(task)
        right, other = metric(truth, truth), metric(truth, prediction)
        assert right > other if metric.direction == "maximize" else right < other

    def test_the_order_of_the_rows_does_not_matter(self, metric: Metric, task: str) -> None:
        truth, prediction = rows_of(task)
        order = np.random.default_rng(1).permutation(len(truth))
        again = metric(truth[order], prediction[order])
        assert again == pytest.approx(metric(truth, prediction), rel=1e-9)

    def test_a_row_of_weight_zero_does_not_count(self, metric: Metric, task: str) -> None:
        truth, prediction = rows_of(task)
        more = np.concatenate([prediction, prediction[::-1]])
        weights = np.repeat([1.0, 0.0], len(truth))
        alone = metric(truth, prediction)
        assert metric(np.concatenate([truth, truth]), more, weights) == pytest.approx(
            alone, rel=1e-9
        )

    def test_jax_and_numpy_agree(self, metric: Metric, task: str) -> None:
        if metric.needs_numpy:
            pytest.skip("it takes numpy arrays alone")
        import jax
        import jax.numpy as jnp

        truth, prediction = (a.astype(np.float32) for a in rows_of(task))
        weights = np.ones(len(truth), np.float32)
        compiled = jax.jit(lambda *arrays: metric.function(jnp, *arrays))
        found = float(compiled(truth, prediction, weights))
        assert found == pytest.approx(metric(truth, prediction, weights), rel=1e-3, abs=1e-4)
