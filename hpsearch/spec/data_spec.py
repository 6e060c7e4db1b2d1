"""The declaration of the data: sources, columns and splits.

Pure data: reads no file and imports no array library, so `hpsearch check` answers at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from .pinball import name_pinball
from .section import Section

CATALOG_SCHEME = "iceberg"  # a source iceberg:CATALOG.NAMESPACE.TABLE

Task = Literal["binary", "multiclass", "multilabel", "regression"]
Impute = Literal["median", "mean", "most_frequent"] | float  # a number: that constant
Scaling = Literal["standard", "minmax", "robust", "robust_clip", "quantile", "none"]
FoldKind = Literal[
    "kfold",
    "stratified",
    "group",
    "stratified_group",
    "time_series",
    "leave_one_group_out",
    "predefined",
    "holdout",
]
GROUPED_KINDS: tuple[FoldKind, ...] = ("group", "stratified_group", "leave_one_group_out")
REPEATABLE_KINDS: tuple[FoldKind, ...] = ("kfold", "stratified", "holdout")

DATE_FORMATS = (
    "YYYY-MM-DD",
    "DD/MM/YYYY",
    "MM/DD/YYYY",
    "DD.MM.YYYY",
    "DD-MM-YYYY",
    "MM-DD-YYYY",
    "YYYY/MM/DD",
)
NUMBER_FORMAT_EXAMPLES = '"1250,5", "1,250.5", "1.250,5", "1 250,5", "$1,250.5" or "1250.5%"'
NUMBER_FORMAT_PATTERN = re.compile(r"([$€£¥]?) ?1([,. '\u2019\u00a0\u202f]?)250([.,])5 ?([%$€£¥]?)")

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
PositiveInt = Annotated[int, Field(ge=1)]
CellValue = str | int | float | bool  # as written in YAML; 1, 1.0 and "1" are equal


def check_separator(separator: str) -> str:
    """Return the separator if it is valid.

    Raises:
        ValueError: If it is not a single ASCII character, or is a quote or line end.
    """
    if len(separator) != 1 or not separator.isascii() or separator in '"\r\n\0':
        raise ValueError(
            f"separator: {separator!r} is not a separator: give one ASCII character other than a "
            'quote or a line end; a tab is "\\t"'
        )
    return separator


class ColumnSpec(Section):
    """Options of one column; what is not declared is inferred."""

    kind: Literal["numeric", "categorical", "date", "text", "image"] | None = None  # None: inferred
    missing: list[CellValue] = []  # values that mark a missing cell
    replace: dict[CellValue, CellValue] = {}  # cell -> replacement
    impute: Impute | None = None  # numbers; None: `DataSpec.impute`
    scaling: Scaling | None = None  # numbers; None: `DataSpec.scaling`
    indicator: bool | None = None  # adds a "missing" feature; None: `DataSpec.indicator`
    clip: tuple[float, float] | None = None  # numbers are clipped to these bounds
    transform: Literal["log", "log1p"] | None = None  # numbers, before they are scaled
    group_rare: PositiveInt | None = None  # categories with fewer rows are merged into "(other)"
    buckets: Annotated[int, Field(ge=2, le=4096)] | None = None  # the number of hash buckets
    round: bool = False  # whole numbers beyond 2**24 may lose digits
    zone: str | None = None  # dates: time zone in which they are read; None: inferred
    format: str | None = None  # how 1250.5 or a date (DD/MM/YYYY) is written; None: inferred
    # Tokens that are read of a text; None: as many as the longest has, at most `MAX_TOKENS`.
    tokens: PositiveInt | None = None
    size: tuple[PositiveInt, PositiveInt] | None = None  # (height, width) of images; None: 64 x 64
    channels: Literal[1, 3] | None = None  # of images: grey or RGB; None: 3
    backbone: str | None = None  # of images: a Keras file, whose outputs replace the pixels

    @model_validator(mode="after")
    def _check_options(self) -> ColumnSpec:
        if self.clip is not None and not self.clip[0] < self.clip[1]:
            raise ValueError(f"clip: low={self.clip[0]} must be less than high={self.clip[1]}")
        if self.group_rare is not None and self.buckets is not None:
            raise ValueError("group_rare and buckets exclude each other: leave one of them out")
        if self.format is not None:
            check_format(self.format, self.kind)
        if self.zone is not None:
            check_zone(self.zone, self.kind)
        if self.tokens is not None and self.kind != "text":
            raise ValueError("tokens is for kind: text")
        if self.kind != "image" and (self.size or self.channels or self.backbone):
            raise ValueError("size, channels and backbone are for kind: image")
        if self.kind == "image":
            refuse_options(self, {"kind", "size", "channels", "backbone"})
        if self.kind == "text":
            refuse_options(self, {"kind", "missing", "replace", "tokens"})
        return self


def refuse_options(spec: ColumnSpec, allowed: Set[str]) -> None:
    """Refuse options that mean nothing for the column's kind.

    Raises:
        ValueError: Names them.
    """
    # A declaration in a journal names every option, so its defaults are no mistake.
    if wrong := sorted(spec.model_dump(exclude_defaults=True).keys() - allowed):
        raise ValueError(
            f"{', '.join(wrong)}: not for kind: {spec.kind}, which has {', '.join(sorted(allowed))}"
        )


def check_zone(zone: str, kind: str | None) -> None:
    """Refuse an unknown time zone, and a zone for a column without dates.

    Raises:
        ValueError: Says what is allowed.
    """
    if kind != "date":
        raise ValueError("zone is for kind: date")
    try:
        ZoneInfo(zone)
    except (KeyError, OSError, ValueError):
        raise ValueError(
            f"zone: {zone!r} is not a time zone such as UTC, Europe/Berlin or Asia/Tokyo"
        ) from None


def check_format(form: str, kind: str | None) -> None:
    """Refuse a format that is neither a number format nor a date format.

    Raises:
        ValueError: Lists the known formats.
    """
    if kind == "categorical":
        raise ValueError("format is for numbers and dates; a categorical column keeps its text")
    if form in DATE_FORMATS:
        if kind != "date":
            raise ValueError(f"format: {form} is for kind: date")
        return
    found = NUMBER_FORMAT_PATTERN.fullmatch(form)
    if kind == "date" or not found or found[2] == found[3] or (found[1] and found[4]):
        raise ValueError(
            f"format: {form!r} is neither how 1250.5 is written, such as "
            f"{NUMBER_FORMAT_EXAMPLES}, nor one "
            f"of {', '.join(DATE_FORMATS)} for kind: date"
        )


class OuterFoldSpec(Section):
    """One outer fold of a nested cross-validation."""

    fold: PositiveInt  # 1-based
    folds: Annotated[int, Field(ge=2)]

    @model_validator(mode="after")
    def _check_fold(self) -> OuterFoldSpec:
        if self.fold > self.folds:
            raise ValueError(f"fold: {self.fold} of {self.folds} folds")
        return self


class WindowSpec(Section):
    """The features of a row are those of the preceding rows, in order of time."""

    rows: Annotated[int, Field(ge=2)]  # window length
    by: str | None = None  # column that identifies the series; not a feature
    horizon: Annotated[int, Field(ge=0)] = 0  # rows between the window's last and the predicted one
    include_target: bool = False  # adds past values of the target as a feature

    @model_validator(mode="after")
    def _check_horizon(self) -> WindowSpec:
        if self.include_target and self.horizon == 0:
            raise ValueError(
                "include_target needs horizon: 1 or more; a window of horizon 0 ends with the "
                "predicted row, whose target would be its own feature"
            )
        return self


class ForecastSpec(Section):
    """The next values of the target are predicted from the rows up to now, in order of time."""

    horizon: PositiveInt | None = None  # the next steps are all predicted
    horizons: Annotated[list[PositiveInt], Field(min_length=1)] | None = None  # or only these
    history: Annotated[int, Field(ge=2)]  # rows up to now that a prediction is made from
    time: str | None = None  # column with the time of a row; None: rows are in order
    series: str | None = None  # column that identifies the series of a row
    known: list[str] = []  # columns whose values are known over the horizon
    season: Annotated[int, Field(ge=2)] | None = None  # steps; None: guessed from the times

    @model_validator(mode="after")
    def _check_options(self) -> ForecastSpec:
        if (self.horizon is None) == (self.horizons is None):
            raise ValueError(
                "give horizon: 24 for each of the next 24 steps, or horizons: [1, 6, 24] for "
                f"some; got {'neither' if self.horizon is None else 'both'}"
            )
        if len(set(self.steps)) < len(self.steps):
            raise ValueError(f"horizons: {self.horizons} names a step twice")
        if self.series is not None and self.time is None:
            raise ValueError("series needs time: the rows of several series are aligned by it")
        if self.known and self.history < self.reach:
            raise ValueError(
                f"history: {self.history} rows cannot hold the known values of {self.reach} steps "
                f"ahead: give history: {self.reach} or more, or leave known out"
            )
        return self

    @property
    def steps(self) -> tuple[int, ...]:
        """The predicted steps ahead, ascending."""
        if self.horizon is not None:
            return tuple(range(1, self.horizon + 1))
        return tuple(sorted(self.horizons or ()))

    @property
    def reach(self) -> int:
        """The last predicted step."""
        return self.steps[-1]


def check_variable(name: str) -> str:
    """Return the name of an environment variable if it is one.

    Raises:
        ValueError: If it is an address, or another text.
    """
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is None:
        raise ValueError(
            "give the name of an environment variable that holds the database's "
            "address, not the address: the study file is recorded"
        )
    return name


class QuerySpec(Section):
    """A query to a database as the source of the rows."""

    sql: Annotated[str, Field(min_length=1)]  # the query, or a file FILE.sql
    connection: Annotated[str, AfterValidator(check_variable)]  # environment variable, or duckdb
    order_by: Annotated[list[str], Field(min_length=1)]  # columns that tell all rows apart


def _tag_source(value: Any) -> str:
    return "query" if isinstance(value, Mapping | QuerySpec) else "str"


Source = Annotated[
    Annotated[str, Tag("str")] | Annotated[QuerySpec, Tag("query")], Discriminator(_tag_source)
]


QuantileLevel = Annotated[float, Field(gt=0.0, lt=1.0)]


class DataSpec(Section):
    """The source of the rows and the roles of their columns."""

    source: Source | None = None  # file, folder, glob; sklearn:NAME; MODULE:FUNCTION
    version: Annotated[int, Field(ge=0)] | None = None  # or snapshot of a table; None: the newest
    timestamp: datetime | None = None  # of a Delta or Iceberg table: its version then
    target: str | Annotated[list[str], Field(min_length=1)] | None = None  # to predict
    drop: list[str] = []  # columns to leave out
    test_fraction: Fraction = 0.2  # share of rows locked until the winner is chosen
    # Development rows of the search, a sample; the final fit uses all. None: all.
    rows: Annotated[int, Field(ge=2)] | None = None
    # For rows; more are read from the disk. None: half of the machine's.
    memory_gib: Annotated[float, Field(gt=0)] | None = None
    test_source: str | None = None  # the locked rows, if they are in another file
    outer_fold: OuterFoldSpec | None = None  # the locked rows of `hpsearch nested`, which sets it
    missing: list[CellValue] = []  # markers of missing values in every column
    columns: dict[str, ColumnSpec] = {}
    # Named inputs of a custom model and their columns; other columns are the input "features".
    inputs: dict[str, Annotated[list[str], Field(min_length=1)]] = {}
    weights: str | None = None  # column of sample weights
    positive: CellValue | None = None  # class 1 of a binary target; None: the last one sorted
    missing_target: Literal["error", "drop"] = "error"  # rows without a target
    drop_duplicates: bool = False  # identical rows, before the split
    impute: Impute = "median"
    scaling: Scaling = "standard"  # numbers; may be a hyperparameter instead
    indicator: bool = False
    group_rare: PositiveInt | None = None
    separator: Annotated[str, AfterValidator(check_separator)] | None = None  # None: detected
    decimal: Literal[".", ","] = "."
    header: bool = True  # whether the first line holds the column names
    names: list[str] | None = None  # column names of a file without a header
    shape: Annotated[list[PositiveInt], Field(min_length=2, max_length=3)] | None = (
        None  # of one row
    )
    windows: WindowSpec | None = None  # windows over a time series
    forecast: ForecastSpec | None = None  # the target's future values are predicted
    # Quantiles of the target that are predicted, each by an output; None: the target itself.
    quantiles: Annotated[list[QuantileLevel], Field(min_length=1)] | None = None
    image_size: tuple[PositiveInt, PositiveInt] | None = (
        None  # height, width to which images are resized
    )

    @model_validator(mode="after")
    def _check_roles(self) -> DataSpec:
        if len(set(self.targets)) < len(self.targets):
            raise ValueError(f"target: {', '.join(self.targets)} names a column twice")
        if self.weights is not None and self.weights in self.targets:
            raise ValueError(f"target {self.weights!r} is also weights: leave it in one of them")
        for role, name in (*(("target", t) for t in self.targets), ("weights", self.weights)):
            if name is not None and name in self.drop:
                raise ValueError(f"{role} {name!r} is also in drop: leave it in one of them")
        for key in ("windows", "forecast"):
            others = [n for n in ("shape", "test_source") if getattr(self, n)]
            if key == "forecast" and self.windows is not None:
                others.append("windows")
            if getattr(self, key) is not None and others:
                raise ValueError(f"{key} and {others[0]} exclude each other: leave one of them out")
        if self.forecast is not None and len(self.targets) > 1:
            raise ValueError(f"forecast is of one target; got {', '.join(self.targets)}")
        if self.quantiles is not None and len(set(self.quantiles)) < len(self.quantiles):
            raise ValueError(f"quantiles: {self.quantiles} names a level twice")
        if self.version is not None and self.timestamp is not None:
            raise ValueError("version and timestamp exclude each other: leave one of them out")
        if self.names is not None and len(set(self.names)) < len(self.names):
            twice = sorted({n for n in self.names if self.names.count(n) > 1})
            raise ValueError(f"names: {', '.join(twice)} more than once")
        return self

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns to predict; empty: the source defines them."""
        if self.target is None:
            return ()
        return (self.target,) if isinstance(self.target, str) else tuple(self.target)

    @property
    def pinball_metric(self) -> str | None:
        """The loss and the metric of the declared quantiles; None: there are none."""
        return None if self.quantiles is None else name_pinball(self.quantiles)


class CrossValidationSpec(Section):
    """The split of the development rows into folds."""

    kind: FoldKind | None = None  # None: stratified for classification, kfold for regression
    folds: Annotated[int, Field(ge=2)] = 5
    repeats: PositiveInt = 1
    shuffle: bool = True
    group: str | None = None  # column whose groups are kept together; not a feature
    time: str | None = None  # column that orders the rows; not a feature
    gap: Annotated[int, Field(ge=0)] = 0  # time_series: rows skipped before the validation rows
    window: PositiveInt | None = None  # time_series: most training rows; None: all earlier ones
    validation_rows: PositiveInt | None = (
        None  # time_series: rows per fold; None: n_rows / (folds + 1)
    )
    fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2  # holdout: share of validation rows
    column: str | None = None  # predefined: column with the fold of each row; not a feature

    @model_validator(mode="after")
    def _check_options(self) -> CrossValidationSpec:
        if self.kind in GROUPED_KINDS and self.group is None:
            raise ValueError(f"kind: {self.kind} needs group: the column with the groups")
        if self.group is not None and self.kind not in GROUPED_KINDS:
            raise ValueError(f"group is for {', '.join(GROUPED_KINDS)}; got kind: {self.kind}")
        if (self.kind == "predefined") != (self.column is not None):
            raise ValueError("kind: predefined and column: NAME belong together")
        for key in ("time", "gap", "window", "validation_rows"):
            if self.kind != "time_series" and getattr(self, key):
                raise ValueError(f"{key} is for kind: time_series; got kind: {self.kind}")
        if self.repeats > 1 and self.kind not in (*REPEATABLE_KINDS, None):
            raise ValueError(f"repeats is for {', '.join(REPEATABLE_KINDS)}; got kind: {self.kind}")
        if self.repeats > 1 and not self.shuffle:
            raise ValueError("repeats without shuffle gives the same folds each time")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that define the split; they are not features."""
        return tuple(c for c in (self.group, self.time, self.column) if c is not None)


def count_folds(declared: CrossValidationSpec) -> int | None:
    """Return the number of folds; None if it depends on the rows."""
    if declared.kind in ("predefined", "leave_one_group_out"):
        return None
    return declared.repeats * (1 if declared.kind == "holdout" else declared.folds)
