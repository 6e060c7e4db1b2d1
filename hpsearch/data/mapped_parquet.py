"""Map Parquet files whose rows do not fit in memory.

Each file is decoded once, some columns and rows at a time, into Arrow files of plain types, which
are mapped: a page is read from the disk when it is used, and dropped when memory is needed. The
table looks like one in memory, so the same code infers, cleans and fingerprints its columns.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from .delimited import require_unique_names
from .source_table import simplify_columns
from .spilled_rows import count_batch_rows, write_arrow_file

GROUP_COLUMNS = 64  # columns decoded at the same time, each of which holds a page
READ_BYTES = 1 << 16  # of a column, read from the file at a time


def count_parquet_cells(path: Path, drop: Collection[str]) -> float:
    """Estimate the cells of a file, lists included, from its first rows."""
    file = _open_parquet(path)
    used = set(file.schema_arrow.names) - set(drop)
    return _count_row_cells(file.metadata, used) * float(file.metadata.num_rows)


def _count_row_cells(metadata: Any, names: Collection[str]) -> float:
    """Estimate the cells of a row in some columns from the first rows."""
    if not metadata.num_row_groups:
        return 0.0
    group = metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    values = sum(c.num_values for c in columns if c.path_in_schema.split(".")[0] in names)
    cells: float = values / max(1, group.num_rows)
    return cells


def _open_parquet(path: Path) -> Any:
    from pyarrow import parquet

    return parquet.ParquetFile(path, buffer_size=READ_BYTES)


def read_parquet_schema(path: Path) -> Any:
    return _open_parquet(path).schema_arrow


def map_parquet_file(path: Path, stem: Path, drop: Collection[str]) -> Any:
    """Copy a Parquet file to Arrow files, some columns and rows at a time, and map these.

    Args:
        path: The file.
        stem: The path of the copies without suffix.
        drop: Unused columns, which are emptied if they cannot be read.

    Returns:
        A `pyarrow.Table` of plain types.
    """
    import pyarrow as pa

    file = _open_parquet(path)
    names = list(require_unique_names(file.schema_arrow.names))
    parts = []
    for start in range(0, len(names), GROUP_COLUMNS):
        batches = _read_batches(file, names[start : start + GROUP_COLUMNS], drop)
        parts.append(write_arrow_file(batches, stem.with_name(f"{stem.name}-{start}.arrow")))
    columns = {name: part[name] for part in parts for name in part.column_names}
    return pa.table(columns)


def _read_batches(file: Any, names: Sequence[str], drop: Collection[str]) -> Iterator[Any]:
    """Read some columns as tables of plain types; at least one table."""
    import pyarrow as pa

    flat: list[str] = []  # what the first rows become tells the length of lists in later ones
    n_rows = count_batch_rows(_count_row_cells(file.metadata, set(names)))
    for batch in file.iter_batches(n_rows, columns=list(names)):
        table = simplify_columns(pa.Table.from_batches([batch]), drop, flat)
        flat = table.column_names
        yield table
    if not flat:
        yield simplify_columns(file.schema_arrow.empty_table().select(list(names)), drop)
