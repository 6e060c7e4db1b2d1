"""Check that the objective is defined on the validation rows of all folds and the locked rows.

A ROC curve needs both classes, R² a target that varies; otherwise every trial would fail, or the
winner could not be evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ..data import Dataset
from ..errors import DataError
from ..training.metrics import METRICS, Metric, get_metric

RowTest = Callable[[np.ndarray, np.ndarray | None], bool]  # called with (truth, weights)


def require_defined_objective(objective: Metric, dataset: Dataset) -> None:
    """Refuse an objective that is undefined on some evaluation rows.

    Raises:
        DataError: Names the rows, and the metrics that are defined.
    """
    task = dataset.task
    for rows, remedy, passes in _evaluation_row_sets(dataset):
        if passes(objective.is_defined):
            continue
        suited = (get_metric(m.name, task) for m in METRICS.values() if task in m.tasks)
        names = [metric.name for metric in suited if passes(metric.is_defined)]
        lack = "one value of a target" if task == "regression" else "too few classes"
        raise DataError(
            f"{dataset.name}: {rows} show {lack} for {objective.name}, which is undefined there: "
            f"{remedy}, or use an objective that is defined: {', '.join(names[:4])}"
        )


def _evaluation_row_sets(dataset: Dataset) -> Iterator[tuple[str, str, Callable[[RowTest], bool]]]:
    """Iterate over the sets of evaluation rows: name, remedy, and a check of a metric."""
    for number, fold in enumerate(dataset.folds):
        rows = fold.validation
        weights = None if dataset.weights is None else dataset.weights[rows]
        yield (
            f"fold {number} of {len(dataset.folds)}: its {len(rows)} validation rows",
            "use fewer folds or another kind",
            _make_row_test(dataset.target[rows], weights),
        )
    if dataset.locked_rows is not None:
        yield (
            f"the {len(dataset.locked_rows)} locked rows",
            "lock others, or more (data.test_fraction)",
            dataset.locked_rows.allows_metric,
        )


def _make_row_test(truth: np.ndarray, weights: np.ndarray | None) -> Callable[[RowTest], bool]:
    return lambda test: test(truth, weights)
