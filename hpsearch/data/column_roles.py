"""Assign roles to the columns of a table, and select and order its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError
from ..spec.data_spec import CellValue, ColumnSpec, CrossValidationSpec, DataSpec
from .arrays import hash_rows
from .cells import (
    MISSING_TEXTS,
    expand_to_rows,
    factorize,
    factorize_codes,
    format_cell,
    is_text_column,
    parse_date_column,
    parse_number,
    parse_number_column,
    read_number_column,
)
from .column_cleaning import require_columns
from .source_table import SourceTable

DEFAULT_COLUMN_SPEC = ColumnSpec()
TARGET_COLUMN_KEYS = (
    "missing",
    "format",
    "replace",
    "round",
    "transform",
)  # keys of a column's declaration that apply to it


@dataclass(frozen=True, slots=True)
class ColumnRoles:
    """The role of each column."""

    targets: tuple[str, ...]
    features: tuple[str, ...]
    weights: str | None
    group: str | None
    time: str | None
    fold: str | None
    series: str | None = None  # rows with equal values form one time series

    @property
    def auxiliary_columns(self) -> tuple[str, ...]:
        """Columns other than features and target."""
        return tuple(c for c in (self.weights, self.group, self.time, self.fold, self.series) if c)

    @property
    def used_columns(self) -> list[str]:
        """All columns that the study reads."""
        return list(dict.fromkeys((*self.features, *self.targets, *self.auxiliary_columns)))


def assign_roles(source: SourceTable, data: DataSpec, cv: CrossValidationSpec) -> ColumnRoles:
    """Assign a role to each column.

    Raises:
        DataError: If a declared column is missing, or no feature is left.
    """
    names = source.table.column_names
    targets = data.targets or source.targets
    if not targets:
        raise DataError(f"data.target is missing: one of {', '.join(names)}")
    declared = [*targets, *data.drop, *data.columns, *cv.columns]
    require_columns(source.table, [*declared, *([data.weights] if data.weights else [])])
    by = [data.windows.by] if data.windows and data.windows.by else []
    require_columns(source.table, by)
    # A declared series is a feature besides.
    apart = {
        *targets,
        data.weights,
        *data.drop,
        *cv.columns,
        *(n for n in by if n not in data.columns),
    }
    if set(targets) < set(source.targets):
        apart |= set(source.targets)  # unknown when predicting, too
    _refuse_conflicting_uses(targets, data, cv)
    _refuse_unread_options(targets, data, cv)
    features = tuple(n for n in names if n not in apart)
    if not features and source.array is None:
        raise DataError("no column is left to learn from")
    for name in features:
        if name.startswith("unnamed_") and name not in data.columns:
            raise DataError(
                f"column {name.removeprefix('unnamed_')} has no name; a row number written by "
                f"pandas? Leave it out with data.drop: [{name}], or name it in the file."
            )
    if source.test_table is not None:
        require_columns(
            source.test_table, [*features, *targets, *([data.weights] if data.weights else [])]
        )
    return ColumnRoles(targets, features, data.weights, cv.group, cv.time, cv.column, *by)


def _refuse_conflicting_uses(
    targets: Sequence[str], data: DataSpec, cv: CrossValidationSpec
) -> None:
    """Refuse a target that is also the weight, group, time or fold column."""
    uses = {
        "data.weights": data.weights,
        "cross_validation.group": cv.group,
        "cross_validation.time": cv.time,
        "cross_validation.column": cv.column,
    }
    for key, name in uses.items():
        if name in targets:
            raise DataError(f"column {name!r} is the target and {key}: give one of them another")


def _refuse_unread_options(targets: Sequence[str], data: DataSpec, cv: CrossValidationSpec) -> None:
    """Refuse options of a non-feature column that would have no effect."""
    roles = {
        **dict.fromkeys(targets, "the target"),
        **dict.fromkeys(cv.columns, "what divides the rows"),
    }
    if data.weights is not None:
        roles[data.weights] = "the weights"
    lines = []
    for name, spec in data.columns.items():
        read = TARGET_COLUMN_KEYS if name in targets else ()
        unread = [key for key in spec.model_fields_set if key not in read] if name in roles else []
        if unread:
            keys = ", ".join(sorted(unread))
            known = f"; of a target, {', '.join(read)} are read" if read else ""
            lines.append(
                f"data.columns.{name}: {keys}: {name!r} is {roles[name]}, no feature{known}"
            )
    if lines:
        raise DataError("\n".join(lines))


def select_rows(
    source: SourceTable, roles: ColumnRoles, data: DataSpec
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the indices of the used rows, sorted by time if a time column is declared."""
    notes = []
    table = source.table
    order = np.arange(table.num_rows)
    missing = mask_missing_targets(table, roles.targets, data)
    if missing.any():
        order = order[~missing[order]]
        first, last = roles.targets[0], roles.targets[-1]
        named = f"{first} to {last}" if len(roles.targets) > 3 else " or ".join(roles.targets)
        notes.append(f"{int(missing.sum())} rows without {named} left out")
    doubles = mask_duplicates(table, roles.used_columns, source.array)
    if doubles.any() and data.drop_duplicates:
        order = order[~doubles[order]]
        notes.append(f"{int(doubles.sum())} duplicate rows left out")
    elif doubles.any():
        notes.append(
            f"{int(doubles.sum())} duplicate rows can stand on both sides of a split; "
            "data.drop_duplicates: true leaves them out"
        )
    return sort_rows_by_time(table, roles, order), tuple(notes)


def sort_rows_by_time(table: Any, roles: ColumnRoles, rows: np.ndarray) -> np.ndarray:
    """Sort row indices by the time column, if there is one."""
    if roles.time is None:
        return rows
    return rows[np.argsort(read_times(table, roles.time)[rows], kind="stable")]


def missing_markers(name: str, data: DataSpec) -> tuple[str, ...]:
    """Return the texts that mark a missing cell in a column, in addition to blanks."""
    spec = data.columns.get(name, DEFAULT_COLUMN_SPEC)
    return tuple(text for m in (*data.missing, *spec.missing) for text in list_cell_spellings(m))


def list_cell_spellings(cell: CellValue) -> tuple[str, ...]:
    """Return the spellings of a declared cell in a file: YAML's true is also True and TRUE."""
    text = format_cell(cell)
    return (text, text.title(), text.upper()) if isinstance(cell, bool) else (text,)


def mask_missing_targets(table: Any, names: Sequence[str], data: DataSpec) -> np.ndarray:
    """Return the rows to leave out because a target is missing, (n_rows,) bool.

    Raises:
        DataError: If there are such rows and data.missing_target is not `drop`.
    """
    each = {name: mask_missing_target(table, name, data) for name in names}
    for name, missing in each.items():
        if missing.size and missing.all():
            raise DataError(f"target {name!r} has no value in any row")
        if missing.any() and data.missing_target == "error":
            raise DataError(
                f"target {name!r} is missing in {int(missing.sum())} of {len(missing)} "
                f"rows, first in row {int(missing.argmax()) + 1}. To leave them out: "
                "data.missing_target: drop."
            )
    lacking: np.ndarray = np.any(list(each.values()), axis=0)
    return lacking


def mask_missing_target(table: Any, name: str, data: DataSpec) -> np.ndarray:
    """Return the rows whose target is missing, (n_rows,) bool."""
    markers = missing_markers(name, data)
    values, indices = factorize(table[name])
    texts = [format_cell(v) for v in values]
    numeric = all(parse_number(t) is not None or t.lower() in MISSING_TEXTS for t in texts)
    blank = [t in markers or (t.lower() in MISSING_TEXTS if numeric else not t) for t in texts]
    return expand_to_rows(blank, indices, bool)


def mask_duplicates(
    table: Any, names: Sequence[str], array: np.ndarray | None = None
) -> np.ndarray:
    """Return the rows that repeat an earlier one in these columns and `array`, (n_rows,) bool."""
    mixed = np.zeros(table.num_rows, np.uint64) if array is None else hash_rows(array)
    for name in names:
        mixed ^= _compute_cell_ids(table[name])
        _mix_bits(mixed)
    order = np.argsort(mixed, kind="stable")
    mixed = mixed[order]
    repeated = np.zeros(table.num_rows, bool)
    repeated[order[1:]] = mixed[1:] == mixed[:-1]
    return repeated


def _compute_cell_ids(column: Any) -> np.ndarray:
    """Hash each cell, (n_rows,) uint64; equal cells have equal hashes."""
    if str(column.type) in ("double", "int64") and not column.null_count:
        return np.ascontiguousarray(column.to_numpy()).view(np.uint64)  # the bits of the float
    return factorize_codes(column).astype(np.uint64)


def _mix_bits(x: np.ndarray) -> None:
    """One round of splitmix64 in place, a bijection: rows collide with probability 2**-64."""
    x += np.uint64(0x9E3779B97F4A7C15)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)


def read_times(table: Any, name: str) -> np.ndarray:
    """Read the time column, dates or numbers; a missing cell is refused."""
    numbers = read_number_column(table[name])
    if numbers is None and is_text_column(table[name]):
        numbers = parse_number_column(table[name])
    moments = parse_date_column(table[name], name, zone="UTC") if numbers is None else numbers
    missing = np.isnat(moments) if numbers is None else np.isnan(moments)
    if missing.any():
        raise DataError(f"time {name!r} is missing in row {int(missing.argmax()) + 1}")
    return moments
