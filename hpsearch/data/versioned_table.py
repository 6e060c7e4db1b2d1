"""Read a version of a table with a history: Delta or Iceberg."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from ..errors import DataError
from ..spec.data_spec import DataSpec
from .delta_source import read_delta
from .iceberg_source import METADATA, METADATA_SUFFIX, read_catalog_table, read_iceberg
from .partitions import DELTA, ICEBERG, identify_table_format
from .source_table import SourceTable
from .spilled_rows import GatheredRows, RowLimit


@dataclass(frozen=True, slots=True)
class TableFormat:
    """A format of tables with a history."""

    read: Callable[[Path, int | None, datetime | None, RowLimit], tuple[GatheredRows, int]]
    prefix: str  # of a recorded version
    version: str  # how a message names a version


FORMATS = {
    DELTA: TableFormat(read_delta, "delta version ", "version {} of the Delta table"),
    ICEBERG: TableFormat(read_iceberg, "iceberg snapshot ", "snapshot {} of the Iceberg table"),
}


def find_table_format(path: Path) -> TableFormat | None:
    """Return the format of a table's folder, or of an Iceberg table's metadata file; else None."""
    if path.parent.name == METADATA and path.name.endswith(METADATA_SUFFIX) and path.is_file():
        return FORMATS[ICEBERG]
    return FORMATS.get(identify_table_format(path) or "")


def read_version(
    location: str,
    path: Path,
    found: TableFormat,
    data: DataSpec,
    pinned: Mapping[str, str],
    limit: RowLimit,
) -> SourceTable:
    """Read the declared version of a table, else the pinned one, else the newest."""
    name = path.name if path.is_dir() else path.parent.parent.name

    def read(version: int | None, timestamp: datetime | None) -> tuple[GatheredRows, int]:
        return found.read(path, version, timestamp, limit)

    return _read_version(location, name, read, found, data, pinned)


def read_catalog_version(
    location: str, name: str, data: DataSpec, pinned: Mapping[str, str], limit: RowLimit
) -> SourceTable:
    """Read a version of the table `CATALOG.NAMESPACE.TABLE`, as `read_version` does."""
    read = partial(read_catalog_table, name, limit=limit)
    return _read_version(location, name.split(".")[-1], read, FORMATS[ICEBERG], data, pinned)


def _read_version(
    location: str,
    name: str,
    read: Callable[[int | None, datetime | None], tuple[GatheredRows, int]],
    found: TableFormat,
    data: DataSpec,
    pinned: Mapping[str, str],
) -> SourceTable:
    version, timestamp = None, None
    if location == data.source:
        version, timestamp = data.version, data.timestamp
    before = pinned.get(location, "")
    if version is None and before.startswith(found.prefix):
        version, timestamp = int(before.removeprefix(found.prefix)), None
    rows, number = read(version, timestamp)
    note = found.version.format(number)
    if rows.table.num_rows == 0:
        raise DataError(f"there are no rows in {note}")
    versions = {location: f"{found.prefix}{number}"}
    return rows.add_to(SourceTable(name, None, notes=(note,), versions=versions))
