"""Find the files of a folder or a glob as table writers lay them out, with their partitions.

Hidden and uncommitted files are left out, by the rules of Spark and Hive: names that begin with `_`
or `.`, what a job left under `_temporary`, files that a `_committed_…` marker lists as removed, and
those of a job with a `_started_…` marker alone. A folder `country=DE` is a partition: its files
have the column `country`, whose text is URL-encoded in the name.
"""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ..errors import DataError
from .cells import format_cell

MISSING_PARTITION = "__HIVE_DEFAULT_PARTITION__"
WHOLE_PATTERN = re.compile(r"0|-?[1-9][0-9]{0,17}")  # the one spelling of a whole number
DATE_PATTERN = re.compile(r"\d{4}-\d{2}-\d{2}")
TRANSACTION_PATTERN = re.compile(r"-tid-(\d+)-")  # in a file name, of Databricks' commit protocol


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of rows, with the partition columns that its folders name."""

    path: Path
    partitions: Mapping[str, str | None] = field(default_factory=dict)  # decoded; None: missing


def find_data_files(location: str, folder: Path, suffixes: Collection[str]) -> list[DataFile]:
    """Find the files of a path, a folder or a glob, sorted by name.

    Raises:
        DataError: If there is none, or the folder is a table that lists its files elsewhere.
    """
    whole = folder / Path(location).expanduser()
    if whole.is_dir():
        return _find_in_folder(whole, suffixes)
    if glob.has_magic(location) and not whole.exists():
        found = sorted(Path(p) for p in glob.glob(str(whole), recursive=True))
        root = _find_fixed_folder(whole)
        files = [p for p in found if not p.is_dir() and not _is_hidden(p.relative_to(root))]
        for table in {parent for path in files for parent in _folders_between(root, path)}:
            refuse_table_format(table, inside=True)
        if files:
            return _read_partitions(_drop_uncommitted(files), root)
    elif whole.is_file():
        return [DataFile(whole)]
    raise DataError(f"there is no such file (looked in {whole.parent})")


def _find_fixed_folder(pattern: Path) -> Path:
    """Return the part of a glob before its first magic component."""
    parts = pattern.parts
    n_fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:n_fixed])


def _folders_between(root: Path, path: Path) -> list[Path]:
    return [parent for parent in path.parents if parent.is_relative_to(root)]


def _find_in_folder(root: Path, suffixes: Collection[str]) -> list[DataFile]:
    refuse_table_format(root)
    paths = [p for p in sorted(root.rglob("*")) if not _is_hidden(p.relative_to(root))]
    for below in (p for p in paths if p.is_dir()):
        refuse_table_format(below, below=root)
    files = [p for p in paths if p.is_file()]
    found = _drop_uncommitted([p for p in files if p.suffix in suffixes])
    if not found:
        others = sorted({p.suffix or p.name for p in files})
        held = f"; it holds {', '.join(others[:5])}" if others else "; it has none that is visible"
        raise DataError(
            f"there is no file to read in the folder: {', '.join(suffixes)} are read{held}. Names "
            "that begin with _ or . are left out."
        )
    return _read_partitions(found, root)


def refuse_table_format(folder: Path, *, below: Path | None = None, inside: bool = False) -> None:
    """Refuse a folder whose files are those of several versions of a table.

    Args:
        folder: The folder.
        below: The folder that was given, if `folder` is below it.
        inside: Whether files inside the folder were given.

    Raises:
        DataError: Names the format and what to give instead.
    """
    name = identify_table_format(folder)
    if name is None:
        return
    shown = folder.name if below is None else folder.relative_to(below).as_posix()
    if below is not None or inside:
        raise DataError(
            f"{shown} is {name}, whose folder holds files of earlier versions too: give that "
            "folder as data.source"
        )
    if name not in (DELTA, ICEBERG):
        raise DataError(
            f"{name}, whose folder holds files of earlier versions too, and which is not read: "
            "write the version that you mean as Parquet, and give that"
        )


DELTA = "a Delta table"
ICEBERG = "an Iceberg table"


def identify_table_format(folder: Path) -> str | None:
    """Return the format of a table with a history, "a Delta table" and the like; else None."""
    if (folder / "_delta_log").is_dir():
        return DELTA
    if (folder / ".hoodie").is_dir():
        return "a Hudi table"
    if any((folder / "metadata").glob("*.metadata.json")):
        return ICEBERG
    return None


def _is_hidden(path: Path) -> bool:
    """Whether a part of a path is hidden to readers of tables, as `_SUCCESS` or `.part.crc`."""
    return any(
        part.startswith(".") or (part.startswith("_") and "=" not in part) for part in path.parts
    ) or path.name.endswith("._COPYING_")


def _drop_uncommitted(files: Sequence[Path]) -> list[Path]:
    """Leave out files that a transactional writer has not committed, or has removed."""
    markers = {folder: _read_markers(folder) for folder in {path.parent for path in files}}
    found = []
    for path in files:
        removed, open_jobs = markers[path.parent]
        job = TRANSACTION_PATTERN.search(path.name)
        if path.name not in removed and (job is None or job[1] not in open_jobs):
            found.append(path)
    return found


def _read_markers(folder: Path) -> tuple[set[str], set[str]]:
    """Return the removed files of a folder, and its jobs that have not committed."""
    removed: set[str] = set()
    for marker in folder.glob("_committed_*"):
        try:
            removed |= set(
                json.loads(marker.read_text(encoding="utf-8") or "{}").get("removed", ())
            )
        except (ValueError, AttributeError, TypeError):
            continue  # another writer's marker
    started = {p.name.removeprefix("_started_") for p in folder.glob("_started_*")}
    committed = {p.name.removeprefix("_committed_") for p in folder.glob("_committed_*")}
    return removed, started - committed


# ---- partitions ----


def _read_partitions(paths: Sequence[Path], root: Path) -> list[DataFile]:
    """Read the partitions of files from the names of their folders below `root`."""
    files = [DataFile(path, _parse_partitions(path, root)) for path in paths]
    expected = list(files[0].partitions)
    for file in files:
        if list(file.partitions) != expected:
            raise DataError(
                f"{file.path.relative_to(root).as_posix()} is partitioned by "
                f"{', '.join(file.partitions) or 'nothing'}, and "
                f"{paths[0].relative_to(root).as_posix()} by {', '.join(expected) or 'nothing'}: "
                "give files of one layout"
            )
    return files


def _parse_partitions(path: Path, root: Path) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for part in path.relative_to(root).parts[:-1]:
        name, equals, value = part.partition("=")
        if not equals or not name:
            continue
        name = unquote(name)
        if name in found:
            raise DataError(f"{path.relative_to(root).as_posix()}: partition {name!r} stands twice")
        found[name] = None if value == MISSING_PARTITION else unquote(value)
    return found


def add_partition_columns(
    tables: Sequence[Any], files: Sequence[DataFile], text: Collection[str]
) -> list[Any]:
    """Append the partitions of each file to its table, as columns of one type.

    Args:
        tables: A `pyarrow.Table` per file.
        files: The files.
        text: Columns to keep as text.

    Raises:
        DataError: If a file holds a column of the partition's name with another value.
    """
    tables = list(tables)
    for name in files[0].partitions:
        values = [file.partitions[name] for file in files]
        kind = infer_partition_type([] if name in text else values)
        for i, (table, file) in enumerate(zip(tables, files, strict=True)):
            if name in table.column_names:
                _require_equal_values(table[name], values[i], name, file)
            else:
                tables[i] = table.append_column(name, repeat_value(values[i], kind, len(table)))
    return tables


def _require_equal_values(column: Any, value: str | None, name: str, file: DataFile) -> None:
    import pyarrow.compute as pc

    expected = "" if value is None else value
    other = next((v for v in pc.unique(column).to_pylist() if not _is_same(v, expected)), None)
    if other is not None or (value is not None and column.null_count):
        raise DataError(
            f"{file.path.name}: column {name!r} holds {other!r}, and its folder says {name}="
            f"{value or MISSING_PARTITION}: one of them is wrong"
        )


def _is_same(cell: Any, text: str) -> bool:
    return cell is None or text in (format_cell(cell), str(cell))


def infer_partition_type(values: Iterable[str | None]) -> Any:
    """Infer the Arrow type of a partition column: whole numbers, numbers, dates or text.

    A text whose spelling a number would lose, such as 007, stays text, as a cell of a CSV file.
    """
    import pyarrow as pa

    known = [v for v in values if v is not None]
    if not known:
        return pa.string()
    if all(WHOLE_PATTERN.fullmatch(v) for v in known):
        return pa.int64()
    if all(WHOLE_PATTERN.fullmatch(v) or _is_shortest_float(v) for v in known):
        return pa.float64()
    return pa.date32() if all(_is_date(v) for v in known) else pa.string()


def repeat_value(value: str | None, kind: Any, n_rows: int) -> Any:
    """Build a column of one partition's value."""
    import pyarrow as pa

    scalar = pa.scalar(value, pa.string()).cast(kind)
    return pa.repeat(scalar, n_rows)


def _is_shortest_float(text: str) -> bool:
    try:
        return repr(float(text)) == text and text not in ("inf", "-inf", "nan")
    except ValueError:
        return False


def _is_date(text: str) -> bool:
    try:
        return bool(DATE_PATTERN.fullmatch(text) and date.fromisoformat(text))
    except ValueError:
        return False
