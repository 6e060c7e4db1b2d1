"""Read delimited text (CSV, TSV) strictly, every cell as text; `cells` parses the cells.

A row with too few or too many fields, bytes that are not UTF-8, a truncated file or an ambiguous
header is refused with its line number; nothing is shifted, filled up or renamed. Training,
`hpsearch predict` and a server share this file, which is copied beside a served model.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

try:
    from ..errors import DataError
    from .cells import parse_number
    from .columns import Layout
except ImportError:  # beside a served model
    from hpsearch_cells import DataError, parse_number  # type: ignore[import-not-found,no-redef]
    from hpsearch_columns import Layout  # type: ignore[import-not-found,no-redef]

SEPARATORS = ",;\t|"
SAMPLE_BYTES = 1 << 16  # bytes from which the separator is detected
BLOCK_BYTES = 8 << 20  # bytes of text parsed per block
CHUNK_BYTES = 1 << 20  # bytes scanned per chunk
UTF8_BOM = b"\xef\xbb\xbf"
OTHER_FORMATS = {  # by how their files begin
    rb"PK\x03\x04": "a zip archive or an Excel workbook",
    rb"PAR1|ARROW1": "a Parquet or Arrow file whose name does not end in .parquet or .arrow",
    rb"ORC": "an ORC file",
    rb"Obj\x01": "an Avro file",
    rb"\x89HDF": "an HDF5 file",
    rb"SQLite format 3\x00": "a SQLite database, whose rows are read by data.source: {sql: …}",
    rb"\x80[\x02-\x05]": "a pickle, which could run code",
    rb"\x28\xb5\x2f\xfd|BZh|\xfd7zXZ": "compressed by another method than gzip",
    rb'\s*(?:\[\s*)?\{\s*"': "JSON",
}
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class FileHead:
    """Separator, columns and size of what precedes the first row."""

    separator: str
    names: tuple[str, ...]  # of the columns
    size: int  # bytes before the first row


class DelimitedText:
    """Delimited text from a file, plain or gzipped, or from memory."""

    def __init__(self, source: Path | bytes) -> None:
        self._source = source
        with self._open(raw=True) as file:
            self._is_gzip = file.read(2) == b"\x1f\x8b"
        self.has_quotes, odd = False, False
        self.size = 0  # bytes
        self.n_lines = 0
        for number, chunk in enumerate(self.iter_chunks()):
            if number == 0:
                _refuse_binary(chunk)
            self._refuse_nul(chunk, number)
            self.size += len(chunk)
            self.n_lines += chunk.count(b"\n")
            quotes = chunk.count(b'"')
            self.has_quotes |= quotes > 0
            odd ^= quotes % 2 == 1
        self.has_unclosed_quote = odd

    @contextmanager
    def _open(self, *, raw: bool = False) -> Iterator[Any]:
        source = self._source
        if isinstance(source, bytes):
            plain: Any = io.BytesIO(source)
        else:
            plain = source.open("rb")
        with plain:
            yield plain if raw or not self._is_gzip else gzip.GzipFile(fileobj=plain)

    def iter_chunks(self, size: int = CHUNK_BYTES) -> Iterator[bytes]:
        """Iterate over the bytes of the text in chunks.

        Raises:
            DataError: If the file is empty or a damaged gzip file.
        """
        with self._open() as file:
            try:
                chunk = file.read(size)
                if not chunk:
                    raise DataError("the file is empty")
                while chunk:
                    yield chunk
                    chunk = file.read(size)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise DataError(
                    f"the gzip file is damaged or cut off ({error}): fetch it again"
                ) from None

    def read_sample(self, size: int = SAMPLE_BYTES) -> bytes:
        """Read the first bytes, at least one whole line."""
        found = b""
        for chunk in self.iter_chunks(size):
            found += chunk
            if len(found) > len(UTF8_BOM) and (b"\n" in found or b"\r" in found[:-1]):
                break
        return found

    def read_all(self) -> bytes:
        """Read all bytes; only used to locate an error."""
        return b"".join(self.iter_chunks())

    @contextmanager
    def open_after(self, size: int) -> Iterator[Any]:
        """Open an Arrow stream after the first `size` bytes."""
        import pyarrow as pa

        with self._open() as file:
            file.seek(size)
            yield pa.PythonFile(file, mode="r")

    def _refuse_nul(self, chunk: bytes, number: int) -> None:
        nul = chunk.find(b"\x00")
        if nul >= 0:
            chunks = zip(range(number), self.iter_chunks(), strict=False)
            line = sum(chunk.count(b"\n") for _, chunk in chunks) + _find_line_number(chunk, nul)
            raise DataError(
                f"line {line}: a NUL byte. The file is binary, UTF-16 without a mark, or "
                "damaged: save it as UTF-8 text."
            )


def _refuse_binary(text: bytes) -> None:
    if not text.removeprefix(UTF8_BOM).strip() and len(text) < CHUNK_BYTES:
        raise DataError("the file is empty")
    if text[:2] in UTF16_BOMS:
        raise DataError("line 1: UTF-16 text. Save it as UTF-8: iconv -f UTF-16 -t UTF-8")
    for beginning, format_name in OTHER_FORMATS.items():
        if re.match(beginning, text):
            raise DataError(f"{format_name}. Save it as CSV or Parquet.")


def _find_line_number(text: bytes, position: int) -> int:
    return text.count(b"\n", 0, position) + 1


# ---- the head of a file ----


def read_head(
    text: DelimitedText,
    layout: Layout,
    *,
    needed: Collection[str] = (),
    targets: Collection[str] = (),
    separator: str | None = None,
) -> FileHead:
    """Detect the separator and the columns of a text.

    Args:
        text: The text.
        layout: As declared, or as stored with a trained model.
        needed: Columns that must be present, if known. Header and separator may then differ from
            `layout`.
        targets: Columns that a file without a header may lack.
        separator: The separator; None: `layout`'s if it fits, else detected.

    Raises:
        DataError: If the header is missing or ambiguous.
    """
    sample = text.read_sample()
    mark = len(UTF8_BOM) if sample.startswith(UTF8_BOM) else 0
    size = _find_first_record_end(text, sample, mark)
    try:
        first = sample[mark:size] if size <= len(sample) else text.read_all()[mark:size]
        record = first.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _build_utf8_error(text.read_all(), mark + error.start) from None
    _refuse_excel_note(record)
    if separator is None and layout.separator:
        names, has_header = _resolve_column_names(
            _split_fields(record, layout.separator), layout, needed, targets
        )
        if not needed or (names and set(needed) <= set(names)):
            separator = layout.separator
    if separator is None:
        separator = sniff_separator(sample[mark:], len(sample) < SAMPLE_BYTES, needed)
    fields = _split_fields(record, separator)
    if not any(fields) and (layout.header or needed):
        raise DataError("line 1 is blank: it must hold the names of the columns")
    names, has_header = _resolve_column_names(fields, layout, needed, targets)
    if names is None:
        raise DataError(
            f"line 1: {len(fields)} fields, but data.names has {len(layout.names)}"
            if not needed
            else f"line 1: {len(fields)} fields; the model was trained on a file without a header "
            f"of {len(layout.names)}: {', '.join(layout.names[:8])}"
        )
    if has_header:
        _refuse_numeric_header(fields, needed)
        try:
            names = require_unique_names([f or f"unnamed_{i + 1}" for i, f in enumerate(fields)])
        except DataError as error:
            raise DataError(f"line 1: {error}") from None
    return FileHead(separator, tuple(names), size if has_header else mark)


def _refuse_excel_note(record: str) -> None:
    found = re.fullmatch(r'"?sep=(.)"?', record.rstrip("\r\n"), re.IGNORECASE)
    if found:
        raise DataError(
            f"line 1: {found[0]!r} is Excel's separator line, not a row: remove the line "
            f"(data.separator: {found[1]!r} says the same)"
        )


def _find_first_record_end(text: DelimitedText, sample: bytes, start: int) -> int:
    """Find the end of the first record; a quoted cell may span several lines."""
    end, content = start, sample
    while True:
        breaks = [p for p in (content.find(b"\n", end), content.find(b"\r", end)) if p >= 0]
        if not breaks:
            if len(content) < len(sample) or content is not sample:
                return len(content)
            content = text.read_all()
            if len(content) == len(sample):
                return len(content)
            continue
        end = min(breaks)
        end += 2 if content[end : end + 2] == b"\r\n" else 1
        if content.count(b'"', start, end) % 2 == 0:
            return end


def _split_fields(record: str, separator: str) -> list[str]:
    lines = io.StringIO(record.rstrip("\r\n"), newline="")
    try:
        return [f.strip() for f in next(csv.reader(lines, delimiter=separator), [""])]
    except csv.Error as error:
        raise DataError(f"line 1: {error}") from None


def _resolve_column_names(
    fields: Sequence[str], layout: Layout, needed: Collection[str], targets: Collection[str]
) -> tuple[Sequence[str] | None, bool]:
    """Return the column names, None if they do not fit, and whether the fields are a header."""
    if layout.header or (needed and set(needed) <= set(fields)):
        return fields, True
    names = layout.names or tuple(f"c{i}" for i in range(len(fields)))
    if len(names) == len(fields):
        return names, False
    known = [name for name in names if name not in targets]
    return (known if len(known) == len(fields) else None), False


def _refuse_numeric_header(fields: Sequence[str], needed: Collection[str]) -> None:
    if not needed and all(parse_number(f) is not None for f in fields):
        raise DataError(
            f"line 1: {', '.join(fields[:4])}, … are numbers, not column names. If there is no "
            "header: data.names: [...] or data.header: false."
        )


def require_unique_names(names: Sequence[str]) -> list[str]:
    """Return the names if they are unique.

    Raises:
        DataError: Names the duplicates with their column numbers.
    """
    indices: dict[str, list[str]] = {}
    for i, name in enumerate(names, 1):
        indices.setdefault(name, []).append(str(i))
    twice = [f"{n!r} (columns {', '.join(p)})" for n, p in indices.items() if len(p) > 1]
    if twice:
        raise DataError(f"duplicate column names: {'; '.join(twice[:5])}. Rename them.")
    return list(names)


def sniff_separator(text: bytes, is_whole: bool = False, needed: Collection[str] = ()) -> str:
    """Detect the separator that splits the first lines into equally many, and the most, fields.

    Args:
        text: The first bytes.
        is_whole: Whether `text` is the whole file, so that its last line is complete.
        needed: Columns that must be present; a single one is allowed.

    Raises:
        DataError: If none of `SEPARATORS` fits.
    """
    decoded = text.decode("utf-8", "replace")
    lines = [x for x in _split_lines(decoded, is_whole) if x.strip()][:50]
    if not lines:
        raise DataError("the file is empty")
    widths = {s: [len(r) for r in _parse_records(lines, s)] for s in SEPARATORS}
    fitting = {s: w[0] for s, w in widths.items() if w and w[0] > 1 and len(set(w)) == 1}
    if fitting:
        return max(fitting, key=lambda s: fitting[s])
    # In a ragged file none fits: the header decides, and reading reports the row.
    best = max(SEPARATORS, key=lambda s: widths[s][0])
    if widths[best][0] > 1 and lines[0].strip().strip('"') not in needed:
        return best
    if needed:
        return ","  # a file of one column
    raise DataError(
        f"line 1: one column only: {lines[0][:60]!r}. If there are more, declare data.separator."
    )


def _split_lines(text: str, is_whole: bool) -> list[str]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if is_whole or len(lines) < 2 else lines[:-1]


def _parse_records(lines: list[str], separator: str) -> list[list[str]]:
    try:
        return list(csv.reader([f"{line}\n" for line in lines], delimiter=separator))
    except csv.Error:  # a field longer than csv's limit
        return [[""]]


# ---- the rows ----


def read_texts(
    text: DelimitedText, head: FileHead, needed: Sequence[str], block: int = BLOCK_BYTES
) -> Iterator[Any]:
    """Iterate over the needed columns as Arrow tables of strings, in blocks of rows.

    Raises:
        DataError: Names the line of anything that could shift or lose a cell.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow

    refuse_open_quote(text, head.separator)
    options = arrow.ConvertOptions(
        column_types={name: pa.string() for name in needed},
        include_columns=list(needed),
        strings_can_be_null=False,
    )
    if text.size <= head.size:
        return
    try:
        with text.open_after(head.size) as stream:
            batches = arrow.open_csv(
                stream, read_options(text, head, block), parse_options(text, head), options
            )
            for batch in batches:
                if batch.num_rows:
                    yield pa.Table.from_batches([batch])
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise build_read_error(text, head, str(error)) from None


def read_options(text: DelimitedText, head: FileHead, block: int) -> Any:
    """Build Arrow's read options; every row, the header included, must fit into a block."""
    from pyarrow import csv as arrow

    return arrow.ReadOptions(
        column_names=list(head.names),
        block_size=max(block, 8 * max(head.size, 16 * len(head.names))),
        use_threads=True,
    )


def parse_options(text: DelimitedText, head: FileHead) -> Any:
    """Build Arrow's parse options; with a single column, a blank line is a row."""
    from pyarrow import csv as arrow

    return arrow.ParseOptions(
        delimiter=head.separator,
        newlines_in_values=text.has_quotes,
        ignore_empty_lines=len(head.names) > 1,
    )


def build_read_error(text: DelimitedText, head: FileHead, why: str) -> DataError:
    """Build the error for a text that Arrow rejects, with the line, which Arrow lacks."""
    content = text.read_all()
    if not content[head.size :].strip():
        return DataError("a header and no rows")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return _build_utf8_error(content, error.start)
    reader = _make_csv_reader(content, head.separator)
    begins = 1  # a quoted cell may span several lines
    try:
        for cells in reader:
            if cells and len(cells) != len(head.names):
                return DataError(
                    f"line {begins}: {len(cells)} fields, expected {len(head.names)}: "
                    f"{head.separator.join(cells)[:60]!r}. A cut row, or a {head.separator!r} "
                    "inside a value without quotes."
                )
            begins = reader.line_num + 1
    except csv.Error as error:
        return DataError(f"line {begins}: not readable as delimited text: {error}")
    return DataError(f"not readable as delimited text: {why.splitlines()[0]}")


def _make_csv_reader(content: bytes, separator: str, **options: Any) -> Any:
    """Build Python's reader, which counts lines; only used to locate an error."""
    lines = io.StringIO(content.decode("utf-8", "replace"), newline=None)
    return csv.reader(lines, delimiter=separator, **options)


def refuse_open_quote(text: DelimitedText, separator: str) -> None:
    """Refuse a truncated file, whose last quote Arrow would close silently.

    Raises:
        DataError: Names the line where the quote opens.
    """
    if not text.has_unclosed_quote:
        return
    reader = _make_csv_reader(text.read_all(), separator, strict=True)
    begins = 1
    try:
        for _ in reader:
            begins = reader.line_num + 1
    except csv.Error as error:
        if "end of data" in str(error):
            raise DataError(
                f"line {begins}: a quote is opened and never closed: the file is truncated or "
                "lacks a quote"
            ) from None


def _build_utf8_error(text: bytes, position: int) -> DataError:
    return DataError(
        f"line {_find_line_number(text, position)}: byte 0x{text[position]:02x} is not UTF-8 "
        "text, the one "
        "encoding that is read. It may be Latin-1, Windows-1252 or another: save it as CSV UTF-8, "
        "or convert it with iconv -f WINDOWS-1252 -t UTF-8"
    )
