"""Every metric equals scikit-learn's, in numpy and in jitted JAX, with ties and weights."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sk

from hpsearch.errors import SpecError
from hpsearch.testing import MetricContract
from hpsearch.training.metrics import METRICS, Metric, get_metric, list_default_metrics

N_ROWS, PADDING = 60, 7


def _labels(table: np.ndarray) -> np.ndarray:
    if _is_multilabel(table):
        return (table > 0.5).astype(int)
    return (table[:, 0] > 0.5).astype(int) if table.shape[1] == 1 else table.argmax(axis=1)


def _is_multilabel(table: np.ndarray) -> bool:
    """Of the tasks here, only one has four columns."""
    return table.shape[1] == 4


def _over_labels(function: Callable[..., float]) -> Callable[..., float]:
    """scikit-learn's measure of a binary task, averaged over the labels of a multilabel one."""

    def score(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> float:
        if not _is_multilabel(y):
            return function(y, p, w)
        return float(np.mean([function(y[:, [k]], p[:, [k]], w) for k in range(y.shape[1])]))

    return score


def _of_labels(function: Callable[..., float], **options: Any) -> Callable[..., float]:
    def score(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> float:
        chosen = options
        if function in (sk.f1_score, sk.precision_score, sk.recall_score):
            average = "binary" if y.shape[1] == 1 else "macro"
            chosen = {"average": average, "zero_division": 0, **options}
        return function(_labels(y), _labels(p), sample_weight=w, **chosen)

    return score


def _of_tables(function: Callable[..., float], **options: Any) -> Callable[..., float]:
    def score(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> float:
        if y.shape[1] == 1:
            y, p = y[:, 0], p[:, 0]
        return function(y, p, sample_weight=w, **options)

    return score


def _rmse(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> float:
    return sk.root_mean_squared_error(y, p, sample_weight=w)


# Ours -> scikit-learn's.
TWINS: dict[str, Callable[..., float]] = {
    "accuracy": _of_labels(sk.accuracy_score),
    "balanced_accuracy": _over_labels(_of_labels(sk.balanced_accuracy_score)),
    "f1": _of_labels(sk.f1_score),
    "f1_micro": _of_labels(sk.f1_score, average="micro"),
    "f1_weighted": _of_labels(sk.f1_score, average="weighted"),
    "precision": _of_labels(sk.precision_score),
    "recall": _of_labels(sk.recall_score),
    "matthews_corrcoef": _over_labels(_of_labels(sk.matthews_corrcoef)),
    "roc_auc": _of_tables(sk.roc_auc_score),
    "average_precision": _of_tables(sk.average_precision_score),
    "log_loss": _over_labels(_of_tables(sk.log_loss)),
    "brier": _over_labels(_of_tables(sk.brier_score_loss)),
    "mse": _of_tables(sk.mean_squared_error),
    "rmse": _rmse,
    "mae": _of_tables(sk.mean_absolute_error),
    "median_absolute_error": _of_tables(sk.median_absolute_error),
    "r2": _of_tables(sk.r2_score),
    "mape": _of_tables(sk.mean_absolute_percentage_error),
    **{
        f"pinball_{percent}": _of_tables(sk.mean_pinball_loss, alpha=percent / 100)
        for percent in (5, 10, 25, 50, 75, 90, 95)
    },
}


def rows_of(task: str, ties: str) -> tuple[np.ndarray, np.ndarray]:
    """Truth and predictions; some or all predictions tie."""
    rng = np.random.default_rng(3)
    if task == "regression":
        truth = rng.normal(50, 20, (N_ROWS, 2))
        prediction = truth + rng.normal(0, 10, truth.shape)
        return truth, np.round(prediction, -1) if ties != "none" else prediction
    if task == "binary":
        truth = rng.integers(0, 2, (N_ROWS, 1)).astype(float)
        prediction = np.clip(0.3 * truth + rng.uniform(0.05, 0.6, truth.shape), 0, 1)
    elif task == "multilabel":
        truth = (rng.random((N_ROWS, 4)) < [0.1, 0.3, 0.5, 0.9]).astype(float)
        prediction = np.clip(0.4 * truth + rng.uniform(0.05, 0.6, truth.shape), 0, 1)
    else:
        truth = np.eye(3)[rng.integers(0, 3, N_ROWS)]
        prediction = truth + rng.uniform(0.1, 1.5, truth.shape)
        prediction /= prediction.sum(axis=1, keepdims=True)
    if ties == "some" and task in ("binary", "multilabel"):
        prediction = np.round(prediction, 1)
    if ties == "some" and task == "multiclass":
        prediction[::2] = prediction[0]
    if ties == "all":
        prediction[:] = prediction[0]
    return truth, prediction


CASES = [(name, task) for name, metric in METRICS.items() for task in metric.tasks]


def test_every_metric_has_its_twin() -> None:
    assert METRICS.keys() == TWINS.keys()


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")  # scikit-learn's
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ties", ["none", "some", "all"])
@pytest.mark.parametrize(("name", "task"), CASES)
def test_it_equals_scikit_learn(name: str, task: str, ties: str, weighted: bool) -> None:
    truth, prediction = rows_of(task, ties)
    weights = np.random.default_rng(5).uniform(0.1, 3, N_ROWS) if weighted else np.ones(N_ROWS)
    expected = TWINS[name](truth, prediction, weights)
    found = get_metric(name, task)(truth, prediction, weights if weighted else None)
    np.testing.assert_allclose(expected, found, rtol=1e-9)


@pytest.mark.parametrize(("name", "task"), CASES)
class TestEveryMetric(MetricContract):
    """The suite that metrics of other packages are tested by, too, for every task."""

    @pytest.fixture
    def metric(self, name: str, task: str) -> Metric:
        return get_metric(name, task)

    def test_jax_and_numpy_agree(self, metric: Metric, task: str) -> None:
        """Closer than the suite asks of others, with rows of weight 0."""
        truth, prediction = rows_of(task, "some")
        weights = np.random.default_rng(5).uniform(0.1, 3, N_ROWS)
        weights[-PADDING:] = 0
        expected = metric(truth, prediction, weights)
        compiled = jax.jit(lambda y, p, w: metric.function(jnp, y, p, w))
        narrow = (a.astype(np.float32) for a in (truth, prediction, weights))
        np.testing.assert_allclose(expected, float(compiled(*narrow)), rtol=2e-5)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")  # scikit-learn's
@pytest.mark.parametrize("name", ["balanced_accuracy", "f1", "accuracy"])
def test_a_class_that_no_row_shows_counts_as_in_scikit_learn(name: str) -> None:
    truth = np.eye(3)[[0, 0, 1, 1, 1]]
    prediction = np.eye(3)[[0, 2, 1, 1, 0]]
    expected = TWINS[name](truth, prediction, np.ones(5))
    np.testing.assert_allclose(expected, METRICS[name](truth, prediction))


def test_a_truth_of_0_costs_the_same_percentage_in_float32() -> None:
    truth, prediction = np.array([[0.0], [2.0]]), np.array([[1.0], [1.0]])
    expected = sk.mean_absolute_percentage_error(truth, prediction)
    narrow = [jnp.asarray(a, jnp.float32) for a in (truth, prediction, np.ones(2))]
    np.testing.assert_allclose(expected, METRICS["mape"](truth, prediction))
    np.testing.assert_allclose(expected, METRICS["mape"].function(jnp, *narrow), rtol=1e-6)


def test_perfect_predictions_have_a_finite_log_loss() -> None:
    truth = np.array([[0.0], [1.0]])
    expected = sk.log_loss(truth[:, 0], truth[:, 0])
    np.testing.assert_allclose(expected, METRICS["log_loss"](truth, truth), atol=1e-12)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "regression"])
def test_the_objective_is_always_measured(task: str) -> None:
    for name, metric in METRICS.items():
        if task in metric.tasks:
            measured = list_default_metrics(task, name)
            assert name in measured
            assert len(set(measured)) == len(measured)
            assert all(task in METRICS[m].tasks for m in measured)


def test_an_unsuitable_metric_is_named_with_those_that_suit() -> None:
    with pytest.raises(SpecError, match=r"'r2' does not exist for binary\. Known: accuracy, "):
        get_metric("r2", "binary")


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_travels_to_a_worker(name: str) -> None:
    for task in METRICS[name].tasks:
        metric = get_metric(name, task)
        assert metric.name == pickle.loads(pickle.dumps(metric)).name
