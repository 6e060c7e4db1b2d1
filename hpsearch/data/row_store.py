"""Cleaned rows on disk, for data that do not fit in memory.

A store holds the development rows twice: column by column, to fit statistics, and row by row, to
train; and the locked rows. It is named by a digest of the data, the columns and the rows, so a
resumed study finds it. Arrays are mapped read-only, also by workers.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..spec.data_spec import DataSpec
from .address_cache import DRAFT
from .schema import Schema

FOLDER = "rows"  # below the folder of copies
MAX_STORES = 3  # those used least recently are removed
PART_BYTES = 1 << 23  # cleaned at a time
KEY_LENGTH = 16
ARRAYS = ("columns", "features", "locked")


@dataclass(frozen=True, slots=True)
class StoredRows:
    """The mapped arrays of a store."""

    columns: np.ndarray  # (n_development, n_cleaned) float32, contiguous by column
    features: np.ndarray  # (n_development, n_features) float32, contiguous by row
    locked: np.ndarray  # (n_locked, n_cleaned) float32


def store_rows(
    schema: Schema,
    table: Any,
    development: np.ndarray,
    locked: np.ndarray,
    *,
    fingerprint: str,
    folder: Path,
) -> StoredRows:
    """Clean a table some rows at a time, and store development and locked rows.

    Args:
        schema: The columns.
        table: All rows, a `pyarrow.Table`.
        development: Indices of the development rows, in their order.
        locked: Indices of the locked rows, in their order.
        fingerprint: Of the data.
        folder: The folder of the stores.

    Raises:
        DataError: As `Schema.clean`.
    """
    path = folder / _make_key(schema, development, locked, fingerprint)
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=folder))
        try:
            _write_arrays(schema, table, development, locked, draft)
            with suppress(OSError):  # another study has just stored the same rows
                draft.rename(path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    os.utime(path)
    for old in list_stores(folder)[MAX_STORES:]:
        shutil.rmtree(old, ignore_errors=True)
    return StoredRows(*(np.load(path.resolve() / f"{name}.npy", mmap_mode="r") for name in ARRAYS))


def refuse_unstored(data: DataSpec) -> None:
    """Refuse what needs all rows in memory.

    Raises:
        DataError: Names it.
    """
    images = [name for name, column in data.columns.items() if column.kind == "image"]
    needs = {
        "data.windows": data.windows is not None,
        "data.forecast": data.forecast is not None,
        "data.shape": data.shape is not None,
        "data.test_source": data.test_source is not None,
        f"data.columns.{images[0]}.kind: image" if images else "": bool(images),
    }
    if found := [key for key, is_used in needs.items() if is_used]:
        raise DataError(
            f"the rows do not fit in memory, and {' and '.join(found)} needs them there: leave it "
            "out, give fewer rows, or allow more memory with data.memory_gib"
        )


def list_stores(folder: Path) -> list[Path]:
    """List the stores of a folder, those used most recently first, and what writers have left."""
    return sorted(folder.glob("*/"), key=lambda path: path.stat().st_mtime, reverse=True)


def _make_key(schema: Schema, development: np.ndarray, locked: np.ndarray, fingerprint: str) -> str:
    known = [fingerprint, schema.to_json(), metadata.version("hpsearch")]
    digest = hashlib.sha256(json.dumps(known).encode())
    for rows in (development, locked):
        digest.update(np.ascontiguousarray(rows, np.int64).data)
    return digest.hexdigest()[:KEY_LENGTH]


def _write_arrays(
    schema: Schema, table: Any, development: np.ndarray, locked: np.ndarray, folder: Path
) -> None:
    (n_cleaned,), n_features = schema.input_shape, len(schema.feature_names)
    columns = _create_array(folder / "columns.npy", (len(development), n_cleaned), by_column=True)
    features = _create_array(folder / "features.npy", (len(development), n_features))
    test = _create_array(folder / "locked.npy", (len(locked), n_cleaned))
    developed, tested = (_invert(rows, table.num_rows) for rows in (development, locked))
    for start, cleaned in _clean_parts(schema, table):
        part = slice(start, start + len(cleaned))
        here, slots = _find_slots(developed[part])
        rows = cleaned[here]
        columns[slots] = rows
        features[slots] = schema.expand(rows)
        here, slots = _find_slots(tested[part])
        test[slots] = cleaned[here]
    for array in (columns, features, test):
        if isinstance(array, np.memmap):
            array.flush()


def _create_array(path: Path, shape: tuple[int, int], *, by_column: bool = False) -> np.ndarray:
    if 0 in shape:  # which cannot be mapped
        empty = np.empty(shape, np.float32)
        np.save(path, empty)
        return empty
    made: np.ndarray = np.lib.format.open_memmap(
        path, "w+", np.float32, shape, fortran_order=by_column
    )
    return made


def _invert(rows: np.ndarray, n_rows: int) -> np.ndarray:
    """Return the position of each row of the table among `rows`; -1: it is not among them."""
    positions = np.full(n_rows, -1, np.int64)
    positions[rows] = np.arange(len(rows))
    return positions


def _find_slots(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray | slice]:
    """Return which rows of a part are stored, and where; rows in order are one slice."""
    here = np.flatnonzero(positions >= 0)
    slots = positions[here]
    if len(slots) and (np.diff(slots) == 1).all():
        return here, slice(int(slots[0]), int(slots[-1]) + 1)
    return here, slots


def _clean_parts(schema: Schema, table: Any) -> Iterator[tuple[int, np.ndarray]]:
    """Clean the table some rows at a time; yields the first row of each part."""
    size = max(1, PART_BYTES // (4 * len(schema.feature_names)))
    for start in range(0, table.num_rows, size):
        try:
            yield start, schema.clean(table.slice(start, size))
        except DataError:
            for column in schema.columns:  # whose message tells the row in the whole table
                replace(schema, columns=(column,)).clean(table)
            raise
