"""Read the table that a study file names: files, folders, scikit-learn's data sets, functions.

Every source becomes a `SourceTable`. Roles and meanings of the columns are assigned elsewhere.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ..errors import DataError, SpecError
from ..platforms.paths import starts_with_drive
from ..spec.data_spec import CATALOG_SCHEME, DataSpec, QuerySpec
from ..spec.function_reference import is_reference, load_function_once, resolve_reference
from .address_cache import open_address
from .addresses import find_scheme, to_local_path
from .arrays import FEATURE_KEYS
from .batch_feed import open_rows
from .columns import Layout
from .delimited_reader import read_delimited
from .images import is_image_folder, read_class_folders
from .mapped_parquet import describe_mapping, map_parquet_files, measure_excess
from .memory_source import (
    DEFAULT_TARGET_NAME,
    arrays_to_table,
    resolve_target_names,
    source_from_arrays,
)
from .partitions import add_partition_columns, find_data_files
from .query_source import read_query
from .source_table import SourceTable, cast_to_text, find_text_columns, normalize_source
from .table_union import unite_tables
from .versioned_table import find_table_format, read_catalog_version, read_version

NOTHING_PINNED: Mapping[str, str] = MappingProxyType({})
SKLEARN_DATASETS = ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine")
DOWNLOADED_DATASETS = (
    "20newsgroups",
    "california_housing",
    "covtype",
    "kddcup99",
    "olivetti_faces",
)
TARGET_KEYS = ("y", "y_train")
TEST_KEYS = (("x_test", "y_test"), ("X_test", "y_test"))


def read_source(
    data: DataSpec,
    folder: Path,
    text: Collection[str] = (),
    pinned: Mapping[str, str] = NOTHING_PINNED,
    cache: Path | None = None,
) -> SourceTable:
    """Read the table that `data.source` names, its columns of plain types; see `open_source`."""
    return normalize_source(open_source(data, folder, text, pinned, cache), data.drop)


@dataclass(frozen=True, slots=True)
class _Reading:
    """Options for reading the sources of a declaration."""

    data: DataSpec
    folder: Path  # base of relative paths
    text: Collection[str]  # columns of a text file to keep as text
    pinned: Mapping[str, str]  # versions that an earlier run has read, by location
    cache: Path | None  # the copies of addresses; None: they are deleted when they are read


def open_source(
    data: DataSpec,
    folder: Path,
    text: Collection[str] = (),
    pinned: Mapping[str, str] = NOTHING_PINNED,
    cache: Path | None = None,
) -> SourceTable:
    """Read the table that `data.source` names, with columns of any type.

    Args:
        data: The declaration.
        folder: Base of relative paths.
        text: Columns of a text file to keep as text.
        pinned: The versions that an earlier run has read, by location.
        cache: The folder for copies of addresses; None: they are deleted when they are read.

    Raises:
        DataError: If the source does not exist, or is ambiguous.
    """
    if data.source is None:
        raise DataError("data.source is missing: a file, sklearn:NAME or MODULE:FUNCTION")
    reading = _Reading(data, folder, text, pinned, cache)
    if isinstance(data.source, QuerySpec):
        source = SourceTable("query", read_query(data.source, folder))
    else:
        source = _open_source(data.source, reading)
    if data.test_source is not None:
        spelled = find_text_columns(source.table)
        test = _open_source(data.test_source, replace(reading, text=[*text, *spelled]))
        rows = cast_to_text(test.table, spelled) if test.layout else test.table
        versions = {**source.versions, **test.versions}
        source = replace(source, test_table=rows, test_array=test.array, versions=versions)
    return source


def _open_source(location: str, reading: _Reading) -> SourceTable:
    data, folder = reading.data, reading.folder
    scheme, _, rest = ("", "", "") if starts_with_drive(location) else location.partition(":")
    if scheme == "sklearn":
        return _load_sklearn(rest)
    if find_scheme(location) == "file":
        return _open_source(to_local_path(location), reading)
    if rest.startswith("//"):
        return _open_address(location, reading)
    try:
        is_file = (folder / location).exists() or glob.has_magic(location)
        if scheme == CATALOG_SCHEME and not is_file:
            return read_catalog_version(location, rest, data, reading.pinned)
        if (rest or is_reference(location)) and not is_file:
            return _call_user_function(location, reading)
        whole = folder / Path(location).expanduser()
        table_format = find_table_format(whole)
        if table_format is not None:
            return read_version(location, whole, table_format, data, reading.pinned)
        if location == data.source and (data.version is not None or data.timestamp is not None):
            raise DataError("data.version and data.timestamp are for Delta and Iceberg tables")
        return _open_files(location, reading)
    except DataError as error:
        raise DataError(f"{location}: {error}") from None


def _open_address(location: str, reading: _Reading) -> SourceTable:
    """Copy what an address holds, and read the copy as a file or a folder."""
    before, data = reading.pinned.get(location, ""), reading.data
    try:
        with open_address(location, before, reading.cache) as copy:
            name = copy.path.name
            if location == data.source:
                data = data.model_copy(update={"source": name})
            below = replace(reading, data=data, folder=copy.path.parent, pinned={name: before})
            source = _open_source(name, below)
    except DataError as error:
        raise DataError(f"{location}: {error}") from None
    version = source.versions.get(name, copy.version)
    return replace(source, versions={location: version})


def _load_sklearn(name: str) -> SourceTable:
    if name not in SKLEARN_DATASETS:
        raise DataError(
            f"sklearn:{name} does not come with scikit-learn"
            + (" (it would be downloaded)" if name in DOWNLOADED_DATASETS else "")
            + f". Known: {', '.join(SKLEARN_DATASETS)}."
        )
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    names = [str(n) for n in bunch.feature_names]
    several = bunch.target.ndim == 2
    targets = tuple(str(n) for n in bunch.target_names) if several else (DEFAULT_TARGET_NAME,)
    return SourceTable(name, arrays_to_table(bunch.data, bunch.target, names, targets), targets)


def _call_user_function(reference: str, reading: _Reading) -> SourceTable:
    """Call a custom `MODULE:FUNCTION` or `FILE.py:FUNCTION` without arguments."""
    try:
        function = load_function_once(resolve_reference(reference, reading.folder))
    except SpecError as error:
        hint = "" if ".py:" in reference else "neither a file nor a module's function: "
        raise DataError(f"{hint}{error}") from None
    try:
        value = function()
    except Exception as error:
        raise DataError(f"it raised {type(error).__name__}: {error}") from error
    return open_rows(value, reading.data, reference.rpartition(":")[2], reading.cache)


def _open_files(location: str, reading: _Reading) -> SourceTable:
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
        return _read_npz(paths[0], data)
    mapped = _map_files(paths, reading)
    if mapped is not None:
        tables = add_partition_columns(mapped.tables, files, text)
        source = _unite_files(name, tables, paths, whole, data)
        notes = (mapped.note, *source.notes)
        return replace(source, categories=mapped.categories, notes=notes, is_mapped=True)
    tables, layout = _read_files(paths, data, text)
    if layout is not None and (spelled := _find_mixed_type_columns(tables)):
        tables, layout = _read_files(paths, data, [*text, *spelled])
        tables = [cast_to_text(table, spelled) for table in tables]
    tables = add_partition_columns(tables, files, text)
    return replace(_unite_files(name, tables, paths, whole, data), layout=layout)


def _unite_files(
    name: str, tables: Sequence[Any], paths: Sequence[Path], whole: Path, data: DataSpec
) -> SourceTable:
    table, notes = unite_tables(tables, [_shorten_path(p, whole) for p in paths], data.drop)
    if table.num_rows == 0:
        raise DataError("there are no rows")
    _require_targets_everywhere(tables, paths, data)
    return SourceTable(name, table, notes=notes)


@dataclass(frozen=True, slots=True)
class _MappedFiles:
    tables: Sequence[Any]
    categories: tuple[str, ...]
    note: str


def _map_files(paths: Sequence[Path], reading: _Reading) -> _MappedFiles | None:
    """Map Parquet files that exceed the memory for rows; None: they are read into it."""
    data, cache = reading.data, reading.cache
    if cache is None or any(READERS.get(path.suffix) is not _read_parquet for path in paths):
        return None
    excess = measure_excess(paths, data.drop, data.memory_gib)
    if excess is None:
        return None
    tables, categories = map_parquet_files(paths, data.drop, cache)
    note = describe_mapping(*excess, cache)
    return _MappedFiles(tables, categories, note)


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


def _read_files(
    paths: Sequence[Path], data: DataSpec, text: Collection[str]
) -> tuple[list[Any], Layout | None]:
    """Read several files; returns their tables, and the layout of the first delimited one."""
    read = [_read_file(path, data, text, alone=len(paths) == 1) for path in paths]
    delimited = [i for i, (_, layout) in enumerate(read) if layout is not None]
    if delimited:  # which has no types of its own: a differing header is a mistake
        for path, (table, _) in zip(paths, read, strict=True):
            if table.column_names != read[0][0].column_names:
                raise DataError(f"{path.name} has other columns than {paths[0].name}")
    return [table for table, _ in read], read[delimited[0]][1] if delimited else None


def _find_mixed_type_columns(tables: Sequence[Any]) -> list[str]:
    """Find columns that are text in some tables and numbers in others."""
    kinds = [
        {str(field.type) for field in fields}
        for fields in zip(*(t.schema for t in tables), strict=True)
    ]
    names = tables[0].column_names
    return [n for n, k in zip(names, kinds, strict=True) if "string" in k and len(k) > 1]


def _read_file(
    path: Path, data: DataSpec, text: Collection[str], *, alone: bool
) -> tuple[Any, Layout | None]:
    import pyarrow as pa

    reader = READERS.get(path.suffix)
    try:
        return (reader(path), None) if reader else read_delimited(path, data, text)
    except DataError as error:
        raise error if alone else DataError(f"{path.name}: {error}") from None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, ValueError) as error:
        raise DataError(f"not readable as {path.suffix[1:] or 'text'}: {error}") from None


def _read_parquet(path: Path) -> Any:
    from pyarrow import parquet

    return parquet.ParquetFile(path).read()


def _read_feather(path: Path) -> Any:
    from pyarrow import feather

    return feather.read_table(path, memory_map=False)  # a copy may be deleted


def _read_npy(path: Path) -> Any:
    array = np.load(path, allow_pickle=False)
    if array.ndim > 2:
        raise ValueError(f"an array of shape {array.shape} without targets: give .npz with x and y")
    return arrays_to_table(array, None, None)


READERS: dict[str, Callable[[Path], Any]] = {
    ".parquet": _read_parquet,
    ".pq": _read_parquet,
    ".feather": _read_feather,
    ".arrow": _read_feather,
    ".npy": _read_npy,
}
DELIMITED_SUFFIXES = (".csv", ".tsv", ".gz")  # in a folder; a single file may have any name


def _read_npz(path: Path, data: DataSpec) -> SourceTable:
    """Read X and y, or x_train, y_train, x_test and y_test."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"not readable as npz: {error}") from None
    x, y = _find_first_array(arrays, FEATURE_KEYS), _find_first_array(arrays, TARGET_KEYS)
    if x is None or y is None:
        raise DataError(f"holds {', '.join(arrays)}; expected X and y, or x_train and y_train")
    targets = resolve_target_names(y, data)
    source = source_from_arrays(path.stem, x, y, targets)
    for x_key, y_key in TEST_KEYS:
        if x_key in arrays and y_key in arrays:
            test = source_from_arrays(path.stem, arrays[x_key], arrays[y_key], targets)
            source = replace(source, test_table=test.table, test_array=test.array)
    return source


def _find_first_array(arrays: dict[str, np.ndarray], keys: Sequence[str]) -> np.ndarray | None:
    return next((arrays[k] for k in keys if k in arrays), None)
