"""Read one snapshot of an Iceberg table with the `pyiceberg` library.

The table is found by its folder, or by a catalog, as pyiceberg's configuration describes it. Its
metadata name files by absolute locations; below a folder each is looked up there, so that a table
that was copied or moved is read too. Data files are read in the order of their paths: a snapshot
always gives the same rows in the same order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import DataError, first_line
from ..spec.data_spec import CATALOG_SCHEME
from .spilled_rows import GatheredRows, RowLimit, gather_rows
from .table_history import find_version_at

METADATA = "metadata"  # the subfolder of a table
METADATA_SUFFIX = ".metadata.json"
NUMBER_PATTERN = re.compile(r"v?(\d+)")  # of `v3.metadata.json` and `00003-….metadata.json`
SCHEME_PATTERN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(//)?")
REMEDY = "write the snapshot that you mean as Parquet, and give that"


@dataclass(frozen=True, slots=True)
class TableFiles:
    """The files of a table, as pyiceberg opens them: those below its folder."""

    folder: Path
    location: str  # of the table when it was written

    def new_input(self, location: str) -> Any:
        """Return the file at a location, by the name that pyiceberg calls."""
        from pyarrow.fs import LocalFileSystem
        from pyiceberg.io.pyarrow import PyArrowFile

        return PyArrowFile(location, str(self.to_path(location)), LocalFileSystem())

    def to_path(self, location: str) -> Path:
        root = SCHEME_PATTERN.sub("", self.location, count=1).rstrip("/")
        path = SCHEME_PATTERN.sub("", location, count=1)
        if not path.startswith(f"{root}/") or ".." in path.split("/"):
            raise DataError(
                f"its file {location} does not lie below {self.location}, and is not read: {REMEDY}"
            )
        return self.folder / path[len(root) + 1 :]


def read_iceberg(
    path: Path, snapshot: int | None, timestamp: datetime | None, limit: RowLimit
) -> tuple[GatheredRows, int]:
    """Read a snapshot of an Iceberg table.

    Args:
        path: The table's folder, which holds `metadata`, or a metadata file in it.
        snapshot: The snapshot's id; None: the one at `timestamp`, or else the current one.
        timestamp: A moment; the snapshot is the one that was current then.
        limit: The memory for rows.

    Returns:
        The rows with the columns of that snapshot, and the snapshot's id.

    Raises:
        DataError: If the library is not installed, or this snapshot cannot be read.
    """
    _require_library()
    file = _find_metadata_file(path) if path.is_dir() else path

    def load() -> tuple[Any, TableFiles]:
        metadata = _load_metadata(file)
        return metadata, TableFiles(file.parent.parent, metadata.location)

    return _read_table(load, snapshot, timestamp, limit)


def read_catalog_table(
    name: str, snapshot: int | None, timestamp: datetime | None, limit: RowLimit
) -> tuple[GatheredRows, int]:
    """Read a snapshot of a table that a catalog names; see `read_iceberg`.

    Args:
        name: `CATALOG.NAMESPACE.TABLE`; the catalog is one of pyiceberg's configuration.
        snapshot: As for `read_iceberg`.
        timestamp: As for `read_iceberg`.
        limit: As for `read_iceberg`.
    """
    _require_library()
    from pyiceberg.catalog import load_catalog
    from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

    catalog, *parts = name.split(".")
    if len(parts) < 2 or not all((catalog, *parts)):
        raise DataError(
            f"an Iceberg table of a catalog is {CATALOG_SCHEME}:CATALOG.NAMESPACE.TABLE"
        )
    settings = _find_catalog(catalog)
    try:
        table = load_catalog(catalog, **settings).load_table(tuple(parts))
    except (NoSuchTableError, NoSuchNamespaceError):
        raise DataError(f"the catalog {catalog} has no table {'.'.join(parts)}") from None
    except Exception as error:  # each kind of catalog has errors of its own
        raise DataError(
            f"the catalog {catalog} cannot be read ({first_line(error)}): see its settings in "
            "pyiceberg's configuration"
        ) from None
    return _read_table(lambda: (table.metadata, table.io), snapshot, timestamp, limit)


def _require_library() -> None:
    try:
        import pyiceberg.exceptions  # noqa: F401
    except ImportError:
        raise DataError(
            "an Iceberg table, whose folder holds files of earlier versions too, is read with the "
            "pyiceberg library, which is not installed: pip install 'hpsearch[iceberg]'"
        ) from None


def _find_catalog(name: str) -> dict[str, Any]:
    """Return the settings of a catalog in pyiceberg's configuration, read anew."""
    from pyiceberg.utils.config import Config

    config = Config()
    settings = config.get_catalog_config(name)
    if settings is None:
        known = ", ".join(sorted(config.config.get("catalog") or {})) or "none"
        raise DataError(
            f"pyiceberg's configuration has no catalog {name!r}. Known: {known}. Describe it in "
            f"~/.pyiceberg.yaml, or in PYICEBERG_CATALOG__{name.upper()}__URI"
        )
    return dict(settings)


def _read_table(
    load: Callable[[], tuple[Any, Any]],
    snapshot: int | None,
    timestamp: datetime | None,
    limit: RowLimit,
) -> tuple[GatheredRows, int]:
    """Read a snapshot of the table whose metadata and files `load` returns."""
    from pyiceberg.exceptions import ResolveError, ValidationError

    try:
        metadata, files = load()
        if timestamp is not None:
            history = [(e.snapshot_id, e.timestamp_ms) for e in metadata.snapshot_log]
            snapshot = find_version_at(timestamp, history)
        snapshot = _require_snapshot(metadata, snapshot)
        return gather_rows(_iter_tables(metadata, files, snapshot), limit), snapshot
    except FileNotFoundError as error:
        raise DataError(
            f"a file is gone, which snapshot {snapshot} consists of ({first_line(error)}): give a "
            "later snapshot as data.version, or start over with --fresh"
        ) from None
    except (ResolveError, ValidationError, NotImplementedError, OSError, ValueError) as error:
        which = "the current snapshot" if snapshot is None else f"snapshot {snapshot}"
        raise DataError(
            f"{which} of the Iceberg table cannot be read ({first_line(error)}): {REMEDY}"
        ) from None


def _find_metadata_file(folder: Path) -> Path:
    """Return the newest metadata file; its name begins with a number, which each commit raises."""
    found: dict[int, list[Path]] = {}
    for path in sorted((folder / METADATA).glob(f"*{METADATA_SUFFIX}")):
        number = NUMBER_PATTERN.match(path.name)
        if number:
            found.setdefault(int(number[1]), []).append(path)
    newest = found[max(found)] if found else []
    if len(newest) != 1:
        names = ", ".join(path.name for path in newest)
        raise DataError(
            (f"two writers left {names}" if names else "no metadata file has a number")
            + ": give the file that the table's catalog names, as data.source: "
            f"{folder.name}/{METADATA}/…{METADATA_SUFFIX}"
        )
    return newest[0]


def _load_metadata(file: Path) -> Any:
    from pyarrow.fs import LocalFileSystem
    from pyiceberg.io.pyarrow import PyArrowFile
    from pyiceberg.serializers import FromInputFile

    return FromInputFile.table_metadata(PyArrowFile(file.name, str(file), LocalFileSystem()))


def _require_snapshot(metadata: Any, snapshot: int | None) -> int:
    """Return a snapshot's id, of the current one by default, if the table still has it."""
    known = [s.snapshot_id for s in metadata.snapshots]
    if snapshot is None:
        snapshot = metadata.current_snapshot_id
    if snapshot is None:
        raise DataError("the Iceberg table has no snapshot: nothing has been written to it")
    if snapshot not in known:
        listed = ", ".join(map(str, known[-5:])) or "none"
        raise DataError(
            f"there is no snapshot {snapshot}, or it has expired; the table's last ones: {listed}. "
            "Give one of them as data.version; a study that read another starts over with --fresh."
        )
    return int(snapshot)


def _iter_tables(metadata: Any, files: Any, snapshot: int) -> Iterator[Any]:
    """Read the rows of a snapshot without those that its delete files mark; at least one table."""
    import pyarrow as pa
    from pyiceberg.expressions import AlwaysTrue
    from pyiceberg.io.pyarrow import ArrowScan, schema_to_pyarrow
    from pyiceberg.table import DataScan

    scan = DataScan(table_metadata=metadata, io=files, snapshot_id=snapshot)
    tasks: Sequence[Any] = sorted(scan.plan_files(), key=lambda task: str(task.file.file_path))
    reader = ArrowScan(metadata, files, scan.projection(), AlwaysTrue())
    yield schema_to_pyarrow(scan.projection(), include_field_ids=False).empty_table()
    for task in tasks:  # one at a time: the library holds the rows of all that it is given
        for batch in reader.to_record_batches([task]):
            yield pa.Table.from_batches([batch])
