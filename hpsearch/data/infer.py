"""What the columns of a table seem to mean, where the declaration leaves it open.

Kinds come from the types and texts of all rows; the vocabulary of a categorical column comes
from the development rows alone. What cannot be known is refused with the line to write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import DataError
from ..spec.data import Cell, ColumnSpec, DataSpec, Task
from .choice import declared_missing
from .schema import (
    DATE_PARTS,
    EXACT,
    NOT_A_NUMBER,
    OTHER,
    Column,
    Target,
    as_number,
    as_text,
    category_texts,
    column_numbers,
    dates,
    distinct,
    plain_numbers,
    target_column,
)

MOST_CATEGORIES = 100  # a text column of more is not made one-hot unless it is declared
FEW_CATEGORIES = 20  # up to here, categories may be as many as half the rows
MOST_CLASSES = 20  # whole numbers of more different values are a regression's target


def infer_columns(
    table: Any, names: Sequence[str], data: DataSpec, development: np.ndarray
) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """The cleaned columns of a table, and what there is to say about them.

    Args:
        table: All rows, a `pyarrow.Table`.
        names: The columns that are features.
        data: The declaration.
        development: Indices of the rows that are not locked.

    Raises:
        DataError: One message for all columns that need a declaration.
    """
    columns: list[Column] = []
    notes: list[str] = []
    problems: list[str] = []
    for name in names:
        try:
            found, said = _infer(table[name], name, data, development)
            columns += found
            notes += said
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError("\n".join(problems))
    return tuple(columns), tuple(notes)


def _infer(
    raw: Any, name: str, data: DataSpec, development: np.ndarray
) -> tuple[list[Column], list[str]]:
    spec = data.columns.get(name, ColumnSpec())
    column = _declared(name, spec, data)
    kind = spec.kind or _kind(raw, column)
    if kind == "date":
        return _date_columns(raw, column), []
    if kind == "numeric":
        numbers = column_numbers({name: raw}, column)
        _refuse_rounding(raw, numbers, column, spec)
        return [column], _counter(numbers, name)
    return _categorical(raw, column, spec, data, development)


def _declared(name: str, spec: ColumnSpec, data: DataSpec) -> Column:
    """The column as declared; its kind and vocabulary are still open."""
    return Column(
        name,
        "numeric",
        missing=declared_missing(name, data),
        replace=_replacements(spec),
        indicator=data.indicator if spec.indicator is None else spec.indicator,
        clip=spec.clip,
        transform=spec.transform or "",
        impute=data.impute if spec.impute is None else spec.impute,
        scaling=spec.scaling or "",
    )


def _replacements(spec: ColumnSpec) -> tuple[tuple[str, str], ...]:
    return tuple((as_text(a), as_text(b)) for a, b in spec.replace.items())


def _kind(raw: Any, column: Column) -> str:
    """What the cells suggest."""
    import pyarrow as pa

    if pa.types.is_temporal(raw.type):
        raise DataError(
            f"column {column.name!r} holds dates: leave it out with data.drop, or take year, "
            f"month, day and weekday from it with data.columns.{column.name}: {{kind: date}}"
        )
    if pa.types.is_boolean(raw.type):
        return "categorical"
    if plain_numbers(raw) is not None:
        return "numeric"
    texts = [t for t in category_texts(distinct(raw)[0], column) if t.lower() not in NOT_A_NUMBER]
    return "numeric" if all(as_number(t) is not None for t in texts) else "categorical"


def _categorical(
    raw: Any, column: Column, spec: ColumnSpec, data: DataSpec, development: np.ndarray
) -> tuple[list[Column], list[str]]:
    if column.clip or column.transform:
        raise DataError(f"column {column.name!r} holds text: clip and transform are for numbers")
    if spec.buckets:
        return [replace(column, kind="categorical", buckets=spec.buckets)], []
    values, places = distinct(raw)
    texts = category_texts(values, column)
    counts: dict[str, int] = {}
    for text, n in zip(texts, _counted(places[development], len(values)), strict=True):
        if text and n:
            counts[text] = counts.get(text, 0) + n
    least = spec.group_rare or data.group_rare or 1
    kept = sorted((t for t, n in counts.items() if n >= least), key=text_order)
    if least > 1:
        kept.append(OTHER)
    crowded = len(kept) > FEW_CATEGORIES and 2 * len(kept) > len(development)
    if (crowded or len(kept) > MOST_CATEGORIES) and spec.kind is None:
        raise DataError(_too_many(column.name, counts, least))
    return [replace(column, kind="categorical", vocabulary=tuple(kept))], _oddities(column, counts)


def _counted(places: np.ndarray, size: int) -> list[int]:
    return np.bincount(places, minlength=size).tolist()  # type: ignore[no-any-return]


def text_order(text: str) -> tuple[float, str]:
    """Numbers by size, then texts by alphabet."""
    number = as_number(text)
    return (np.inf if number is None or np.isnan(number) else number, text)


def _too_many(name: str, counts: dict[str, int], least: int) -> str:
    rows = sum(counts.values())
    numbers = {t: n for t, n in counts.items() if as_number(t) is not None}
    if 2 * sum(numbers.values()) > rows:
        strange = [repr(t) for t in counts if t not in numbers]
        return (
            f"column {name!r} holds numbers in {sum(numbers.values())} of {rows} rows beside "
            f"{', '.join(strange[:5])}{', …' if len(strange) > 5 else ''}: if these mean missing, "
            f"declare them in data.missing or data.columns.{name}.missing"
        )
    grouped = f" with at least {least} rows each" if least > 1 else ""
    return (
        f"column {name!r} holds text with {len(counts)} different values{grouped} in {rows} rows, "
        f"like {', '.join(map(repr, list(counts)[:3]))}: leave it out with data.drop: [{name}], "
        f"or in data.columns.{name} group rare values (group_rare: 20), hash them (buckets: 64) or "
        "take all (kind: categorical)"
    )


def _oddities(column: Column, counts: dict[str, int]) -> list[str]:
    """Numbers beside a few texts: perhaps an undeclared marker of missing values."""
    numbers = sum(n for t, n in counts.items() if as_number(t) is not None)
    strange = [t for t in counts if as_number(t) is None]
    if not strange or 2 * numbers <= sum(counts.values()):
        return []
    return [
        f"{column.name}: mostly numbers, but read as text because of "
        f"{', '.join(map(repr, strange[:5]))}; if that means missing, declare it in data.missing"
    ]


def _date_columns(raw: Any, column: Column) -> list[Column]:
    """The parts of a date; the hour only where some row has a time of day."""
    moments = dates(raw, column.name, column.missing)
    known = moments[~np.isnat(moments)]
    timed = bool((known != known.astype("datetime64[D]")).any())
    return [
        replace(column, name=f"{column.name}.{part}", source=column.name, part=part)
        for part in DATE_PARTS
        if part != "hour" or timed
    ]


def _refuse_rounding(raw: Any, numbers: np.ndarray, column: Column, spec: ColumnSpec) -> None:
    """Refuse whole numbers of which several would become one float32."""
    known = numbers[np.isfinite(numbers)]
    if spec.round or column.transform or known.size == 0 or np.abs(known).max() <= EXACT:
        return
    if not (known == np.floor(known)).all():
        return  # a measurement, given to as many digits as it has
    texts = category_texts(distinct(raw)[0], column)
    before = len({t for t in texts if t and as_number(t) is not None})
    with np.errstate(over="ignore"):
        after = np.unique(known.astype(np.float32)).size
    if after < before or np.abs(known).max() >= 2**63:  # beyond that, the reader has rounded
        raise DataError(
            f"column {column.name!r} holds whole numbers up to {np.abs(known).max():.4g}, beyond "
            f"what float32 tells apart ({EXACT}): {before} different values would become "
            f"{after} or fewer. An identifier: data.drop: [{column.name}]. An amount, where the "
            f"last digits do not matter: data.columns.{column.name}.round: true"
        )


def _counter(numbers: np.ndarray, name: str) -> list[str]:
    """A row number: on ordered rows it gives the target away."""
    if len(numbers) > FEW_CATEGORIES and (np.diff(numbers) == 1).all():
        return [f"{name}: counts the rows; if it is a row number, data.drop: [{name}]"]
    return []


def infer_targets(
    table: Any, names: Sequence[str], data: DataSpec, task: Task | None
) -> tuple[Target, tuple[str, ...]]:
    """What one or several targets are: several are numbers, or labels of two values each.

    Raises:
        DataError: If a target has but one class, or one of several does not suit the others.
    """
    if len(names) == 1:
        if task == "multilabel":
            raise DataError(
                f"task: multilabel has several targets, but {names[0]!r} is one: name the labels' "
                "columns in data.target, or say task: binary"
            )
        return infer_target(table, names[0], data, task)
    listed = ", ".join(names)
    if task in ("binary", "multiclass"):
        raise DataError(
            f"the targets {listed} are several, which are a task: regression or multilabel; got "
            f"task: {task}. Predict one of them, and drop the others."
        )
    kind = task
    if kind is None:
        kinds = {name: infer_target(table, name, data, None)[0].kind for name in names}
        kind = "multilabel" if set(kinds.values()) == {"binary"} else "regression"
    each: Task = "regression" if kind == "regression" else "binary"
    try:
        parts = tuple(infer_target(table, name, data, each)[0] for name in names)
    except DataError as error:
        raise DataError(
            f"{error}. The targets {listed} are several: all are numbers (task: regression), or "
            "each has two values (task: multilabel)."
        ) from None
    what = "labels of two values" if kind == "multilabel" else "numbers"
    said = () if task is not None else (f"task: {kind}, because {listed} are {what}",)
    return Target(listed, kind, parts=parts), said


def infer_target(
    table: Any, name: str, data: DataSpec, task: Task | None
) -> tuple[Target, tuple[str, ...]]:
    """The target's kind and classes, and what there is to say about them.

    Raises:
        DataError: If there is but one class, or the column does not suit the task.
    """
    spec = data.columns.get(name, ColumnSpec())
    missing = declared_missing(name, data)
    stands_for = _replacements(spec)
    reading = target_column(Target(name, "regression", missing=missing, replace=stands_for))
    values, _ = distinct(table[name])
    texts = sorted({t for t in category_texts(values, reading) if t}, key=text_order)
    numeric = all(as_number(t) is not None for t in texts)
    inferred = _task(table[name], texts, numeric)
    kind = task or inferred
    if str(table[name].type).startswith(("date", "timestamp")):
        raise DataError(
            f"target {name!r} holds dates: predict a number made of them, such as days since a "
            "date of your own"
        )
    if len(texts) < 2:
        raise DataError(f"target {name!r} has one value in all rows: {', '.join(map(repr, texts))}")
    if kind == "regression":
        if not numeric:
            strange = [t for t in texts if as_number(t) is None]
            raise DataError(
                f"target {name!r} of a regression holds {', '.join(map(repr, strange[:3]))}: "
                "not numbers"
            )
        _refuse_rounding(table[name], column_numbers(table, reading), reading, spec)
        unit = spec.transform or ""
        told = Target(name, kind, (), stands_for, missing, transform=unit)
        return told, _about(name, kind, task, texts)
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
    classes = _classes(texts, name, data.positive if kind == "binary" else None)
    return Target(name, kind, classes, stands_for, missing), _about(
        name, kind, task, [str(c) for c in classes]
    )


def _task(raw: Any, texts: list[str], numeric: bool) -> Task:
    """Text and truth values are classes, and so are a few different whole numbers."""
    import pyarrow as pa

    if len(texts) == 2:
        return "binary"
    if not numeric:
        return "multiclass"
    whole = not pa.types.is_floating(raw.type) and all("." not in t for t in texts)
    return "multiclass" if whole and len(texts) <= MOST_CLASSES else "regression"


def _classes(texts: list[str], name: str, chosen: Cell | None) -> tuple[str | int, ...]:
    if chosen is not None:
        positive = as_text(chosen)
        if positive not in texts:
            raise DataError(
                f"data.positive: {positive!r} is no value of target {name!r}: {', '.join(texts)}"
            )
        texts = [t for t in texts if t != positive] + [positive]
    whole = all(t.lstrip("-").isdigit() and str(int(t)) == t for t in texts)
    return tuple(int(t) for t in texts) if whole else tuple(texts)


def _about(name: str, kind: Task, task: Task | None, texts: list[str]) -> tuple[str, ...]:
    if task is not None:
        return ()
    what = f"{len(texts)} classes" if kind != "regression" else f"{len(texts)} different numbers"
    positive = f"; positive: {texts[-1]!r}" if kind == "binary" else ""
    return (f"task: {kind}, because {name} has {what}{positive}",)
