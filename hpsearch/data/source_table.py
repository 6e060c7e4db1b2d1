"""The table of a source: Arrow columns of plain types, and what the source says about them.

Plain types are numbers, truth values, text and dates.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import DataError
from .columns import Layout
from .delimited import require_unique_names
from .nested_columns import flatten_columns

EXACT_DIGITS = 15  # decimal digits that float64 preserves


@dataclass(frozen=True, slots=True)
class TableOrigin:
    """Properties of a table besides its cells."""

    is_text: bool = False  # read from delimited text
    separator: str = ""  # of that text
    categories: tuple[str, ...] = ()  # columns with a categorical type


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A table as read from its source."""

    name: str
    table: Any  # pyarrow.Table
    targets: tuple[str, ...] = ()  # target columns, if the source defines them
    test_table: Any = None  # pyarrow.Table of the locked rows, if the source has them
    array: np.ndarray | None = None  # (n_rows, *shape): array rows, besides the table's columns
    test_array: np.ndarray | None = None  # array rows of the locked rows
    layout: Layout | None = None  # of delimited text
    categories: tuple[str, ...] = ()  # columns with a categorical type
    notes: tuple[str, ...] = ()  # for the user: what was noticed while reading
    versions: Mapping[str, str] = field(default_factory=dict)  # location -> version that was read
    weights: str = ""  # the column of sample weights, if the source defines it
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # columns by named input
    is_mapped: bool = False  # whether the table is mapped from files, as it exceeds the memory

    @property
    def rows(self) -> Any:
        """The input of `Schema.clean`: the array, if there is one, or else the table."""
        return self.table if self.array is None else self.array

    @property
    def origin(self) -> TableOrigin:
        """Properties of the table besides its cells."""
        separator = self.layout.separator if self.layout else ""
        return TableOrigin(self.layout is not None, separator, self.categories)


def cast_to_text(table: Any, names: Collection[str]) -> Any:
    """Convert whole numbers in some columns back to their texts."""
    import pyarrow as pa

    if not names:
        return table
    names = set(names)
    columns = [
        column.cast(pa.string()).fill_null("") if name in names else column
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    return pa.table(columns, names=table.column_names)


def find_text_columns(table: Any) -> list[str]:
    return [field.name for field in table.schema if str(field.type) == "string"]


def normalize_source(source: SourceTable, drop: Collection[str]) -> SourceTable:
    """Normalize the columns of a source; columns to drop may have any type."""
    table = flatten_used(source.table, drop)
    test = source.test_table
    if test is not None:
        test = simplify_columns(test, drop, table.column_names)
    coded = (f.name for f in table.schema if str(f.type).startswith("dictionary"))
    return replace(
        source,
        table=normalize_column_types(table, drop),
        test_table=test,
        categories=(*source.categories, *coded),
    )


def flatten_used(table: Any, drop: Collection[str], needed: Collection[str] = ()) -> Any:
    """Flatten nested columns; columns to drop that are nested are emptied."""
    return flatten_columns(_empty_dropped(table, drop), needed)


def simplify_columns(table: Any, drop: Collection[str], needed: Collection[str] = ()) -> Any:
    """Convert columns of any type to flat ones of plain types; see `flatten_columns`."""
    return normalize_column_types(flatten_used(table, drop, needed), drop)


def _empty_dropped(table: Any, drop: Collection[str]) -> Any:
    """Empty the columns to drop that have another type than the plain ones."""
    import pyarrow as pa

    drop = frozenset(drop)
    for index, name in enumerate(require_unique_names(table.column_names)):
        if name in drop and not is_readable_type(table.schema.types[index]):
            table = table.set_column(index, name, pa.nulls(table.num_rows, pa.float64()))
    return table


def find_unreadable_columns(table: Any) -> dict[str, str]:
    """Find the columns that cannot be read, each with the reason."""
    found = {}
    for name in require_unique_names(table.column_names):
        try:
            normalize_column_types(flatten_columns(table.select([name])))
        except DataError as error:
            found[name] = str(error).partition(":")[0].partition(";")[0]
    return found


def normalize_column_types(table: Any, drop: Collection[str] = ()) -> Any:
    """Convert column types to numbers, truth values, text and dates.

    Args:
        table: An Arrow table without nested columns.
        drop: Unused columns, which are emptied if they have another type.

    Raises:
        DataError: If a column has another type, or a name occurs twice.
    """
    import pyarrow as pa

    table = _empty_dropped(table, drop)
    names, before = table.column_names, table.schema.types
    kinds = [_normalize_type(kind, name) for kind, name in zip(before, names, strict=True)]
    if kinds == before:
        return table
    each = zip(names, table.columns, kinds, strict=True)
    return pa.table([_cast_column(name, c, kind) for name, c, kind in each], names=names)


def _cast_column(name: str, column: Any, kind: Any) -> Any:
    """Cast a column to a plain type; text is formatted as in other sources."""
    import pyarrow as pa
    import pyarrow.compute as pc

    types = pa.types
    try:
        if types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if types.is_decimal(column.type) and types.is_float64(kind):
            column = column.cast(pa.string())  # Arrow's own cast is not the nearest number
        found = column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"column {name!r} holds {column.type}, which is not read as {kind}: "
            f"{str(error).splitlines()[0]}; leave it out with data.drop: [{name}]"
        ) from None
    if types.is_time(column.type):
        return pc.replace_substring_regex(found, r"\.0+$", "")
    if types.is_decimal(column.type) and types.is_string(kind):
        return pc.replace_substring_regex(found, r"(\.[0-9]*[1-9])0+$|\.0*$", r"\1")
    return found


def _normalize_type(kind: Any, name: str) -> Any:
    """Return the Arrow type to which a column is converted: number, truth value, text or date."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return _normalize_type(kind.value_type, name)
    if types.is_decimal(kind):
        return pa.float64() if kind.precision <= EXACT_DIGITS else pa.string()
    if types.is_null(kind) or types.is_float16(kind):
        return pa.float64()
    if types.is_large_string(kind) or types.is_string_view(kind) or types.is_time(kind):
        return pa.string()
    if is_readable_type(kind):
        return kind
    raise DataError(
        f"column {name!r} holds {kind}: only numbers, text, truth values, dates, and structs and "
        f"lists of them can be read; leave it out with data.drop: [{_outer_name(name)}], or split "
        "it into columns"
    )


def _outer_name(name: str) -> str:
    """Return the name of the nested column of which a flat one is a part."""
    return re.split(r"\[\d+\]", name)[0]


def is_readable_type(kind: Any) -> bool:
    """Whether an Arrow type holds numbers, truth values, text, dates or times of day."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return is_readable_type(kind.value_type)
    read = (
        *(types.is_integer, types.is_floating, types.is_decimal, types.is_boolean, types.is_null),
        *(types.is_string, types.is_large_string, types.is_string_view),
        *(types.is_date, types.is_timestamp, types.is_time),
    )
    return any(check(kind) for check in read)
