"""A digest of every cell, name and type of a table, independent of how it was chunked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np


def fingerprint(tables: Iterable[Any], arrays: Iterable[np.ndarray] = ()) -> str:
    """Compute the SHA-256 of the tables' names, types and cells, as 64 hexadecimal digits.

    Args:
        tables: `pyarrow.Table`s of plain types: development rows, then locked rows if they
            come from another table. The order of rows and columns matters.
        arrays: The rows that are arrays, one entry per table.
    """
    digest = hashlib.sha256()
    for table in tables:
        digest.update(f"table {table.num_rows}\n".encode())
        for name in table.column_names:
            column = table[name]
            digest.update(f"{len(name.encode())} {name} {_format_type(column.type)}\n".encode())
            _hash_column(digest, column)
    for array in arrays:
        digest.update(f"array {array.shape} {array.dtype}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _format_type(kind: Any) -> str:
    return {"large_string": "string", "string_view": "string"}.get(str(kind), str(kind))


def _hash_column(digest: Any, column: Any) -> None:
    """Hash the mask of missing cells, then every cell, independent of chunk borders."""
    import pyarrow as pa
    import pyarrow.compute as pc

    digest.update(np.packbits(_to_contiguous(pc.is_null(column))))
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.string())
    known = column.drop_null()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        digest.update(_to_contiguous(pc.cast(pc.binary_length(known), pa.int64())))
        for chunk in known.chunks:
            digest.update("".join(chunk.to_pylist()).encode())
    elif pa.types.is_fixed_size_binary(column.type):  # pixels
        for chunk in known.chunks:
            width = column.type.byte_width
            digest.update(chunk.buffers()[1][chunk.offset * width :][: len(chunk) * width])
    elif not pa.types.is_null(column.type):
        digest.update(_to_contiguous(known))


def _to_contiguous(column: Any) -> np.ndarray:
    return np.ascontiguousarray(column.to_numpy())
