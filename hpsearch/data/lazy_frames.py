"""Read frames whose rows are computed or read when they are asked for, some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import DataError, first_line
from .spilled_rows import count_batch_rows

READAHEAD = {"batch_readahead": 2, "fragment_readahead": 1}  # of a dataset's files


def iter_lazy_frame(value: Any) -> Iterator[Any] | None:
    """Return the rows of a lazy frame as `pyarrow.Table`s, at least one; None: it is not lazy.

    Lazy are Arrow datasets, scanners and readers, lazy frames of Polars, DuckDB relations, and
    Hugging Face's `Dataset`, which is mapped from a file.
    """
    import pyarrow as pa

    library = type(value).__module__.partition(".")[0]
    if library == "pyarrow" and hasattr(value, "scanner"):
        value = value.scanner(batch_size=count_batch_rows(len(value.schema)), **READAHEAD)
    if library == "pyarrow" and hasattr(value, "to_reader") and not isinstance(value, pa.Table):
        return _iter_reader(value.to_reader())
    if isinstance(value, pa.RecordBatchReader):
        return _iter_reader(value)
    if library in ("duckdb", "_duckdb") and hasattr(value, "to_arrow_reader"):
        return _iter_relation(value)
    if library == "polars" and hasattr(value, "collect_batches"):
        return _iter_polars(value)
    if library == "datasets" and not isinstance(value, Mapping) and hasattr(value, "num_rows"):
        return _iter_hugging_face(value)
    return None


def _iter_reader(reader: Any) -> Iterator[Any]:
    import pyarrow as pa

    yield pa.Table.from_batches([], reader.schema)
    for batch in reader:
        yield pa.Table.from_batches([batch])


def _iter_relation(relation: Any) -> Iterator[Any]:
    """Return the rows of a relation of DuckDB.

    Raises:
        DataError: If its connection is closed, or its query fails.
    """
    try:
        yield from _iter_reader(relation.to_arrow_reader(count_batch_rows(len(relation.columns))))
    except Exception as error:  # DuckDB's own
        raise DataError(
            f"the relation cannot be computed: {type(error).__name__}: {first_line(error)}; its "
            "connection has to be open"
        ) from None


def _iter_polars(frame: Any) -> Iterator[Any]:
    is_empty = True
    n_rows = count_batch_rows(len(frame.collect_schema()))
    for batch in frame.collect_batches(chunk_size=n_rows, maintain_order=True):
        is_empty = False
        yield batch.to_arrow()
    if is_empty:
        yield frame.collect().to_arrow()


def _iter_hugging_face(dataset: Any) -> Iterator[Any]:
    tables = dataset.with_format("arrow")
    yield tables[:0]
    yield from tables.iter(count_batch_rows(len(tables.column_names)))
