"""Metrics of the user: a function, or a metric of Keras."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from ..spec.function_reference import load_function_once
from ..trial import Direction
from .metrics import CLASSIFICATION_TASKS, Metric


def load_custom_metric(reference: str, direction: Direction) -> Metric:
    """Load a custom metric: `(truth, prediction, weights)`, or a metric of Keras.

    Args:
        reference: `FILE.py:FUNCTION` or `MODULE:FUNCTION`; the metric has the function's name.
        direction: Whether larger or smaller values are better.

    Raises:
        SpecError: If there is no such function.
    """
    function = _as_function(load_function_once(reference))

    def measure(xp: Any, y: Any, p: Any, w: Any) -> Any:
        return function(y, p, w)

    name = reference.rpartition(":")[2]
    return Metric(name, direction, (*CLASSIFICATION_TASKS, "regression"), measure, needs_numpy=True)


def _as_function(found: Any) -> Callable[..., Any]:
    """Return the function of a metric of Keras, an instance or its class; others as they are."""
    keras = sys.modules.get("keras")  # which the file of such a metric has imported
    if keras is None:
        return found  # type: ignore[no-any-return]
    if isinstance(found, type) and issubclass(found, keras.metrics.Metric):
        found = found()
    if not isinstance(found, keras.metrics.Metric):
        return found  # type: ignore[no-any-return]
    lock = threading.Lock()  # it has one state, and folds are measured in several threads

    def measure(truth: Any, prediction: Any, weights: Any) -> float:
        counted = {} if weights is None else {"sample_weight": weights}
        with lock:
            found.reset_state()
            found.update_state(truth, prediction, **counted)
            return float(found.result())

    return measure
