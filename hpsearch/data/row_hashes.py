"""Hash the rows of a table, and order them by their contents."""

from __future__ import annotations

from typing import Any

import numpy as np


def hash_rows(table: Any, array: np.ndarray | None = None) -> np.ndarray:
    """Hash the contents of rows, (n,) uint64.

    Args:
        table: A `pyarrow.Table`.
        array: More of each row, (n, *shape).
    """
    from pandas.util import hash_pandas_object

    frame = table.to_pandas()
    if array is not None:
        frame = frame.assign(**{"": [row.tobytes() for row in array]})
    hashes: np.ndarray = hash_pandas_object(frame, index=False).to_numpy()
    return hashes


def sort_by_content(table: Any, array: np.ndarray | None = None) -> np.ndarray:
    """Return an order of the rows that depends on their contents alone; see `hash_rows`."""
    return np.argsort(hash_rows(table, array), kind="stable")
