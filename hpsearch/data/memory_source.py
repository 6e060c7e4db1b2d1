"""Convert rows in memory to a table: arrays, pandas and polars frames, Arrow tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..spec.data_spec import DataSpec
from .arrays import normalize_rows, to_array
from .cells import format_cell, is_missing
from .delimited import require_unique_names
from .lazy_frames import iter_lazy_frame
from .source_table import SourceTable
from .spilled_rows import gather_rows, make_row_limit

DEFAULT_TARGET_NAME = "target"  # name of an unnamed target


def open_memory(
    value: Any, data: DataSpec, name: str = "memory", cache: Path | None = None
) -> SourceTable:
    """Convert rows in memory: (X, y), (X_frame, y), a frame with its target.

    A frame that is computed or read when its rows are asked for, as a lazy frame of Polars, goes to
    `cache` if its rows exceed the memory for them.

    Raises:
        DataError: If the value is none of these.
    """
    if isinstance(value, tuple | list) and len(value) == 2:
        return _source_from_pair(*value, data=data, name=name)
    tables = iter_lazy_frame(value)
    if tables is not None:
        return gather_rows(tables, make_row_limit(data, cache)).add_to(SourceTable(name, None))
    return SourceTable(name, _frame_to_table(value, data.drop))


def _source_from_pair(x: Any, y: Any, *, data: DataSpec, name: str) -> SourceTable:
    if y is None:
        raise DataError("y is None: give (X, y), or a frame with the target, and data.target")
    x = collect_frame(x)
    targets = resolve_target_names(y, data)
    if not hasattr(x, "columns") and not hasattr(x, "column_names"):
        return source_from_arrays(name, to_array(x, "X"), np.asarray(y), targets)
    table = _frame_to_table(x, data.drop)
    for target, values in zip(targets, _split_target_columns(y), strict=True):
        if target in table.column_names:
            raise DataError(f"column {target!r} is both in X and y: take it out of X")
        table = table.append_column(target, _align_target(values, x, table.num_rows))
    return SourceTable(name, table, targets)


def resolve_target_names(y: Any, data: DataSpec) -> tuple[str, ...]:
    """Return the target names of y: declared, its own, or default ones."""
    n_targets = len(_split_target_columns(y))
    if data.targets and len(data.targets) != n_targets:
        raise DataError(
            f"y has {n_targets} columns, but data.target names {len(data.targets)}: "
            f"{', '.join(data.targets)}; leave it out, or name each"
        )
    if hasattr(y, "columns") and n_targets > 1:
        return data.targets or tuple(str(c) for c in y.columns)
    if n_targets > 1:
        return data.targets or tuple(f"{DEFAULT_TARGET_NAME}_{k}" for k in range(n_targets))
    return data.targets or (str(getattr(y, "name", None) or DEFAULT_TARGET_NAME),)


def _split_target_columns(y: Any) -> list[Any]:
    """Split y into one entry per target."""
    if hasattr(y, "columns"):
        return [y[name] for name in y.columns]
    if getattr(y, "ndim", 1) < 2:
        return [y]
    if y.ndim > 2:
        raise DataError(f"y has shape {y.shape}: give (n_rows,), or (n_rows, n_targets)")
    return list(np.asarray(y).T)


def _align_target(y: Any, x: Any, n_rows: int) -> Any:
    """Convert a target to an Arrow array; its rows must match those of `x`."""

    if len(y) != n_rows:
        raise DataError(f"X has {n_rows} rows, y has {len(y)}")
    if hasattr(y, "index") and hasattr(x, "index") and not callable(y.index):
        if not x.index.equals(y.index):
            raise DataError("X and y have different indices: their rows do not belong together")
        return _cells_to_array(y)
    return y.to_arrow() if hasattr(y, "to_arrow") else _cells_to_array(np.asarray(y).ravel())


def _frame_to_table(frame: Any, drop: Collection[str]) -> Any:
    """Convert a frame of any library to Arrow."""
    import pyarrow as pa

    frame = collect_frame(frame)
    if isinstance(frame, pa.Table):
        return frame
    if not hasattr(frame, "iloc"):
        raise DataError(
            f"got a {type(frame).__name__}: give (X, y), a pandas or Polars DataFrame, an Arrow "
            "table, a frame that offers __arrow_c_stream__, or a data set of batches"
            f"{_explain_conversion(frame)}"
        )
    names = require_unique_names([str(c) for c in frame.columns])
    arrays = []
    for i, name in enumerate(names):
        try:
            arrays.append(_cells_to_array(frame.iloc[:, i]))
        except pa.ArrowNotImplementedError as error:
            if name in drop:
                arrays.append(pa.nulls(len(frame)))
                continue
            raise DataError(
                f"column {name!r}: {error}; numbers, text, truth values and dates are read"
            ) from None
    return pa.table(arrays, names=names)


def _explain_conversion(value: Any) -> str:
    """Explain how rows of another kind are given; empty if it is unknown."""
    if isinstance(value, str | Path):
        return "; a path is declared as data.source"
    if isinstance(value, Mapping | list):
        return "; pandas.DataFrame(…) makes a frame of it"
    return ""


def collect_frame(value: Any) -> Any:
    """Convert a frame of a library other than pandas to an Arrow table; return others as they are.

    Read are Polars (lazy frames too), PyArrow tables and datasets, DuckDB relations, Hugging
    Face's `Dataset`, and whatever offers Arrow's C stream.

    Raises:
        DataError: If there are several frames, or it is one of Spark, which would be collected by
            the driver; `spark_frames` reads a whole table of Spark.
    """
    import pyarrow as pa

    library = type(value).__module__.partition(".")[0]
    if isinstance(value, np.ndarray) and value.dtype.names and value.ndim == 1:
        return pa.table({n: _cells_to_array(value[n].copy()) for n in value.dtype.names})
    if isinstance(value, pa.Table) or library in ("pandas", "numpy"):
        return value
    if is_spark_frame(value):
        raise DataError(
            "a Spark DataFrame would be collected by the driver: give one frame with the target, "
            "and data.target; or let its executors write it, frame.write.parquet(FOLDER), and give "
            "the folder as data.source"
        )
    if library == "datasets":
        if isinstance(value, Mapping) or not hasattr(value, "num_rows"):
            raise DataError(f"got a {type(value).__name__}: give one split, as a Dataset")
        return value.with_format("arrow")[:]
    if library == "polars" and hasattr(value, "collect"):
        value = value.collect()
    if library == "polars" and hasattr(value, "columns"):
        return value.to_arrow()
    if library == "pyarrow" and hasattr(value, "to_table"):
        return value.to_table()
    if hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__"):
        try:
            return pa.table(value)
        except (TypeError, ValueError):  # a single column
            return value
    return value


def is_spark_frame(value: Any) -> bool:
    """Whether a value is a DataFrame of Spark, classic or Connect."""
    return type(value).__module__.partition(".")[0] == "pyspark" and hasattr(value, "schema")


def _cells_to_array(cells: Any) -> Any:
    """Convert a pandas column or an (n,) array to Arrow."""
    import pyarrow as pa

    try:
        if _has_mixed_offsets(cells):
            raise pa.ArrowInvalid  # Arrow would convert all to one offset
        return pa.array(cells, from_pandas=hasattr(cells, "index"))
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        # Mixed numbers and strings, such as "?" among numbers in pandas.
        texts = [None if is_missing(v) else format_cell(v) for v in cells.tolist()]
        return pa.array(texts, pa.string())


def _has_mixed_offsets(cells: Any) -> bool:
    """Whether a column of objects holds datetimes with different offsets."""
    if str(cells.dtype) != "object":
        return False
    return len({v.tzinfo for v in cells.tolist() if isinstance(v, datetime)}) > 1


def source_from_arrays(
    name: str, x: np.ndarray, y: np.ndarray, targets: tuple[str, ...]
) -> SourceTable:
    """Convert a 2-D array to columns; keep rows of more dimensions as arrays."""
    if x.shape[:1] == (0,):
        raise DataError(f"X has shape {x.shape}: there are no rows")
    if x.ndim < 3:
        return SourceTable(name, arrays_to_table(x, y, None, targets), targets)
    labels = arrays_to_table(np.zeros((len(x), 0)), y, None, targets)
    return SourceTable(name, labels, targets, array=normalize_rows(x))


def arrays_to_table(
    x: np.ndarray,
    y: np.ndarray | None,
    names: list[str] | None,
    targets: Sequence[str] = (DEFAULT_TARGET_NAME,),
) -> Any:
    """Build an Arrow table from (n, n_features) features and an (n,) or (n, n_targets) target."""
    import pyarrow as pa

    if x.ndim != 2:
        raise DataError(f"X has shape {x.shape}: give (n_rows, n_features)")
    names = names or [f"x{i}" for i in range(x.shape[1])]
    columns = {n: _cells_to_array(np.ascontiguousarray(c)) for n, c in zip(names, x.T, strict=True)}
    if y is None:
        return pa.table(columns)
    if len(y) != len(x) or y.size != len(y) * len(targets):
        raise DataError(
            f"X has {len(x)} rows, y has shape {y.shape}: give y as ({len(x)},), or as "
            f"({len(x)}, n_targets)"
        )
    by_target = np.ascontiguousarray(y.reshape(len(y), -1).T)
    columns |= {name: _cells_to_array(c) for name, c in zip(targets, by_target, strict=True)}
    return pa.table(columns)
