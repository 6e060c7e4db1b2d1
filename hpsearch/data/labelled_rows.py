"""Select the rows whose target is known, with their windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError
from ..spec.data_spec import DataSpec, Task
from .cells import format_cell
from .column_roles import ColumnRoles, select_rows, sort_rows_by_time
from .columns import RowWindow, Target
from .schema import Schema
from .source_table import SourceTable
from .split_inputs import encode_groups
from .target_inference import infer_targets
from .windows import Windows, build_windows


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """The rows whose target is known."""

    order: np.ndarray  # their indices in the table
    target: Target
    encoded: np.ndarray  # their targets as numbers, (n_rows, n_outputs)
    windows: Windows | None
    in_time: np.ndarray | None  # with windows: the indices of all rows of the table by time
    notes: tuple[str, ...]


def select_labelled_rows(
    source: SourceTable, roles: ColumnRoles, data: DataSpec, task: Task | None
) -> LabelledRows:
    """Select the rows whose target is known, and infer and encode their target."""
    table = source.table
    order, row_notes = select_rows(source, roles, data)
    if order.size == 0:
        raise DataError("there are no rows" if table.num_rows == 0 else "no row has a target")
    window, windows, in_time = make_row_window(data), None, None
    if window is not None:
        in_time, known, windows = _build_windows(table, order, roles, window)
        order = order[known]
    labels = table.select(list(roles.targets)).take(order)
    target, target_notes = infer_targets(labels, roles.targets, data, task, source.origin)
    encoded = Schema((), target).encode_target(labels, order)
    return LabelledRows(order, target, encoded, windows, in_time, notes=(*row_notes, *target_notes))


def make_row_window(data: DataSpec) -> RowWindow | None:
    """Return the declared window; None: each row is predicted from itself."""
    w = data.windows
    return None if w is None else RowWindow(w.rows, w.horizon, w.by or "")


def _build_windows(
    table: Any, order: np.ndarray, roles: ColumnRoles, window: RowWindow
) -> tuple[np.ndarray, np.ndarray, Windows]:
    """Call `build_windows`; windows may cover rows without a target."""
    codes, names = np.zeros(table.num_rows, np.intp), [""]
    if window.by:
        codes = encode_groups(table, window.by)
        first = np.unique(codes, return_index=True)[1]
        names = [format_cell(table[window.by][int(i)].as_py()) for i in first]
        codes = np.unique(codes, return_inverse=True)[1]
    in_time = sort_rows_by_time(table, roles, np.arange(table.num_rows))
    return build_windows(window, codes, in_time, order, names)
