"""Convert a raw column to numbers, or to codes of its vocabulary.

This file is copied beside a served model, as `cells` is.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

try:
    from ..errors import DataError
    from . import cells, image_cells, text_tokens, vocabulary
    from .columns import DATE_PARTS, CellCounts, Column
except ImportError:  # beside a served model
    import hpsearch_cells as cells  # type: ignore[import-not-found,no-redef]
    import hpsearch_image_cells as image_cells  # type: ignore[import-not-found,no-redef]
    import hpsearch_text_tokens as text_tokens  # type: ignore[import-not-found,no-redef]
    import hpsearch_vocabulary as vocabulary  # type: ignore[import-not-found,no-redef]
    from hpsearch_cells import DataError  # type: ignore[no-redef]
    from hpsearch_columns import (  # type: ignore[import-not-found,no-redef]
        DATE_PARTS,
        CellCounts,
        Column,
    )

MAX_EXACT_FLOAT32 = 2**24  # float32 is exact up to this whole number
MISSING_REMEDY = "If it means missing, declare it in data.missing."
MAX_NAMED_COLUMNS = 10  # missing columns named in an error


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


def count_rows(table: Any) -> int:
    """Count the rows of a table by its first column."""
    return len(table[list_column_names(table)[0]])


def clean_column(
    table: Any, column: Column, remedy: str = MISSING_REMEDY, counts: CellCounts | None = None
) -> np.ndarray:
    """Clean one column to float64, shape (n_rows,): see `Schema.clean`.

    A text becomes (n_rows, n_tokens) float32, and an image its pixels likewise.

    `remedy` is appended to the error for a cell that is not a number.
    """
    raw = table[column.raw_name]
    if column.kind == "categorical":
        return _encode_categories(raw, column, counts)
    if column.kind == "text":
        return _encode_text_column(raw, column, counts)
    if column.kind == "image":
        pixels = image_cells.decode_images(raw, column.name, column.shape)
        if counts is not None:
            counts.add_missing(column.raw_name, int(np.isnan(pixels[:, 0]).sum()))
        return pixels
    numbers = (
        _extract_date_part(raw, column) if column.part else _parse_numbers(raw, column, remedy)
    )
    if counts is not None and column.part in ("", DATE_PARTS[0]):
        counts.add_missing(column.raw_name, int(np.isnan(numbers).sum()))
    if column.clip is not None:
        numbers = np.clip(numbers, *column.clip)
    if column.transform:
        numbers = apply_transform(numbers, column)
    return numbers


def _encode_categories(raw: Any, column: Column, counts: CellCounts | None) -> np.ndarray:
    """Encode each cell's category; NaN if it is missing or not in the vocabulary."""
    values, indices = cells.factorize(raw)
    texts = format_categories(values, column)
    found = vocabulary.Vocabulary(column.vocabulary, exact=column.exact, buckets=column.buckets)
    codes = [found.encode(*cell) if cell[1] else None for cell in apply_replacements(values, texts)]
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


def _encode_text_column(raw: Any, column: Column, counts: CellCounts | None) -> np.ndarray:
    """Encode the tokens of each text; NaN where it is missing."""
    values, indices = cells.factorize(raw)
    texts = format_categories(values, column)
    if counts is not None:
        blank = np.array([not text for text in texts], bool)
        counts.add_missing(column.raw_name, int(blank[indices].sum()))
    encoded: np.ndarray = text_tokens.encode_texts(texts, column.n_cleaned)[indices]
    return encoded


def apply_replacements(values: Iterable[Any], texts: Iterable[str]) -> Iterator[tuple[Any, str]]:
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


def apply_transform(
    numbers: np.ndarray, column: Column, indices: np.ndarray | None = None
) -> np.ndarray:
    """Apply a column's "log" or "log1p".

    Args:
        numbers: (n_rows,) float64, NaN for missing cells.
        column: Names the transform.
        indices: Indices of the rows in their file, for messages; None: 0, 1, ….

    Raises:
        DataError: If a number has no logarithm.
    """
    function: Callable[[np.ndarray], np.ndarray]
    low, function = {"log": (0.0, np.log), "log1p": (-1.0, np.log1p)}[column.transform]
    wrong = np.flatnonzero(numbers <= low)
    if wrong.size:
        raise DataError(
            f"column {column.name!r}, row {_find_row_number(wrong, indices)}: {column.transform} "
            f"needs numbers above {low:g}, got {numbers[wrong[0]]:g}"
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


def _find_row_number(wrong: np.ndarray, indices: np.ndarray | None) -> int:
    """Return the 1-based number of the first of the `wrong` rows."""
    return int(wrong[0] if indices is None else indices[wrong[0]]) + 1


def to_float32(
    numbers: np.ndarray, name: str, remedy: str, indices: np.ndarray | None = None
) -> np.ndarray:
    """Convert a column to float32.

    Raises:
        DataError: If a number is beyond the range of float32; the message ends in `remedy`.
    """
    with np.errstate(over="ignore"):
        narrow = numbers.astype(np.float32)
    endless = np.flatnonzero(np.isinf(narrow))
    if endless.size:
        raise DataError(
            f"column {name!r}, row {_find_row_number(endless, indices)}: {numbers[endless[0]]} is "
            "infinite or beyond the range of float32. If it means missing, declare it in "
            f"data.columns.{name}.missing{remedy}."
        )
    return narrow
