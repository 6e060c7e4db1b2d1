"""Read one cell of a raw table, by the kind of its column.

The same code reads the training table and the rows that a served model receives, so this file
is copied beside that model. It needs numpy, and pyarrow only for Arrow columns.
`column_inference` decides how a column is read, `schema` stores that decision; this module
applies it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

try:
    from ..errors import DataError
except ImportError:  # beside a served model, hpsearch is not installed
    DataError = ValueError  # type: ignore[assignment,misc]

MISSING_TEXTS = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none"})
BOOL_WORDS = {
    **dict.fromkeys(("true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("false", "f", "no", "n", "off"), False),
}
FLOAT32_TYPES = (
    "float",
    "float32",
    "Float32",
    "float[pyarrow]",
)  # the unit's name in Arrow, numpy and pandas
PLAIN_FORMAT = "1250.5"  # the default way to write 1250.5
COMMA_FORMAT = "1250,5"
# Ways to write 1250.5 that are recognized without a declaration.
NUMBER_FORMATS = (PLAIN_FORMAT, COMMA_FORMAT, "1,250.5", "1.250,5", "1 250,5", "1 250.5", "1'250.5")
ISO_FORMAT = "YYYY-MM-DD"
OFFSET = r"Z|[+-]\d{2}:\d{2}"  # the usual end of an ISO 8601 text
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LOCAL = "local"  # the zone of a column of several offsets, none of which is UTC
DATE_FORMATS = {
    "DD/MM/YYYY": r"(?P<d>\d{1,2})/(?P<m>\d{1,2})/(?P<y>\d{4})",
    "MM/DD/YYYY": r"(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<y>\d{4})",
    "DD.MM.YYYY": r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4})",
    "DD-MM-YYYY": r"(?P<d>\d{1,2})-(?P<m>\d{1,2})-(?P<y>\d{4})",
    "MM-DD-YYYY": r"(?P<m>\d{1,2})-(?P<d>\d{1,2})-(?P<y>\d{4})",
    "YYYY/MM/DD": r"(?P<y>\d{4})/(?P<m>\d{1,2})/(?P<d>\d{1,2})",
}
_FORMAT_EXAMPLE = re.compile(
    r"(?P<prefix>[$€£¥]?) ?1(?P<group>[,. '\u2019\u00a0\u202f]?)250(?P<decimal>[.,])5 ?"
    r"(?P<suffix>[%$€£¥]?)"
)


# ---- one cell ----


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, NaT or pandas' NA."""
    if value is None or (isinstance(value, float | Decimal) and value != value):
        return True
    return type(value).__name__ in ("NAType", "NaTType")


def format_cell(value: Any) -> str:
    """Format a cell as text: the same text for 1, 1.0 and "1", for True and "true"."""
    if is_missing(value):
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    if isinstance(value, Decimal):  # exact for any number of digits
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    if isinstance(value, datetime) and value.time() == time() and value.tzinfo is None:
        return str(value.date())
    return str(value).strip()


def parse_number(text: str) -> float | None:
    """Parse a text as a number; None if it is not one."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def parse_bool(value: Any) -> bool | None:
    """Parse a typed cell, or a word such as "yes", as a truth value; None if it is not one."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    return BOOL_WORDS.get(value.strip().lower()) if isinstance(value, str) else None


def number_key(value: Any) -> int | float | None:
    """Return a key shared by equal numbers: 7, 7.0, "7" and "007".

    Exact for whole numbers of any length.
    """
    if isinstance(value, bool | np.bool_):
        return None
    text = format_cell(value)
    if text.lstrip("+-").isdigit() and text.isascii():
        return int(text)
    number = parse_number(text)
    return None if number is None or not np.isfinite(number) else number


def parse_date(value: Any, form: str = "", zone: str = "") -> datetime | None:
    """Parse a typed cell or its text as a date, in local time of the column's zone.

    A cell without an offset is not converted. A cell with one is converted by `zone`:

    - "": the cell's own local time;
    - `LOCAL`: the cell's own local time; a cell in UTC has lost its offset and gives None;
    - an offset such as +09:00: the cell's own local time; a cell in UTC is shifted by the offset;
    - a name such as Asia/Tokyo or UTC: local time in that zone.
    """
    text = str(value).strip()
    try:
        moment = datetime.fromisoformat(_to_iso(text, form))
        offset = moment.utcoffset()
        if offset is None or not zone or (offset and is_clock(zone)):
            return moment.replace(tzinfo=None)
        return None if zone == LOCAL else moment.astimezone(clock(zone)).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


def is_clock(zone: str) -> bool:
    """Whether `zone` keeps a cell's own offset: it is an offset itself, or `LOCAL`."""
    return zone == LOCAL or zone[0] in "+-"


@lru_cache
def clock(zone: str) -> tzinfo:
    """Return the time zone with this name or offset.

    Raises:
        ValueError: If the zone is unknown.
    """
    if zone[:1] in ("+", "-"):
        found = datetime.fromisoformat(f"2000-01-01T00:00{zone}").tzinfo
        assert found is not None
        return found
    try:
        return ZoneInfo(zone)
    except (KeyError, OSError):
        raise ValueError(f"there is no time zone {zone!r}") from None


def moment_key(value: Any) -> datetime | None:
    """Return a key shared by the spellings of one moment: 09:00+09:00 and 00:00Z.

    A time without an offset is its own key.
    """
    try:
        moment = datetime.fromisoformat(str(value).strip())
        return moment if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _to_iso(text: str, form: str) -> str:
    if form in ("", ISO_FORMAT):
        return text
    found = _compile_date_pattern(form).fullmatch(text)
    if found is None:
        return text if text[4:5] == "-" else ""  # a typed date, or one parsed by pandas
    rest = "" if found["rest"] is None else f"T{found['rest']}"
    hour = re.match(r"T(\d):", rest)
    rest = f"T0{rest[1:]}" if hour else rest
    return f"{found['y']}-{int(found['m']):02}-{int(found['d']):02}{rest}"


@lru_cache
def _compile_date_pattern(form: str) -> re.Pattern[str]:
    return re.compile(DATE_FORMATS[form] + r"(?:[ T]+(?P<rest>\d.*))?")


# ---- how numbers are written ----


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """The format of the numbers in a column of text."""

    group: str  # thousands separator; "": none
    decimal: str
    prefix: str = ""  # a currency
    suffix: str = ""  # a currency, or %

    @property
    def pattern(self) -> str:
        """A regular expression, valid in RE2 and Python, that a whole text must match."""
        group, decimal = f"[{self.group_characters}]", re.escape(self.decimal)
        whole = rf"([1-9][0-9]{{0,2}}({group}[0-9]{{3}})+|[0-9]+)" if self.group else "[0-9]+"
        number = rf"({whole}({decimal}[0-9]*)?|{decimal}[0-9]+)([eE][+-]?[0-9]+)?"
        before = rf"[+-]?{re.escape(self.prefix)} ?[+-]?" if self.prefix else "[+-]?"
        after = f" ?{re.escape(self.suffix)}" if self.suffix else ""
        return f"^{before}{number}{after}$"

    @property
    def group_characters(self) -> str:
        """The characters accepted as thousands separators."""
        return {" ": " \u00a0\u202f", "'": "'\u2019"}.get(self.group, self.group)

    @property
    def ignored_characters(self) -> str:
        """The characters around the digits that are ignored."""
        return f"{self.prefix}{self.suffix}{self.group_characters} +"

    def parse(self, text: str) -> float | None:
        """Parse a text in this format; None if it does not match."""
        if not _compile_pattern(self.pattern).match(text):
            return None
        for mark in self.ignored_characters:
            text = text.replace(mark, "")
        return parse_number(text.replace(self.decimal, "."))


@lru_cache
def _compile_pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@lru_cache
def parse_number_format(example: str) -> NumberFormat:
    """Derive the format from `example`, which shows how 1250.5 is written.

    Raises:
        ValueError: If `example` does not spell 1250.5.
    """
    found = _FORMAT_EXAMPLE.fullmatch(example)
    if found is None or found["group"] == found["decimal"] or (found["prefix"] and found["suffix"]):
        raise ValueError(
            f"format: {example!r} does not show how 1250.5 is written; for example "
            f"{', '.join(NUMBER_FORMATS)}, $1,250.5 or 1250.5%"
        )
    return NumberFormat(found["group"], found["decimal"], found["prefix"], found["suffix"])


def parse_formatted_number(text: str, form: str = "") -> float | None:
    """Parse a text as a number in the format `form`; None if it does not match."""
    return (
        parse_number(text) if form in ("", PLAIN_FORMAT) else parse_number_format(form).parse(text)
    )


# ---- the different cells of a column ----


def factorize(column: Any) -> tuple[list[Any], np.ndarray]:
    """Return the distinct values of a raw column, and each row's index into them.

    With it, each distinct text is parsed only once.
    """
    is_narrow = str(getattr(column, "type", getattr(column, "dtype", ""))) in FLOAT32_TYPES
    if hasattr(column, "dictionary_encode"):  # pyarrow
        values, indices = _factorize_arrow(column)
        found = [*values.to_pylist(), None]
        return (_shorten_floats(found) if is_narrow else found), indices
    cells = column.tolist() if hasattr(column, "tolist") else list(column)
    seen: dict[Any, int] = {}
    indices = np.empty(len(cells), np.intp)
    for row, value in enumerate(cells):
        try:
            indices[row] = seen.setdefault(_make_key(value), len(seen))
        except TypeError:  # a list, a dict, an array
            raise DataError(
                f"row {row + 1} holds a {type(value).__name__}; cells are numbers, texts, truth "
                "values or dates"
            ) from None
    found = [None if v is None else v[1] for v in seen]
    return (_shorten_floats(found) if is_narrow else found), indices


def _shorten_floats(numbers: Iterable[Any]) -> list[Any]:
    """Round float32 values to their shortest decimal: 0.1 instead of 0.10000000149011612."""
    return [None if is_missing(n) else float(str(np.float32(n))) for n in numbers]


def factorize_codes(column: Any) -> np.ndarray:
    """Return the row indices of `factorize` alone, without a Python object for each value."""
    return (
        _factorize_arrow(column)[1]
        if hasattr(column, "dictionary_encode")
        else factorize(column)[1]
    )


def _factorize_arrow(column: Any) -> tuple[Any, np.ndarray]:
    """`factorize` for a pyarrow column; a null comes last."""
    encoded = column.combine_chunks()
    if not hasattr(encoded, "dictionary"):
        encoded = encoded.dictionary_encode()
    indices = encoded.indices.to_numpy(zero_copy_only=False)  # a null is NaN
    if encoded.null_count:
        indices = np.where(np.isnan(indices), len(encoded.dictionary), indices)
    return encoded.dictionary, indices.astype(np.intp)


def expand_to_rows(per_value: Any, indices: np.ndarray, dtype: Any = None) -> np.ndarray:
    """Expand one entry per distinct value to one entry per row: the inverse of `factorize`."""
    rows: np.ndarray = np.asarray(per_value, dtype)[indices]
    return rows


def _make_key(value: Any) -> tuple[type, Any] | None:
    """Return a dictionary key under which all missing values are equal, and 1 is not True."""
    return None if is_missing(value) else (type(value), value)


# ---- whole columns of numbers and dates ----


def is_text_column(column: Any) -> bool:
    """Whether a raw column is an Arrow column of strings."""
    return str(getattr(column, "type", "")) in ("string", "large_string")


def read_number_column(raw: Any) -> np.ndarray | None:
    """Convert a numeric column to float64 with NaN for missing cells; None if not numeric."""
    if hasattr(raw, "combine_chunks"):  # pyarrow turns nulls into NaN
        kind = str(raw.type)
        if not kind.startswith(("int", "uint", "float", "double", "halffloat")):
            return None
        return np.asarray(raw.to_numpy(), np.float64)
    array = raw.to_numpy() if hasattr(raw, "to_numpy") else raw
    is_numeric = isinstance(array, np.ndarray) and array.dtype.kind in "iuf"
    return array.astype(np.float64) if is_numeric else None


def parse_number_column(raw: Any, missing: Iterable[str] = (), form: str = "") -> np.ndarray | None:
    """Parse an Arrow column of strings as float64, NaN for missing cells.

    Returns None if a cell is not a number. The vectorized form of `parse_formatted_number`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    markers = set(missing)
    if form in ("", PLAIN_FORMAT) and not markers:
        try:  # the usual case: numbers and blanks
            return _to_float64(pc.if_else(pc.equal(raw, ""), None, raw).cast(pa.float64()))
        except pa.ArrowInvalid:
            pass
    texts = pc.utf8_trim_whitespace(raw)
    blank = pc.is_in(pc.utf8_lower(texts), pa.array(sorted(MISSING_TEXTS), texts.type))
    if markers:
        blank = pc.or_(blank, pc.is_in(texts, pa.array(sorted(markers), texts.type)))
    texts = pc.if_else(blank, None, texts)
    if form not in ("", PLAIN_FORMAT):
        format_ = parse_number_format(form)
        if not pc.all(pc.match_substring_regex(texts, format_.pattern), min_count=0).as_py():
            return None
        for mark in format_.ignored_characters:
            texts = pc.replace_substring(texts, mark, "")
        texts = pc.replace_substring(texts, format_.decimal, ".")
    try:
        return _to_float64(texts.cast(pa.float64()))
    except pa.ArrowInvalid:
        return None


def _to_float64(numbers: Any) -> np.ndarray:
    return np.asarray(numbers.to_numpy(zero_copy_only=False), np.float64)


def parse_date_column(
    raw: Any, name: str, missing: tuple[str, ...] = (), form: str = "", zone: str = ""
) -> np.ndarray:
    """Parse a column of dates as datetime64[s], NaT for missing cells.

    Times are local times as `parse_date` defines them.

    Raises:
        DataError: If a cell does not match the format.
    """
    if form in ("", ISO_FORMAT) and is_text_column(raw):
        moments = _parse_iso_dates(raw, missing, zone)
        if moments is not None:
            return moments
    values, indices = factorize(raw)
    table: list[Any] = []
    for value in values:
        text = format_cell(value)
        if text.lower() in MISSING_TEXTS or text in missing:
            table.append(np.datetime64("NaT", "s"))
            continue
        moment = parse_date(text, form, zone)
        if moment is None:
            row = int(np.flatnonzero(indices == len(table))[0])
            if parse_date(text, form) is not None:
                raise DataError(
                    f"column {name!r}, row {row + 1}: {text!r} is in UTC, but the model was "
                    "trained on local times of several offsets: give the local time with its "
                    f"offset, or train with a zone, such as data.columns.{name}.zone: Europe/Berlin"
                )
            like = f"{ISO_FORMAT} or {ISO_FORMAT} 23:59:59" if form in ("", ISO_FORMAT) else form
            raise DataError(
                f"column {name!r}, row {row + 1}: {text!r} is not a date like "
                f"{like.replace('YYYY', '2024').replace('MM', '12').replace('DD', '31')}"
            )
        table.append(np.datetime64(moment, "s"))
    return expand_to_rows(table, indices, "datetime64[s]")


def _parse_iso_dates(raw: Any, missing: tuple[str, ...], zone: str) -> np.ndarray | None:
    """Parse an Arrow column of ISO 8601 texts; None if a cell is not ISO 8601."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.utf8_trim_whitespace(raw)
    blank = pc.is_in(pc.utf8_lower(texts), pa.array(sorted(MISSING_TEXTS), texts.type))
    if missing:
        blank = pc.or_(blank, pc.is_in(texts, pa.array(sorted(set(missing)), texts.type)))
    texts = pc.if_else(blank, None, texts)
    plain = rf"^\d{{4}}-\d{{2}}-\d{{2}}([ T]\d{{2}}:\d{{2}}(:\d{{2}})?({OFFSET})?)?$"
    if not pc.all(pc.match_substring_regex(texts, plain), min_count=0).as_py():
        return None
    is_zoned = pc.match_substring_regex(texts, rf":\d{{2}}({OFFSET})$")
    clocks = pc.replace_substring_regex(texts, rf"(:\d{{2}})({OFFSET})$", r"\1")
    try:
        moments = np.asarray(clocks.cast(pa.timestamp("s")).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid:
        return None
    found: np.ndarray = moments.astype("datetime64[s]")
    if not zone or not pc.any(is_zoned, min_count=0).as_py():
        return found
    offsets = pc.replace_substring_regex(texts, rf"^.*?({OFFSET})$", r"\1")
    return _shift_times(found, pc.if_else(is_zoned, offsets, None), zone)


def _shift_times(moments: np.ndarray, offsets: Any, zone: str) -> np.ndarray | None:
    """Convert moments to local times as `parse_date` does; None if Arrow cannot."""
    values, indices = factorize(offsets)
    seconds = [None if v is None else _seconds(v) for v in values]
    moves = expand_to_rows(
        [s is not None and not (s and is_clock(zone)) for s in seconds], indices, bool
    )
    if not moves.any():
        return moments
    if zone == LOCAL:
        return None
    utc = moments - expand_to_rows([s or 0 for s in seconds], indices, "timedelta64[s]")
    # Time zones change on a quarter of an hour. Arrow's zones know no change after 2037.
    quarters, each = np.unique(utc[moves].astype(np.int64) // 900, return_inverse=True)
    try:
        shifts = [_shift(clock(zone), int(quarter) * 900) for quarter in quarters]
    except (ValueError, OverflowError):
        return None
    moved = moments.copy()
    moved[moves] = utc[moves] + expand_to_rows(shifts, each, "timedelta64[s]")
    return moved


def _shift(zone: tzinfo, moment: int) -> int:
    """Return a zone's UTC offset in seconds at a moment, given in seconds since 1970."""
    there = (EPOCH + timedelta(seconds=moment)).astimezone(zone).utcoffset()
    assert there is not None
    return int(there.total_seconds())


def _seconds(offset: str) -> int:
    """Return an offset in seconds east of UTC."""
    found = datetime.fromisoformat(f"2000-01-01T00:00{offset}").utcoffset()
    assert found is not None
    return int(found.total_seconds())
