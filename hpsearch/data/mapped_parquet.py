"""Map Parquet files whose rows do not fit in memory.

Each file is decoded once, some columns and rows at a time, into Arrow files of plain types, which
are mapped: a page is read from the disk when it is used, and dropped when memory is needed. The
table looks like one in memory, so the same code infers, cleans and fingerprints its columns.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..platforms.memory import total_memory
from .address_cache import DRAFT
from .delimited import require_unique_names
from .nested_columns import flatten_columns
from .row_store import FOLDER
from .source_table import normalize_column_types

GIB = 1 << 30
GROUP_COLUMNS = 64  # columns decoded at the same time, each of which holds a page
BATCH_ROWS = 1 << 16  # rows decoded at the same time
READ_BYTES = 1 << 16  # of a column, read from the file at a time
CELL_BYTES = 16  # memory for a cell: the table, its numbers, and their copy for the training
MEMORY_SHARE = 0.5  # of the machine, for rows; the rest is for workers and models


def measure_excess(
    paths: Sequence[Path], drop: Collection[str], memory_gib: float | None
) -> tuple[float, float] | None:
    """Compare the memory that Parquet files need with what there is for rows.

    Args:
        paths: The files.
        drop: Columns that are not read.
        memory_gib: Memory for rows; None: half of the machine's.

    Returns:
        Both in GiB; None if the rows fit.
    """
    allowed = measure_memory(memory_gib)
    needed = CELL_BYTES * sum(_count_cells(path, frozenset(drop)) for path in paths) / GIB
    return (needed, allowed) if needed > allowed else None


def measure_memory(memory_gib: float | None) -> float:
    """Return the memory for rows in GiB: what is declared, or half of the machine's."""
    return memory_gib if memory_gib is not None else MEMORY_SHARE * total_memory() / GIB


def describe_mapping(needed: float, allowed: float, cache: Path) -> str:
    """Say that rows are read from the disk."""
    shown = Path(*(cache / FOLDER).parts[-3:]).as_posix()
    return (
        f"the rows would need {needed:.3g} GiB of memory, and there are {allowed:.3g} GiB for "
        f"them: they are read from {shown} on the disk, and keras_fit trains"
    )


def write_and_map(tables: Iterator[Any], folder: Path) -> Any:
    """Write tables of the same columns to an Arrow file in a folder, and map it as one table."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=folder))
    try:
        return _write_and_map(tables, draft / "rows.arrow")
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # the mapping stays valid


def _count_cells(path: Path, drop: Collection[str]) -> float:
    """Estimate the cells of a file, lists included, from its first rows."""
    metadata = _open_parquet(path).metadata
    if not metadata.num_row_groups or not metadata.num_rows:
        return 0.0
    group = metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    values = sum(c.num_values for c in columns if c.path_in_schema.split(".")[0] not in drop)
    cells: float = values / max(1, group.num_rows) * metadata.num_rows
    return cells


def map_parquet_files(
    paths: Sequence[Path], drop: Collection[str], folder: Path
) -> tuple[list[Any], tuple[str, ...]]:
    """Copy Parquet files to Arrow files and map these.

    Args:
        paths: The files.
        drop: Unused columns, which are emptied if they cannot be read.
        folder: The folder of the copies, whose disk space is free again when the tables are.

    Returns:
        A `pyarrow.Table` of plain types per file, and the columns of a categorical type.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=folder))
    try:
        tables = [_map_file(path, draft / str(i), drop) for i, path in enumerate(paths)]
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # the mappings stay valid
    return tables, _find_categories(paths)


def _open_parquet(path: Path) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(path, buffer_size=READ_BYTES)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise DataError(f"{path.name}: not readable as parquet: {error}") from None


def _map_file(path: Path, stem: Path, drop: Collection[str]) -> Any:
    import pyarrow as pa

    file = _open_parquet(path)
    names = list(require_unique_names(file.schema_arrow.names))
    parts = []
    try:
        for start in range(0, len(names), GROUP_COLUMNS):
            batches = _read_batches(file, names[start : start + GROUP_COLUMNS], drop)
            parts.append(_write_and_map(batches, stem.with_name(f"{stem.name}-{start}.arrow")))
    except DataError as error:
        raise DataError(f"{path.name}: {error}") from None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise DataError(f"{path.name}: not readable as parquet: {error}") from None
    columns = {name: part[name] for part in parts for name in part.column_names}
    return pa.table(columns)


def _read_batches(file: Any, names: Sequence[str], drop: Collection[str]) -> Iterator[Any]:
    """Read some columns as tables of plain types; at least one table."""
    import pyarrow as pa

    def simplify(table: Any) -> Any:
        # What the first rows have become tells the length of lists in later ones.
        return normalize_column_types(flatten_columns(table, flat), drop)

    flat: list[str] = []
    for batch in file.iter_batches(BATCH_ROWS, columns=list(names)):
        table = simplify(pa.Table.from_batches([batch]))
        flat = table.column_names
        yield table
    if not flat:
        yield simplify(file.schema_arrow.empty_table().select(list(names)))


def _write_and_map(tables: Iterator[Any], path: Path) -> Any:
    import pyarrow as pa

    first = next(tables)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def _find_categories(paths: Sequence[Path]) -> tuple[str, ...]:
    """Find the columns that have one categorical type in all files."""
    import pyarrow as pa

    kinds: dict[str, set[Any]] = {}
    for path in paths:
        for field in _open_parquet(path).schema_arrow:
            kinds.setdefault(field.name, set()).add(field.type)
    return tuple(
        name
        for name, types in kinds.items()
        if len(types) == 1 and pa.types.is_dictionary(next(iter(types)))
    )
