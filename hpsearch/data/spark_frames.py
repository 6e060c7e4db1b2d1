"""Read a DataFrame of Spark: its executors write it, and its rows are read from their files."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..spec.data_spec import DataSpec
from .address_cache import DRAFT
from .file_source import Reading, open_files
from .row_hashes import sort_by_content
from .source_table import SourceTable, normalize_source

WRITE = (
    "let the executors write it to a folder that this machine reads too, "
    "frame.write.parquet(FOLDER), and give the folder as data.source"
)


def read_spark_frame(frame: Any, data: DataSpec, name: str, cache: Path | None) -> SourceTable:
    """Read a DataFrame of Spark through Parquet files, which are deleted afterwards.

    Its rows have no order of their own, so they are sorted by their contents. The driver collects
    nothing.

    Args:
        frame: The DataFrame.
        data: The declaration.
        name: The name of the source.
        cache: The folder for the files; the executors must reach it.

    Raises:
        DataError: If the executors do not write to this machine's disk, or the rows exceed the
            memory for them.
    """
    if cache is None:
        raise DataError(f"a Spark DataFrame would be collected by the driver: {WRITE}")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=DRAFT, dir=cache, ignore_cleanup_errors=True) as draft:
        folder = Path(draft) / "rows"
        frame.write.parquet(folder.as_uri())
        if not any(folder.glob("*.parquet")):
            raise DataError(f"the executors of Spark do not write to this machine's disk: {WRITE}")
        source = open_files(str(folder), Reading(data, folder, (), {}, cache))
        source = normalize_source(source, data.drop)
        if source.is_mapped:
            raise DataError(f"the rows of the Spark DataFrame exceed the memory: {WRITE}")
    note = "the rows of a Spark DataFrame have no order: they are sorted by their contents"
    table = source.table.take(sort_by_content(source.table))
    return replace(source, name=name, table=table, notes=(*source.notes, note))
