"""The schema: what the columns of a table mean, and how its cells become numbers.

The same code cleans the rows a study trains on and the raw table a served model is given, so
this file is copied beside that model, with `cells`: it needs numpy, and of hpsearch nothing else.
It takes whatever has columns by name (pandas, pyarrow, a dict of lists) and imports none of them.
It keeps no statistic of the rows but the vocabulary of their categories.
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
    from .cells import (
        MISSING_TEXTS,
        PLAIN_FORMAT,
        expand_to_rows,
        factorize,
        format_cell,
        is_text_column,
        parse_bool,
        parse_date_column,
        parse_formatted_number,
        parse_number,
        parse_number_column,
        read_number_column,
    )
    from .vocabulary import Vocabulary
except ImportError:  # beside a served model
    from hpsearch_cells import (  # type: ignore[import-not-found,no-redef]
        MISSING_TEXTS,
        PLAIN_FORMAT,
        DataError,
        expand_to_rows,
        factorize,
        format_cell,
        is_text_column,
        parse_bool,
        parse_date_column,
        parse_formatted_number,
        parse_number,
        parse_number_column,
        read_number_column,
    )
    from hpsearch_vocabulary import Vocabulary  # type: ignore[import-not-found,no-redef]

MAX_EXACT_FLOAT32 = 2**24  # the first whole number after which float32 skips some
MISSING_REMEDY = "If it means missing, declare it in data.missing."
MAX_NAMED_COLUMNS = 10  # missing columns that are named
DATE_PARTS = ("year", "month", "day", "weekday", "hour")


@dataclass(frozen=True, slots=True)
class Column:
    """One cleaned column: a number, or a code into a vocabulary."""

    name: str
    kind: Literal["numeric", "categorical"]
    vocabulary: tuple[str, ...] = ()  # categories; code k is vocabulary[k]
    buckets: int = 0  # categories are hashed into this many, and there is no vocabulary
    source: str = ""  # the raw table's column, where its name is another
    part: str = ""  # of a date: one of DATE_PARTS
    missing: tuple[str, ...] = ()  # texts that mean "missing" beside blanks
    replace: tuple[tuple[str, str], ...] = ()  # (a cell's text, the text that replaces it)
    indicator: bool = False  # a feature that says "missing"
    clip: tuple[float, float] | None = None
    transform: str = ""  # "log" or "log1p"
    impute: str | float = "median"  # numbers, from a fold's training rows; or a constant
    scaling: str = ""  # numbers, from a fold's training rows; "": as the study says
    format: str = ""  # how 1250.5, or a date, is written; "": so, or as ISO 8601
    zone: str = ""  # of a date, on whose clock it is read: see `parse_date`
    exact: bool = False  # categories are texts as a file spells them: 007 is not 7

    @property
    def raw_name(self) -> str:
        """The raw table's column."""
        return self.source or self.name

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What the column becomes in the features."""
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
    classes: tuple[str | int, ...] = ()  # output k is the probability of classes[k]
    replace: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()
    threshold: float = 0.5  # binary: a probability above it is called classes[1]
    transform: str = ""  # regression: "log" or "log1p" of it is learned; answers are in its unit
    parts: tuple[Target, ...] = ()  # several: of a regression, or each label's, binary
    one_hot: tuple[str, ...] = ()  # the columns of which one is 1 in each row, one a class
    format: str = ""  # how 1250.5 is written

    @property
    def n_outputs(self) -> int:
        """Numbers that a prediction consists of; a binary one is that of `classes[1]`."""
        if self.parts:
            return len(self.parts)
        return len(self.classes) if self.kind == "multiclass" else 1

    @property
    def names(self) -> tuple[str, ...]:
        """The columns to predict."""
        return tuple(part.name for part in self.parts) or self.one_hot or (self.name,)

    @property
    def transforms(self) -> tuple[str, ...]:
        """One an output, "" where there is none; empty: no output has one."""
        each = tuple(part.transform for part in self.parts) or (self.transform,)
        return each if any(each) else ()


@dataclass(frozen=True, slots=True)
class RowWindow:
    """The rows that are one row's features, in the order of time."""

    rows: int
    horizon: int = 0  # rows between the window's last and the predicted one
    by: str = ""  # the column whose equal values are one series; "": all rows are


@dataclass(frozen=True, slots=True)
class Layout:
    """How the delimited text files of a study are laid out."""

    separator: str = ""  # between cells; "": found out from the first lines
    header: bool = True  # whether the first line names the columns
    names: tuple[str, ...] = ()  # of the columns of a file without a header


@dataclass(slots=True)
class CellCounts:
    """Cells of raw tables from which a model learned nothing; added up over several tables."""

    rows: int = 0
    missing: dict[str, int] = field(default_factory=dict)  # by raw column
    unknown: dict[str, Counter[str]] = field(default_factory=dict)  # categories by raw column

    def add_missing(self, name: str, count: int) -> None:
        """Add cells without a value."""
        if count:
            self.missing[name] = self.missing.get(name, 0) + count

    def add_unknown(self, name: str, categories: Mapping[str, int]) -> None:
        """Add cells whose category the vocabulary does not hold."""
        if categories:
            self.unknown.setdefault(name, Counter()).update(categories)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "rows": self.rows,
            "missing": dict(self.missing),
            "unknown": {name: dict(found.most_common()) for name, found in self.unknown.items()},
        }


@dataclass(frozen=True, slots=True)
class Schema:
    """What a model takes and what it answers."""

    columns: tuple[Column, ...]
    target: Target | None = None
    shape: tuple[int, ...] = ()  # of a row that is an array; `columns` are then its last axis
    dtype: Literal["float32", "uint8"] = "float32"  # of such a row
    window: RowWindow | None = None  # where a row is predicted from the rows up to it
    layout: Layout | None = None  # of the delimited text it was trained on

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one row as the assembled model takes it."""
        if self.window is not None:
            return self.window.rows, len(self.columns)
        return self.shape or (len(self.columns),)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features that `expand` makes, in their order."""
        return tuple(name for c in self.columns for name in c.feature_names)

    @property
    def category_ranges(self) -> tuple[tuple[int, int], ...]:
        """The first feature of each categorical column, and how many are its categories."""
        found, at = [], 0
        for column in self.columns:
            n = len(column.feature_names)
            if column.kind == "categorical":
                found.append((at, n - column.indicator))
            at += n
        return tuple(found)

    @property
    def raw_columns(self) -> tuple[str, ...]:
        """The columns a raw table must have; none where a row is an array."""
        if self.shape:
            return ()
        by = [self.window.by] if self.window and self.window.by else []
        return tuple(dict.fromkeys([*(c.raw_name for c in self.columns), *by]))

    def clean(self, table: Any, counts: CellCounts | None = None) -> np.ndarray:
        """The cleaned columns of a raw table.

        Args:
            table: A pandas DataFrame, a pyarrow Table or a mapping of names to sequences, with
                at least `raw_columns`. Others are ignored, and so is their order. An array of
                (n_rows, *shape) where rows are arrays.
            counts: Gets the missing cells and unknown categories added.

        Returns:
            (n_rows, n_columns) float32: numbers, and the codes of categories. NaN is a missing
            cell, and a category that the vocabulary does not hold. Rows that are arrays are
            (n_rows, *shape) of `dtype`.

        Raises:
            DataError: If a column is missing, or a cell of a numeric one is not a number; if an
                array has another shape, or numbers that `dtype` cannot hold.
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
        """Where the windows of a raw table's rows lie, which are in the order of time.

        Returns:
            See `locate_windows`.
        """
        assert self.window is not None
        by = self.window.by
        codes = factorize(table[by])[1] if by else np.zeros(_count_rows(table), np.intp)
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
        """The features of cleaned columns: categories become one-hot, indicators are added.

        Args:
            columns: (n_rows, n_columns) float32, as `clean` gives them.

        Returns:
            (n_rows, n_features) float32. NaN is a missing number; a missing or unknown category
            is zero in all its features.
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

    def encode_target(self, table: Any, places: np.ndarray | None = None) -> np.ndarray:
        """The target of a raw table: 0/1, one-hot or the number, (n_rows, n_outputs) float32.

        Args:
            table: See `clean`.
            places: Of its rows in the file that they come from, for messages; None: the same.

        Raises:
            DataError: If the column or a cell is missing, or a class is none of the target's.
        """
        if self.target is None:
            raise DataError("this schema has no target")
        target = self.target
        require_columns(table, target.names)
        if target.parts:
            each = [Schema((), part).encode_target(table, places) for part in target.parts]
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
                _apply_transform(numbers, read, places)
            leave = ", and the row can be left out with data.missing_target: drop"
            return _to_float32(numbers, target.name, leave, places)[:, None]
        codes = encode_classes(table, target)
        if target.kind == "binary":
            return codes.astype(np.float32)[:, None]
        return expand_to_rows(np.eye(len(target.classes)), codes, np.float32)

    def to_json(self) -> dict[str, Any]:
        """Plain values that `from_json` takes."""
        return {
            "columns": [_list_changed_fields(c) for c in self.columns],
            "target": None if self.target is None else _list_changed_fields(self.target),
            **({"shape": list(self.shape), "dtype": self.dtype} if self.shape else {}),
            **({"window": asdict(self.window)} if self.window else {}),
            **({"layout": asdict(self.layout)} if self.layout else {}),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Schema:
        """The schema behind `to_json`'s values, after a way through JSON."""
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
    """Where windows lie once the rows of a series stand together.

    Args:
        codes: (n,) int, the series of each row, which are in the order of time.
        rows: Of a window.
        horizon: Rows between a window's last and the predicted one.

    Returns:
        The places of the rows so that each series is contiguous, (n,); and for each row, the
        place of its window's last row in that order, or -1 where it has too few before it.
    """
    order = np.argsort(codes, kind="stable")
    places = np.arange(len(codes))
    begins = np.ones(len(codes), bool)
    begins[1:] = codes[order][1:] != codes[order][:-1]
    start = np.maximum.accumulate(np.where(begins, places, 0))
    last = places - horizon
    found = np.empty(len(codes), np.int64)
    found[order] = np.where(last - rows + 1 >= start, last, -1)
    return order, found


def _count_rows(table: Any) -> int:
    return len(table[list_column_names(table)[0]])


def require_columns(table: Any, names: Iterable[str]) -> None:
    """Refuse a table that lacks a column.

    Raises:
        DataError: Naming the missing columns, each with the closest names there are.
    """
    there = Counter(str(n) for n in list_column_names(table))
    lines = []
    for name in names:
        if there[name] > 1:
            lines.append(f"column {name!r} is there {there[name]} times")
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
    """The names of the columns of a mapping, a pyarrow or a pandas table."""
    if isinstance(table, Mapping):
        return list(table)
    return list(table.column_names if hasattr(table, "column_names") else table.columns)


def clean_column(
    table: Any, column: Column, remedy: str = MISSING_REMEDY, counts: CellCounts | None = None
) -> np.ndarray:
    """One cleaned column in float64, shape (n_rows,): see `Schema.clean`.

    `remedy` ends what is said of a cell that is not a number.
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
    """The category of each cell; NaN where it is missing or none of the vocabulary."""
    values, places = factorize(raw)
    texts = format_categories(values, column)
    found = Vocabulary(column.vocabulary, exact=column.exact, buckets=column.buckets)
    codes = [
        found.encode(*cell) if cell[1] else None for cell in _apply_replacements(values, texts)
    ]
    if counts is not None:
        cells = np.bincount(places, minlength=len(values)).tolist()
        strange: Counter[str] = Counter()
        for text, code, n in zip(texts, codes, cells, strict=True):
            if text and code is None and n:
                strange[text] += n
        counts.add_unknown(column.raw_name, strange)
        blank = sum(n for text, n in zip(texts, cells, strict=True) if not text)
        counts.add_missing(column.raw_name, blank)
    return expand_to_rows([np.nan if c is None else c for c in codes], places, np.float64)


def _apply_replacements(values: Iterable[Any], texts: Iterable[str]) -> Iterator[tuple[Any, str]]:
    """Cells with their texts; where a replacement was made, its text is the cell."""
    return ((v if format_cell(v) == t else t, t) for v, t in zip(values, texts, strict=True))


def format_categories(values: Iterable[Any], column: Column) -> list[str]:
    """Each value's text as the vocabulary has it; "" is missing."""
    replace, missing = dict(column.replace), set(column.missing)
    texts = (format_cell(v) for v in values)
    if replace and column.kind == "numeric":
        return ["" if t in missing else _replace_text(t, column) for t in texts]
    return ["" if t in missing else replace.get(t, t) for t in texts]


def _parse_numbers(raw: Any, column: Column, remedy: str) -> np.ndarray:
    """The numbers of a column in float64, NaN for missing ones."""
    marks = [(marker, parse_number(marker)) for marker in column.missing]
    numbers = None if column.replace else read_number_column(raw)
    if numbers is None and is_text_column(raw) and not column.replace:
        words = [marker for marker, number in marks if number is None]
        numbers = parse_number_column(raw, words, column.format)
    if numbers is None:
        values, places = factorize(raw)
        table = [_parse_cell(v, column) for v in values]
        wrong = [i for i, number in enumerate(table) if number is None]
        if wrong:
            row = int(np.flatnonzero(np.isin(places, wrong))[0])
            like = f" like {column.format}" if column.format not in ("", PLAIN_FORMAT) else ""
            raise DataError(
                f"column {column.name!r}, row {row + 1}: {format_cell(values[places[row]])!r} is "
                f"not a number{like}. {remedy}"
            )
        numbers = expand_to_rows(table, places, np.float64)
    for _, number in marks:
        if number is not None:
            numbers = np.where(numbers == number, np.nan, numbers)
    return numbers


def _parse_cell(value: Any, column: Column) -> float | None:
    text = format_cell(value)
    if text in column.missing:
        return float("nan")
    text = _replace_text(text, column)
    if text in column.missing or text.lower() in MISSING_TEXTS:
        return float("nan")
    if text.lower() in ("true", "false"):
        return float(text.lower() == "true")
    number = parse_formatted_number(text, column.format)
    if number is None and not isinstance(value, str):
        return parse_number(text)  # a number already, however texts are written
    return number


def _replace_text(text: str, column: Column) -> str:
    """What a cell of a numeric column means: 1 is replaced however it is written."""
    replace = dict(column.replace)
    if not replace or text in replace:
        return replace.get(text, text)
    number = parse_formatted_number(text, column.format)
    equal = (b for a, b in column.replace if number is not None and parse_number(a) == number)
    return next(equal, text)


def parse_one_hot(raw: Any) -> np.ndarray:
    """A column of 0 and 1, or of truth values, in float64; NaN for what is neither."""
    values, places = factorize(raw)
    marks = []
    for value in values:
        truth, number = parse_bool(value), parse_number(format_cell(value))
        mark = number if truth is None else float(truth)
        marks.append(mark if mark in (0.0, 1.0) else np.nan)
    return expand_to_rows(marks, places, np.float64)


def is_one_hot(marks: np.ndarray) -> bool:
    """Whether each row of (n_rows, n_classes) marks has a 1 in one column, and 0 in the others."""
    return bool(np.isin(marks, (0.0, 1.0)).all() and (marks.sum(axis=1) == 1).all())


def _apply_transform(
    numbers: np.ndarray, column: Column, places: np.ndarray | None = None
) -> np.ndarray:
    function: Callable[[np.ndarray], np.ndarray]
    low, function = {"log": (0.0, np.log), "log1p": (-1.0, np.log1p)}[column.transform]
    wrong = np.flatnonzero(numbers <= low)
    if wrong.size:
        raise DataError(
            f"column {column.name!r}, row {_find_row_number(wrong, places)}: {column.transform} "
            "needs numbers "
            f"above {low:g}, got {numbers[wrong[0]]:g}"
        )
    transformed: np.ndarray = function(numbers)
    return transformed


def _extract_date_part(raw: Any, column: Column) -> np.ndarray:
    """One part of a column of dates, from datetimes or ISO 8601 texts."""
    moments = parse_date_column(raw, column.raw_name, column.missing, column.format, column.zone)
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
    """The target, read as a numeric column."""
    return Column(
        target.name,
        "numeric",
        missing=target.missing,
        replace=target.replace,
        format=target.format,
    )


def encode_classes(table: Any, target: Target) -> np.ndarray:
    """The class of each row as a place in `target.classes`, shape (n_rows,) int.

    Raises:
        DataError: If a row has none, or one that the target does not know.
    """
    values, places = factorize(table[target.name])
    texts = format_categories(values, target_as_column(target))
    if target.format:
        numbers = [parse_formatted_number(t, target.format) for t in texts]
        texts = [t if n is None else format_cell(n) for t, n in zip(texts, numbers, strict=True)]
    names = tuple(str(c) for c in target.classes)
    classes = Vocabulary(names)
    each = [classes.encode(v, t) for v, t in _apply_replacements(values, texts)]
    codes = expand_to_rows([-1 if c is None else c for c in each], places, np.intp)
    _refuse_missing(target.name, np.isin(places, [i for i, t in enumerate(texts) if not t]))
    if (codes < 0).any():
        wrong = {texts[i]: int((places == i).sum()) for i in np.unique(places[codes < 0])}
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


def _find_row_number(wrong: np.ndarray, places: np.ndarray | None) -> int:
    """The 1-based number of the first of the `wrong` rows."""
    return int(wrong[0] if places is None else places[wrong[0]]) + 1


def _to_float32(
    numbers: np.ndarray, name: str, remedy: str, places: np.ndarray | None = None
) -> np.ndarray:
    with np.errstate(over="ignore"):
        narrow = numbers.astype(np.float32)
    endless = np.flatnonzero(np.isinf(narrow))
    if endless.size:
        raise DataError(
            f"column {name!r}, row {_find_row_number(endless, places)}: {numbers[endless[0]]} is "
            "infinite or "
            "beyond the range of float32. If it means missing, declare it in "
            f"data.columns.{name}.missing{remedy}."
        )
    return narrow


def _list_changed_fields(record: Column | Target) -> dict[str, Any]:
    """A record's fields that are not at their default."""
    defaults = {f.name: f.default for f in fields(record)}
    return {k: v for k, v in asdict(record).items() if v != defaults[k]}


def _target_from_json(plain: Mapping[str, Any]) -> Target:
    parts = tuple(_target_from_json(part) for part in plain.get("parts", ()))
    return Target(**{**_convert_lists(plain), "parts": parts})


def _convert_lists(plain: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's lists as the tuples they were."""
    return {k: _convert_list(v) if isinstance(v, list) else v for k, v in plain.items()}


def _convert_list(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(_convert_list(v) if isinstance(v, list) else v for v in values)
