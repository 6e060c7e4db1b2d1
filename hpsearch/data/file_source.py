"""Read files, folders and globs: into memory, or mapped from the disk if they exceed it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..spec.data_spec import DataSpec
from .file_readers import (
    DELIMITED_SUFFIXES,
    READERS,
    find_mixed_type_columns,
    read_files,
    read_into_memory,
)
from .images import is_image_folder, read_class_folders
from .mapped_files import count_file_cells, count_most_cells, map_files
from .memory_source import resolve_target_names
from .npz_source import read_npz
from .partitions import DataFile, add_partition_columns, find_data_files
from .source_table import SourceTable, cast_to_text
from .spilled_rows import describe_excess, make_row_limit
from .table_union import unite_tables


@dataclass(frozen=True, slots=True)
class Reading:
    """Options for reading the sources of a declaration."""

    data: DataSpec
    folder: Path  # base of relative paths
    text: Collection[str]  # columns of a text file to keep as text
    pinned: Mapping[str, str]  # versions that an earlier run has read, by location
    cache: Path | None  # the copies of addresses; None: they are deleted when they are read


def open_files(location: str, reading: Reading) -> SourceTable:
    """Read the files of a path, a folder or a glob, with columns of any type.

    Raises:
        DataError: If there is none, or they do not fit together.
    """
    import pyarrow as pa

    data, folder, text = reading.data, reading.folder, reading.text
    whole = folder / Path(location).expanduser()
    if is_image_folder(whole):
        images, classes = read_class_folders(whole, data.image_size)
        targets = resolve_target_names(np.asarray(classes), data)
        return SourceTable(whole.name, pa.table({targets[0]: classes}), targets, array=images)
    files = find_data_files(location, folder, (*READERS, *DELIMITED_SUFFIXES))
    paths = [file.path for file in files]
    name = paths[0].name.partition(".")[0] if len(paths) == 1 else whole.parent.name
    name = whole.name if whole.is_dir() else name
    if paths[0].suffix == ".npz":
        return read_npz(paths[0], data)
    if (excess := _measure_excess(paths, reading)) is not None:
        return _map_files(name, files, whole, reading, excess)
    tables, layout = read_files(paths, data, text, read_into_memory)
    if layout is not None and (spelled := find_mixed_type_columns(tables)):
        tables, layout = read_files(paths, data, [*text, *spelled], read_into_memory)
        tables = [cast_to_text(table, spelled) for table in tables]
    tables = add_partition_columns(tables, files, text)
    return replace(_unite_files(name, tables, paths, whole, data), layout=layout)


def _map_files(
    name: str, files: Sequence[DataFile], whole: Path, reading: Reading, n_cells: float
) -> SourceTable:
    """Map files that exceed the memory for rows."""
    paths = [file.path for file in files]
    limit = make_row_limit(reading.data, reading.cache)
    mapped = map_files(paths, reading.data, reading.text, limit)
    tables = add_partition_columns(mapped.tables, files, reading.text)
    source = _unite_files(name, tables, paths, whole, reading.data)
    notes = (describe_excess(n_cells, limit), *source.notes)
    return replace(
        source, layout=mapped.layout, categories=mapped.categories, notes=notes, is_mapped=True
    )


def _measure_excess(paths: Sequence[Path], reading: Reading) -> float | None:
    """Return the cells of the files if they exceed the memory for rows; None: they fit."""
    if reading.cache is None:
        return None
    limit = make_row_limit(reading.data, reading.cache)
    if sum(map(count_most_cells, paths)) <= limit.cells:
        return None
    n_cells = sum(count_file_cells(path, reading.data) for path in paths)
    return n_cells if n_cells > limit.cells else None


def _unite_files(
    name: str, tables: Sequence[Any], paths: Sequence[Path], whole: Path, data: DataSpec
) -> SourceTable:
    table, notes = unite_tables(tables, [_shorten_path(p, whole) for p in paths], data.drop)
    if table.num_rows == 0:
        raise DataError("there are no rows")
    _require_targets_everywhere(tables, paths, data)
    return SourceTable(name, table, notes=notes)


def _shorten_path(path: Path, whole: Path) -> str:
    return path.relative_to(whole).as_posix() if path.is_relative_to(whole) else path.name


def _require_targets_everywhere(
    tables: Sequence[Any], paths: Sequence[Path], data: DataSpec
) -> None:
    """Refuse a file without the target, if others have it."""
    for target in data.targets:
        held = [target in table.column_names for table in tables]
        if any(held) and not all(held):
            raise DataError(f"{paths[held.index(False)].name} has no column {target!r}, the target")
