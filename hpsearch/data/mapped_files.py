"""Map files whose rows do not fit in memory, of every format that holds a table.

Delimited text is read some columns at a time, so that their types are inferred from all rows, as in
memory; the other formats some rows at a time.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..spec.data_spec import DataSpec
from .address_cache import DRAFT
from .columns import Layout
from .delimited_reader import NO_ROWS, count_delimited_cells, iter_delimited
from .file_readers import READERS, find_mixed_type_columns, open_npy, read_files
from .mapped_parquet import count_parquet_cells, map_parquet_file, read_parquet_schema
from .memory_source import arrays_to_table
from .source_table import cast_to_text
from .spilled_rows import RowLimit, count_cells, gather_rows, write_arrow_file

PARQUET = (".parquet", ".pq")
FEATHER = (".feather", ".arrow")
GZIP = ".gz"
MAX_GZIP_RATIO = 1032  # of DEFLATE
MIN_CELL_BYTES = 2  # of delimited text: a character and a separator


@dataclass(frozen=True, slots=True)
class MappedFiles:
    """The mapped tables of files."""

    tables: Sequence[Any]  # a pyarrow.Table per file
    categories: tuple[str, ...]  # columns of a categorical type
    layout: Layout | None  # of the first delimited file


def count_most_cells(path: Path) -> float:
    """Return a number of cells that a file does not exceed, without reading it."""
    if path.suffix in READERS:
        return float("inf")  # a look at the file tells
    ratio = MAX_GZIP_RATIO if path.suffix == GZIP else 1
    return path.stat().st_size * ratio / MIN_CELL_BYTES


def count_file_cells(path: Path, data: DataSpec) -> float:
    """Count or estimate the cells of a file."""
    try:
        if path.suffix in PARQUET:
            return count_parquet_cells(path, frozenset(data.drop))
        if path.suffix in FEATHER:
            return _count_feather_cells(path, data.drop)
        if path.suffix in READERS:
            return float(open_npy(path).size)
        return count_delimited_cells(path, data)
    except (DataError, OSError, ValueError):
        return 0.0  # reading it tells why it cannot be read


def map_files(
    paths: Sequence[Path], data: DataSpec, text: Collection[str], limit: RowLimit
) -> MappedFiles:
    """Copy files to Arrow files of plain types, and map these.

    Args:
        paths: The files.
        data: The declaration.
        text: Columns of a text file to keep as text.
        limit: The memory for rows, and the folder of the copies, whose disk space is free again
            when the tables are.

    Raises:
        DataError: Names the file and what cannot be read.
    """
    import pyarrow as pa

    assert limit.folder is not None
    limit.folder.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=limit.folder))
    mapper = _FileMapper(draft, limit)
    try:
        tables, layout = read_files(paths, data, text, mapper.map_file)
        if layout is not None and (spelled := find_mixed_type_columns(tables)):
            again = replace(mapper, spelled=spelled, number=len(paths))
            tables, layout = read_files(paths, data, [*text, *spelled], again.map_file)
        declared = [_read_schema(path) for path in paths]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise DataError(f"not readable: {error}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # the mappings stay valid
    schemas = [found or t.schema for found, t in zip(declared, tables, strict=True)]
    return MappedFiles(tables, _find_categories(schemas), layout)


@dataclass(slots=True)
class _FileMapper:
    """Copies files to Arrow files in a folder, and maps these."""

    folder: Path
    limit: RowLimit
    spelled: Collection[str] = ()  # text columns whose whole numbers are texts too
    number: int = 0  # of the next copy

    def map_file(
        self, path: Path, data: DataSpec, text: Collection[str]
    ) -> tuple[Any, Layout | None]:
        self.number += 1
        stem = self.folder / str(self.number)
        if path.suffix in PARQUET:
            return map_parquet_file(path, stem, self.limit.drop), None
        if path.suffix in FEATHER:
            nothing = replace(self.limit, gib=0.0)
            return gather_rows(_iter_feather(path), nothing).table, None
        if path.suffix in READERS:
            return _map_groups(_iter_npy(path, self.limit.cells), stem), None
        groups, layout = iter_delimited(path, data, text, self.limit.cells, stem)
        table = _map_groups((cast_to_text(group, self.spelled) for group in groups), stem)
        if table.num_rows == 0:
            raise DataError(NO_ROWS)
        return table, layout


def _map_groups(groups: Iterator[Any], stem: Path) -> Any:
    """Map groups of columns, each in a file of its own, as one table."""
    import pyarrow as pa

    columns: dict[str, Any] = {}
    for i, group in enumerate(groups):
        part = write_arrow_file(iter([group]), stem.with_name(f"{stem.name}-{i}.arrow"))
        columns |= {name: part[name] for name in part.column_names}
    return pa.table(columns)


def _iter_npy(path: Path, max_cells: float) -> Iterator[Any]:
    array = open_npy(path)
    if array.ndim < 2:
        yield arrays_to_table(array, None, None)  # which refuses it
    size = max(1, int(max_cells / max(1, len(array))))
    names = [f"x{i}" for i in range(array.shape[1])]
    for start in range(0, len(names), size):
        part = slice(start, start + size)
        yield arrays_to_table(array[:, part], None, names[part])


def _iter_feather(path: Path) -> Iterator[Any]:
    import pyarrow as pa

    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
        for i in range(file.num_record_batches):
            yield pa.Table.from_batches([file.get_batch(i)])


def _count_feather_cells(path: Path, drop: Collection[str]) -> float:
    return sum(count_cells(table, drop) for table in _iter_feather(path))


def _read_schema(path: Path) -> Any:
    """Return the schema that a file declares; None: it declares none."""
    import pyarrow as pa

    if path.suffix in PARQUET:
        return read_parquet_schema(path)
    if path.suffix in FEATHER:
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
            return file.schema
    return None


def _find_categories(schemas: Sequence[Any]) -> tuple[str, ...]:
    """Find the columns that have one categorical type in all files."""
    import pyarrow as pa

    kinds: dict[str, set[Any]] = {}
    for schema in schemas:
        for field in schema:
            kinds.setdefault(field.name, set()).add(field.type)
    return tuple(
        name
        for name, types in kinds.items()
        if len(types) == 1 and pa.types.is_dictionary(next(iter(types)))
    )
