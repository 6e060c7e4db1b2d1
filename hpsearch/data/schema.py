"""The schema of a table: its columns and target, and their conversion to numbers.

The same code cleans the training rows and the raw table that a served model receives, so this file
is copied beside that model, as `cells` is; it depends only on numpy and the copied modules. It
accepts any table with named columns (pandas, pyarrow, a dict of lists) without importing these
libraries. The only statistic of the rows that it stores is the vocabulary of their categories.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

try:
    from ..errors import DataError
    from . import cells
    from .column_cleaning import clean_column, count_rows, require_columns, to_float32
    from .columns import (
        CellCounts,
        Column,
        ColumnInput,
        Layout,
        RowWindow,
        Target,
        convert_lists,
        list_changed_fields,
        target_from_json,
    )
    from .target_encoding import encode_target
except ImportError:  # beside a served model
    import hpsearch_cells as cells  # type: ignore[import-not-found,no-redef]
    from hpsearch_cells import DataError  # type: ignore[no-redef]
    from hpsearch_column_cleaning import (  # type: ignore[import-not-found,no-redef]
        clean_column,
        count_rows,
        require_columns,
        to_float32,
    )
    from hpsearch_columns import (  # type: ignore[import-not-found,no-redef]
        CellCounts,
        Column,
        ColumnInput,
        Layout,
        RowWindow,
        Target,
        convert_lists,
        list_changed_fields,
        target_from_json,
    )
    from hpsearch_target_encoding import encode_target  # type: ignore[import-not-found,no-redef]


@dataclass(frozen=True, slots=True)
class Schema:
    """The input and output of a model."""

    columns: tuple[Column, ...]
    target: Target | None = None
    shape: tuple[int, ...] = ()  # of array rows; `columns` are then the last axis
    dtype: Literal["float32", "uint8"] = "float32"  # of array rows
    window: RowWindow | None = None  # for predictions from preceding rows
    layout: Layout | None = None  # of the delimited training text

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one row of the assembled model's input."""
        if self.window is not None:
            return self.window.rows, len(self.columns)
        return self.shape or (sum(c.n_cleaned for c in self.columns),)

    def iter_cleaned(self) -> Iterator[tuple[Column, int]]:
        """Iterate over the columns with the index of their first cleaned column."""
        start = 0
        for column in self.columns:
            yield column, start
            start += column.n_cleaned

    @property
    def after_backbones(self) -> Schema:
        """The schema of cleaned columns in which images have passed their frozen models."""
        columns = (
            replace(c, shape=(c.width,), backbone="", width=0) if c.backbone else c
            for c in self.columns
        )
        return replace(self, columns=tuple(columns))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features made by `expand`, in order."""
        return tuple(name for c in self.columns for name in c.feature_names)

    @property
    def category_ranges(self) -> tuple[tuple[int, int], ...]:
        """First feature and number of categories of each categorical column."""
        found, at = [], 0
        for column in self.columns:
            if column.kind == "categorical":
                found.append((at, column.n_features - column.indicator))
            at += column.n_features
        return tuple(found)

    @property
    def column_inputs(self) -> tuple[ColumnInput, ...]:
        """The features of each raw column; empty for array rows."""
        found: list[ColumnInput] = []
        at = 0
        for column in () if self.shape else self.columns:
            shape = column.shape or (column.n_features,)
            if found and found[-1].name == column.raw_name:  # another part of a date
                first = found.pop()
                found.append(replace(first, shape=(at + column.n_features - first.start,)))
            else:
                found.append(ColumnInput(column.raw_name, column.kind, at, shape))
            at += column.n_features
        return tuple(found)

    @property
    def raw_columns(self) -> tuple[str, ...]:
        """The required columns of a raw table; empty for array rows."""
        if self.shape:
            return ()
        by = [self.window.by] if self.window and self.window.by else []
        return tuple(dict.fromkeys([*(c.raw_name for c in self.columns), *by]))

    def clean(self, table: Any, counts: CellCounts | None = None) -> np.ndarray:
        """Clean the columns of a raw table.

        Args:
            table: A pandas DataFrame, a pyarrow Table or a mapping of names to sequences, with
                at least `raw_columns`, in any order; other columns are ignored. For array rows, an
                array of shape (n_rows, *shape).
            counts: Missing cells and unknown categories are added to it.

        Returns:
            (n_rows, n_cleaned) float32: numbers, the codes of categories, the tokens of texts and
            the pixels of images; NaN for missing cells and unknown categories. For array rows,
            (n_rows, *shape) of `dtype`.

        Raises:
            DataError: If a column is missing, a cell of a numeric column is not a number, or an
                array has another shape or numbers outside the range of `dtype`.
        """
        if self.shape:
            return self._clean_array(np.asarray(table))
        (cleaned,) = self.clean_parts(table, [slice(None)], counts)
        if counts is not None:
            counts.rows += len(cleaned)
        return cleaned

    def clean_parts(
        self, table: Any, parts: Sequence[Any], counts: CellCounts | None = None
    ) -> list[np.ndarray]:
        """Clean a table as `clean` does, and return some of its rows for each of `parts`.

        The rows are indices or slices. The whole cleaned table is never in memory.
        """
        require_columns(table, self.raw_columns)
        cleaned = [np.empty((0, 0), np.float32) for _ in parts]
        for column, start in self.iter_cleaned():
            values = clean_column(table, column, counts=counts)
            if column.ahead:
                values = take_ahead(values, self._encode_series(table), column.ahead)
            if not column.is_array:
                bound = f"; or bound it with data.columns.{column.name}.clip"
                values = to_float32(values, column.name, bound)[:, None]
            for index, rows in enumerate(parts):
                part = values[rows]
                if start == 0:
                    cleaned[index] = np.empty((len(part), *self.input_shape[-1:]), np.float32)
                cleaned[index][:, start : start + column.n_cleaned] = part
        return cleaned

    def windows(self, table: Any) -> tuple[np.ndarray, np.ndarray]:
        """Locate the windows of a raw table, whose rows are in order of time.

        Returns:
            See `locate_windows`.
        """
        window = self.window
        assert window is not None
        codes = self._encode_series(table)
        order, last = locate_windows(codes, window.rows, window.horizon)
        if window.ahead:
            has_future = ~np.isnan(take_ahead(np.zeros(len(codes)), codes, window.ahead))
            last = np.where(has_future, last, -1)
        return order, last

    def _encode_series(self, table: Any) -> np.ndarray:
        """Encode the series of each row, (n_rows,) int."""
        by = self.window.by if self.window else ""
        return cells.factorize(table[by])[1] if by else np.zeros(count_rows(table), np.intp)

    def _clean_array(self, rows: np.ndarray) -> np.ndarray:
        if rows.shape[1:] != self.shape or rows.dtype.kind not in "biuf":
            raise DataError(
                f"got an array of shape {rows.shape} and type {rows.dtype}; the model takes "
                f"{self.dtype} of shape (n_rows, {', '.join(map(str, self.shape))})"
            )
        if self.dtype == "uint8" and not np.array_equal(rows, rows.astype(np.uint8)):
            raise DataError("the model takes whole numbers from 0 to 255, as its images were")
        return rows.astype(self.dtype, copy=False)

    def expand(self, columns: np.ndarray) -> np.ndarray:
        """Expand cleaned columns to features: one-hot categories and missing indicators.

        Args:
            columns: (n_rows, n_cleaned) float32, from `clean`.

        Returns:
            (n_rows, n_features) float32; NaN for missing numbers, and zeros in all features of a
            missing or unknown category.
        """
        if all(c.kind != "categorical" and not c.indicator for c in self.columns):
            return columns
        if columns.ndim > 2:  # windows
            flat = self.expand(columns.reshape(-1, columns.shape[-1]))
            return flat.reshape(*columns.shape[:-1], -1)
        features = np.zeros((len(columns), sum(c.n_features for c in self.columns)), np.float32)
        at = 0
        for column, start in self.iter_cleaned():
            values = columns[:, start]
            if column.kind == "categorical":
                known = np.flatnonzero(~np.isnan(values))
                features[known, at + values[known].astype(np.intp)] = 1
            else:
                n = column.n_cleaned
                features[:, at : at + n] = columns[:, start : start + n]
            at += column.n_features
            if column.indicator:
                features[:, at - 1] = np.isnan(values)
        return features

    def encode_target(self, table: Any, indices: np.ndarray | None = None) -> np.ndarray:
        """Encode the target of a raw table as 0/1, one-hot or numbers, (n_rows, n_outputs) float32.

        Args:
            table: See `clean`.
            indices: Indices of its rows in their file, for messages; None: 0, 1, ….

        Raises:
            DataError: If the column or a cell is missing, or a class is unknown.
        """
        if self.target is None:
            raise DataError("this schema has no target")
        return encode_target(table, self.target, indices)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `from_json`."""
        return {
            "columns": [list_changed_fields(c) for c in self.columns],
            "target": None if self.target is None else list_changed_fields(self.target),
            **({"shape": list(self.shape), "dtype": self.dtype} if self.shape else {}),
            **({"window": asdict(self.window)} if self.window else {}),
            **({"layout": asdict(self.layout)} if self.layout else {}),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Schema:
        """Build the schema from the values of `to_json`, which may have passed through JSON."""
        target = plain["target"]
        return cls(
            columns=tuple(Column(**convert_lists(c)) for c in plain["columns"]),
            target=None if target is None else target_from_json(target),
            shape=tuple(plain.get("shape", ())),
            dtype=plain.get("dtype", "float32"),
            window=RowWindow(**plain["window"]) if "window" in plain else None,
            layout=Layout(**convert_lists(plain["layout"])) if "layout" in plain else None,
        )


def locate_windows(codes: np.ndarray, rows: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Locate the windows after sorting the rows by series.

    Args:
        codes: (n,) int, the series of each row; rows are in order of time.
        rows: Length of a window.
        horizon: Rows between the end of a window and the predicted row.

    Returns:
        An order of the rows in which each series is contiguous, (n,); and for each row, the index
        of its window's last row in that order, or -1 if too few rows precede it.
    """
    order = np.argsort(codes, kind="stable")
    indices = np.arange(len(codes))
    begins = np.ones(len(codes), bool)
    begins[1:] = codes[order][1:] != codes[order][:-1]
    start = np.maximum.accumulate(np.where(begins, indices, 0))
    last = indices - horizon
    found = np.empty(len(codes), np.int64)
    found[order] = np.where(last - rows + 1 >= start, last, -1)
    return order, found


def take_ahead(values: np.ndarray, codes: np.ndarray, ahead: int) -> np.ndarray:
    """Take the values of the rows `ahead` of each row in its series.

    Args:
        values: (n, ...) float.
        codes: (n,) int, the series of each row; rows are in order of time.
        ahead: Rows.

    Returns:
        (n, ...) float; NaN where the series ends before.
    """
    taken = np.full(values.shape, np.nan, values.dtype)
    order = np.argsort(codes, kind="stable")
    now, later = order[:-ahead], order[ahead:]
    same = codes[now] == codes[later]
    taken[now[same]] = values[later[same]]
    return taken
