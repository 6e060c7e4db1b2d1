"""Read delimited text as an Arrow table: numbers as numbers, everything else as text.

Arrow infers the types, at the speed of its parser. A column whose texts carry more than their
number, such as the zip code 01234, is read again as text. So a column is numeric only if parsing
loses nothing, and a column declared categorical stays text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..spec.data_spec import DataSpec
from .cells import format_cell
from .column_files import iter_column_files
from .columns import Layout
from .delimited import (
    DelimitedText,
    FileHead,
    build_read_error,
    parse_options,
    read_head,
    read_options,
    refuse_open_quote,
)
from .malloc import trim_heap
from .vocabulary import MAX_EXACT_FLOAT64

# In a numeric column; a text column keeps them as categories unless declared missing.
NULL_TEXTS = ("", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL", "None")
NO_ROWS = "a header and no rows"
ARROW_BLOCK_BYTES = 1 << 20  # bytes
CODE_PATTERN = r"^\s*[+-]?0[0-9xX]+\s*$|^\s*[+-]?0[xX]"  # 007, and Arrow's 0x1F
LONG_PATTERN = r"^[+-]?[0-9]{16,}$"  # more digits than a float keeps
EXPONENT_PATTERN = r"^[0-9]+[eE][0-9]+$"  # 12E3: a code, or a number?
WHOLE_PATTERN = r"^[0-9]+$"
GROUPED_PATTERN = r"^[+-]?[1-9][0-9]{0,2}(\.[0-9]{3})*$"  # 1.250: thousands, or a fraction?
GROUPED_ONLY_PATTERN = r"\.[0-9]*0$"  # never written by shortest-decimal writers
CANONICAL_PATTERN = r"^(0|-?[1-9][0-9]{0,17})$"  # a whole number in its canonical spelling


def read_delimited(path: Path, data: DataSpec, text: Collection[str] = ()) -> tuple[Any, Layout]:
    """Read a delimited text file, plain or gzipped, with its layout.

    Args:
        path: The file.
        data: The declaration.
        text: Columns to keep as text.

    Returns:
        A `pyarrow.Table` whose columns are numeric or text.

    Raises:
        DataError: Names the line of anything that could shift or lose a cell.
    """
    content, head, layout = _open_delimited(path, data)
    table = _read_typed_table(content, head, data, text)
    if table.num_rows == 0:
        raise DataError(NO_ROWS)
    return table, layout


def iter_delimited(
    path: Path, data: DataSpec, text: Collection[str], max_cells: float, stem: Path
) -> tuple[Iterator[Any], Layout]:
    """Read a file as `read_delimited` does, as many columns at a time as `max_cells` allow.

    If these are not all, the columns are divided into files with the path `stem` and a suffix.

    Returns:
        A `pyarrow.Table` per group of columns, each with all rows, and the layout.
    """
    content, head, layout = _open_delimited(path, data)
    size = max(1, int(max_cells / max(1, content.n_lines)))
    names = list(head.names)
    groups = [names[start : start + size] for start in range(0, len(names), size)]
    parts = iter([(content, head)])
    if len(groups) > 1:
        parts = iter_column_files(content, head, groups, stem)
    return (_read_typed_table(*part, data, text) for part in parts), layout


def count_delimited_cells(path: Path, data: DataSpec) -> int:
    """Count the cells of a file from its lines and the columns of its header."""
    content, head, _ = _open_delimited(path, data)
    return content.n_lines * sum(name not in data.drop for name in head.names)


def _open_delimited(path: Path, data: DataSpec) -> tuple[DelimitedText, FileHead, Layout]:
    content = DelimitedText(path)
    names = tuple(data.names or ())
    declared = Layout(data.separator or "", data.header and not names, names)
    head = read_head(content, declared)
    refuse_open_quote(content, head.separator)
    names = () if declared.header else head.names
    return content, head, Layout(head.separator, declared.header, names)


def _read_typed_table(
    content: DelimitedText,
    head: FileHead,
    data: DataSpec,
    text: Collection[str],
) -> Any:
    """Read with Arrow's inferred types, and as text the columns that would lose spelling."""
    import pyarrow as pa

    kept = [name for name in head.names if name in text]
    table = _read_arrow(content, head, data, dict.fromkeys(kept, pa.string()))
    trim_heap()  # buffers of Arrow's threads, as large as the table
    numbers = (pa.types.is_integer, pa.types.is_float64, pa.types.is_null)
    is_number = {f.name: any(check(f.type) for check in numbers) for f in table.schema}
    again = [
        f.name for f in table.schema if not is_number[f.name] and not pa.types.is_string(f.type)
    ]
    numeric = [name for name in head.names if is_number[name]]
    doubtful = _find_doubtful_columns(content, table, numeric, head.separator)
    if again or doubtful:
        names = [*again, *doubtful]
        texts = _read_arrow(content, head, data, dict.fromkeys(names, pa.string()), names)
        spelled = {name: texts[name] for name in names}
        again += [name for name in doubtful if _loses_spelling(spelled[name])]
        table = _replace_columns(table, {name: spelled[name] for name in again})
    return _replace_columns(
        table, {n: c for n in kept if (c := _parse_whole_numbers(table[n])) is not None}
    )


def _replace_columns(table: Any, columns: dict[str, Any]) -> Any:
    """Replace several columns of the table at once."""
    import pyarrow as pa

    if not columns:
        return table
    each = zip(table.column_names, table.columns, strict=True)
    return pa.table({name: columns.get(name, column) for name, column in each})


def _read_arrow(
    content: DelimitedText,
    head: FileHead,
    data: DataSpec,
    types: dict[str, Any],
    only: list[str] | None = None,
) -> Any:
    import pyarrow as pa
    from pyarrow import csv as arrow

    markers = {format_cell(m) for m in data.missing}
    try:
        with content.open_after(head.size) as stream:
            table = arrow.read_csv(
                stream,
                read_options=read_options(content, head, ARROW_BLOCK_BYTES),
                parse_options=parse_options(content, head),
                convert_options=arrow.ConvertOptions(
                    null_values=sorted({*NULL_TEXTS, *markers, *(n * " " for n in range(1, 9))}),
                    strings_can_be_null=False,
                    decimal_point=data.decimal,
                    column_types=types,
                    include_columns=only or [],
                ),
                memory_pool=pa.system_memory_pool(),
            )
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise build_read_error(content, head, str(error)) from None
    if any(pa.types.is_binary(field.type) for field in table.schema):
        raise build_read_error(content, head, "bytes that are not UTF-8 text")
    return table


def _find_doubtful_columns(
    content: DelimitedText, table: Any, numeric: list[str], separator: str
) -> list[str]:
    """Find numeric columns whose texts may carry more than the number; nearly always none."""
    whole = [name for name in numeric if _is_whole(table[name])]
    grouped = [name for name in numeric if name not in whole and _may_be_grouped(table[name])]
    if whole and not any(
        _may_contain_codes(chunk, separator) for chunk in _iter_overlapping_chunks(content)
    ):
        whole = [name for name in whole if _may_be_rounded(table[name])]
    return [*whole, *grouped]


def _may_be_rounded(numbers: Any) -> bool:
    """Whether a whole number may have lost digits."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_float64(numbers.type):
        return False
    return bool(pc.max(pc.abs(numbers)).as_py() >= MAX_EXACT_FLOAT64)


def _is_whole(numbers: Any) -> bool:
    """Whether a column holds only whole numbers."""
    import pyarrow as pa

    if pa.types.is_integer(numbers.type):
        return True
    known = numbers.drop_null()
    if not pa.types.is_float64(numbers.type) or len(known) == 0:
        return False
    values = known.to_numpy()
    first = values[:1000]
    return all((part == np.floor(part)).all() for part in (first, values))


def _iter_overlapping_chunks(content: DelimitedText) -> Iterator[np.ndarray]:
    """Iterate over the bytes in chunks; each begins with the last two bytes of the one before."""
    before = b"\n\n"
    for chunk in content.iter_chunks(ARROW_BLOCK_BYTES):
        yield np.frombuffer(before + chunk + b"\n", np.uint8)
        before = chunk[-2:]


def _may_contain_codes(text: np.ndarray, separator: str) -> bool:
    """Whether a cell may begin with 0 before a digit, or consist of digits around an E."""
    is_digit = _make_byte_mask(b"0123456789xX")
    ends = _make_byte_mask(b'\n\r" ' + separator.encode())
    signs = _make_byte_mask(b"+- ")
    zeros = np.flatnonzero(text[2:-1] == ord("0")) + 2
    zeros = zeros[is_digit[text[zeros + 1]]]
    before = text[zeros - 1]
    if (ends[before] | (signs[before] & ends[text[zeros - 2]])).any():
        return True
    powers = np.flatnonzero((text[1:-1] | 0x20) == ord("e")) + 1
    return bool((is_digit[text[powers - 1]] & is_digit[text[powers + 1]]).any())


def _make_byte_mask(characters: bytes) -> np.ndarray:
    """Return a mask over the 256 byte values: which are among the characters."""
    found = np.zeros(256, bool)
    found[list(characters)] = True
    return found


def _may_be_grouped(numbers: Any) -> bool:
    """Whether 1.250 may mean 1250: the column holds only thousandths and whole numbers."""
    import pyarrow as pa

    if not pa.types.is_float64(numbers.type) or len(numbers) == numbers.null_count:
        return False
    known = numbers.drop_null().to_numpy()
    first = known[:1000]
    for part in (first, known):
        if not (np.abs(part) >= 1).all() or not (np.abs(part) < 1e9).all():
            return False
        if not np.isclose(part * 1000, np.round(part * 1000), rtol=0, atol=1e-6).all():
            return False
    return bool((known == np.floor(known)).any())


def _loses_spelling(texts: Any) -> bool:
    """Whether parsing the texts of a numeric column loses their spelling."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.utf8_trim_whitespace(texts)
    blank = pc.is_in(texts, pa.array([null.strip() for null in NULL_TEXTS]))
    known = texts.filter(pc.invert(blank))

    def some(pattern: str) -> bool:
        return bool(pc.any(pc.match_substring_regex(known, pattern), min_count=0).as_py())

    def all_but_blanks(pattern: str) -> bool:
        return bool(pc.all(pc.match_substring_regex(known, pattern), min_count=0).as_py())

    if (
        some(LONG_PATTERN)
        or some(CODE_PATTERN)
        or (some(EXPONENT_PATTERN) and all_but_blanks(f"{EXPONENT_PATTERN}|{WHOLE_PATTERN}"))
    ):
        return True
    return (
        some(r"\.")
        and some(WHOLE_PATTERN)
        and some(GROUPED_ONLY_PATTERN)
        and all_but_blanks(GROUPED_PATTERN)
    )


def _parse_whole_numbers(texts: Any) -> Any | None:
    """Parse a column of canonical whole numbers exactly; None if a text is anything else."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(texts.type):
        return None
    blank = pc.equal(pc.utf8_trim_whitespace(texts), "")
    known = pc.if_else(blank, None, texts)
    if known.null_count == len(known):
        return None
    if not pc.all(pc.match_substring_regex(known, CANONICAL_PATTERN), min_count=0).as_py():
        return None
    return known.cast(pa.int64())


def is_code(text: str) -> bool:
    """Whether a number's text is a code: its spelling differs from the number's, as 007, 12E3."""
    return bool(re.search(CODE_PATTERN, text) or re.search(EXPONENT_PATTERN, text))
