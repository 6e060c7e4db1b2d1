"""Read rows from batches, as Keras's `fit` takes them.

Read are `tf.data.Dataset`, `keras.utils.PyDataset`, grain's data sets and loaders, torch's
`DataLoader`, and other objects that can be iterated again. The libraries are not imported. Batches
are read once, and become the same table as arrays do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..spec.data_spec import DataSpec
from .arrays import normalize_rows
from .batch_parts import Batch, BatchReader
from .memory_source import open_memory
from .source_table import SourceTable, normalize_source
from .spilled_rows import CELL_BYTES, GIB, describe_mapping, measure_memory, write_and_map

LIBRARIES = {"grain", "torch"}
# What frames and arrays have, which other functions read.
FRAME_ATTRIBUTES = ("iloc", "columns", "column_names", "to_table", "dtype", "__arrow_c_stream__")
INFINITE = -1  # `tf.data.INFINITE_CARDINALITY`
MAX_ELEMENTS = 1 << 40
ENDLESS = "it is infinite: remove repeat(), or limit it with take(n)"


def source_from_memory(value: Any, data: DataSpec, cache: Path | None = None) -> SourceTable:
    """Convert rows in memory or batches to a table of plain types; see `open_rows`."""
    return normalize_source(open_rows(value, data, cache=cache), data.drop)


def open_rows(
    value: Any, data: DataSpec, name: str = "memory", cache: Path | None = None
) -> SourceTable:
    """Convert rows in memory or batches to a table.

    Args:
        value: What `open_memory` reads, or batches.
        data: The declaration.
        name: The name of the source.
        cache: The folder for rows that exceed the memory; None: these are refused.

    Raises:
        DataError: If the value is neither, or with the number of a batch that cannot be used.
    """
    if not is_feed(value):
        return open_memory(value, data, name, cache)
    if isinstance(value, Iterator):
        raise DataError(
            f"a {type(value).__name__} can be read only once: give an object that starts again at "
            "each iteration, such as tf.data.Dataset.from_generator"
        )
    count = _count_elements(value)
    reader = BatchReader(data)
    are_batches = hasattr(value, "num_batches") or "torch" in _list_libraries(value)
    batches = reader.read(_iterate(value), are_batches=are_batches)
    first = next(batches, None)
    if first is None:
        raise DataError("there are no rows")
    again = BatchReader(data).read(_iterate(value), are_batches=are_batches)
    is_shuffled = not _starts_alike(first, next(again, None))
    collected = _Collection(data, reader, cache if count is not None else None, is_shuffled)
    return collected.collect(chain([first], batches), name)


def is_feed(value: Any) -> bool:
    """Whether a value is iterated for batches."""
    if hasattr(value, "as_numpy_iterator") or hasattr(value, "num_batches"):
        return True
    if isinstance(value, str | bytes | Mapping | Sequence | Set):
        return False
    if hasattr(value, "__iter__") and _list_libraries(value) & LIBRARIES:
        return not hasattr(value, "dtype")
    return hasattr(value, "__iter__") and not any(hasattr(value, n) for n in FRAME_ATTRIBUTES)


def _list_libraries(value: Any) -> set[str]:
    return {base.__module__.partition(".")[0] for base in type(value).__mro__}


def _count_elements(value: Any) -> int | None:
    """Return the number of elements; None: it is unknown before they are read.

    Raises:
        DataError: If there is no end.
    """
    if hasattr(value, "cardinality"):
        count = int(value.cardinality())
        if count == INFINITE:
            raise DataError(ENDLESS)
        return count if count >= 0 else None
    if hasattr(value, "num_batches"):
        if value.num_batches is None:
            raise DataError("it is infinite: its __len__ has to return a number of batches")
        return int(value.num_batches)
    try:
        count = len(value)
    except TypeError:
        return None
    if count > MAX_ELEMENTS:  # grain's repeat() divides sys.maxsize by the size of a batch
        raise DataError(ENDLESS)
    return count


def _iterate(value: Any) -> Iterator[Any]:
    """Iterate over the elements.

    Raises:
        DataError: With the number of the element at which the pipeline raised.
    """
    if hasattr(value, "as_numpy_iterator"):
        elements: Iterable[Any] = value.as_numpy_iterator()
    elif hasattr(value, "num_batches"):
        elements = (value[i] for i in range(value.num_batches))
    else:
        elements = value
    number = 1
    try:
        for element in elements:
            yield element
            number += 1
    except DataError:
        raise
    except Exception as error:
        text = str(error).partition("\n")[0]
        raise DataError(f"batch {number}: it raised {type(error).__name__}: {text}") from error


def _starts_alike(first: Batch, again: Batch | None) -> bool:
    """Whether a second reading begins with the same rows."""
    if again is None or not first.table.equals(again.table):
        return False
    if first.array is None or again.array is None:
        return first.array is again.array
    return np.array_equal(first.array, again.array, equal_nan=first.array.dtype.kind == "f")


class _Collection:
    """Batches in memory or, if they exceed it, on disk."""

    def __init__(
        self, data: DataSpec, reader: BatchReader, cache: Path | None, is_shuffled: bool
    ) -> None:
        """Collect nothing yet.

        Args:
            data: The declaration.
            reader: The reader of the batches, which knows their columns.
            cache: The folder for rows that exceed the memory; None: these are refused.
            is_shuffled: Whether the rows have another order at each reading.
        """
        self._reader = reader
        self._cache = cache
        self._is_shuffled = is_shuffled
        self._allowed = measure_memory(data.memory_gib)
        self._batches: list[Batch] = []
        self._bytes = 0

    def collect(self, batches: Iterator[Batch], name: str) -> SourceTable:
        """Read all batches."""
        for batch in batches:
            self._batches.append(batch)
            table, array = batch.table, batch.array
            self._bytes += table.num_rows * table.num_columns * CELL_BYTES
            self._bytes += 0 if array is None else 2 * array.nbytes
            if self._bytes > self._allowed * GIB:
                return self._map(batches, name)
        return self._keep(name)

    def _keep(self, name: str) -> SourceTable:
        import pyarrow as pa

        table = pa.concat_tables([b.table for b in self._batches]).combine_chunks()
        parts = [b.array for b in self._batches if b.array is not None]
        array = normalize_rows(np.concatenate(parts)) if parts else None
        self._batches = []
        if self._is_shuffled:
            order = _sort_by_content(table, array)
            table, array = table.take(order), None if array is None else array[order]
        notes = (
            ["the batches come in another order at each reading: rows are sorted by their contents"]
            if self._is_shuffled
            else []
        )
        return self._reader.make_source(name, table, array, notes)

    def _map(self, rest: Iterator[Batch], name: str) -> SourceTable:
        """Write what has been read and the rest to an Arrow file, which is mapped."""
        n_rows = sum(b.table.num_rows for b in self._batches)
        reasons = {
            "it is not known where they end (take(n) or assert_cardinality(n) tells it)": (
                self._cache is None
            ),
            "they come in another order at each reading (remove the shuffling)": self._is_shuffled,
            "they are arrays": self._batches[0].array is not None,
        }
        if reason := next((text for text, applies in reasons.items() if applies), None):
            raise DataError(
                f"the first {n_rows} rows need {self._bytes / GIB:.3g} GiB, and there are "
                f"{self._allowed:.3g} GiB for rows; they are not read from the disk, as {reason}: "
                "give fewer rows, or allow more memory with data.memory_gib"
            )
        assert self._cache is not None
        tables = (b.table for b in chain(self._batches, rest))
        table = write_and_map(tables, self._cache)
        needed = table.num_rows * table.num_columns * CELL_BYTES / GIB
        note = describe_mapping(needed, self._allowed, self._cache)
        return self._reader.make_source(name, table, None, [note], is_mapped=True)


def _sort_by_content(table: Any, array: np.ndarray | None) -> np.ndarray:
    """Return an order of the rows that depends on their contents alone."""
    from pandas.util import hash_pandas_object

    frame = table.to_pandas()
    if array is not None:
        frame = frame.assign(**{"": [row.tobytes() for row in array]})
    return np.argsort(hash_pandas_object(frame, index=False).to_numpy(), kind="stable")
