"""The rows of a CSV or Parquet file, read in blocks for prediction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.column_cleaning import require_columns
from ..data.columns import Layout
from ..data.delimited import BLOCK_BYTES, DelimitedText, read_head, read_texts
from ..data.image_files import resolve_paths
from ..data.nested_columns import find_outer_column, flatten_columns
from ..data.schema import Schema
from ..data.source_table import normalize_column_types
from ..errors import DataError, HpsearchError

BATCH = 65536  # rows of a Parquet file read at once


@dataclass(frozen=True, slots=True)
class RowFile:
    """A file of rows to predict."""

    source: Path
    schema: Schema
    separator: str | None
    keep: tuple[str, ...]
    partitions: Mapping[str, str | None] = field(default_factory=dict)  # columns not in the file

    def read_blocks(self) -> Iterator[Any]:
        """Read the needed columns as Arrow tables, block by block.

        Raises:
            DataError: If the file is damaged, ragged or lacks a column.
        """
        import pyarrow as pa

        try:
            with self.source.open("rb") as file:
                is_parquet = file.read(4) == b"PAR1"
            block = None
            for block in self._read_parquet() if is_parquet else self._read_delimited():
                found = resolve_paths(block, self._image_columns, self.source.parent)
                yield self._add_partitions(found)
            if block is None:  # without rows, only the header is written
                nothing = {name: pa.array([], pa.string()) for name in self._needed_columns}
                yield self._add_partitions(pa.table(nothing))
        except HpsearchError as error:
            raise DataError(f"{self.source}: {error}") from None
        except (pa.ArrowInvalid, OSError, EOFError, UnicodeDecodeError) as error:
            raise DataError(f"{self.source}: {str(error).splitlines()[0]}") from None

    @property
    def _image_columns(self) -> list[str]:
        """Columns of paths, which are relative to the file."""
        return [c.raw_name for c in self.schema.columns if c.kind == "image"]

    @property
    def _needed_columns(self) -> list[str]:
        names = dict.fromkeys([*self.schema.raw_columns, *self.keep])
        return [name for name in names if name not in self.partitions]

    def _add_partitions(self, block: Any) -> Any:
        """Append the needed columns that the file's folders name."""
        import pyarrow as pa

        for name in dict.fromkeys([*self.schema.raw_columns, *self.keep]):
            if name in self.partitions:
                values = pa.repeat(pa.scalar(self.partitions[name], pa.string()), block.num_rows)
                block = block.append_column(name, values)
        return block

    def _read_parquet(self) -> Iterator[Any]:
        import pyarrow as pa
        from pyarrow import parquet

        with parquet.ParquetFile(self.source) as file:
            there, needed = file.schema_arrow.names, self._needed_columns
            outer = list(dict.fromkeys(find_outer_column(name, there) for name in needed))
            require_columns(dict.fromkeys(there), outer)
            for batch in file.iter_batches(BATCH, columns=outer):
                table = flatten_columns(pa.Table.from_batches([batch]), needed)
                require_columns(dict.fromkeys(table.column_names), needed)
                yield normalize_column_types(table.select(needed))

    def _read_delimited(self) -> Iterator[Any]:
        text, needed = DelimitedText(self.source), self._needed_columns
        head = read_head(
            text,
            self.schema.layout or Layout(),
            needed=needed,
            targets=self.schema.target.names if self.schema.target else (),
            separator=self.separator,
        )
        require_columns(dict.fromkeys(head.names), needed)
        yield from read_texts(text, head, needed, BLOCK_BYTES)
