"""Combine the tables of several files: columns of later files, and types that widen."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from ..errors import DataError
from .source_table import is_readable_type


def unite_tables(
    tables: Sequence[Any], names: Sequence[str], drop: Collection[str]
) -> tuple[Any, tuple[str, ...]]:
    """Concatenate tables whose columns may differ.

    A column that a file lacks is missing in its rows, and a type may widen: int32 to int64, whole
    numbers to floats. The order of columns is that of their first appearance.

    Args:
        tables: `pyarrow.Table`s, one per file.
        names: Names of the files.
        drop: Unused columns, which need not agree.

    Returns:
        One table, and notes for the user.

    Raises:
        DataError: Names the file and the column that do not fit the others.
    """
    import pyarrow as pa

    if len(tables) == 1:
        return tables[0], ()
    owned = [frozenset(table.column_names) for table in tables]  # Arrow makes this list each time
    columns = list(dict.fromkeys(name for table in tables for name in table.column_names))
    _refuse_similar_names(columns, owned, names)
    united, notes = [], []
    for column in columns:
        held = [i for i, own in enumerate(owned) if column in own]
        if len(held) < len(tables):
            notes.append(_describe_gap(column, tables, names, held))
        parts = [tables[i][column] for i in held]
        if column in drop and len({part.type for part in parts}) > 1:
            kind = pa.float64()
            parts = [pa.chunked_array([pa.nulls(len(part), kind)]) for part in parts]
        else:
            kind = _unite_types(column, parts, [names[i] for i in held])
        cast = {i: _cast(part, kind, column, names[i]) for i, part in zip(held, parts, strict=True)}
        chunks = [
            chunk
            for i, table in enumerate(tables)
            for chunk in (cast[i].chunks if i in cast else [pa.nulls(table.num_rows, kind)])
        ]
        united.append(pa.chunked_array(chunks, kind))
    if not columns:
        return tables[0], ()
    return pa.table(united, names=columns), tuple(notes)


def _describe_gap(
    column: str, tables: Sequence[Any], names: Sequence[str], held: Sequence[int]
) -> str:
    rows = sum(table.num_rows for i, table in enumerate(tables) if i not in held)
    first = next(name for i, name in enumerate(names) if i not in held)
    return (
        f"column {column!r} is in {len(held)} of {len(tables)} files (not in {first}); it is "
        f"missing in the {rows:,} rows of the others"
    )


def _refuse_similar_names(
    columns: Sequence[str], owned: Sequence[Collection[str]], names: Sequence[str]
) -> None:
    """Refuse columns of different files whose names differ only in case."""
    by_key: dict[str, str] = {}
    for column in columns:
        other = by_key.setdefault(column.casefold(), column)
        if other == column:
            continue
        apart = not any(other in own and column in own for own in owned)
        if apart:
            i = next(i for i, own in enumerate(owned) if column in own)
            raise DataError(
                f"{names[i]} has the column {column!r}, and earlier files have {other!r}: write "
                "them with one name"
            )


def _unite_types(column: str, parts: Sequence[Any], names: Sequence[str]) -> Any:
    import pyarrow as pa

    kinds = [part.type for part in parts]
    if len(set(kinds)) == 1:
        return kinds[0]
    kinds = [_plain_type(kind) for kind in kinds]
    found = kinds[0]
    for kind, name in zip(kinds[1:], names[1:], strict=True):
        try:
            fields = [pa.schema([(column, found)]), pa.schema([(column, kind)])]
            found = pa.unify_schemas(fields, promote_options="permissive").field(0).type
        except (pa.ArrowTypeError, pa.ArrowInvalid):
            raise DataError(
                f"{name}: column {column!r} holds {kind}, and {names[0]} holds {found}: write the "
                f"files with one type, or leave the column out with data.drop: [{column}]"
            ) from None
    return found


def _plain_type(kind: Any) -> Any:
    """Return the type that a dictionary, or another layout of text, stands for."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    return pa.string() if pa.types.is_string_view(kind) else kind


def _cast(part: Any, kind: Any, column: str, name: str) -> Any:
    import pyarrow as pa

    if part.type == kind:
        return part
    try:
        return part.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        remedy = "" if is_readable_type(kind) else f"; or data.drop: [{column}]"
        raise DataError(
            f"{name}: column {column!r} holds {part.type}, which is not read as {kind} without "
            f"loss ({str(error).splitlines()[0]}): write the files with one type{remedy}"
        ) from None
