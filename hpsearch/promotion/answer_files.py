"""Write predictions block by block, to a CSV stream or a Parquet file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import DataError

PARQUET_SUFFIXES = (".parquet", ".pq")


class CsvAnswers:
    """Writes columns as CSV, in the format of pandas."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._has_header = False

    def write(self, columns: Mapping[str, Any]) -> None:
        """Write a block of columns."""
        writer = csv.writer(self._stream, lineterminator="\n")
        if not self._has_header:
            writer.writerow(columns)
        self._has_header = True
        cells = [np.asarray(column).tolist() for column in columns.values()]
        writer.writerows([None if c != c else c for c in row] for row in zip(*cells, strict=True))

    def write_frame(self, answer: Any, kept: Mapping[str, Any]) -> None:
        """Write a block of a data frame; the columns in `kept` are part of it."""
        is_first, self._has_header = not self._has_header, True
        answer.to_csv(self._stream, header=is_first, index=False, lineterminator="\n")


class ParquetAnswers:
    """Writes columns to a Parquet file, with the types of the first block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None

    def write(self, columns: Mapping[str, Any]) -> None:
        """Write a block of columns.

        Raises:
            DataError: If a column has another type than in the first block.
        """
        import pyarrow as pa
        from pyarrow import parquet

        table = pa.table({name: _to_arrow(column) for name, column in columns.items()})
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._path, table.schema)
        schema = self._writer.schema
        for field in schema:
            try:
                table[field.name].cast(field.type)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                raise DataError(
                    f"column {field.name!r} is {field.type} in the first rows and "
                    f"{table[field.name].type} in later ones, which a Parquet file cannot hold: "
                    "write a .csv file"
                ) from None
        self._writer.write_table(table.cast(schema))

    def write_frame(self, answer: Any, kept: Mapping[str, Any]) -> None:
        """Write a block of a data frame; the columns in `kept` keep their Arrow types."""
        self.write({name: kept.get(name, answer[name].to_numpy()) for name in answer.columns})

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.close()


Answers = CsvAnswers | ParquetAnswers


@contextmanager
def open_answers(path: Path) -> Iterator[Answers]:
    """Open a file for predictions; its suffix chooses the format."""
    if path.suffix in PARQUET_SUFFIXES:
        answers = ParquetAnswers(path)
        try:
            yield answers
        finally:
            answers.close()
        return
    with path.open("w", encoding="utf-8", newline="") as stream:
        yield CsvAnswers(stream)


def _to_arrow(column: Any) -> Any:
    """Return a column as Arrow; one without values as text."""
    import pyarrow as pa

    if not isinstance(column, pa.ChunkedArray):
        column = pa.array(np.asarray(column), from_pandas=True)
    return column.cast(pa.string()) if pa.types.is_null(column.type) else column
