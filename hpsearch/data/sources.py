"""Read the table that a study file names: files, folders, scikit-learn's data sets, functions.

Every source becomes a `SourceTable`. Roles and meanings of the columns are assigned elsewhere.
"""

from __future__ import annotations

import glob
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from ..errors import DataError, SpecError
from ..platforms.paths import starts_with_drive
from ..spec.data_spec import CATALOG_SCHEME, DataSpec, QuerySpec
from ..spec.function_reference import is_reference, load_function_once, resolve_reference
from .address_cache import open_address
from .addresses import find_scheme, to_local_path
from .batch_feed import open_rows
from .file_source import Reading, open_files
from .memory_source import (
    DEFAULT_TARGET_NAME,
    arrays_to_table,
)
from .query_source import read_query
from .source_table import SourceTable, cast_to_text, find_text_columns, normalize_source
from .spilled_rows import make_row_limit
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


def read_source(
    data: DataSpec,
    folder: Path,
    text: Collection[str] = (),
    pinned: Mapping[str, str] = NOTHING_PINNED,
    cache: Path | None = None,
) -> SourceTable:
    """Read the table that `data.source` names, its columns of plain types; see `open_source`."""
    return normalize_source(open_source(data, folder, text, pinned, cache), data.drop)


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
    reading = Reading(data, folder, text, pinned, cache)
    if isinstance(data.source, QuerySpec):
        rows = read_query(data.source, folder, make_row_limit(data, cache))
        source = rows.add_to(SourceTable("query", None))
    else:
        source = _open_source(data.source, reading)
    if data.test_source is not None:
        spelled = find_text_columns(source.table)
        test = _open_source(data.test_source, replace(reading, text=[*text, *spelled]))
        rows = cast_to_text(test.table, spelled) if test.layout else test.table
        versions = {**source.versions, **test.versions}
        source = replace(source, test_table=rows, test_array=test.array, versions=versions)
    return source


def _open_source(location: str, reading: Reading) -> SourceTable:
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
        limit = make_row_limit(data, reading.cache)
        if scheme == CATALOG_SCHEME and not is_file:
            return read_catalog_version(location, rest, data, reading.pinned, limit)
        if (rest or is_reference(location)) and not is_file:
            return _call_user_function(location, reading)
        whole = folder / Path(location).expanduser()
        table_format = find_table_format(whole)
        if table_format is not None:
            return read_version(location, whole, table_format, data, reading.pinned, limit)
        if location == data.source and (data.version is not None or data.timestamp is not None):
            raise DataError("data.version and data.timestamp are for Delta and Iceberg tables")
        return open_files(location, reading)
    except DataError as error:
        raise DataError(f"{location}: {error}") from None


def _open_address(location: str, reading: Reading) -> SourceTable:
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


def _call_user_function(reference: str, reading: Reading) -> SourceTable:
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
