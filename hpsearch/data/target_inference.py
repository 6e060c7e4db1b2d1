"""Infer the target of a study: a number, classes, or several of either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import DataError
from ..spec.data_spec import CellValue, ColumnSpec, DataSpec, Task
from .cells import (
    COMMA_FORMAT,
    PLAIN_FORMAT,
    factorize,
    format_cell,
    is_text_column,
    parse_formatted_number,
    parse_number,
)
from .column_cleaning import clean_column, format_categories
from .column_inference import (
    UNKNOWN_ORIGIN,
    count_texts,
    list_replacements,
    refuse_rounding,
    text_sort_key,
)
from .column_roles import list_cell_spellings, missing_markers
from .columns import Target
from .delimited_reader import is_code
from .memory_source import DEFAULT_TARGET_NAME
from .source_table import TableOrigin
from .target_encoding import is_one_hot, parse_one_hot, target_as_column
from .text_formats import (
    choose_number_format,
    drop_missing_texts,
    match_date_formats,
    merge_bool_spellings,
    note_case_variants,
    note_missing_markers,
    note_mixed_column,
)

MAX_CLASSES = 20  # whole numbers with more distinct values make a regression


def infer_targets(
    table: Any,
    names: Sequence[str],
    data: DataSpec,
    task: Task | None,
    origin: TableOrigin = UNKNOWN_ORIGIN,
) -> tuple[Target, tuple[str, ...]]:
    """Infer one or several targets.

    Several targets are numbers, labels with two values each, or one-hot classes.

    Raises:
        DataError: If a target has a single class, or several do not fit together.
    """
    if len(names) == 1:
        if task == "multilabel":
            raise DataError(
                f"task: multilabel has several targets, but {names[0]!r} is one: name the labels' "
                "columns in data.target, or say task: binary"
            )
        return infer_target(table, names[0], data, task, origin)
    listed = ", ".join(names)
    if task in (None, "multiclass", "binary") and (
        found := _infer_one_hot(table, names, data, task)
    ):
        return found
    if task in ("binary", "multiclass"):
        raise DataError(
            f"the targets {listed} are several, which are a task: regression or multilabel; got "
            f"task: {task}. Predict one of them, and drop the others."
        )
    kind = task
    if kind is None:
        kinds = {name: infer_target(table, name, data, None, origin)[0].kind for name in names}
        kind = "multilabel" if set(kinds.values()) == {"binary"} else "regression"
    each: Task = "regression" if kind == "regression" else "binary"
    try:
        parts = tuple(infer_target(table, name, data, each, origin)[0] for name in names)
    except DataError as error:
        raise DataError(
            f"{error}. The targets {listed} are several: all are numbers (task: regression), or "
            "each has two values (task: multilabel)."
        ) from None
    what = "labels of two values" if kind == "multilabel" else "numbers"
    notes = () if task is not None else (f"task: {kind}, because {listed} are {what}",)
    return Target(listed, kind, parts=parts), notes


def _infer_one_hot(
    table: Any, names: Sequence[str], data: DataSpec, task: Task | None
) -> tuple[Target, tuple[str, ...]] | None:
    """Infer one multiclass target from one-hot columns; None if they are not one-hot."""
    if any(name in data.columns for name in names) or (task == "binary" and len(names) > 2):
        return None
    marks = np.column_stack([parse_one_hot(table[name]) for name in names])
    if not is_one_hot(marks) or (marks.sum(axis=0) == 0).any():
        return None
    numbered = all(name == f"{DEFAULT_TARGET_NAME}_{k}" for k, name in enumerate(names))
    classes = tuple(range(len(names))) if numbered else tuple(names)
    kind: Task = "binary" if len(names) == 2 else "multiclass"
    listed = ", ".join(names)
    note = (
        ()
        if task is not None
        else (
            f"task: {kind}, because {listed} are the classes of one target: each row has a 1 in "
            "one of them; task: multilabel makes each a separate label",
        )
    )
    return Target(listed, kind, classes, one_hot=tuple(names)), note


def infer_target(
    table: Any, name: str, data: DataSpec, task: Task | None, origin: TableOrigin = UNKNOWN_ORIGIN
) -> tuple[Target, tuple[str, ...]]:
    """Infer the kind and classes of a target, with notes for the user.

    Raises:
        DataError: If there is a single class, or the column does not fit the task.
    """
    spec = data.columns.get(name, ColumnSpec())
    form = spec.format or (COMMA_FORMAT if data.decimal == "," else "")
    read = Target(name, "regression", (), list_replacements(spec), missing_markers(name, data))
    read = replace(read, format=form)
    values, indices = factorize(table[name])
    counts = count_texts(format_categories(values, target_as_column(read)), indices)
    folded, note = merge_bool_spellings(name, counts)
    read = replace(read, replace=(*read.replace, *folded.items()))
    if is_text_column(table[name]) and spec.format is None and task in (None, "regression"):
        read, note = _infer_number_format(read, list(counts), origin, note)
    texts = {t for t in format_categories(values, target_as_column(read)) if t}
    written = read.format if is_text_column(table[name]) else ""  # already numeric
    numbers = {t: parse_formatted_number(t, written) for t in texts}
    numeric = None not in numbers.values()
    is_category = name in origin.categories
    if numeric and all(n is not None and float(n).is_integer() for n in numbers.values()):
        texts = {t if is_code(t) else _normalize_whole_number(t, numbers[t]) for t in texts}
    elif numeric and written:
        texts = {format_cell(n) for n in numbers.values()}
    ordered = sorted(texts, key=text_sort_key)
    notes = (note,) if note else ()
    if task in (None, "regression"):
        _refuse_dates(name, table[name], ordered)
    whole = [parse_number(t) for t in ordered if not is_code(t)]
    fractions = str(table[name].type) in ("double", "float") and not _are_consecutive(whole)
    kind = task or _infer_task(ordered, numeric and not is_category, fractions)
    if kind != "regression" and not note:
        note = note_missing_markers(name, sorted(counts)) or note_mixed_column(name, counts)
        notes = (note,) if note else ()
    target, said = _build_target(table, read, ordered, data, kind, numeric)
    return target, (*_note_task(target, task, ordered), *notes, *said)


def _normalize_whole_number(text: str, number: float | None) -> str:
    """Normalize a whole-number class: 1.0 becomes 1; long numbers keep every digit."""
    return str(int(text)) if text.lstrip("+-").isdecimal() else format_cell(number)


def _infer_number_format(
    read: Target, texts: Sequence[str], origin: TableOrigin, note: str
) -> tuple[Target, str]:
    """Infer the number format of a target's texts, with a note."""
    declared = read.format or PLAIN_FORMAT
    found, said = choose_number_format(
        read.name, drop_missing_texts(texts), declared, origin.separator
    )
    return replace(read, format="" if found in (None, PLAIN_FORMAT) else found), said or note


def _refuse_dates(name: str, raw: Any, texts: Sequence[str]) -> None:
    if str(raw.type).startswith(("date", "timestamp")) or match_date_formats(texts):
        raise DataError(
            f"target {name!r} holds dates: predict a number derived from them, such as days "
            "since a fixed date"
        )


def _build_target(
    table: Any, read: Target, texts: list[str], data: DataSpec, kind: Task, numeric: bool
) -> tuple[Target, tuple[str, ...]]:
    """Build a target of the given kind; its values must fit."""
    name = read.name
    spec = data.columns.get(name, ColumnSpec())
    if not any(texts):
        raise DataError(f"target {name!r} has no value in any row")
    if len(texts) < 2:
        raise DataError(f"target {name!r} has one value in all rows: {', '.join(map(repr, texts))}")
    if kind == "regression":
        if not numeric:
            strange = [t for t in texts if parse_number(t) is None]
            raise DataError(
                f"target {name!r} of a regression holds {', '.join(map(repr, strange[:3]))}: "
                "not numbers"
            )
        reading = target_as_column(read)
        refuse_rounding(table[name], clean_column(table, reading), reading, spec)
        return replace(read, kind=kind, transform=spec.transform or ""), ()
    if spec.transform:
        raise DataError(
            f"data.columns.{name}.transform: {spec.transform} is for numbers, but target {name!r} "
            f"of a {kind} task has classes: leave it out, or say task: regression"
        )
    if kind == "binary" and len(texts) != 2:
        raise DataError(
            f"target {name!r} of a binary task has {len(texts)} values: "
            f"{', '.join(map(repr, texts[:6]))}{', …' if len(texts) > 6 else ''}"
        )
    classes = _order_classes(texts, read, data.positive if kind == "binary" else None)
    form = read.format if numeric else ""
    return replace(read, kind=kind, classes=classes, format=form), tuple(
        note_case_variants(name, texts)
    )


def _infer_task(texts: list[str], numeric: bool, fractions: bool) -> Task:
    """Infer the task: text, truth values and few distinct whole numbers are classes."""
    if len(texts) == 2:
        return "binary"
    if not numeric:
        return "multiclass"
    whole = not fractions and all(is_code(t) or (parse_number(t) or 0) % 1 == 0 for t in texts)
    return "multiclass" if whole and len(texts) <= MAX_CLASSES else "regression"


def _are_consecutive(numbers: Sequence[float | None]) -> bool:
    """Whether sorted numbers are 0, 1, 2, …: class labels, even if stored as floats."""
    known = [n for n in numbers if n is not None]
    return len(known) == len(numbers) > 0 and known[-1] - known[0] == len(known) - 1


def _order_classes(
    texts: list[str], read: Target, chosen: CellValue | None
) -> tuple[str | int, ...]:
    if chosen is not None:
        stands_for = dict(read.replace)
        spelled = [stands_for.get(t, t) for t in list_cell_spellings(chosen)]
        positive = next((t for t in spelled if t in texts), None)
        if positive is None:
            raise DataError(
                f"data.positive: {spelled[0]!r} is not a value of target {read.name!r}: "
                f"{', '.join(texts)}"
            )
        texts = [t for t in texts if t != positive] + [positive]
    whole = all(t.lstrip("-").isdigit() and str(int(t)) == t for t in texts)
    return tuple(int(t) for t in texts) if whole else tuple(texts)


def _note_task(target: Target, task: Task | None, texts: list[str]) -> tuple[str, ...]:
    if task is not None:
        return ()
    kind, n = target.kind, len(texts)
    what = f"{n} classes" if kind != "regression" else f"{n} different numbers"
    positive = f"; positive: {str(target.classes[-1])!r}" if kind == "binary" else ""
    return (f"task: {kind}, because {target.name} has {what}{positive}",)
