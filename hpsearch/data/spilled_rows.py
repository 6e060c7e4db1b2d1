"""Gather rows that arrive some at a time: in memory, or mapped from the disk if they exceed it.

Until the limit is exceeded the tables are kept as they are. Then all of them go to Arrow files, as
they arrive. After the last one their common types are known: the rows are converted to plain types,
some at a time, into a file that is mapped. Its pages are read from the disk when they are used, and
dropped when memory is needed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..platforms.memory import total_memory
from ..spec.data_spec import DataSpec
from .address_cache import DRAFT
from .row_store import FOLDER
from .source_table import SourceTable, flatten_used, simplify_columns
from .table_union import unite_tables

GIB = 1 << 30
CELL_BYTES = 16  # memory for a cell: the table, its numbers, and their copy for the training
VALUE_BYTES = 8  # of a value in a nested column
MEMORY_SHARE = 0.5  # of the machine, for rows; the rest is for workers and models
BATCH_ROWS = 1 << 16  # rows read at the same time, fewer of many columns
BATCH_CELLS = 1 << 21  # 16 MiB of numbers


@dataclass(frozen=True, slots=True)
class RowLimit:
    """The memory for rows, and the folder of those that exceed it."""

    gib: float
    folder: Path | None = None  # None: all rows are kept in memory
    drop: Collection[str] = ()  # unused columns

    @property
    def cells(self) -> float:
        """The cells that fit in memory."""
        return self.gib * GIB / CELL_BYTES


def make_row_limit(data: DataSpec, folder: Path | None) -> RowLimit:
    """Return the declared memory for rows, by default half of the machine's."""
    gib = data.memory_gib if data.memory_gib is not None else MEMORY_SHARE * total_memory() / GIB
    return RowLimit(gib, folder, frozenset(data.drop))


@dataclass(frozen=True, slots=True)
class GatheredRows:
    """Rows in memory, or mapped from the disk."""

    table: Any  # pyarrow.Table; of plain types if it is mapped
    categories: tuple[str, ...] = ()  # mapped columns that had a categorical type
    note: str = ""  # for the user, if the rows are mapped

    def add_to(self, source: SourceTable) -> SourceTable:
        """Return the source with these rows."""
        source = replace(source, table=self.table)
        if not self.note:
            return source
        notes = (self.note, *source.notes)
        return replace(source, categories=self.categories, notes=notes, is_mapped=True)


def gather_rows(tables: Iterable[Any], limit: RowLimit) -> GatheredRows:
    """Gather the tables of a source, in their order.

    Args:
        tables: `pyarrow.Table`s, whose types may widen from one to the next.
        limit: The memory for rows. Rows beyond it go to the folder as soon as it is exceeded.

    Raises:
        DataError: If the tables do not fit together, or a column on the disk cannot be read.
    """
    held: list[Any] = []
    n_cells = 0.0
    with ExitStack() as stack:
        spill: _Spill | None = None
        for table in tables:
            n_cells += count_cells(table, limit.drop)
            if spill is None and limit.folder is not None and n_cells > limit.cells:
                spill = stack.enter_context(_Spill(limit.folder, limit.drop))
                for earlier in held:
                    spill.add(earlier)
                held.clear()
            if spill is None:
                held.append(table)
            else:
                spill.add(table)
        if spill is None:
            return GatheredRows(_join_tables(held, limit.drop))
        table, categories = spill.map_rows()
    return GatheredRows(table, categories, describe_excess(n_cells, limit))


def count_batch_rows(row_cells: float) -> int:
    """Count the rows that are read at the same time, each of this number of cells."""
    return int(max(1, min(BATCH_ROWS, BATCH_CELLS // max(1, row_cells))))


def describe_excess(n_cells: float, limit: RowLimit) -> str:
    """Describe in a note why rows are on the disk, and where."""
    assert limit.folder is not None
    shown = Path(*(limit.folder / FOLDER).parts[-3:]).as_posix()
    return (
        f"the rows would need {CELL_BYTES * n_cells / GIB:.3g} GiB of memory, and there are "
        f"{limit.gib:.3g} GiB for them: they are stored in {shown} and streamed from the disk "
        "while networks train"
    )


def count_cells(table: Any, drop: Collection[str] = ()) -> float:
    """Count the cells of a table, each value of a nested column as one."""
    from pyarrow import types

    cells = 0.0
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name not in drop:
            is_nested = types.is_nested(column.type)
            cells += max(len(column), column.nbytes / VALUE_BYTES) if is_nested else len(column)
    return cells


def write_arrow_file(tables: Iterator[Any], path: Path) -> Any:
    """Write tables of one schema to an Arrow file, at least one; return it as one mapped table."""
    import pyarrow as pa

    first = next(tables)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def _join_tables(tables: list[Any], drop: Collection[str]) -> Any:
    import pyarrow as pa

    if not tables:
        return pa.table({})
    if all(table.schema.equals(tables[0].schema) for table in tables):
        return pa.concat_tables(tables)
    return unite_tables(tables, _name_parts(table.num_rows for table in tables), drop)[0]


def _name_parts(sizes: Iterable[int]) -> list[str]:
    """Name tables by their first row."""
    names, first = [], 1
    for size in sizes:
        names.append(f"rows from {first:,}")
        first += size
    return names


@dataclass(slots=True)
class _Part:
    """Consecutive tables of one schema, in one file."""

    path: Path
    schema: Any
    n_rows: int = 0


@dataclass(slots=True)
class _Spill:
    """Tables on the disk, as they were read; the files are deleted at the end."""

    parent: Path
    drop: Collection[str]
    _folder: Path = field(init=False)
    _parts: list[_Part] = field(default_factory=list)
    _open: ExitStack = field(default_factory=ExitStack)
    _writer: Any = None

    def __enter__(self) -> _Spill:
        self.parent.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix=DRAFT, dir=self.parent))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        shutil.rmtree(self._folder, ignore_errors=True)  # the mappings stay valid

    def add(self, table: Any) -> None:
        """Write a table; one of another schema begins another file."""
        import pyarrow as pa

        if not self._parts or not table.schema.equals(self._parts[-1].schema):
            self._open.close()
            path = self._folder / f"read-{len(self._parts)}.arrows"
            self._parts.append(_Part(path, table.schema))
            sink = self._open.enter_context(pa.OSFile(str(path), "wb"))
            self._writer = self._open.enter_context(pa.ipc.new_stream(sink, table.schema))
        self._writer.write_table(table, max_chunksize=count_batch_rows(table.num_columns))
        self._parts[-1].n_rows += table.num_rows

    def map_rows(self) -> tuple[Any, tuple[str, ...]]:
        """Convert all rows to plain types, and map them.

        Returns:
            A `pyarrow.Table`, and the columns that had a categorical type.
        """
        import pyarrow as pa

        self._open.close()
        names = _name_parts(part.n_rows for part in self._parts)
        empties = [pa.Table.from_batches([], part.schema) for part in self._parts]
        empty, _ = unite_tables(empties, names, self.drop)
        first = self._flatten_first(empty, names)
        plain = (
            simplify_columns(table, self.drop, first.column_names)
            for table in self._iter_tables(empty, names)
        )
        table = write_arrow_file(plain, self._folder / "rows.arrow")
        coded = (f.name for f in first.schema if str(f.type).startswith("dictionary"))
        return table, tuple(coded)

    def _iter_tables(self, empty: Any, names: list[str]) -> Iterator[Any]:
        """Read the tables, each with the columns and types of `empty`."""
        import pyarrow as pa

        for part, name in zip(self._parts, names, strict=True):
            with pa.memory_map(str(part.path)) as source, pa.ipc.open_stream(source) as reader:
                for batch in reader:
                    table = pa.Table.from_batches([batch])
                    if not table.schema.equals(empty.schema):
                        both = ["the rows before", name]
                        table, _ = unite_tables([empty, table], both, self.drop)
                    yield table

    def _flatten_first(self, empty: Any, names: list[str]) -> Any:
        """Flatten the first table whose cells tell the length of every list."""
        error: DataError | None = None
        for table in self._iter_tables(empty, names):
            try:
                return flatten_used(table, self.drop)
            except DataError as found:
                error = error or found
        if error is not None:
            raise error
        return flatten_used(empty, self.drop)
