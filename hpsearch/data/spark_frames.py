"""Read a DataFrame of Spark: its executors write it, and its rows are read from their files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..spec.data_spec import DataSpec
from .address_cache import DRAFT
from .endless_feed import hash_rows
from .file_source import Reading, open_files
from .source_table import SourceTable, normalize_source

WRITE = (
    "let the executors write it to a folder that this machine reads too, "
    "frame.write.parquet(FOLDER), and give the folder as data.source"
)


def is_spark_frame(value: Any) -> bool:
    """Whether a value is a DataFrame of Spark, classic or Connect."""
    return type(value).__module__.partition(".")[0] == "pyspark" and hasattr(value, "schema")


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
    with _write_frame(frame, cache) as folder:
        source = open_files(str(folder), Reading(data, folder, (), {}, cache))
        source = normalize_source(source, data.drop)
        if source.is_mapped:
            raise DataError(f"the rows of the Spark DataFrame exceed the memory: {WRITE}")
    order = np.argsort(hash_rows(source.table, None), kind="stable")
    note = "the rows of a Spark DataFrame have no order: they are sorted by their contents"
    return replace(source, name=name, table=source.table.take(order), notes=(*source.notes, note))


@contextmanager
def _write_frame(frame: Any, cache: Path) -> Iterator[Path]:
    """Let the executors write a frame; delete the files at the end."""
    cache.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=cache))
    try:
        folder = draft / "rows"
        frame.write.parquet(folder.as_uri())
        if not any(folder.glob("*.parquet")):
            raise DataError(f"the executors of Spark do not write to this machine's disk: {WRITE}")
        yield folder
    finally:
        shutil.rmtree(draft, ignore_errors=True)
