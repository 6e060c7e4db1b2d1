"""Lock the test rows, with their weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DataError
from ..spec.data_spec import DataSpec
from .column_cleaning import clean_column
from .column_roles import ColumnRoles, mask_missing_targets
from .columns import Column
from .dataset import LockedRows, TestRows
from .schema import Schema
from .source_table import SourceTable


def lock_rows(
    table: Any,
    columns: np.ndarray,
    target: np.ndarray,
    weights: np.ndarray | None,
    rows: np.ndarray,
) -> LockedRows | None:
    """Lock the test rows of the table itself, `rows`; None: there are none."""
    if rows.size == 0:
        return None
    test_weights = None if weights is None else weights[rows]
    _require_positive_weight(test_weights)
    raw = None if table is None else table.take(rows)
    return LockedRows(TestRows(raw, columns, target, test_weights))


def lock_test_source(
    source: SourceTable, schema: Schema, roles: ColumnRoles, data: DataSpec
) -> LockedRows:
    """Lock the rows of a test file; they are checked now, before anything is trained."""
    table, array = source.test_table, source.test_array
    try:
        missing = mask_missing_targets(table, roles.targets, data)
        if missing.any():
            known = np.flatnonzero(~missing)
            table, array = table.take(known), None if array is None else array[known]
        weights = read_weights(table, roles.weights)
        _require_positive_weight(weights)
        columns = schema.clean(table if array is None else array)
        return LockedRows(TestRows(table, columns, schema.encode_target(table), weights))
    except DataError as error:
        raise DataError(f"test rows: {error}") from None


def read_weights(table: Any, name: str | None) -> np.ndarray | None:
    """Read the column of weights, as float32."""
    if name is None:
        return None
    fits = "It is data.weights: each row needs a finite number of at least 0."
    weights = clean_column(table, Column(name, "numeric"), fits)
    with np.errstate(over="ignore"):
        narrow: np.ndarray = weights.astype(np.float32)
    wrong = np.flatnonzero(~(np.isfinite(narrow) & (narrow >= 0)))
    if wrong.size:
        raise DataError(
            f"weights {name!r}, row {wrong[0] + 1}: {weights[wrong[0]]:g} is not a weight; give a "
            "finite number of at least 0, in the range of float32"
        )
    return narrow


def _require_positive_weight(weights: np.ndarray | None) -> None:
    if weights is not None and not weights.any():
        raise DataError(
            "the weights of the locked rows are all 0, so nothing could be measured on them: give "
            "some a weight, or lock no row with data.test_fraction: 0"
        )
