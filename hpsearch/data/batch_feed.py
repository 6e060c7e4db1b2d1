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
from .arrays import normalize_rows, to_array
from .batch_parts import Batch, BatchReader, convert_inputs
from .endless_feed import refuse_endless
from .memory_source import collect_frame, is_spark_frame, open_memory
from .row_hashes import sort_by_content
from .source_table import SourceTable, normalize_source
from .spark_frames import read_spark_frame
from .spilled_rows import CELL_BYTES, GIB, RowLimit, gather_rows, make_row_limit

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
        value: What `open_memory` reads, a DataFrame of Spark, batches, or what `fit` takes: (x, y)
            with named arrays in x, or (x, y, sample_weight).
        data: The declaration.
        name: The name of the source.
        cache: The folder for rows that exceed the memory; None: these are refused.

    Raises:
        DataError: If the value is neither, or with the number of a batch that cannot be used.
    """
    if is_spark_frame(value):
        return read_spark_frame(value, data, name, cache)
    if _is_keras_arguments(value):
        return _read_arguments(tuple(value), data, name)
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
    if count is None:
        batches = refuse_endless(batches)
    first = next(batches, None)
    if first is None:
        raise DataError("there are no rows")
    again = BatchReader(data).read(_iterate(value), are_batches=are_batches)
    is_shuffled = not _starts_alike(first, next(again, None))
    reason = _find_memory_reason(first, is_known=count is not None, is_shuffled=is_shuffled)
    limit = make_row_limit(data, None if reason else cache)
    batches = chain([first], batches)
    if limit.folder is not None:
        rows = gather_rows((batch.table for batch in batches), limit)
        return rows.add_to(reader.make_source(name, rows.table))
    return _read_into_memory(batches, reader, name, limit, reason, is_shuffled=is_shuffled)


def _is_keras_arguments(value: Any) -> bool:
    """Whether a value is (x, y) with a dict of arrays as x, or (x, y, sample_weight)."""
    if not isinstance(value, tuple | list) or len(value) not in (2, 3):
        return False
    if isinstance(value[0], Mapping):
        return True
    return len(value) == 3 and isinstance(value[0], np.ndarray)


def _read_arguments(arguments: tuple[Any, ...], data: DataSpec, name: str) -> SourceTable:
    """Convert the arguments of `fit` to a table, as one batch."""
    reader = BatchReader(data)
    try:
        (batch,) = reader.read(iter([arguments]), are_batches=True)
    except DataError as error:
        raise DataError(str(error).removeprefix("batch 1: ")) from None
    return reader.make_source(name, batch.table, batch.array)


def _find_memory_reason(first: Batch, *, is_known: bool, is_shuffled: bool) -> str:
    """Explain why the rows have to fit in memory; empty: they need not."""
    if not is_known:
        return "it is not known where they end (take(n) or assert_cardinality(n) tells it)"
    if is_shuffled:
        return "they come in another order at each reading (remove the shuffling)"
    return "" if first.array is None else "they are arrays"


def iter_inputs(value: Any) -> Iterator[Any]:
    """Iterate over the inputs of batches, in their order, for predictions; see `convert_inputs`.

    Raises:
        DataError: With the number of a batch that cannot be read.
    """
    _count_elements(value)
    for number, element in enumerate(_iterate(value), 1):
        yield convert_inputs(element, f"batch {number}")


def to_named_rows(value: Any) -> Any:
    """Convert rows for a prediction as a study's rows are: an array has the columns x0, x1, ….

    Frames are collected; arrays of more dimensions and mappings of columns stay.

    Raises:
        DataError: If the value is an array of one row.
    """
    value = collect_frame(value)
    is_array = isinstance(value, list) or (hasattr(value, "dtype") and hasattr(value, "ndim"))
    if not is_array or hasattr(value, "iloc"):
        return value
    return convert_inputs(to_array(value, "X"), "X")


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


def _read_into_memory(
    batches: Iterable[Batch],
    reader: BatchReader,
    name: str,
    limit: RowLimit,
    reason: str,
    *,
    is_shuffled: bool,
) -> SourceTable:
    """Join all batches.

    Raises:
        DataError: If they exceed the memory for rows, with the reason why they have to fit.
    """
    import pyarrow as pa

    held: list[Batch] = []
    n_bytes = 0
    for batch in batches:
        held.append(batch)
        n_bytes += batch.table.num_rows * batch.table.num_columns * CELL_BYTES
        n_bytes += 0 if batch.array is None else 2 * batch.array.nbytes
        if n_bytes > limit.gib * GIB:
            n_rows = sum(each.table.num_rows for each in held)
            raise DataError(
                f"the first {n_rows} rows need {n_bytes / GIB:.3g} GiB, and there are "
                f"{limit.gib:.3g} GiB for rows; they are not read from the disk"
                f"{f', as {reason}' if reason else ''}: give fewer rows, or allow more memory with "
                "data.memory_gib"
            )
    table = pa.concat_tables([each.table for each in held]).combine_chunks()
    parts = [each.array for each in held if each.array is not None]
    array = normalize_rows(np.concatenate(parts)) if parts else None
    if not is_shuffled:
        return reader.make_source(name, table, array)
    order = sort_by_content(table, array)
    note = "the batches come in another order at each reading: rows are sorted by their contents"
    rows = None if array is None else array[order]
    return reader.make_source(name, table.take(order), rows, [note])
