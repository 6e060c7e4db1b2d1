"""The declared columns and target of a table, as frozen records that JSON can hold.

This file is copied beside a served model, as `cells` is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from math import prod
from typing import Any, Literal

ARRAY_KINDS = ("text", "image")  # kinds whose cells are several numbers
DATE_PARTS = ("year", "month", "day", "weekday", "hour")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: numbers, codes of a vocabulary, tokens of a text or pixels of an image."""

    name: str
    kind: Literal["numeric", "categorical", "text", "image"]
    vocabulary: tuple[str, ...] = ()  # categories; code k is vocabulary[k]
    buckets: int = 0  # number of hash buckets that replace the vocabulary; 0: none
    source: str = ""  # the raw table's column, if its name differs
    part: str = ""  # part of a date: one of DATE_PARTS
    missing: tuple[str, ...] = ()  # texts that mark missing cells, in addition to blanks
    replace: tuple[tuple[str, str], ...] = ()  # (text of a cell, replacement)
    indicator: bool = False  # whether a "missing" feature is added
    clip: tuple[float, float] | None = None
    transform: str = ""  # "log" or "log1p"
    impute: str | float = "median"  # statistic of a fold's training rows, or a constant
    scaling: str = ""  # "": the study's default
    format: str = ""  # how 1250.5 or a date is written; "": 1250.5, ISO 8601
    zone: str = ""  # time zone of a date: see `parse_date`
    exact: bool = False  # whether categories keep their spelling: 007 is not 7
    shape: tuple[int, ...] = ()  # text: (tokens,); image: (height, width, channels)
    backbone: str = ""  # of an image: SHA-256 of the frozen model that it passes first
    width: int = 0  # numbers that this model makes of an image
    ahead: int = 0  # rows of the same series behind a row from which its cell is taken

    @property
    def raw_name(self) -> str:
        """The raw table's column."""
        return self.source or self.name

    @property
    def is_array(self) -> bool:
        """Whether a cell is several numbers: the tokens of a text, or the pixels of an image."""
        return bool(self.shape)

    @property
    def n_cleaned(self) -> int:
        """Cleaned columns of this column."""
        return prod(self.shape)

    @property
    def n_features(self) -> int:
        """Features of this column, the indicator included."""
        if self.kind == "categorical":
            return (self.buckets or len(self.vocabulary)) + self.indicator
        return (self.width or self.n_cleaned) + self.indicator

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the column's features."""
        if self.is_array:
            names = [f"{self.name}[{k}]" for k in range(self.n_features)]
        elif self.kind == "numeric":
            names = [self.name]
        elif self.buckets:
            names = [f"{self.name}#{k}" for k in range(self.buckets)]
        else:
            names = [f"{self.name}={category}" for category in self.vocabulary]
        return (*names, f"{self.name} is missing") if self.indicator else tuple(names)


@dataclass(frozen=True, slots=True)
class Target:
    """The column to predict, or several of them."""

    name: str
    kind: Literal["binary", "multiclass", "multilabel", "regression"]
    classes: tuple[str | int, ...] = ()  # output k: probability of classes[k]
    replace: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()
    threshold: float = 0.5  # binary: probability above which the label is classes[1]
    transform: str = ""  # regression: the network learns "log" or "log1p" of it
    parts: tuple[Target, ...] = ()  # several targets of a regression, or binary labels
    one_hot: tuple[str, ...] = ()  # one-hot columns, one per class
    format: str = ""  # how 1250.5 is written
    temperature: float = 1.0  # classes: the model divides its logits by it
    bounds: tuple[tuple[float, ...], ...] = ()  # of intervals or sets; see `prediction_intervals`
    step: int = 0  # of a forecast: steps ahead; 0: none
    quantile: float = 0.0  # level of the predicted quantile; 0: the target itself

    @property
    def n_outputs(self) -> int:
        """Numbers per prediction; a binary one is the probability of `classes[1]`."""
        if self.parts:
            return len(self.parts)
        return len(self.classes) if self.kind == "multiclass" else 1

    @property
    def outputs(self) -> tuple[Target, ...]:
        """The target of each output, unless they are classes."""
        return self.parts or (self,)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns to predict."""
        return tuple(part.name for part in self.parts) or self.one_hot or (self.name,)

    @property
    def transforms(self) -> tuple[str, ...]:
        """The transform of each output, "" for none; empty if no output has one."""
        each = tuple(part.transform for part in self.parts) or (self.transform,)
        return each if any(each) else ()


@dataclass(frozen=True, slots=True)
class ColumnInput:
    """The consecutive features of one raw column."""

    name: str  # of the raw column
    kind: str  # of the column, "numeric" for the parts of a date
    start: int  # first feature
    shape: tuple[int, ...]

    @property
    def stop(self) -> int:
        """The first feature behind it."""
        return self.start + prod(self.shape)


@dataclass(frozen=True, slots=True)
class RowWindow:
    """The window of rows that are one row's features, in order of time."""

    rows: int
    horizon: int = 0  # rows between the end of the window and the predicted row
    by: str = ""  # column that identifies the series; "": a single series
    ahead: int = 0  # rows behind a predicted row that hold known values
    target: str = ""  # of a forecast: the column whose future values are predicted
    season: int = 0  # of a forecast: steps after which the target repeats; 0: unknown


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of a study's delimited text files."""

    separator: str = ""  # between cells; "": detected
    header: bool = True  # whether the first line holds the column names
    names: tuple[str, ...] = ()  # column names of a file without a header


@dataclass(slots=True)
class CellCounts:
    """Counts of missing cells and unknown categories, added up over tables."""

    rows: int = 0
    missing: dict[str, int] = field(default_factory=dict)  # by raw column
    unknown: dict[str, Counter[str]] = field(default_factory=dict)  # categories by raw column

    def add_missing(self, name: str, count: int) -> None:
        """Add missing cells."""
        if count:
            self.missing[name] = self.missing.get(name, 0) + count

    def add_unknown(self, name: str, categories: Mapping[str, int]) -> None:
        """Add cells whose category is not in the vocabulary."""
        if categories:
            self.unknown.setdefault(name, Counter()).update(categories)

    def add(self, other: CellCounts) -> None:
        """Add the counts of another table."""
        self.rows += other.rows
        for name, count in other.missing.items():
            self.add_missing(name, count)
        for name, categories in other.unknown.items():
            self.add_unknown(name, categories)

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "rows": self.rows,
            "missing": dict(self.missing),
            "unknown": {name: dict(found.most_common()) for name, found in self.unknown.items()},
        }


def list_changed_fields(record: Column | Target) -> dict[str, Any]:
    """Return the fields of a record that differ from their defaults."""
    defaults = {f.name: f.default for f in fields(record)}
    return {k: v for k, v in asdict(record).items() if v != defaults[k]}


def target_from_json(plain: Mapping[str, Any]) -> Target:
    """Build a target from the values of `list_changed_fields`."""
    parts = tuple(target_from_json(part) for part in plain.get("parts", ()))
    return Target(**{**convert_lists(plain), "parts": parts})


def convert_lists(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Convert lists, as read from JSON, to tuples."""
    return {k: _convert_list(v) if isinstance(v, list) else v for k, v in plain.items()}


def _convert_list(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(_convert_list(v) if isinstance(v, list) else v for v in values)
