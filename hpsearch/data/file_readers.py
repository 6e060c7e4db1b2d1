"""Read the formats of files that hold a table: Parquet, Feather, NumPy's, and delimited text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..spec.data_spec import DataSpec
from .columns import Layout
from .delimited_reader import read_delimited
from .memory_source import arrays_to_table

FileReader = Callable[[Path, DataSpec, Collection[str]], tuple[Any, Layout | None]]


def read_files(
    paths: Sequence[Path], data: DataSpec, text: Collection[str], read_file: FileReader
) -> tuple[list[Any], Layout | None]:
    """Read several files; returns their tables, and the layout of the first delimited one.

    Raises:
        DataError: Names the file that cannot be read, or has another header than the first.
    """
    read = [_read_named(path, data, text, read_file, alone=len(paths) == 1) for path in paths]
    delimited = [i for i, (_, layout) in enumerate(read) if layout is not None]
    if delimited:  # which has no types of its own: a differing header is a mistake
        for path, (table, _) in zip(paths, read, strict=True):
            if table.column_names != read[0][0].column_names:
                raise DataError(f"{path.name} has other columns than {paths[0].name}")
    return [table for table, _ in read], read[delimited[0]][1] if delimited else None


def find_mixed_type_columns(tables: Sequence[Any]) -> list[str]:
    """Find columns that are text in some tables and numbers in others."""
    kinds = [
        {str(field.type) for field in fields}
        for fields in zip(*(t.schema for t in tables), strict=True)
    ]
    names = tables[0].column_names
    return [n for n, k in zip(names, kinds, strict=True) if "string" in k and len(k) > 1]


def _read_named(
    path: Path, data: DataSpec, text: Collection[str], read_file: FileReader, *, alone: bool
) -> tuple[Any, Layout | None]:
    """Read a file; an error names it if there are others."""
    import pyarrow as pa

    try:
        return read_file(path, data, text)
    except DataError as error:
        raise error if alone else DataError(f"{path.name}: {error}") from None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, ValueError) as error:
        raise DataError(f"not readable as {path.suffix[1:] or 'text'}: {error}") from None


def read_into_memory(
    path: Path, data: DataSpec, text: Collection[str]
) -> tuple[Any, Layout | None]:
    """Read a file into memory."""
    reader = READERS.get(path.suffix)
    return (reader(path), None) if reader else read_delimited(path, data, text)


def _read_parquet(path: Path) -> Any:
    from pyarrow import parquet

    return parquet.ParquetFile(path).read()


def _read_feather(path: Path) -> Any:
    from pyarrow import feather

    return feather.read_table(path, memory_map=False)  # a copy may be deleted


def _read_npy(path: Path) -> Any:
    return arrays_to_table(open_npy(path), None, None)


def open_npy(path: Path) -> np.ndarray:
    """Map the table of a file.

    Raises:
        ValueError: If its array has other dimensions, or holds objects.
    """
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.ndim > 2:
        raise ValueError(f"an array of shape {array.shape} without targets: give .npz with x and y")
    return array


READERS: dict[str, Callable[[Path], Any]] = {
    ".parquet": _read_parquet,
    ".pq": _read_parquet,
    ".feather": _read_feather,
    ".arrow": _read_feather,
    ".npy": _read_npy,
}
DELIMITED_SUFFIXES = (".csv", ".tsv", ".gz")  # in a folder; a single file may have any name
