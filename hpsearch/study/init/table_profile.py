"""Profile a new table for `hpsearch init`: columns to declare, and leaks of the target.

These are guesses, which the written file states; `data/` alone decides how a study uses a column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ...data import Dataset
from ...data.cells import (
    COMMA_FORMAT,
    ISO_FORMAT,
    factorize,
    format_cell,
    is_text_column,
    parse_number,
    read_number_column,
)
from ...data.column_inference import (
    IMAGE_CHANNELS,
    IMAGE_SIZE,
    infer_columns,
    is_free_text,
)
from ...data.image_files import are_image_paths
from ...data.source_table import TableOrigin
from ...data.text_formats import drop_missing_texts, match_date_formats, match_number_formats
from ...errors import DataError
from ...spec.data_spec import CellValue, ColumnSpec, DataSpec

UNIQUE = 0.9  # share of distinct values from which a column is an identifier
IDENTIFIER = re.compile(r"(^|[^a-z])(id|uuid|guid|key|index|number|nr|no)$|[a-z]I[dD]$")
SOME_ROWS = 0.6  # share of rows in which categories are counted: fewer than are developed on
BUCKETS = 64
MARKERS = 3  # most texts among numbers that are treated as missing markers
UNKNOWN = "?"  # marks a missing cell in any text column
GIVES_AWAY = 0.995  # AUC or accuracy of a single column from which it is suspected
RANKS = 0.98  # rank correlation with a numeric target, likewise
EXACT = 0.9999  # R² of two columns together, likewise
NEAREST = 8  # columns whose pairs are tested
BINS = 50


@dataclass(frozen=True, slots=True)
class DroppedColumn:
    """A column to leave out, with the reason."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class DeclaredColumn:
    """A column that must be declared before it can be used."""

    name: str
    spec: ColumnSpec
    reason: str


def profile_table(
    table: Any, names: list[str], data: DataSpec, origin: TableOrigin, folder: Path
) -> Iterator[DroppedColumn | DeclaredColumn]:
    """Find the columns to drop or declare; declared ones are skipped.

    Args:
        table: All rows, a `pyarrow.Table`.
        names: The feature columns.
        data: The declaration so far.
        origin: Properties of the table besides its cells.
        folder: Base of the paths of images.
    """
    for name in names:
        if name in data.columns:
            continue
        image = _profile_images(table[name], name, folder)
        if found := image or _profile_column(table, name, data, origin):
            yield found


def _profile_images(cells: Any, name: str, folder: Path) -> DeclaredColumn | None:
    """Declare a column of paths of images."""
    if not is_text_column(cells):
        return None
    paths = [format_cell(value) for value in factorize(cells)[0] if value is not None]
    if not are_image_paths(paths, folder):
        return None
    spec = ColumnSpec(kind="image", size=IMAGE_SIZE, channels=IMAGE_CHANNELS)
    return DeclaredColumn(name, spec, f"paths of {len(paths):,} images, resized to `size`")


def _profile_column(
    table: Any, name: str, data: DataSpec, origin: TableOrigin
) -> DroppedColumn | DeclaredColumn | None:
    values, indices = factorize(table[name])
    counts = np.bincount(indices, minlength=len(values))
    texts = {format_cell(v): int(n) for v, n in zip(values, counts, strict=True) if n}
    known = {t: n for t, n in texts.items() if t}
    share = len(known) / max(1, sum(known.values()))
    if len(known) < 2:
        return DroppedColumn(name, "one value in all rows" if known else "no value in any row")
    if name.startswith("unnamed_"):
        return DroppedColumn(name, "a column without a name, probably a row number")
    numbers = read_number_column(table[name])
    if numbers is not None:
        if len(numbers) > BINS and (np.diff(numbers) == 1).all():
            return DroppedColumn(name, "counts the rows")
        whole = not str(table[name].type).startswith(("float", "double"))
        if whole and share == 1.0 and IDENTIFIER.search(name):
            return DroppedColumn(name, "another number in every row, and called like an identifier")
    elif str(table[name].type).startswith(("date", "timestamp")):
        return DeclaredColumn(
            name, ColumnSpec(kind="date"), "year, month, day and weekday of the date"
        )
    elif found := _profile_dates(list(known)):
        return replace(found, name=name)
    elif match_number_formats(drop_missing_texts(known)):
        pass  # numbers in another format
    elif markers := _find_missing_markers(known):
        marks: list[CellValue] = list(markers)
        reason = f"numbers beside {', '.join(map(repr, markers))}"
        return DeclaredColumn(name, ColumnSpec(missing=marks), reason)
    elif UNKNOWN in known:
        return DeclaredColumn(
            name, ColumnSpec(missing=[UNKNOWN]), f"{known[UNKNOWN]:,} rows say {UNKNOWN}"
        )
    return _make_usable(table, name, data, origin, list(known), share)


def _profile_dates(texts: list[str]) -> DroppedColumn | DeclaredColumn | None:
    """Declare a column of dates."""
    forms = match_date_formats(drop_missing_texts(texts))
    if len(forms) > 1 and ISO_FORMAT not in forms:
        return DroppedColumn(
            "", f"dates like {texts[0]}: {{kind: date, format: {' or '.join(forms)}}} takes them"
        )
    form = None if not forms or ISO_FORMAT in forms else forms[0]
    spec = ColumnSpec(kind="date", **({"format": form} if form else {}))
    return DeclaredColumn("", spec, "year, month, day and weekday of the date") if forms else None


def _find_missing_markers(known: dict[str, int]) -> list[str]:
    """Find few texts in a column of many numbers."""
    strange = [t for t in known if parse_number(t) is None]
    numbers = [n for t, n in known.items() if parse_number(t) is not None]
    few = 0 < len(strange) <= MARKERS and len(numbers) > 2 * len(strange)
    return strange if few and 2 * sum(numbers) > sum(known.values()) else []


def _make_usable(
    table: Any, name: str, data: DataSpec, origin: TableOrigin, texts: list[str], share: float
) -> DroppedColumn | DeclaredColumn | None:
    """Find a declaration that makes a refused column usable."""
    message = _find_refusal(table, name, data, origin)
    if message is None:
        return None
    if "say how 1250.5 is written" in message:
        said = f'or "1,250.5": {message.partition(": ")[2].partition(":")[0]}'
        return DeclaredColumn(name, ColumnSpec(format=COMMA_FORMAT), said)
    if is_free_text(texts):
        words = sum(len(text.split()) for text in texts) / len(texts)
        return DeclaredColumn(
            name, ColumnSpec(kind="text"), f"free text of {words:.0f} words, read word by word"
        )
    if share >= UNIQUE:
        return DroppedColumn(
            name, f"{len(texts):,} different values, nearly one a row: an identifier?"
        )
    for spec, reason in (
        (ColumnSpec(buckets=BUCKETS), f"{len(texts):,} different texts, hashed into {BUCKETS}"),
        (ColumnSpec(round=True), "large whole numbers; the last digits may be lost"),
    ):
        declared = data.model_copy(update={"columns": {**data.columns, name: spec}})
        if _find_refusal(table, name, declared, origin) is None:
            return DeclaredColumn(name, spec, reason)
    return DroppedColumn(name, message.splitlines()[0])


def _find_refusal(table: Any, name: str, data: DataSpec, origin: TableOrigin) -> str | None:
    """Return why a column is refused, of all rows or of some as the development rows are."""
    n_rows = table.num_rows
    some = np.random.default_rng(0).permutation(n_rows)[: int(SOME_ROWS * n_rows)]
    try:
        for development in (np.arange(n_rows), some):
            infer_columns(table, [name], data, development, origin)
    except DataError as error:
        return str(error)
    return None


def count_ngrams(dataset: Dataset) -> int:
    """Count the distinct words and pairs of neighbouring words of the development rows' texts."""
    found = 0
    for column, start in dataset.schema.iter_cleaned():
        if column.kind == "text":
            tokens = np.nan_to_num(dataset.columns[:, start : start + column.n_cleaned])
            words, codes = np.unique(tokens, return_inverse=True)
            codes = codes.reshape(tokens.shape)
            pairs = np.unique(codes[:, :-1] * len(words) + codes[:, 1:])
            found = max(found, len(words) + len(pairs))
    return found


# ---- leaks of the target ----


def find_leaks(dataset: Dataset) -> dict[str, str]:
    """Find columns that almost determine the target, with a measure of how well."""
    found = {}
    for column, start in dataset.schema.iter_cleaned():
        values = dataset.columns[:, start]
        if column.is_array:
            continue
        if leak := _describe_leak(values, dataset, categorical=column.kind == "categorical"):
            found[column.name] = leak
    return {**_find_leaking_pair(dataset), **found} if dataset.task == "regression" else found


def _describe_leak(values: np.ndarray, dataset: Dataset, *, categorical: bool) -> str | None:
    there = ~np.isnan(values)
    if there.sum() < 2 * BINS:
        return None
    if dataset.task == "regression":
        if categorical:
            return None
        rank = _correlation(_mean_ranks(values[there]), _mean_ranks(dataset.target[there, 0]))
        return f"rank correlation {rank:.3f}" if abs(rank) >= RANKS else None
    labels = dataset.target[there].argmax(1) if dataset.task == "multiclass" else None
    if labels is None:
        labels = dataset.target[there, 0].astype(np.intp)
    codes = _encode_column(values[there], categorical)
    if codes is None:
        return None
    # Each code predicts its most frequent class; rare codes would be right by chance.
    counts = np.zeros((codes.max() + 1, labels.max() + 1), np.int64)
    np.add.at(counts, (codes, labels), 1)
    right = counts.max(axis=1).sum() / len(labels)
    plain = counts.sum(axis=0).max() / len(labels)
    better = (right - plain) / max(1e-9, 1 - plain)  # 1: no errors
    return f"right in {100 * right:.1f}% of rows" if better >= GIVES_AWAY else None


def _encode_column(values: np.ndarray, categorical: bool) -> np.ndarray | None:
    """Encode categories, values or quantiles; None if these have too few rows."""
    kinds, codes = np.unique(values, return_inverse=True)
    if len(kinds) > BINS and not categorical:
        edges = np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1])
        codes = np.searchsorted(edges, values)
    return codes if 10 * (codes.max() + 1) <= len(values) else None


def _find_leaking_pair(dataset: Dataset) -> dict[str, str]:
    """Find two columns whose weighted sum is the target, such as its two parts."""
    if dataset.on_disk:  # the columns would not fit in memory
        return {}
    target = dataset.target[:, 0].astype(np.float64)
    cleaned = [(c.name, at) for c, at in dataset.schema.iter_cleaned() if c.kind == "numeric"]
    numeric = [at for _, at in cleaned]
    rows = ~np.isnan(dataset.columns[:, numeric]).any(axis=1)
    columns = dataset.columns[rows][:, numeric].astype(np.float64)
    target = target[rows]
    if len(target) < 2 * BINS:
        return {}
    near = sorted(range(len(numeric)), key=lambda i: -abs(_correlation(columns[:, i], target)))
    for a, b in combinations(near[:NEAREST], 2):
        design = np.column_stack([columns[:, [a, b]], np.ones(len(target))])
        rest = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
        if rest.var() <= (1 - EXACT) * target.var():
            names = [cleaned[i][0] for i in (a, b)]
            return {name: f"{' and '.join(names)} together are the target" for name in names}
    return {}


def _mean_ranks(values: np.ndarray) -> np.ndarray:
    """Compute mean ranks; ties share one."""
    _, index, n = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(n) - (n - 1) / 2)[index]


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    spread = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / spread if spread else 0.0
