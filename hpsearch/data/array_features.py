"""Reshape the features of a source to the arrays of `data.shape`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from ..spec.data_spec import CrossValidationSpec, DataSpec
from .arrays import reshape_rows, stack_columns
from .column_roles import assign_roles
from .columns import Column, Target
from .schema import Schema
from .source_table import SourceTable


def reshape_source(source: SourceTable, data: DataSpec, cv: CrossValidationSpec) -> SourceTable:
    """Reshape the feature columns or arrays of a source to the declared shape."""
    if data.shape is None:
        return source
    if source.array is not None:
        test = source.test_array
        return replace(
            source,
            array=reshape_rows(source.array, data.shape),
            test_array=None if test is None else reshape_rows(test, data.shape),
        )
    features = assign_roles(source, data, cv).features
    table, array = _split_off_array(source.table, features, data.shape)
    if source.test_table is None:
        return replace(source, table=table, array=array)
    test, test_array = _split_off_array(source.test_table, features, data.shape)
    return replace(source, table=table, array=array, test_table=test, test_array=test_array)


def _split_off_array(
    table: Any, names: Sequence[str], shape: Sequence[int]
) -> tuple[Any, np.ndarray]:
    """Move the named columns of a table into an array, (n_rows, *shape)."""
    return table.drop_columns(list(names)), reshape_rows(stack_columns(table, names), shape)


def make_array_schema(array: np.ndarray | None, target: Target, data: DataSpec) -> Schema | None:
    """Build the schema of array rows: each index of the last axis is scaled separately."""
    if array is None:
        return None
    names = [f"channel_{k}" for k in range(array.shape[-1])]
    columns = tuple(Column(name, "numeric", impute=data.impute) for name in names)
    dtype: Literal["uint8", "float32"] = "uint8" if array.dtype == np.uint8 else "float32"
    return Schema(columns, target, array.shape[1:], dtype)
