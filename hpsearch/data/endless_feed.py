"""Refuse batches that never end, if their number is unknown.

Rows that begin again with the first ones are found after one more window of rows. Those that are
shuffled at each repetition are only found by their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ..errors import DataError
from .batch_parts import Batch
from .row_hashes import hash_rows

WINDOW = 1024  # rows that have to be equal to the first ones
MIN_DISTINCT = 32  # rows of a window; fewer may be equal by chance
MAX_ROWS = 10_000_000
TELL_END = (
    "remove repeat(), limit it with take(n), or tell its end with assert_cardinality(n), or "
    "__len__, if all rows are meant"
)


def refuse_endless(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield the batches of a feed whose length is unknown.

    Raises:
        DataError: If the rows begin again, or there are more than `MAX_ROWS`.
    """
    first = recent = np.empty(0, np.uint64)  # hashes of rows
    n_rows = 0
    for batch in batches:
        hashes = hash_rows(batch.table, batch.array)
        n_rows += len(hashes)
        first = np.concatenate([first, hashes[: WINDOW - len(first)]])
        recent = np.concatenate([recent, hashes])
        if (start := _find_window(recent, first, is_begin=len(recent) == n_rows)) is not None:
            period = n_rows - len(recent) + start
            raise DataError(f"the rows repeat after {period:,}, so it may not end: {TELL_END}")
        if n_rows > MAX_ROWS:
            raise DataError(f"more than {MAX_ROWS:,} rows, so it may not end: {TELL_END}")
        yield batch
        recent = recent[-WINDOW:]


def _find_window(recent: np.ndarray, first: np.ndarray, *, is_begin: bool) -> int | None:
    """Return where the window `first` begins in `recent` rows, after the first row of all."""
    if len(first) < WINDOW or len(np.unique(first)) < MIN_DISTINCT:
        return None
    starts = np.flatnonzero(recent[: len(recent) - WINDOW + 1] == first[0])
    same = (s for s in starts.tolist() if np.array_equal(recent[s : s + WINDOW], first))
    return next((start for start in same if start or not is_begin), None)
