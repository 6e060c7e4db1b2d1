"""Encode the target column of a table as the numbers that a network learns.

This file is copied beside a served model, as `cells` is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

try:
    from ..errors import DataError
    from . import cells, vocabulary
    from .column_cleaning import (
        apply_replacements,
        apply_transform,
        clean_column,
        format_categories,
        require_columns,
        to_float32,
    )
    from .columns import Column, Target
except ImportError:  # beside a served model
    import hpsearch_cells as cells  # type: ignore[import-not-found,no-redef]
    import hpsearch_vocabulary as vocabulary  # type: ignore[import-not-found,no-redef]
    from hpsearch_cells import DataError  # type: ignore[no-redef]
    from hpsearch_column_cleaning import (  # type: ignore[import-not-found,no-redef]
        apply_replacements,
        apply_transform,
        clean_column,
        format_categories,
        require_columns,
        to_float32,
    )
    from hpsearch_columns import Column, Target  # type: ignore[import-not-found,no-redef]


def encode_target(table: Any, target: Target, indices: np.ndarray | None = None) -> np.ndarray:
    """Encode the target of a raw table: see `Schema.encode_target`."""
    require_columns(table, target.names)
    if target.parts:
        return np.hstack([encode_target(table, part, indices) for part in target.parts])
    if target.one_hot:
        return _encode_one_hot(table, target)
    if target.kind == "regression":
        return _encode_numbers(table, target, indices)
    codes = encode_classes(table, target)
    if target.kind == "binary":
        return codes.astype(np.float32)[:, None]
    return cells.expand_to_rows(np.eye(len(target.classes)), codes, np.float32)


def _encode_one_hot(table: Any, target: Target) -> np.ndarray:
    marks = np.column_stack([parse_one_hot(table[name]) for name in target.one_hot])
    _refuse_missing(target.name, np.isnan(marks).any(axis=1))
    if not is_one_hot(marks):
        raise DataError(
            f"the targets {target.name} are the classes of one: each row has a 1 in one of "
            "them, and 0 in the others"
        )
    return marks[:, -target.n_outputs :].astype(np.float32)


def _encode_numbers(table: Any, target: Target, indices: np.ndarray | None) -> np.ndarray:
    """Return the target in its own unit; its transform is only checked here."""
    numbers = clean_column(table, target_as_column(target))
    _refuse_missing(target.name, np.isnan(numbers))
    if target.transform:
        apply_transform(
            numbers, replace(target_as_column(target), transform=target.transform), indices
        )
    leave = ", and the row can be left out with data.missing_target: drop"
    return to_float32(numbers, target.name, leave, indices)[:, None]


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
    each = [classes.encode(v, t) for v, t in apply_replacements(values, texts)]
    codes = cells.expand_to_rows([-1 if c is None else c for c in each], indices, np.intp)
    _refuse_missing(target.name, np.isin(indices, [i for i, t in enumerate(texts) if not t]))
    if (codes < 0).any():
        wrong = {texts[i]: int((indices == i).sum()) for i in np.unique(indices[codes < 0])}
        listed = ", ".join(f"{n} rows say {t!r}" for t, n in list(wrong.items())[:5])
        raise DataError(
            f"target {target.name!r}: {listed}; the classes are {', '.join(map(repr, names))}. "
            f"If one stands for another, say so in data.columns.{target.name}.replace."
        )
    return codes


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


def _refuse_missing(name: str, missing: np.ndarray) -> None:
    if missing.any():
        raise DataError(
            f"target {name!r} is missing in {int(missing.sum())} of {len(missing)} rows, first in "
            f"row {int(np.flatnonzero(missing)[0]) + 1}. To leave them out: "
            "data.missing_target: drop."
        )
