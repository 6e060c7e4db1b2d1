"""Flatten columns that hold several values: structs, lists of one length, and typed wrappers.

A struct `address` becomes `address.city`, …, a list of one length `emb` becomes `emb[0]`, `emb[1]`,
…, a duration its seconds. What cannot be flattened is left for `source_table` to refuse.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from ..errors import DataError

MAX_LIST_LENGTH = 16_384  # values in a cell that become columns
TICKS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
INDEX_PATTERN = re.compile(r"\[(\d+)\]")


def flatten_columns(table: Any, needed: Collection[str] = ()) -> Any:
    """Flatten the nested columns of a table, in their order.

    Args:
        table: A `pyarrow.Table`.
        needed: Flat names that a model was trained on; they tell the length of a list. Empty: the
            cells tell it.

    Raises:
        DataError: If the lists of a column have several lengths, or a flat name is taken.
    """
    import pyarrow as pa

    names, columns = [], []
    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            flat = _flatten_column(name, column, needed)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            raise DataError(
                f"column {name!r} holds {column.type}, which cannot be read "
                f"({str(error).splitlines()[0]}): leave it out with data.drop: [{name}]"
            ) from None
        names += [flat_name for flat_name, _ in flat]
        columns += [part for _, part in flat]
    if not columns:
        return table
    counts = Counter(names)
    taken = next((n for n in table.column_names if counts[n] > 1), None)
    if taken is not None:
        raise DataError(
            f"column {taken!r} is also what a nested column becomes: rename one, or leave the "
            "nested column out with data.drop"
        )
    return pa.table(columns, names=names)


def find_outer_column(name: str, columns: Iterable[str]) -> str:
    """Return the file's column that contains a flat column, or the column itself if it exists."""
    columns = set(columns)
    if name in columns:
        return name
    ends = [i for i, character in enumerate(name) if character in ".["]
    return next((name[:end] for end in reversed(ends) if name[:end] in columns), name)


def _flatten_column(name: str, column: Any, needed: Collection[str]) -> list[tuple[str, Any]]:
    import pyarrow as pa

    types, kind = pa.types, column.type
    column = unwrap_column(column)
    if column.type != kind:
        return _flatten_column(name, column, needed)
    if types.is_duration(kind):
        return [(name, _to_seconds(column))]
    if types.is_struct(kind) and kind.num_fields:
        parts = pa.table([column], names=[name]).flatten()
        fields = [kind.field(i).name for i in range(kind.num_fields)]
        flat = zip(fields, parts.columns, strict=True)
        return [pair for f, c in flat for pair in _flatten_column(f"{name}.{f}", c, needed)]
    if _is_list(kind):
        return _split_list(name, column, needed)
    return [(name, column)]


def unwrap_column(column: Any) -> Any:
    """Return the values of an extension type or a run-end-encoded column; UUIDs, views as text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name == "arrow.uuid":
            return pa.chunked_array([[str(v) if v else None for v in column.to_pylist()]], "string")
        chunks = [chunk.storage for chunk in column.chunks]
        column = pa.chunked_array(chunks, kind.storage_type)
        return column.cast(pa.bool_()) if kind.extension_name == "arrow.bool8" else column
    if pa.types.is_string_view(kind):  # for which Arrow lacks functions
        return column.cast(pa.string())
    if pa.types.is_run_end_encoded(kind):
        return pa.chunked_array([pc.run_end_decode(c) for c in column.chunks], kind.value_type)
    return column


def _to_seconds(column: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    ticks = column.cast(pa.int64())
    per_second = TICKS_PER_SECOND[column.type.unit]
    return pc.divide(pc.cast(ticks, pa.float64(), safe=False), float(per_second))


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    checks = (
        *(types.is_list, types.is_large_list, types.is_fixed_size_list),
        *(types.is_list_view, types.is_large_list_view),
    )
    return any(check(kind) for check in checks)


def _split_list(name: str, column: Any, needed: Collection[str]) -> list[tuple[str, Any]]:
    """Split a column of lists of one length into flat columns per index."""
    import pyarrow as pa

    length, first = _find_length(name, column, needed), f"{name}[0]"
    is_known = column.is_valid().to_numpy()
    starts = (np.cumsum(is_known) - 1) * length
    chunks = [chunk.flatten() for chunk in column.chunks]  # the values of the known lists
    values = pa.chunked_array(chunks, column.type.value_type)
    flat = _flatten_column(first, values, needed)
    return [
        (f"{name}[{i}]{part.removeprefix(first)}", cells.take(indices))
        for i in range(length)
        for indices in [pa.array(starts + i, mask=~is_known)]
        for part, cells in flat
    ]


def _find_length(name: str, column: Any, needed: Collection[str]) -> int:
    import pyarrow.compute as pc

    lengths = sorted(pc.unique(pc.list_value_length(column)).drop_null().to_pylist())
    trained = _find_trained_length(name, needed)
    if trained is not None and lengths in ([], [trained]):
        return trained
    if trained is not None:
        other = next(n for n in lengths if n != trained)
        raise DataError(
            f"column {name!r}: a list of {other} values, where {trained} were trained on"
        )
    if len(lengths) > 1:
        raise DataError(
            f"column {name!r} holds lists of {lengths[0]} to {lengths[-1]} values: only lists of "
            f"one length are read. Leave it out with data.drop: [{name}], or write one length."
        )
    if not lengths or not 0 < lengths[0] <= MAX_LIST_LENGTH:
        held = f"lists of {lengths[0]:,} values" if lengths else "no list"
        raise DataError(
            f"column {name!r} holds {held}: lists of 1 to {MAX_LIST_LENGTH:,} values are read; "
            f"leave it out with data.drop: [{name}]"
        )
    return int(lengths[0])


def _find_trained_length(name: str, needed: Collection[str]) -> int | None:
    found = [INDEX_PATTERN.match(n, len(name)) for n in needed if n.startswith(f"{name}[")]
    return max((int(m[1]) + 1 for m in found if m), default=None)
