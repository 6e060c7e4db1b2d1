"""Divide a delimited text by columns.

Arrow keeps the texts of all columns in memory until it knows the types of some.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from .delimited import DelimitedText, FileHead, read_texts

BLOCK_BYTES = 1 << 20  # of the text, parsed at once
FIRST_LINE = b"cells\n"  # so that the file is never blank


def iter_column_files(
    content: DelimitedText, head: FileHead, groups: Sequence[Sequence[str]], stem: Path
) -> Iterator[tuple[DelimitedText, FileHead]]:
    """Write groups of columns to a file each, and open one after the other; it is then deleted.

    Args:
        content: The text.
        head: Its head.
        groups: The columns of each file.
        stem: The path of the files without number and suffix.

    Raises:
        DataError: Names the line of anything that could shift or lose a cell.
    """
    from pyarrow import csv

    options = csv.WriteOptions(
        include_header=False,
        delimiter=head.separator,
        quoting_style="needed" if content.has_quotes else "none",
    )
    paths = [stem.with_name(f"{stem.name}-{number}.csv") for number in range(len(groups))]
    for path in paths:
        path.write_bytes(FIRST_LINE)
    for rows in read_texts(content, head, head.names, BLOCK_BYTES):
        for path, names in zip(paths, groups, strict=True):
            with path.open("ab") as file:
                csv.write_csv(rows.select(list(names)), file, options)
    for path, names in zip(paths, groups, strict=True):
        yield DelimitedText(path), replace(head, names=tuple(names), size=len(FIRST_LINE))
        path.unlink()
