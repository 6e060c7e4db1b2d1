"""Delimited text (CSV and its kin) to an Arrow table, strictly.

A row with too few or too many fields, bytes that are no UTF-8 text, a cut file or a doubtful
header is refused with its line; nothing is shifted, filled up or renamed. What the cells mean is
`schema`'s matter.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..spec.data import DataSpec
from .schema import as_number, as_text

SEPARATORS = ",;\t|"
SAMPLE = 1 << 16  # bytes in which the separator is found out
# Of a numeric column; a text column keeps them as categories unless they are declared.
NULLS = ("", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL", "None")
UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_delimited(path: Path, data: DataSpec) -> Any:
    """The table in a delimited text file, plain or gzipped.

    Returns:
        A `pyarrow.Table`; numbers, truth values and dates have their type, the rest is text.

    Raises:
        DataError: With the line, for anything that could shift or lose a cell.
    """
    text = _without_bom(_bytes_of(path))
    _refuse_binary(text)
    separator = data.separator or sniff_separator(text)
    names = _column_names(text, separator, data)
    table = _parse(text, separator, names, data)
    _refuse_unreadable(table, text)
    if table.num_rows == 0:
        raise DataError("a header and no rows")
    return table


def _bytes_of(path: Path) -> bytes:
    content = path.read_bytes()
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"the gzip file is damaged or cut off ({error}): fetch it again") from None


def _without_bom(text: bytes) -> bytes:
    return text[3:] if text[:3] == b"\xef\xbb\xbf" else text


def _refuse_binary(text: bytes) -> None:
    if not text.strip():
        raise DataError("the file is empty")
    if text[:2] in UTF16:
        raise DataError("line 1: UTF-16 text. Save it as UTF-8: iconv -f UTF-16 -t UTF-8")
    if text[:4] == b"PK\x03\x04":
        raise DataError("a zip archive or an Excel workbook. Save it as CSV or Parquet.")
    nul = text.find(b"\x00")
    if nul >= 0:
        raise DataError(
            f"line {_line(text, nul)}: a NUL byte. The file is binary, UTF-16 without a mark, or "
            "damaged: save it as UTF-8 text."
        )


def _line(text: bytes, position: int) -> int:
    return text.count(b"\n", 0, position) + 1


def sniff_separator(text: bytes) -> str:
    """The separator that gives the first lines the same number of fields, and the most.

    Raises:
        DataError: If none of `SEPARATORS` does.
    """
    lines = text[:SAMPLE].decode("utf-8", "replace").replace("\r", "\n").split("\n")
    lines = [x for x in (lines[:-1] if len(text) > SAMPLE else lines) if x.strip()][:50]
    widths = {s: [len(r) for r in csv.reader(lines, delimiter=s)] for s in SEPARATORS}
    fitting = {s: w[0] for s, w in widths.items() if w and w[0] > 1 and len(set(w)) == 1}
    if fitting:
        return max(fitting, key=lambda s: fitting[s])
    # A ragged file has no fitting one: the header decides, and the row is reported by `_parse`.
    best = max(SEPARATORS, key=lambda s: widths[s][0])
    if widths[best][0] > 1:
        return best
    raise DataError(
        f"line 1: one column only: {lines[0][:60]!r}. If there are more, say what parts them: "
        "data.separator."
    )


def _column_names(text: bytes, separator: str, data: DataSpec) -> list[str]:
    first = re.match(rb"[^\r\n]*", text)
    assert first is not None
    try:
        line = first[0].decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(text, error.start) from None
    fields = [f.strip() for f in next(csv.reader([line], delimiter=separator))]
    if not fields:
        raise DataError("line 1 is blank: the names of the columns must stand there")
    if data.names is not None:
        if len(data.names) != len(fields):
            raise DataError(f"line 1: {len(fields)} fields, but data.names has {len(data.names)}")
        return list(data.names)
    if not data.header:
        return [f"c{i}" for i in range(len(fields))]
    if all(as_number(f) is not None for f in fields):
        raise DataError(
            f"line 1: {', '.join(fields[:4])}, … are numbers, not column names. If there is no "
            "header: data.names: [...] or data.header: false."
        )
    return unique_names([f or f"unnamed_{i + 1}" for i, f in enumerate(fields)])


def unique_names(names: Sequence[str]) -> list[str]:
    """The names, if each is there once.

    Raises:
        DataError: Naming those that are not, with the columns' numbers.
    """
    places: dict[str, list[str]] = {}
    for i, name in enumerate(names, 1):
        places.setdefault(name, []).append(str(i))
    twice = [f"{n!r} (columns {', '.join(p)})" for n, p in places.items() if len(p) > 1]
    if twice:
        raise DataError(f"line 1: duplicate column names: {'; '.join(twice)}. Rename them.")
    return list(names)


def _parse(text: bytes, separator: str, names: list[str], data: DataSpec) -> Any:
    import pyarrow as pa
    from pyarrow import csv as arrow

    quoted = b'"' in text
    if quoted:
        _refuse_open_quote(text, separator)
    markers = {as_text(m) for m in data.missing}
    nulls = sorted({*NULLS, *markers, *(n * " " for n in range(1, 9))})

    def read(types: dict[str, Any]) -> Any:
        return arrow.read_csv(
            pa.BufferReader(pa.py_buffer(text)),
            read_options=arrow.ReadOptions(
                column_names=names, skip_rows=1 if data.header and data.names is None else 0
            ),
            parse_options=arrow.ParseOptions(delimiter=separator, newlines_in_values=quoted),
            convert_options=arrow.ConvertOptions(
                null_values=nulls,
                strings_can_be_null=False,
                decimal_point=data.decimal,
                column_types=types,
            ),
            memory_pool=pa.system_memory_pool(),
        )

    try:
        table = read({})
        # "8:30" would become "08:30:00": a category that a served model never meets.
        timed = {f.name: pa.string() for f in table.schema if pa.types.is_time(f.type)}
        return read(timed) if timed else table
    except pa.ArrowInvalid as error:
        raise _refusal(text, separator, len(names), str(error)) from None


def _refusal(text: bytes, separator: str, expected: int, why: str) -> DataError:
    """Why Arrow did not read the text, with the line, which it does not know."""
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        return _not_utf8(text, error.start)
    reader = _reader(text, separator)
    begins = 1  # a quoted cell may hold several lines
    for cells in reader:
        if cells and len(cells) != expected:
            return DataError(
                f"line {begins}: {len(cells)} fields, expected {expected}: "
                f"{separator.join(cells)[:60]!r}. A cut row, or a {separator!r} inside a value "
                "without quotes."
            )
        begins = reader.line_num + 1
    return DataError(f"not readable as delimited text: {why}")


def _reader(text: bytes, separator: str, **options: Any) -> Any:
    """Python's reader, which counts lines; only ever asked where an error is."""
    lines = io.StringIO(text.decode("utf-8", "replace"), newline=None)
    return csv.reader(lines, delimiter=separator, **options)


def _refuse_open_quote(text: bytes, separator: str) -> None:
    """Arrow closes a quote at the end of a cut file by itself."""
    if text.count(b'"') % 2 == 0:
        return
    reader = _reader(text, separator, strict=True)
    begins = 1
    try:
        for _ in reader:
            begins = reader.line_num + 1
    except csv.Error as error:
        if "end of data" in str(error):
            raise DataError(
                f"line {begins}: a quote is opened and never closed: the file is cut off or lacks "
                "a quote"
            ) from None


def _refuse_unreadable(table: Any, text: bytes) -> None:
    import pyarrow as pa

    if any(pa.types.is_binary(field.type) for field in table.schema):
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _not_utf8(text, error.start) from None


def _not_utf8(text: bytes, position: int) -> DataError:
    return DataError(
        f"line {_line(text, position)}: byte 0x{text[position]:02x} is no UTF-8 text. Convert the "
        "file: iconv -f LATIN1 -t UTF-8"
    )
