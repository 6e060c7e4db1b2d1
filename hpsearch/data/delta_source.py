"""Read one version of a Delta table with the `deltalake` library.

The library reads the table's log; the Parquet files are read here, in the order of their paths, so
that a version always gives the same rows in the same order. Rows that a deletion vector marks are
left out, and columns are found by their physical names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from ..errors import DataError, first_line
from .spilled_rows import GatheredRows, RowLimit, count_batch_rows, gather_rows
from .table_history import find_version_at

READ_FEATURES = frozenset(
    {
        "columnMapping",
        "deletionVectors",
        "timestampNtz",
        "typeWidening",
        "typeWidening-preview",
        "v2Checkpoint",
        "vacuumProtocolCheck",
    }
)


@dataclass(frozen=True, slots=True)
class DeltaColumn:
    """A column of a Delta table."""

    name: str
    physical: str  # its name in the Parquet files
    kind: Any  # Arrow type


def read_delta(
    folder: Path, version: int | None, timestamp: datetime | None, limit: RowLimit
) -> tuple[GatheredRows, int]:
    """Read a version of the Delta table in a folder.

    Args:
        folder: The folder, which holds `_delta_log`.
        version: The version; None: the one at `timestamp`, or else the newest.
        timestamp: A moment; the version is the last one committed by then.
        limit: The memory for rows.

    Returns:
        The rows, and the version.

    Raises:
        DataError: If the library is not installed, or this version cannot be read.
    """
    try:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError
    except ImportError:
        raise DataError(
            "a Delta table, whose folder holds files of earlier versions too, is read with the "
            "deltalake library, which is not installed: pip install 'hpsearch[delta]'"
        ) from None
    try:
        table = DeltaTable(str(folder))
        if timestamp is not None:
            version = find_version_at(timestamp, _list_commits(table))
        if version is not None and version > table.version():
            raise DataError(f"there is no version {version}; the newest is {table.version()}")
        if version is not None:
            table = DeltaTable(str(folder), version=version)
        return gather_rows(_iter_tables(table, folder), limit), int(table.version())
    except (DeltaError, OSError, ValueError) as error:
        raise DataError(
            f"{_name_version(version)} of the Delta table cannot be read: {first_line(error)}"
        ) from None


def _name_version(version: int | None) -> str:
    return "the newest version" if version is None else f"version {version}"


def _list_commits(table: Any) -> list[tuple[int, int]]:
    """List the versions that the log still holds, each with the milliseconds of its commit."""
    commits = [entry for entry in table.history() if "timestamp" in entry]
    return sorted((int(entry["version"]), int(entry["timestamp"])) for entry in commits)


def _iter_tables(table: Any, folder: Path) -> Iterator[Any]:
    """Read the rows of a version, some at a time; at least one table."""
    import pyarrow as pa

    _refuse_unread_features(table)
    columns = _list_columns(table)
    hidden = {
        _to_path(row["filepath"], folder): row["selection_vector"]
        for row in pa.table(table.deletion_vectors()).to_pylist()
    }
    yield pa.schema([(c.name, c.kind) for c in columns]).empty_table()
    for file in sorted(pa.table(table.get_add_actions()).to_pylist(), key=lambda f: f["path"]):
        path, start = _to_path(file["path"], folder), 0
        selected = hidden.get(path, ())
        for rows in _iter_file(path, columns, file.get("partition") or {}):
            end = start + rows.num_rows
            mask = selected[start:end]
            yield rows.filter(_pad_selection(mask, rows.num_rows)) if mask else rows
            start = end


def _refuse_unread_features(table: Any) -> None:
    protocol, settings = table.protocol(), table.metadata().configuration
    unsupported = sorted(set(protocol.reader_features or ()) - READ_FEATURES)
    if unsupported:
        raise DataError(
            f"the Delta table uses {', '.join(unsupported)}, which is not read: write the version "
            "that you mean as Parquet, and give that"
        )
    if settings.get("delta.columnMapping.mode") == "id":
        raise DataError(
            "the Delta table uses column mapping by id, which is not read (by name is): write the "
            "version that you mean as Parquet, and give that"
        )


def _list_columns(table: Any) -> list[DeltaColumn]:
    import pyarrow as pa

    fields = json.loads(table.schema().to_json())["fields"]
    kinds = pa.schema(table.schema().to_arrow())
    columns = []
    for field in fields:
        mapped = field["metadata"].get("delta.columnMapping.physicalName")
        if mapped is not None and "physicalName" in json.dumps(field["type"]):
            raise DataError(
                f"column {field['name']!r} has fields, which are not read from a Delta table with "
                "column mapping: write the version that you mean as Parquet, and give that"
            )
        kind = kinds.field(field["name"]).type
        columns.append(DeltaColumn(field["name"], mapped or field["name"], kind))
    return columns


def _to_path(location: str, folder: Path) -> Path:
    """Return the path of a file of the table; the log holds URL-encoded names."""
    parts = urlsplit(location)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    if parts.scheme and len(parts.scheme) > 1:
        raise DataError(f"its file {location} lies elsewhere, and is not read")
    return folder.resolve() / unquote(location)


def _iter_file(
    path: Path, columns: Sequence[DeltaColumn], partition: Mapping[str, Any]
) -> Iterator[Any]:
    """Read a Parquet file with the table's columns; a file of an older schema lacks some."""
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            there = set(file.schema_arrow.names)
            needed = [c.physical for c in columns if c.physical in there]
            for rows in file.iter_batches(count_batch_rows(len(needed)), columns=needed):
                yield _complete_rows(rows, columns, partition)
    except FileNotFoundError:
        raise DataError(
            f"{path.name} is gone, which this version of the table consists of: it was vacuumed. "
            "Give a later version, or start over with --fresh."
        ) from None


def _complete_rows(rows: Any, columns: Sequence[DeltaColumn], partition: Mapping[str, Any]) -> Any:
    """Add the partition's value, and columns of a later schema."""
    import pyarrow as pa

    there, n_rows = set(rows.schema.names), rows.num_rows
    found = []
    for column in columns:
        if column.name in partition:
            found.append(pa.repeat(pa.scalar(partition[column.name]), n_rows).cast(column.kind))
        elif column.physical in there:
            found.append(_cast(rows[column.physical], column.kind))
        else:
            found.append(pa.nulls(n_rows, column.kind))
    return pa.table(found, names=[c.name for c in columns])


def _cast(values: Any, kind: Any) -> Any:
    return values if values.type == kind else values.cast(kind)


def _pad_selection(selected: Sequence[bool], n_rows: int) -> Any:
    """Return a mask of the rows that stay; those beyond the vector do."""
    import pyarrow as pa

    return pa.array([*selected[:n_rows], *[True] * (n_rows - len(selected))])
