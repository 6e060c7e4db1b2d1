"""Infer the columns of a table that the study file does not declare.

Kinds are inferred from all rows; the vocabulary of a categorical column from the development
rows alone. An ambiguous column is refused, and the message shows the line to add.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import DataError
from ..spec.data_spec import ColumnSpec, DataSpec
from .cells import (
    COMMA_FORMAT,
    PLAIN_FORMAT,
    factorize,
    format_cell,
    is_text_column,
    parse_date_column,
    parse_formatted_number,
    parse_number,
)
from .column_cleaning import MAX_EXACT_FLOAT32, clean_column, format_categories
from .column_roles import DEFAULT_COLUMN_SPEC, list_cell_spellings, missing_markers
from .columns import DATE_PARTS, Column
from .delimited_reader import is_code
from .source_table import TableOrigin
from .text_formats import (
    AmbiguousFormatError,
    are_codes,
    choose_date_format,
    choose_number_format,
    drop_missing_texts,
    find_zone,
    merge_bool_spellings,
    note_case_variants,
    note_lookalike,
    note_missing_markers,
    note_mixed_column,
    refuse_dates,
)
from .text_tokens import tokenize
from .vocabulary import OTHER_CATEGORY

MAX_PROBLEMS = 20  # columns named in one error
MAX_CATEGORIES = 100  # a text column with more must be declared before it is one-hot encoded
MAX_TOKENS = 200  # of a text that are read, unless declared
TEXTS_AT_ONCE = 65_536  # whose tokens are counted
WORDS_OF_TEXT = 4  # words from which a text is read as one
EXAMINED_TEXTS = 1000
IMAGE_SIZE, IMAGE_CHANNELS = (64, 64), 3  # unless declared
SHOWN_LETTERS = 60  # of a text in a message
FEW_CATEGORIES = 20  # up to this many, half the rows may be distinct


UNKNOWN_ORIGIN = TableOrigin()


def infer_columns(
    table: Any,
    names: Sequence[str],
    data: DataSpec,
    development: np.ndarray,
    origin: TableOrigin = UNKNOWN_ORIGIN,
) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """Infer the cleaned columns of a table, with notes for the user.

    Args:
        table: All rows, a `pyarrow.Table`.
        names: The columns that are features.
        data: The declaration.
        development: Indices of the rows that are not locked.
        origin: Where the table comes from.

    Raises:
        DataError: Lists every column that needs a declaration.
    """
    columns: dict[str, list[Column]] = {}
    notes: dict[str, list[str]] = {}
    problems: dict[str, str] = {}
    for name in names:
        try:
            columns[name], notes[name] = _infer_column(table[name], name, data, development, origin)
        except AmbiguousFormatError as error:
            columns[name], problems[name] = [], str(error)
        except DataError as error:
            problems[name] = str(error)
    for name in [n for n, found in columns.items() if not found and n in problems]:
        if found := _find_shared_format(columns):  # other columns may decide
            likewise = _declare_format(data, name, found)
            columns[name], notes[name] = _infer_column(
                table[name], name, likewise, development, origin
            )
            del problems[name]
    if problems:
        shown = list(problems.values())[:MAX_PROBLEMS]
        more = len(problems) - len(shown)
        raise DataError("\n".join([*shown, *([f"and {more} columns more"] if more else [])]))
    found_columns = tuple(
        sorted((c for name in names for c in columns[name]), key=lambda c: c.is_array)
    )  # arrays last: families take the features before them as a table
    return found_columns, _merge_notes([note for name in names for note in notes[name]])


def _find_shared_format(columns: dict[str, list[Column]]) -> str:
    """Return the number format that the other columns share, if they agree."""
    forms = {c.format for found in columns.values() for c in found if "," in c.format}
    return forms.pop() if len(forms) == 1 and forms <= {COMMA_FORMAT, "1,250.5"} else ""


def _declare_format(data: DataSpec, name: str, form: str) -> DataSpec:
    spec = data.columns.get(name, ColumnSpec()).model_copy(update={"format": form})
    return data.model_copy(update={"columns": {**data.columns, name: spec}})


def _merge_notes(notes: list[str]) -> tuple[str, ...]:
    """Merge notes that several columns share."""
    found: dict[str, list[str]] = {}
    for note in notes:
        text = note.partition(": ")[2]
        text = re.sub(r"like '.*?'; (data\.columns\..*?\.format)?", "", text)
        found.setdefault(text, []).append(note)
    gathered = []
    for text, alike in found.items():
        if len(alike) > 3:
            names = ", ".join(note.partition(": ")[0] for note in alike[:6])
            gathered.append(f"{names}{', …' if len(alike) > 6 else ''} ({len(alike)}): {text}")
        else:
            gathered += alike
    return tuple(gathered)


def _infer_column(
    raw: Any, name: str, data: DataSpec, development: np.ndarray, origin: TableOrigin
) -> tuple[list[Column], list[str]]:
    spec = data.columns.get(name, DEFAULT_COLUMN_SPEC)
    column = _make_declared_column(name, spec, data)
    kind, column, notes = _infer_kind(raw, column, spec, origin)
    if kind == "date":
        return _build_date_columns(raw, column), notes
    if kind == "numeric":
        numbers = clean_column({name: raw}, column)
        refuse_rounding(raw, numbers, column, spec)
        return [column], [*notes, *_note_row_number(numbers, name)]
    if kind == "text":
        return _build_text_column(raw, column, spec, development)
    if kind == "image":
        shape = find_image_shape(spec)
        return [replace(column, kind="image", format="", indicator=False, shape=shape)], notes
    column = replace(column, format="", exact=origin.is_text or is_text_column(raw))
    found, said = _build_categorical(raw, column, spec, data, development)
    return found, [*notes, *said]


def _make_declared_column(name: str, spec: ColumnSpec, data: DataSpec) -> Column:
    """Build the column from its declaration; kind and vocabulary are set later."""
    return Column(
        name,
        "numeric",
        missing=missing_markers(name, data),
        replace=list_replacements(spec),
        indicator=data.indicator if spec.indicator is None else spec.indicator,
        clip=spec.clip,
        transform=spec.transform or "",
        impute=data.impute if spec.impute is None else spec.impute,
        scaling=spec.scaling or "",
        format=spec.format or (COMMA_FORMAT if data.decimal == "," else ""),
    )


def list_replacements(spec: ColumnSpec) -> tuple[tuple[str, str], ...]:
    return tuple(
        (a, format_cell(b)) for key, b in spec.replace.items() for a in list_cell_spellings(key)
    )


def _infer_kind(
    raw: Any, column: Column, spec: ColumnSpec, origin: TableOrigin
) -> tuple[str, Column, list[str]]:
    """Infer a column's kind and format from its cells, with a note for the user."""
    import pyarrow as pa

    name = column.name
    kind = spec.kind or ("categorical" if spec.buckets or spec.group_rare else None)
    if kind is None and name in origin.categories:
        said = f"{name}: categories, as its type says; data.columns.{name}: {{kind: numeric}}"
        numeric = all(parse_number(t) is not None for t in _list_texts(raw, column))
        return "categorical", column, [f"{said} reads numbers"] * numeric
    if kind == "date":
        form = spec.format
        if form is None and is_text_column(raw):
            form = choose_date_format(name, drop_missing_texts(_list_texts(raw, column)))
        zone, note = (spec.zone, "") if spec.zone else find_zone(name, raw)
        return kind, replace(column, format=form or "", zone=zone), [note] * bool(note)
    if kind in ("categorical", "text", "image"):
        return kind, column, []
    if kind is None and pa.types.is_temporal(raw.type):
        refuse_dates(name, ["2024-12-31"])
    if kind is None and pa.types.is_boolean(raw.type):
        return "categorical", column, []
    if not is_text_column(raw):
        return "numeric", column, []
    return _infer_text_kind(raw, column, spec, origin)


def _infer_text_kind(
    raw: Any, column: Column, spec: ColumnSpec, origin: TableOrigin
) -> tuple[str, Column, list[str]]:
    """Infer the kind of a column of text."""
    name, texts = column.name, drop_missing_texts(_list_texts(raw, column))
    form, note = column.format, ""
    if spec.format is None:
        found, note = choose_number_format(
            name, texts, column.format or PLAIN_FORMAT, origin.separator
        )
        form = found if found is not None else form
    else:
        found = (
            spec.format
            if all(parse_formatted_number(t, spec.format) is not None for t in texts)
            else None
        )
    if spec.kind == "numeric" or not texts:
        return (
            "numeric",
            replace(column, format="" if form == PLAIN_FORMAT else form),
            [note] * bool(note),
        )
    if found is None:
        refuse_dates(name, texts)
        return "categorical", column, []
    if found == PLAIN_FORMAT and are_codes(texts):
        code = next(t for t in texts if is_code(t))
        said = (
            f"{name}: codes like {code!r}, kept as they are; data.columns.{name}: "
            "{kind: numeric} reads numbers, {kind: categorical} says that they are codes"
        )
        return "categorical", column, [said]
    return (
        "numeric",
        replace(column, format="" if form == PLAIN_FORMAT else form),
        [note] * bool(note),
    )


def _list_texts(raw: Any, column: Column) -> list[str]:
    """Return the distinct texts of a column without its markers of missing cells."""
    return [t for t in dict.fromkeys(format_categories(factorize(raw)[0], column)) if t]


def _build_categorical(
    raw: Any, column: Column, spec: ColumnSpec, data: DataSpec, development: np.ndarray
) -> tuple[list[Column], list[str]]:
    if column.clip or column.transform:
        raise DataError(f"column {column.name!r} holds text: clip and transform are for numbers")
    if spec.buckets:
        return [replace(column, kind="categorical", buckets=spec.buckets)], []
    values, indices = factorize(raw)
    column = replace(column, kind="categorical")
    counts = count_texts(format_categories(values, column), indices)
    folded, note = ({}, "") if spec.kind else merge_bool_spellings(column.name, counts)
    if folded:
        column = replace(column, replace=(*column.replace, *folded.items()))
    counts = count_texts(format_categories(values, column), indices[development])
    least = spec.group_rare or data.group_rare or 1
    kept = sorted((t for t, n in counts.items() if n >= least), key=text_sort_key)
    if least > 1:
        kept.append(OTHER_CATEGORY)
    crowded = len(kept) > FEW_CATEGORIES and 2 * len(kept) > len(development)
    if (crowded or len(kept) > MAX_CATEGORIES) and spec.kind is None:
        raise DataError(_format_too_many(column.name, counts, least))
    note = note or note_mixed_column(column.name, counts)
    if not note and spec.kind is None:
        note = note_missing_markers(column.name, list(counts)) or note_lookalike(
            column.name, list(counts)
        )
    notes = [note] if note else []
    if len(kept) <= MAX_CATEGORIES:
        notes += note_case_variants(column.name, kept)
    return [replace(column, vocabulary=tuple(kept))], notes


def count_texts(texts: Sequence[str], indices: np.ndarray) -> dict[str, int]:
    """Count the rows of each text, missing cells excluded."""
    counts: dict[str, int] = {}
    rows = np.bincount(indices, minlength=len(texts)).tolist()
    for text, n in zip(texts, rows, strict=True):
        if text and n:
            counts[text] = counts.get(text, 0) + n
    return counts


def find_image_shape(spec: ColumnSpec) -> tuple[int, int, int]:
    """Return the shape of the images of a column, (height, width, channels)."""
    return (*(spec.size or IMAGE_SIZE), spec.channels or IMAGE_CHANNELS)


def text_sort_key(text: str) -> tuple[float, str]:
    """Sort key: numbers by value, then texts alphabetically."""
    number = parse_number(text)
    return (np.inf if number is None or np.isnan(number) else number, text)


def _format_too_many(name: str, counts: dict[str, int], least: int) -> str:
    rows = sum(counts.values())
    numbers = {t: n for t, n in counts.items() if parse_number(t) is not None}
    if 2 * sum(numbers.values()) > rows:
        strange = [repr(t) for t in counts if t not in numbers]
        return (
            f"column {name!r} holds numbers in {sum(numbers.values())} of {rows} rows beside "
            f"{', '.join(strange[:5])}{', …' if len(strange) > 5 else ''}: if these mean missing, "
            f"declare them in data.missing or data.columns.{name}.missing"
        )
    grouped = f" with at least {least} rows each" if least > 1 else ""
    read = "read them word by word (kind: text), " if is_free_text(list(counts)) else ""
    if all(text.lower().endswith((".png", ".jpg", ".jpeg")) for text in counts):
        read = "read them as images (kind: image), "
    return (
        f"column {name!r} holds text with {len(counts)} different values{grouped} in {rows} rows, "
        f"like {', '.join(repr(shorten(t)) for t in list(counts)[:3])}: leave it out with "
        f"data.drop: [{name}], or in data.columns.{name} {read}group rare values "
        "(group_rare: 20), hash them (buckets: 64) or take all (kind: categorical)"
    )


def is_free_text(texts: Sequence[str]) -> bool:
    """Whether texts look like sentences: on average `WORDS_OF_TEXT` words or more."""
    some = texts[:: max(1, len(texts) // EXAMINED_TEXTS)]
    return bool(some) and sum(len(t.split()) for t in some) >= WORDS_OF_TEXT * len(some)


def shorten(text: str) -> str:
    """Cut a long text for a message."""
    return text if len(text) <= SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]}…"


def _build_text_column(
    raw: Any, column: Column, spec: ColumnSpec, development: np.ndarray
) -> tuple[list[Column], list[str]]:
    """Build a text column that is as wide as the longest text of the development rows."""
    lengths = _count_tokens(raw, column)[development]
    longest = int(lengths.max(initial=1))
    n_tokens = max(1, min(longest, spec.tokens or MAX_TOKENS))
    column = replace(column, kind="text", format="", indicator=False, shape=(n_tokens,))
    cut = int((lengths > n_tokens).sum())
    if not cut:
        return [column], []
    reason = (
        f"{column.name}: {cut:,} of {len(development):,} texts have more than {n_tokens} tokens, "
        f"whose rest is not read; data.columns.{column.name}.tokens: {longest} reads all"
    )
    return [column], [reason]


def _count_tokens(raw: Any, column: Column) -> np.ndarray:
    """Count the tokens of each text, some rows at a time, as the rows may be mapped from disk."""
    counted = [np.empty(0, np.intp)]
    for start in range(0, len(raw), TEXTS_AT_ONCE):
        values, indices = factorize(raw[start : start + TEXTS_AT_ONCE])
        texts = format_categories(values, column)
        counted.append(np.array([len(tokenize(t)) for t in texts], np.intp)[indices])
    return np.concatenate(counted)


def _build_date_columns(raw: Any, column: Column) -> list[Column]:
    """Build a column per date part; the hour only if some row has a time of day."""
    moments = parse_date_column(raw, column.name, column.missing, column.format, column.zone)
    known = moments[~np.isnat(moments)]
    timed = bool((known != known.astype("datetime64[D]")).any())
    return [
        replace(column, name=f"{column.name}.{part}", source=column.name, part=part)
        for part in DATE_PARTS
        if part != "hour" or timed
    ]


def refuse_rounding(raw: Any, numbers: np.ndarray, column: Column, spec: ColumnSpec) -> None:
    """Refuse whole numbers that would collide in float32."""
    known = numbers[np.isfinite(numbers)]
    if (
        spec.round
        or column.transform
        or known.size == 0
        or np.abs(known).max() <= MAX_EXACT_FLOAT32
    ):
        return
    if not (known == np.floor(known)).all():
        return  # a measurement: its digits are its precision
    texts = format_categories(factorize(raw)[0], column)
    before = len({t for t in texts if t and parse_formatted_number(t, column.format) is not None})
    with np.errstate(over="ignore"):
        after = np.unique(known.astype(np.float32)).size
    if after < before or np.abs(known).max() >= 2**63:  # beyond it the reader rounds
        raise DataError(
            f"column {column.name!r} holds whole numbers up to {np.abs(known).max():.4g}, beyond "
            f"what float32 tells apart ({MAX_EXACT_FLOAT32}): {before} different values would "
            "become "
            f"{after} or fewer. An identifier: data.drop: [{column.name}]. An amount, where the "
            f"last digits do not matter: data.columns.{column.name}.round: true"
        )


def _note_row_number(numbers: np.ndarray, name: str) -> list[str]:
    """Note a column that counts the rows: with sorted rows it can leak the target."""
    if len(numbers) > FEW_CATEGORIES and (np.diff(numbers) == 1).all():
        return [f"{name}: counts the rows; if it is a row number, data.drop: [{name}]"]
    return []
