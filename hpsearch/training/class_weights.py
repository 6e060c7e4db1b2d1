"""Class weights, multiplied with the sample weights of training rows.

As in `keras.Model.fit(class_weight=...)`, they apply to training only, not to scores.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import SpecError
from ..trial import Value
from .problem import Problem

CLASS_WEIGHTS = ("none", "balanced")
TASKS_WITHOUT_CLASSES = (
    "regression",
    "multilabel",
)  # tasks whose rows have no class, or several labels


def class_weights(problem: Problem, params: Mapping[str, Value], fold: int) -> np.ndarray | None:
    """Compute the weight of each class in one fold of a trial.

    `balanced` is scikit-learn's `compute_class_weight("balanced")` of the fold's training rows:
    n_rows / (n_classes * rows of the class), over the classes that the fold has.

    Args:
        problem: The problem, with rows and folds.
        params: The trial's hyperparameters, fixed ones included; reads `class_weight`.
        fold: 0-based index of the fold.

    Returns:
        Shape (n_classes,) float32, ones if classes are not weighted; None if rows have no class, or
        several labels.

    Raises:
        SpecError: If `class_weight` is not in `CLASS_WEIGHTS`, or there are no classes.
    """
    kind = str(params.get("class_weight") or "none")
    if kind not in CLASS_WEIGHTS:
        known = ", ".join(CLASS_WEIGHTS)
        raise SpecError(f"class_weight {kind!r} does not exist. Known: {known}.")
    if problem.task in TASKS_WITHOUT_CLASSES:
        if kind != "none":
            raise SpecError(f"class_weight: {kind} is for classes, and a {problem.task} has none")
        return None
    n_classes = max(2, problem.n_outputs)
    if kind == "none":
        return np.ones(n_classes, np.float32)
    rows = get_class_indices(problem.target[problem.folds[fold].train])
    counts = np.bincount(rows, minlength=n_classes)
    present = np.count_nonzero(counts)
    weights: np.ndarray = (len(rows) / (present * np.maximum(counts, 1))).astype(np.float32)
    return weights


def get_class_indices(target: np.ndarray) -> np.ndarray:
    """Return the class index of each row, shape (n,), from 0/1, class numbers or one-hot rows."""
    classes: np.ndarray = target[:, 0] if target.shape[1] == 1 else target.argmax(axis=1)
    return classes.astype(np.int64)
