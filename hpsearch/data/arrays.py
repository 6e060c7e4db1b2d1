"""Rows that are arrays: images of shape (height, width, channels), sequences of (steps, features).

Whole numbers from 0 to 255 are kept as uint8, a quarter of the memory of float32.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from .cells import read_number_column
from .images import read_all_images

FEATURE_KEYS = ("X", "x", "x_train", "X_train")
NOT_AN_ARRAY = "it holds no array of numbers"  # numpy takes any other file for a pickle


def to_array(values: Any, name: str) -> np.ndarray:
    """Convert `values` to one array.

    Raises:
        DataError: If the rows have different shapes; names the first that differs.
    """
    if hasattr(values, "toarray"):
        raise DataError(f"{name} is a sparse matrix: give {name}.toarray()")
    try:
        array = np.asarray(values)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype != object:
        return array
    shapes = [np.shape(row) for row in values]
    wrong = next((i for i, shape in enumerate(shapes) if shape != shapes[0]), None)
    if wrong is None:
        return np.stack([np.asarray(row) for row in values])
    raise DataError(
        f"{name}: row 1 has shape {shapes[0]}, row {wrong + 1} has {shapes[wrong]}; give all rows "
        "the same shape"
    )


def normalize_rows(array: np.ndarray) -> np.ndarray:
    """Convert rows to (n_rows, *shape) in uint8 or float32.

    Rows of whole numbers with two dimensions are greyscale images and get a channel axis.

    Raises:
        DataError: If `array` is empty, does not hold numbers, or holds an infinite one.
    """
    kind = array.dtype.kind
    if kind not in "biuf":
        raise DataError(f"X holds {array.dtype}: give numbers")
    if array.size == 0:
        raise DataError(f"X has shape {array.shape}: there are no rows")
    if kind in "biu" and array.min() >= 0 and array.max() <= 255:
        kept = array.astype(np.uint8, copy=False)
        return kept[..., None] if kept.ndim == 3 else kept
    with np.errstate(over="ignore"):
        kept = array.astype(np.float32, copy=False)
    refuse_infinite(kept)
    return kept


def refuse_infinite(rows: np.ndarray) -> None:
    """Refuse rows that hold an infinite number. NaN is allowed: it marks a missing number.

    Raises:
        DataError: Names the first such row.
    """
    if rows.dtype.kind == "f" and np.isinf(np.max(np.abs(rows), initial=0, where=~np.isnan(rows))):
        wrong = np.isinf(rows).reshape(len(rows), -1).any(axis=1)
        raise DataError(
            f"X, row {int(wrong.argmax()) + 1} holds a number that is infinite or beyond the range "
            "of float32"
        )


def reshape_rows(rows: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Reshape rows of numbers to (n_rows, *shape).

    Raises:
        DataError: If a row does not hold exactly the numbers that `shape` needs.
    """
    size = int(np.prod(rows.shape[1:]))
    if size != np.prod(shape):
        asked = " x ".join(map(str, shape))
        raise DataError(
            f"data.shape: {asked} are {int(np.prod(shape))} numbers, but a row has {size}"
        )
    return rows.reshape(len(rows), *shape)


def stack_columns(table: Any, names: Sequence[str]) -> np.ndarray:
    """Stack columns of a `pyarrow.Table` side by side, (n_rows, n_names) uint8 or float32.

    Raises:
        DataError: If a column does not hold numbers.
    """
    is_whole = all(str(table[name].type).startswith(("int", "uint")) for name in names)
    rows = np.empty((table.num_rows, len(names)), np.float32)
    for index, name in enumerate(names):
        numbers = read_number_column(table[name])
        if numbers is None:
            raise DataError(
                f"column {name!r} holds {table[name].type}, and data.shape needs numbers: leave it "
                f"out with data.drop: [{name}]"
            )
        rows[:, index] = numbers
    is_known = is_whole and not np.isnan(rows).any()
    return normalize_rows(rows.astype(np.int64) if is_known else rows)


def hash_rows(rows: np.ndarray) -> np.ndarray:
    """Hash each row, (n_rows,) uint64; equal rows have equal hashes."""
    found = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in rows]
    return np.frombuffer(bytearray().join(found), np.uint64)


def read_prediction_rows(source: Path, shape: Sequence[int]) -> tuple[np.ndarray, list[str]]:
    """Read rows to predict, (n_rows, *shape), from NPY, NPZ or a folder of images.

    For a folder, the names of its files are returned too.

    Raises:
        DataError: If the input is none of these.
    """
    if source.is_dir():
        return read_all_images(source, shape)
    try:
        found = np.load(source, allow_pickle=False)
        rows = found if isinstance(found, np.ndarray) else _find_features(found)
    except (OSError, ValueError, EOFError) as error:
        reason = NOT_AN_ARRAY if "pickled" in str(error) else str(error)
        raise DataError(
            f"not readable as NPY or NPZ: {reason}. The model takes rows of shape {tuple(shape)}, "
            "from such a file or a folder of images"
        ) from None
    rows = normalize_rows(rows)
    return (reshape_rows(rows, shape) if rows.shape[1:] != tuple(shape) else rows), []


def _find_features(archive: Any) -> np.ndarray:
    with archive:
        for key in (*FEATURE_KEYS, *archive):
            if key in archive:
                found: np.ndarray = archive[key]
                return found
    raise ValueError("it holds no array")
