"""The schema of a table: its columns and target, and their conversion to numbers.

The same code cleans the training rows and the raw table that a served model receives, so this file
is copied beside that model, as `cells` is; it depends only on numpy and the copied modules. It
accepts any table with named columns (pandas, pyarrow, a dict of lists) without importing these
libraries. The only statistic of the rows that it stores is the vocabulary of their categories.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np

try:
    from ..errors import DataError
    from . import cells, vocabulary
except ImportError:  # beside a served model
    import hpsearch_cells as cells  # type: ignore[import-not-found,no-redef]
    import hpsearch_vocabulary as vocabulary  # type: ignore[import-not-found,no-redef]
    from hpsearch_cells import DataError  # type: ignore[no-redef]

MAX_EXACT_FLOAT32 = 2**24  # float32 is exact up to this whole number
MISSING_REMEDY = "If it means missing, declare it in data.missing."
MAX_NAMED_COLUMNS = 10  # missing columns named in an error
DATE_PARTS = ("year", "month", "day", "weekday", "hour")


@dataclass(frozen=True, slots=True)
class Column:
    """One cleaned column: numbers, or codes of a vocabulary."""

    name: str
    kind: Literal["numeric", "categorical"]
    vocabulary: tuple[str, ...] = ()  # categories; code k is vocabulary[k]
    buckets: int = 0  # number of hash buckets that replace the vocabulary; 0: none
    source: str = ""  # the raw table's column, if its name differs
    part: str = ""  # part of a date: one of DATE_PARTS
    missing: tuple[str, ...] = ()  # texts that mark missing cells, in addition to blanks
    replace: tuple[tuple[str, str], ...] = ()  # (text of a cell, replacement)
    indicator: bool = False  # whether a "missing" feature is added
    clip: tuple[float, float] | None = None
    transform: str = ""  # "log" or "log1p"
    impute: str | float = "median"  # statistic of a fold's training rows, or a constant
    scaling: str = ""  # "": the study's default
    format: str = ""  # how 1250.5 or a date is written; "": 1250.5, ISO 8601
    zone: str = ""  # time zone of a date: see `parse_date`
    exact: bool = False  # whether categories keep their spelling: 007 is not 7

    @property
    def raw_name(self) -> str:
        """The raw table's column."""
        return self.source or self.name

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the column's features."""
        if self.kind == "numeric":
            names = [self.name]
        elif self.buckets:
            names = [f"{self.name}#{k}" for k in range(self.buckets)]
        else:
            names = [f"{self.name}={category}" for category in self.vocabulary]
        return (*names, f"{self.name} is missing") if self.indicator else tuple(names)


@dataclass(frozen=True, slots=True)
class Target:
    """The column to predict, or several of them."""

    name: str
    kind: Literal["binary", "multiclass", "multilabel", "regression"]
    classes: tuple[str | int, ...] = ()  # output k: probability of classes[k]
    replace: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()
    threshold: float = 0.5  # binary: probability above which the label is classes[1]
    transform: str = ""  # regression: the network learns "log" or "log1p" of it
    parts: tuple[Target, ...] = ()  # several targets of a regression, or binary labels
    one_hot: tuple[str, ...] = ()  # one-hot columns, one per class
    format: str = ""  # how 1250.5 is written

    @property
    def n_outputs(self) -> int:
        """Numbers per prediction; a binary one is the probability of `classes[1]`."""
        if self.parts:
            return len(self.parts)
        return len(self.classes) if self.kind == "multiclass" else 1

    @property
    def names(self) -> tuple[str, ...]:
        """The columns to predict."""
        return tuple(part.name for part in self.parts) or self.one_hot or (self.name,)

    @property
    def transforms(self) -> tuple[str, ...]:
        """The transform of each output, "" for none; empty if no output has one."""
        each = tuple(part.transform for part in self.parts) or (self.transform,)
        return each if any(each) else ()


@dataclass(frozen=True, slots=True)
class RowWindow:
    """The window of rows that are one row's features, in order of time."""

    rows: int
    horizon: int = 0  # rows between the end of the window and the predicted row
    by: str = ""  # column that identifies the series; "": a single series


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of a study's delimited text files."""

    separator: str = ""  # between cells; "": detected
    header: bool = True  # whether the first line holds the column names
    names: tuple[str, ...] = ()  # column names of a file without a header


@dataclass(slots=True)
class CellCounts:
    """Counts of missing cells and unknown categories, added up over tables."""

    rows: int = 0
    missing: dict[str, int] = field(default_factory=dict)  # by raw column
    unknown: dict[str, Counter[str]] = field(default_factory=dict)  # categories by raw column

    def add_missing(self, name: str, count: int) -> None:
        """Add missing cells."""
        if count:
            self.missing[name] = self.missing.get(name, 0) + count

    def add_unknown(self, name: str, categories: Mapping[str, int]) -> None:
        """Add cells whose category is not in the vocabulary."""
        if categories:
            self.unknown.setdefault(name, Counter()).update(categories)

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "rows": self.rows,
            "missing": dict(self.missing),
            "unknown": {name: dict(found.most_common()) for name, found in self.unknown.items()},
        }


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
        return self.shape or (len(self.columns),)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features made by `expand`, in order."""
        return tuple(name for c in self.columns for name in c.feature_names)

    @property
    def category_ranges(self) -> tuple[tuple[int, int], ...]:
        """First feature and number of categories of each categorical column."""
        found, at = [], 0
        for column in self.columns:
            n = len(column.feature_names)
            if column.kind == "categorical":
                found.append((at, n - column.indicator))
            at += n
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
            (n_rows, n_columns) float32: numbers, and the codes of categories; NaN for missing
            cells and unknown categories. For array rows, (n_rows, *shape) of `dtype`.

        Raises:
            DataError: If a column is missing, a cell of a numeric column is not a number, or an
                array has another shape or numbers outside the range of `dtype`.
        """
        if self.shape:
            return self._clean_array(np.asarray(table))
        require_columns(table, self.raw_columns)
        cleaned: np.ndarray | None = None
        for j, column in enumerate(self.columns):
            values = clean_column(table, column, counts=counts)
            if cleaned is None:
                cleaned = np.empty((len(values), len(self.columns)), np.float32)
            bound = f"; or bound it with data.columns.{column.name}.clip"
            cleaned[:, j] = _to_float32(values, column.name, bound)
        if counts is not None:
            counts.rows += 0 if cleaned is None else len(cleaned)
        return np.empty((0, 0), np.float32) if cleaned is None else cleaned

    def windows(self, table: Any) -> tuple[np.ndarray, np.ndarray]:
        """Locate the windows of a raw table, whose rows are in order of time.

        Returns:
            See `locate_windows`.
        """
        assert self.window is not None
        by = self.window.by
        codes = cells.factorize(table[by])[1] if by else np.zeros(_count_rows(table), np.intp)
        return locate_windows(codes, self.window.rows, self.window.horizon)

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
            columns: (n_rows, n_columns) float32, from `clean`.

        Returns:
            (n_rows, n_features) float32; NaN for missing numbers, and zeros in all features of a
            missing or unknown category.
        """
        if all(c.kind == "numeric" and not c.indicator for c in self.columns):
            return columns
        if columns.ndim > 2:  # windows
            flat = self.expand(columns.reshape(-1, columns.shape[-1]))
            return flat.reshape(*columns.shape[:-1], -1)
        features = np.zeros((len(columns), len(self.feature_names)), np.float32)
        at = 0
        for values, column in zip(columns.T, self.columns, strict=True):
            known = np.flatnonzero(~np.isnan(values))
            if column.kind == "categorical":
                features[known, at + values[known].astype(np.intp)] = 1
            else:
                features[:, at] = values
            at += len(column.feature_names)
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
        target = self.target
        require_columns(table, target.names)
        if target.parts:
            each = [Schema((), part).encode_target(table, indices) for part in target.parts]
            return np.hstack(each)
        if target.one_hot:
            marks = np.column_stack([parse_one_hot(table[name]) for name in target.one_hot])
            _refuse_missing(target.name, np.isnan(marks).any(axis=1))
            if not is_one_hot(marks):
                raise DataError(
                    f"the targets {target.name} are the classes of one: each row has a 1 in one of "
                    "them, and 0 in the others"
                )
            return marks[:, -target.n_outputs :].astype(np.float32)
        if target.kind == "regression":
            numbers = clean_column(table, target_as_column(target))
            _refuse_missing(target.name, np.isnan(numbers))
            if target.transform:
                read = replace(target_as_column(target), transform=target.transform)
                _apply_transform(numbers, read, indices)
            leave = ", and the row can be left out with data.missing_target: drop"
            return _to_float32(numbers, target.name, leave, indices)[:, None]
        codes = encode_classes(table, target)
        if target.kind == "binary":
            return codes.astype(np.float32)[:, None]
        return cells.expand_to_rows(np.eye(len(target.classes)), codes, np.float32)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `from_json`."""
        return {
            "columns": [_list_changed_fields(c) for c in self.columns],
            "target": None if self.target is None else _list_changed_fields(self.target),
            **({"shape": list(self.shape), "dtype": self.dtype} if self.shape else {}),
            **({"window": asdict(self.window)} if self.window else {}),
            **({"layout": asdict(self.layout)} if self.layout else {}),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Schema:
        """Build the schema from the values of `to_json`, which may have passed through JSON."""
        target = plain["target"]
        return cls(
            columns=tuple(Column(**_convert_lists(c)) for c in plain["columns"]),
            target=None if target is None else _target_from_json(target),
            shape=tuple(plain.get("shape", ())),
            dtype=plain.get("dtype", "float32"),
            window=RowWindow(**plain["window"]) if "window" in plain else None,
            layout=Layout(**_convert_lists(plain["layout"])) if "layout" in plain else None,
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


def _count_rows(table: Any) -> int:
    return len(table[list_column_names(table)[0]])


def require_columns(table: Any, names: Iterable[str]) -> None:
    """Refuse a table that lacks a column.

    Raises:
        DataError: Names the missing columns, each with the closest existing names.
    """
    there = Counter(str(n) for n in list_column_names(table))
    lines = []
    for name in names:
        if there[name] > 1:
            lines.append(f"column {name!r} occurs {there[name]} times")
        elif name not in there and len(lines) < MAX_NAMED_COLUMNS:
            close = difflib.get_close_matches(name, there, n=3) or list(there)[:5]
            shown = [other if other.isprintable() else repr(other) for other in close]
            lines.append(f"column {name!r} is missing; the closest: {', '.join(shown)}")
        elif name not in there:
            lines.append("")
    if lines:
        more = (
            f"; and {len(lines) - MAX_NAMED_COLUMNS} more" if len(lines) > MAX_NAMED_COLUMNS else ""
        )
        raise DataError("; ".join(lines[:MAX_NAMED_COLUMNS]) + more)


def list_column_names(table: Any) -> list[Any]:
    """List the column names of a mapping, a pyarrow or a pandas table."""
    if isinstance(table, Mapping):
        return list(table)
    return list(table.column_names if hasattr(table, "column_names") else table.columns)


def clean_column(
    table: Any, column: Column, remedy: str = MISSING_REMEDY, counts: CellCounts | None = None
) -> np.ndarray:
    """Clean one column to float64, shape (n_rows,): see `Schema.clean`.

    `remedy` is appended to the error for a cell that is not a number.
    """
    raw = table[column.raw_name]
    if column.kind == "categorical":
        return _encode_categories(raw, column, counts)
    numbers = (
        _extract_date_part(raw, column) if column.part else _parse_numbers(raw, column, remedy)
    )
    if counts is not None and column.part in ("", DATE_PARTS[0]):
        counts.add_missing(column.raw_name, int(np.isnan(numbers).sum()))
    if column.clip is not None:
        numbers = np.clip(numbers, *column.clip)
    if column.transform:
        numbers = _apply_transform(numbers, column)
    return numbers


def _encode_categories(raw: Any, column: Column, counts: CellCounts | None) -> np.ndarray:
    """Encode each cell's category; NaN if it is missing or not in the vocabulary."""
    values, indices = cells.factorize(raw)
    texts = format_categories(values, column)
    found = vocabulary.Vocabulary(column.vocabulary, exact=column.exact, buckets=column.buckets)
    codes = [
        found.encode(*cell) if cell[1] else None for cell in _apply_replacements(values, texts)
    ]
    if counts is not None:
        sizes = np.bincount(indices, minlength=len(values)).tolist()
        strange: Counter[str] = Counter()
        for text, code, n in zip(texts, codes, sizes, strict=True):
            if text and code is None and n:
                strange[text] += n
        counts.add_unknown(column.raw_name, strange)
        blank = sum(n for text, n in zip(texts, sizes, strict=True) if not text)
        counts.add_missing(column.raw_name, blank)
    return cells.expand_to_rows([np.nan if c is None else c for c in codes], indices, np.float64)


def _apply_replacements(values: Iterable[Any], texts: Iterable[str]) -> Iterator[tuple[Any, str]]:
    """Pair cells with their texts; a replaced cell becomes its replacement."""
    return ((v if cells.format_cell(v) == t else t, t) for v, t in zip(values, texts, strict=True))


def format_categories(values: Iterable[Any], column: Column) -> list[str]:
    """Format values as texts of the vocabulary; "" for missing ones."""
    replace, missing = dict(column.replace), set(column.missing)
    texts = (cells.format_cell(v) for v in values)
    if replace and column.kind == "numeric":
        return ["" if t in missing else _replace_text(t, column) for t in texts]
    return ["" if t in missing else replace.get(t, t) for t in texts]


def _parse_numbers(raw: Any, column: Column, remedy: str) -> np.ndarray:
    """Parse the numbers of a column as float64, NaN for missing cells."""
    marks = [(marker, cells.parse_number(marker)) for marker in column.missing]
    numbers = None if column.replace else cells.read_number_column(raw)
    if numbers is None and cells.is_text_column(raw) and not column.replace:
        words = [marker for marker, number in marks if number is None]
        numbers = cells.parse_number_column(raw, words, column.format)
    if numbers is None:
        values, indices = cells.factorize(raw)
        table = [_parse_cell(v, column) for v in values]
        wrong = [i for i, number in enumerate(table) if number is None]
        if wrong:
            row = int(np.flatnonzero(np.isin(indices, wrong))[0])
            like = f" like {column.format}" if column.format not in ("", cells.PLAIN_FORMAT) else ""
            text = cells.format_cell(values[indices[row]])
            raise DataError(
                f"column {column.name!r}, row {row + 1}: {text!r} is not a number{like}. {remedy}"
            )
        numbers = cells.expand_to_rows(table, indices, np.float64)
    for _, number in marks:
        if number is not None:
            numbers = np.where(numbers == number, np.nan, numbers)
    return numbers


def _parse_cell(value: Any, column: Column) -> float | None:
    text = cells.format_cell(value)
    if text in column.missing:
        return float("nan")
    text = _replace_text(text, column)
    if text in column.missing or text.lower() in cells.MISSING_TEXTS:
        return float("nan")
    if text.lower() in ("true", "false"):
        return float(text.lower() == "true")
    number = cells.parse_formatted_number(text, column.format)
    if number is None and not isinstance(value, str):
        return cells.parse_number(text)  # a typed number, whatever the format of texts
    return number


def _replace_text(text: str, column: Column) -> str:
    """Apply the replacements of a numeric column, which match 1 in any spelling."""
    replace = dict(column.replace)
    if not replace or text in replace:
        return replace.get(text, text)
    number = cells.parse_formatted_number(text, column.format)
    equal = (b for a, b in column.replace if number is not None and cells.parse_number(a) == number)
    return next(equal, text)


def parse_one_hot(raw: Any) -> np.ndarray:
    """Parse a column of 0 and 1, or of truth values, as float64; NaN for other cells."""
    values, indices = cells.factorize(raw)
    marks = []
    for value in values:
        truth, number = cells.parse_bool(value), cells.parse_number(cells.format_cell(value))
        mark = number if truth is None else float(truth)
        marks.append(mark if mark in (0.0, 1.0) else np.nan)
    return cells.expand_to_rows(marks, indices, np.float64)


def is_one_hot(marks: np.ndarray) -> bool:
    """Whether each row of (n_rows, n_classes) marks has a single 1, and 0 otherwise."""
    return bool(np.isin(marks, (0.0, 1.0)).all() and (marks.sum(axis=1) == 1).all())


def _apply_transform(
    numbers: np.ndarray, column: Column, indices: np.ndarray | None = None
) -> np.ndarray:
    function: Callable[[np.ndarray], np.ndarray]
    low, function = {"log": (0.0, np.log), "log1p": (-1.0, np.log1p)}[column.transform]
    wrong = np.flatnonzero(numbers <= low)
    if wrong.size:
        raise DataError(
            f"column {column.name!r}, row {_find_row_number(wrong, indices)}: {column.transform} "
            "needs numbers "
            f"above {low:g}, got {numbers[wrong[0]]:g}"
        )
    transformed: np.ndarray = function(numbers)
    return transformed


def _extract_date_part(raw: Any, column: Column) -> np.ndarray:
    """Extract a part of the dates in a column of datetimes or texts."""
    moments = cells.parse_date_column(
        raw, column.raw_name, column.missing, column.format, column.zone
    )
    missing = np.isnat(moments)
    days = moments.astype("datetime64[D]")
    months = moments.astype("datetime64[M]")
    parts = {
        "year": moments.astype("datetime64[Y]").astype(int) + 1970,
        "month": months.astype(int) % 12 + 1,
        "day": (days - months).astype(int) + 1,
        "weekday": (days.astype(int) + 3) % 7,  # 0 is Monday
        "hour": (moments - days).astype("timedelta64[h]").astype(int),
    }
    return np.where(missing, np.nan, parts[column.part].astype(np.float64))


def target_as_column(target: Target) -> Column:
    """Describe the target as a numeric column."""
    return Column(
        target.name,
        "numeric",
        missing=target.missing,
        replace=target.replace,
        format=target.format,
    )


def encode_classes(table: Any, target: Target) -> np.ndarray:
    """Encode the class of each row as an index into `target.classes`, (n_rows,) int.

    Raises:
        DataError: If a row's class is missing or unknown.
    """
    values, indices = cells.factorize(table[target.name])
    texts = format_categories(values, target_as_column(target))
    if target.format:
        numbers = [cells.parse_formatted_number(t, target.format) for t in texts]
        texts = [
            t if n is None else cells.format_cell(n) for t, n in zip(texts, numbers, strict=True)
        ]
    names = tuple(str(c) for c in target.classes)
    classes = vocabulary.Vocabulary(names)
    each = [classes.encode(v, t) for v, t in _apply_replacements(values, texts)]
    codes = cells.expand_to_rows([-1 if c is None else c for c in each], indices, np.intp)
    _refuse_missing(target.name, np.isin(indices, [i for i, t in enumerate(texts) if not t]))
    if (codes < 0).any():
        wrong = {texts[i]: int((indices == i).sum()) for i in np.unique(indices[codes < 0])}
        said = ", ".join(f"{n} rows say {t!r}" for t, n in list(wrong.items())[:5])
        raise DataError(
            f"target {target.name!r}: {said}; the classes are {', '.join(map(repr, names))}. "
            f"If one stands for another, say so in data.columns.{target.name}.replace."
        )
    return codes


def _refuse_missing(name: str, missing: np.ndarray) -> None:
    if missing.any():
        raise DataError(
            f"target {name!r} is missing in {int(missing.sum())} of {len(missing)} rows, first in "
            f"row {int(np.flatnonzero(missing)[0]) + 1}. To leave them out: "
            "data.missing_target: drop."
        )


def _find_row_number(wrong: np.ndarray, indices: np.ndarray | None) -> int:
    """Return the 1-based number of the first of the `wrong` rows."""
    return int(wrong[0] if indices is None else indices[wrong[0]]) + 1


def _to_float32(
    numbers: np.ndarray, name: str, remedy: str, indices: np.ndarray | None = None
) -> np.ndarray:
    with np.errstate(over="ignore"):
        narrow = numbers.astype(np.float32)
    endless = np.flatnonzero(np.isinf(narrow))
    if endless.size:
        raise DataError(
            f"column {name!r}, row {_find_row_number(endless, indices)}: {numbers[endless[0]]} is "
            "infinite or "
            "beyond the range of float32. If it means missing, declare it in "
            f"data.columns.{name}.missing{remedy}."
        )
    return narrow


def _list_changed_fields(record: Column | Target) -> dict[str, Any]:
    """Return the fields of a record that differ from their defaults."""
    defaults = {f.name: f.default for f in fields(record)}
    return {k: v for k, v in asdict(record).items() if v != defaults[k]}


def _target_from_json(plain: Mapping[str, Any]) -> Target:
    parts = tuple(_target_from_json(part) for part in plain.get("parts", ()))
    return Target(**{**_convert_lists(plain), "parts": parts})


def _convert_lists(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Convert lists, as read from JSON, to tuples."""
    return {k: _convert_list(v) if isinstance(v, list) else v for k, v in plain.items()}


def _convert_list(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(_convert_list(v) if isinstance(v, list) else v for v in values)
