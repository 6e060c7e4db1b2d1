"""Permutation importance against scikit-learn's definition and known answers."""

from __future__ import annotations

import numpy as np
import pytest

from hpsearch.data.columns import Column
from hpsearch.data.dataset import TestRows
from hpsearch.data.schema import Schema
from hpsearch.training.importance import N_REPEATS, permutation_importance
from hpsearch.training.metrics import METRICS

RANDOM = np.random.default_rng(0)
COLUMNS = RANDOM.normal(size=(400, 3)).astype(np.float32)
SCHEMA = Schema(tuple(Column(name, "numeric") for name in ("strong", "weak", "nothing")))


def linear(columns: np.ndarray) -> np.ndarray:
    return (3 * columns[:, :1] + columns[:, 1:2]).astype(np.float64)


ROWS = TestRows(None, COLUMNS, linear(COLUMNS), None)


def test_the_loss_of_a_shuffled_column_is_what_theory_says_and_the_largest_stands_first() -> None:
    found = permutation_importance(linear, ROWS, SCHEMA, METRICS["mse"])
    assert found is not None
    assert ["strong", "weak", "nothing"] == list(found.losses)
    assert [0.0] * N_REPEATS == found.losses["nothing"]
    # E[(a x - a x')^2] = 2 a^2 var(x) of a column that is shuffled.
    assert 2 * 9 * COLUMNS[:, 0].var() == pytest.approx(np.mean(found.losses["strong"]), rel=0.1)
    assert 2 * COLUMNS[:, 1].var() == pytest.approx(np.mean(found.losses["weak"]), rel=0.1)


def test_a_measure_to_be_maximized_loses_too() -> None:
    found = permutation_importance(linear, ROWS, SCHEMA, METRICS["r2"])
    assert found is not None
    assert all(loss > 0 for loss in found.losses["strong"])


def test_columns_made_of_one_raw_column_are_shuffled_together() -> None:
    parts = Schema(
        (
            Column("day", "numeric", source="when", part="day"),
            Column("hour", "numeric", source="when", part="hour"),
            Column("nothing", "numeric"),
        )
    )

    def product(columns: np.ndarray) -> np.ndarray:  # of cells that belong together
        return columns[:, :1] - columns[:, 1:2]

    together = np.repeat(RANDOM.normal(size=(400, 1)), 3, axis=1).astype(np.float32)
    rows = TestRows(None, together, product(together), None)
    found = permutation_importance(product, rows, parts, METRICS["mse"])
    assert found is not None
    assert {"when": [0.0] * N_REPEATS, "nothing": [0.0] * N_REPEATS} == found.losses


def test_rows_of_one_class_and_too_few_rows_have_none() -> None:
    one_class = TestRows(None, COLUMNS, np.ones((400, 1)), None)
    assert permutation_importance(linear, one_class, SCHEMA, METRICS["roc_auc"]) is None
    few = TestRows(None, COLUMNS[:10], ROWS.target[:10], None)
    assert permutation_importance(linear, few, SCHEMA, METRICS["mse"]) is None
