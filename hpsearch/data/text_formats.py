"""Infer the format of numbers and dates in undeclared columns of text.

All texts of a column decide together. An ambiguous column is refused with the line to add; an
assumption is reported as a note.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ..errors import DataError
from .cells import (
    DATE_FORMATS,
    ISO_FORMAT,
    LOCAL,
    MISSING_TEXTS,
    NUMBER_FORMATS,
    PLAIN_FORMAT,
    is_text_column,
    parse_bool,
    parse_date,
    parse_formatted_number,
    parse_number,
    parse_number_column,
    parse_number_format,
)
from .delimited_reader import is_code
from .vocabulary import group_case_variants

NUMBER_SIGNS = "$€£¥%"
MAX_TEXTS_ONE_BY_ONE = 1000  # texts tested one by one
# Markers of missing values that may also be real categories: a country, a name.
MISSING_WORDS = MISSING_TEXTS | {
    "-",
    "--",
    "?",
    ".",
    "...",
    "<na>",
    "nat",
    "nil",
    "(null)",
    "\\n",
    "missing",
}
MONTH_PATTERN = "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
LOOKALIKE_PATTERNS = {
    "dates": re.compile(
        rf"\d{{4}}[-/.]\d{{1,2}}([-/.]\d{{1,2}}.*)?|\d{{1,2}}[ .-]+{MONTH_PATTERN}"
        rf"[ .,-]+\d{{2,4}}.*"
        rf"|{MONTH_PATTERN} \d{{1,2}},? \d{{4}}.*",
        re.IGNORECASE,
    ),
    "times of day": re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[ap]\.?m\.?)?", re.IGNORECASE),
    "numbers": re.compile(
        r"(?=.*[^\d])[(+\u2212<>~-]*([^\w\s]|[A-Z]{2,3}\.? |kr )? ?[(+\u2212-]?\d[\d.,'\u2019 ]*"
        r" ?(%|\u2030|[^\w\s]|[kKMGT]|[a-z]{1,3}(/[a-z]{1,3})?)?[)-]?"
    ),
}
SHORT_DATE_PATTERN = re.compile(r"\d{1,2}([/.-])\d{1,2}\1\d{2}")


def drop_missing_texts(texts: Iterable[str]) -> list[str]:
    """Drop the texts that mark a missing number."""
    return [t for t in texts if t.lower() not in MISSING_TEXTS]


def are_codes(texts: Sequence[str]) -> bool:
    """Whether numeric texts are codes to keep as text: 007, 12E3."""
    codes = [t for t in texts if is_code(t)]
    padded = any(t.lstrip("+-")[0] == "0" for t in codes)
    return bool(codes) and (padded or all(t.isdigit() or is_code(t) for t in texts))


def match_number_formats(texts: Sequence[str]) -> list[str]:
    """Return the formats in which all texts are numbers, the simplest first.

    A currency or % must occur in every text.
    """
    if not texts:
        return []
    sign = next((c for c in NUMBER_SIGNS if c in texts[0]), "")
    before = sign and texts[0].lstrip("+-").startswith(sign)
    if before and sign == "%":
        return []
    forms = [f"{sign}{form}" if before else f"{form}{sign}" for form in NUMBER_FORMATS]
    fitting = [form for form in forms if parse_formatted_number(texts[0], form) is not None]
    return [form for form in fitting if _are_all_numbers(texts, form)]


def _are_all_numbers(texts: Sequence[str], form: str) -> bool:
    if len(texts) < MAX_TEXTS_ONE_BY_ONE:
        return all(parse_formatted_number(t, form) is not None for t in texts)
    import pyarrow as pa

    numbers = parse_number_column(pa.chunked_array([texts], pa.string()), (), form)
    return numbers is not None or all(parse_formatted_number(t, form) is not None for t in texts)


class AmbiguousFormatError(DataError):
    """1,250 may be 1250 or 1.25, and the column does not decide."""


def choose_number_format(
    name: str, texts: Sequence[str], declared: str, separator: str
) -> tuple[str | None, str]:
    """Choose the number format of a column of text, with a note.

    Args:
        name: The column, for messages.
        texts: Its distinct texts, without markers of missing numbers.
        declared: The study's number format.
        separator: The separator of the file; "": the texts come from elsewhere.

    Returns:
        The format, None if the texts are not numbers; and a note.

    Raises:
        AmbiguousFormatError: If 1,250 may be 1250 or 1.25.
    """
    found = match_number_formats(texts)
    if not found:
        return None, ""
    if declared != PLAIN_FORMAT:
        alike = [
            f
            for f in found
            if parse_number_format(f).decimal == parse_number_format(declared).decimal
        ]
        found = alike or found
    form = found[0]
    rivals = [f for f in found[1:] if ("1.250,5" in f) == (PLAIN_FORMAT in form)]
    other = next((f for f in rivals if _formats_differ(form, f, texts)), "")
    if form == declared and (form != PLAIN_FORMAT or not other or not _look_grouped(texts)):
        return form, ""
    say = f'data.columns.{name}.format: "{form}"'
    if not other:
        return form, f"{name}: numbers written as {form}, like {texts[0]!r}; {say} says so"
    example = next(
        t for t in texts if parse_formatted_number(t, form) != parse_formatted_number(t, other)
    )
    if form == PLAIN_FORMAT or separator == ",":
        form, other = other, form
    else:
        raise AmbiguousFormatError(
            f"column {name!r}: {example!r} is {parse_formatted_number(example, form):.10g} or "
            f"{parse_formatted_number(example, other):.10g}: say how 1250.5 is written with "
            f"{say} or "
            f'"{other}"'
        )
    return form, (
        f"{name}: numbers written as {form}, so that {example!r} is "
        f'{parse_formatted_number(example, form):.10g}; data.columns.{name}.format: "{other}" '
        "reads "
        f"{parse_formatted_number(example, other):.10g}"
    )


def _formats_differ(one: str, other: str, texts: Sequence[str]) -> bool:
    """Whether a text is a different number in each of the two formats."""
    if parse_number_format(one).decimal == parse_number_format(other).decimal:
        return False
    return any(parse_formatted_number(t, one) != parse_formatted_number(t, other) for t in texts)


def _look_grouped(texts: Sequence[str]) -> bool:
    """Whether points group thousands: 250 beside 1.250 would be an unusual pair of fractions."""
    return any("." not in t for t in texts) and any("." in t and t.endswith("0") for t in texts)


def match_date_formats(texts: Sequence[str]) -> list[str]:
    """Return the formats in which all texts are dates; empty if none fits."""
    if not texts or parse_number(texts[0]) is not None:
        return []
    if parse_date(texts[0]) is not None:
        return [ISO_FORMAT] if all(parse_date(t) is not None for t in texts) else []
    forms = [f for f in DATE_FORMATS if parse_date(texts[0], f) is not None]
    return [f for f in forms if all(parse_date(t, f) is not None for t in texts)]


def refuse_dates(name: str, texts: Sequence[str]) -> None:
    """Refuse an undeclared column of dates.

    Raises:
        DataError: Shows the lines to choose from.
    """
    forms = match_date_formats(texts)
    if not forms:
        if texts and all(SHORT_DATE_PATTERN.fullmatch(t) for t in texts):
            raise DataError(
                f"column {name!r} holds dates with years of two digits, like {texts[0]!r}: write "
                f"them with four, leave it out with data.drop: [{name}], or take them as they are "
                f"with data.columns.{name}: {{kind: categorical}}"
            )
        return
    if forms == [ISO_FORMAT]:
        raise DataError(
            f"column {name!r} holds dates: leave it out with data.drop, or take year, "
            f"month, day and weekday from it with data.columns.{name}: {{kind: date}}"
        )
    ways = " or ".join(f"{{kind: date, format: {form}}}" for form in forms)
    raise DataError(
        f"column {name!r} holds dates, like {texts[0]!r}: leave it out with data.drop, or take "
        f"year, month, day and weekday from it with data.columns.{name}: {ways}"
    )


def choose_date_format(name: str, texts: Sequence[str]) -> str:
    """Choose the format of a declared date column; "" is ISO 8601.

    Raises:
        DataError: If day and month cannot be told apart.
    """
    forms = match_date_formats(texts)
    if not forms or ISO_FORMAT in forms:
        return ""
    if len(forms) > 1:
        raise DataError(
            f"column {name!r}: {texts[0]!r} may be day and month or month and day: say which with "
            f"data.columns.{name}.format: {' or '.join(forms)}"
        )
    return forms[0]


def find_zone(name: str, raw: Any) -> tuple[str, str]:
    """Choose the zone of a column of moments, with a note.

    Args:
        name: The column, for the note.
        raw: The Arrow column.

    Returns:
        A zone name, an offset, `LOCAL` or "": see `parse_date`.
    """
    if not is_text_column(raw):
        return getattr(raw.type, "tz", None) or "", ""
    offsets = sorted({o for text in _offsets(raw) if (o := _as_offset(text))})
    if len(offsets) < 2:
        return (offsets[0] if offsets else ""), ""
    return ("" if "UTC" in offsets else LOCAL), (
        f"{name}: times of several offsets ({', '.join(offsets[:4])}), each read on its own clock; "
        f"data.columns.{name}.zone: Europe/Berlin, say, reads all on the clock there"
    )


def _offsets(raw: Any) -> list[str]:
    """Return the distinct UTC offsets in a column of texts."""
    import pyarrow.compute as pc

    behind = r"^.*\d[ T]+\d{1,2}(:?\d{2}){0,2}([.,]\d+)?\s*(Z|[+-]\d{2}(:?\d{2})?)\s*$"
    zoned = pc.filter(raw, pc.match_substring_regex(raw, behind))
    found: list[str] = pc.unique(pc.replace_substring_regex(zoned, behind, r"\3")).to_pylist()
    return found


def _as_offset(text: str) -> str:
    """Format an offset as UTC or +09:00."""
    return (
        str(datetime.fromisoformat(f"2000-01-01T00:00{text}").tzinfo).removeprefix("UTC") or "UTC"
    )


def merge_bool_spellings(name: str, counts: Mapping[str, int]) -> tuple[dict[str, str], str]:
    """Map the spellings of a truth value to the most frequent one, with a note.

    Args:
        name: The column, for the note.
        counts: How many rows have each text.
    """
    numbers = {t: number for t in counts if (number := parse_number(t)) in (0, 1)}
    truths = {t: bool(numbers[t]) if t in numbers else parse_bool(t) for t in counts}
    words = [t for t in counts if t not in numbers]
    if not words or None in truths.values():
        return {}, ""
    replaced: dict[str, str] = {}
    for truth in (False, True):
        spelled = sorted((t for t in counts if truths[t] is truth), key=lambda t: (-counts[t], t))
        replaced |= dict.fromkeys(spelled[1:], spelled[0]) if spelled else {}
    if not replaced:
        return {}, ""
    pairs = ", ".join(f"{a!r} is {b!r}" for a, b in sorted(replaced.items()))
    return replaced, f"{name}: truth values in several spellings are one: {pairs}"


def note_mixed_column(name: str, counts: Mapping[str, int]) -> str:
    """Note numbers beside a few texts, perhaps undeclared markers of missing values; "": none."""
    numbers = sum(n for t, n in counts.items() if parse_number(t) is not None)
    strange = [t for t in counts if parse_number(t) is None]
    if not strange or 2 * numbers < sum(counts.values()):
        return ""
    return (
        f"{name}: mostly numbers, but read as text because of "
        f"{', '.join(map(repr, strange[:5]))}; if that means missing, declare it in data.missing"
    )


def note_missing_markers(name: str, texts: Sequence[str]) -> str:
    """Note categories that may mark missing cells; "": none."""
    blanks = [t for t in texts if t.lower() in MISSING_WORDS]
    if blanks:
        shown = ", ".join(blanks[:5])
        return (
            f"{name}: {', '.join(map(repr, blanks[:5]))} is a category like others; "
            f"data.columns.{name}.missing: [{shown}] takes it as missing"
        )
    return ""


def note_lookalike(name: str, texts: Sequence[str]) -> str:
    """Note categories that look like numbers, dates or times; "": none."""
    for what, pattern in LOOKALIKE_PATTERNS.items():
        if texts and all(pattern.fullmatch(t) for t in texts):
            return (
                f"{name}: looks like {what}, as in {texts[0]!r}, but is read as text, each a "
                f"separate category; data.columns.{name}: {{kind: categorical}} says so"
            )
    return ""


def note_case_variants(name: str, texts: Iterable[str]) -> list[str]:
    """Note categories that differ only in case."""
    groups = group_case_variants(texts)
    if not groups:
        return []
    shown = "; ".join(" and ".join(map(repr, sorted(group))) for group in groups[:3])
    return [
        f"{name}: {shown} differ only in case and are separate categories; "
        f"data.columns.{name}.replace merges them"
    ]
