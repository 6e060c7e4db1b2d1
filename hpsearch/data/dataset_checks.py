"""Refuse data from which nothing can be learned, and note columns that are constant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import DataError
from .schema import Schema
from .split import Split

MIN_RANGE = 1e-15  # of a target; the squares of its errors are numbers of float32
EXACT_DIGITS = 1e6  # of which float32 keeps one decimal


def require_target_variation(
    target: np.ndarray, folds: Sequence[Split], names: Sequence[str]
) -> None:
    """Refuse a fold whose training rows have a constant target."""
    for number, fold in enumerate(folds):
        known = target[fold.train]
        for name, low, high in zip(names, known.min(axis=0), known.max(axis=0), strict=True):
            if low == high:
                raise DataError(
                    f"fold {number} of {len(folds)}: target {name!r} is {low:g} in all of its "
                    f"{len(known)} training rows, so there is nothing to learn: use fewer folds, "
                    f"more training rows or another kind{_explain_rounding(low)}"
                )
            if high - low < MIN_RANGE:
                raise DataError(
                    f"target {name!r} is from {low:g} to {high:g} in the training rows of fold "
                    f"{number}: the squares of such differences are 0 in float32. Multiply it, "
                    "by 1e20 for instance"
                )


def _explain_rounding(value: float) -> str:
    """Explain that large numbers may differ before they are rounded; empty for others."""
    if abs(value) < EXACT_DIGITS:
        return ""
    return (
        f". Numbers are rounded to 7 digits: if they differ by less, subtract {value:g} from them"
    )


def note_constant_columns(schema: Schema, columns: np.ndarray) -> tuple[str, ...]:
    """Name the columns that are empty or constant; refuse a table that has no others."""
    if schema.shape:
        return ()
    notes = []
    empty, constant = [], []
    for column, start in schema.iter_cleaned():
        values = columns[:, start : start + column.n_cleaned]
        if not values.size or np.isnan(np.fmin.reduce(values, axis=None)):
            empty.append(column.name)
        elif values.min() == values.max():  # NaN if a value is missing
            constant.append(column.name)
    if schema.columns and len(empty) + len(constant) == len(schema.columns):
        raise DataError(
            "no column tells the rows apart: without a value "
            f"{', '.join(empty[:8]) or 'none'}; with one value in all rows "
            f"{', '.join(constant[:8]) or 'none'}. There is nothing to learn from."
        )
    for names, what in ((empty, "without a value"), (constant, "with one value in all rows")):
        if names:
            shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
            number = "1 column" if len(names) == 1 else f"{len(names)} columns"
            notes.append(f"{number} {what}, which the network never sees: {shown}")
    return tuple(notes)
