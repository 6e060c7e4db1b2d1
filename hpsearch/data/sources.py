"""Read tables from files, folders, scikit-learn's data sets, custom functions and memory.

Every source becomes an Arrow table with plain column types. Roles and meanings of the columns are
assigned elsewhere.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, SpecError
from ..platforms.paths import starts_with_drive
from ..spec.data_spec import DataSpec
from ..spec.function_reference import is_reference, load_function_once, resolve_reference
from .arrays import FEATURE_KEYS, normalize_rows, to_array, unpack_tf_dataset
from .cells import format_cell, is_missing
from .delimited import require_unique_names
from .delimited_reader import read_delimited
from .images import is_image_folder, read_class_folders
from .schema import Layout

SKLEARN_DATASETS = ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine")
DOWNLOADED_DATASETS = (
    "20newsgroups",
    "california_housing",
    "covtype",
    "kddcup99",
    "olivetti_faces",
)
TARGET_KEYS = ("y", "y_train")
TEST_KEYS = (("x_test", "y_test"), ("X_test", "y_test"))
EXACT_DIGITS = 15  # decimal digits that float64 preserves
DEFAULT_TARGET_NAME = "target"  # name of an unnamed target


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

    @property
    def rows(self) -> Any:
        """The input of `Schema.clean`: the array, if there is one, or else the table."""
        return self.table if self.array is None else self.array

    @property
    def origin(self) -> TableOrigin:
        """Properties of the table besides its cells."""
        separator = self.layout.separator if self.layout else ""
        return TableOrigin(self.layout is not None, separator, self.categories)


def read_source(data: DataSpec, folder: Path, text: Collection[str] = ()) -> SourceTable:
    """Read the table that `data.source` names.

    Args:
        data: The declaration.
        folder: Base of relative paths.
        text: Columns of a text file to keep as text.

    Raises:
        DataError: If the source does not exist, or is ambiguous.
    """
    if data.source is None:
        raise DataError("data.source is missing: a file, sklearn:NAME or MODULE:FUNCTION")
    source = _open_source(data.source, data, folder, text)
    if data.test_source is not None:
        spelled = _list_text_columns(source.table)
        test = _open_source(data.test_source, data, folder, [*text, *spelled])
        rows = _cast_to_text(test.table, spelled) if test.layout else test.table
        source = replace(source, test_table=rows, test_array=test.array)
    return _normalize_source(source, data.drop)


def _cast_to_text(table: Any, names: Collection[str]) -> Any:
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


def _list_text_columns(table: Any) -> list[str]:
    return [field.name for field in table.schema if str(field.type) == "string"]


def _normalize_source(source: SourceTable, drop: Collection[str]) -> SourceTable:
    """Normalize the column types of a source; columns to drop may have any type."""
    test = None if source.test_table is None else normalize_column_types(source.test_table, drop)
    coded = tuple(f.name for f in source.table.schema if str(f.type).startswith("dictionary"))
    return replace(
        source, table=normalize_column_types(source.table, drop), test_table=test, categories=coded
    )


def normalize_column_types(table: Any, drop: Collection[str] = ()) -> Any:
    """Convert column types to numbers, truth values, text and dates.

    Args:
        table: An Arrow table.
        drop: Unused columns, which are emptied if they have another type.

    Raises:
        DataError: If a column has another type, or a name occurs twice.
    """
    import pyarrow as pa

    names, drop = require_unique_names(table.column_names), frozenset(drop)
    for index, field in enumerate(table.schema):
        if field.name in drop and not _is_readable_type(field.type):
            table = table.set_column(index, field.name, pa.nulls(table.num_rows, pa.float64()))
    kinds = [_normalize_type(field.type, field.name) for field in table.schema]
    if all(kind == field.type for kind, field in zip(kinds, table.schema, strict=True)):
        return table
    columns = [_cast_column(c, kind) for c, kind in zip(table.columns, kinds, strict=True)]
    return pa.table(columns, names=names)


def _cast_column(column: Any, kind: Any) -> Any:
    """Cast a column to a plain type; text is formatted as in other sources."""
    import pyarrow.compute as pc
    import pyarrow.types as types

    before = column.type.value_type if types.is_dictionary(column.type) else column.type
    found = column.cast(kind)
    if types.is_time(before):
        return pc.replace_substring_regex(found, r"\.0+$", "")
    if types.is_decimal(before) and types.is_string(kind):
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
    if _is_readable_type(kind):
        return kind
    raise DataError(
        f"column {name!r} holds {kind}: only numbers, text, truth values and dates can be "
        f"read; leave it out with data.drop: [{name}], or split it into columns"
    )


def _is_readable_type(kind: Any) -> bool:
    """Whether an Arrow type holds numbers, truth values, text, dates or times of day."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return _is_readable_type(kind.value_type)
    read = (
        *(types.is_integer, types.is_floating, types.is_decimal, types.is_boolean, types.is_null),
        *(types.is_string, types.is_large_string, types.is_string_view),
        *(types.is_date, types.is_timestamp, types.is_time),
    )
    return any(check(kind) for check in read)


def _open_source(location: str, data: DataSpec, folder: Path, text: Collection[str]) -> SourceTable:
    scheme, _, rest = ("", "", "") if starts_with_drive(location) else location.partition(":")
    if scheme == "sklearn":
        return _load_sklearn(rest)
    if rest.startswith("//"):
        raise DataError(f"{location} is an address: download it and give the file")
    try:
        is_file = (folder / location).exists() or glob.has_magic(location)
        if (rest or is_reference(location)) and not is_file:
            return _call_user_function(location, data, folder)
        return _open_files(location, data, folder, text)
    except DataError as error:
        raise DataError(f"{location}: {error}") from None


def _load_sklearn(name: str) -> SourceTable:
    if name not in SKLEARN_DATASETS:
        raise DataError(
            f"sklearn:{name} does not come with scikit-learn"
            + (" (it would be downloaded)" if name in DOWNLOADED_DATASETS else "")
            + f". Known: {', '.join(SKLEARN_DATASETS)}."
        )
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    names = [str(n) for n in bunch.feature_names]
    several = bunch.target.ndim == 2
    targets = tuple(str(n) for n in bunch.target_names) if several else (DEFAULT_TARGET_NAME,)
    return SourceTable(name, _arrays_to_table(bunch.data, bunch.target, names, targets), targets)


def _call_user_function(reference: str, data: DataSpec, folder: Path) -> SourceTable:
    """Call a custom `MODULE:FUNCTION` or `FILE.py:FUNCTION` without arguments."""
    try:
        function = load_function_once(resolve_reference(reference, folder))
    except SpecError as error:
        hint = "" if ".py:" in reference else "neither a file nor a module's function: "
        raise DataError(f"{hint}{error}") from None
    try:
        value = function()
    except Exception as error:
        raise DataError(f"it raised {type(error).__name__}: {error}") from error
    return source_from_memory(value, data, reference.rpartition(":")[2])


def source_from_memory(value: Any, data: DataSpec, name: str = "memory") -> SourceTable:
    """Convert rows in memory: (X, y), (X_frame, y), a frame with its target, a `tf.data.Dataset`.

    Raises:
        DataError: If the value is none of these.
    """
    if hasattr(value, "element_spec") and hasattr(value, "as_numpy_iterator"):
        value = unpack_tf_dataset(value)
    if isinstance(value, tuple | list) and len(value) == 2:
        return _normalize_source(_source_from_pair(*value, data=data, name=name), data.drop)
    return _normalize_source(SourceTable(name, _frame_to_table(value, data.drop)), data.drop)


def _source_from_pair(x: Any, y: Any, *, data: DataSpec, name: str) -> SourceTable:
    if y is None:
        raise DataError("y is None: give (X, y), or a frame with the target, and data.target")
    targets = _resolve_target_names(y, data)
    if not hasattr(x, "columns") and not hasattr(x, "column_names"):
        return _source_from_arrays(name, to_array(x, "X"), np.asarray(y), targets)
    table = _frame_to_table(x, data.drop)
    for target, values in zip(targets, _split_target_columns(y), strict=True):
        if target in table.column_names:
            raise DataError(f"column {target!r} is both in X and y: take it out of X")
        table = table.append_column(target, _align_target(values, x, table.num_rows))
    return SourceTable(name, table, targets)


def _resolve_target_names(y: Any, data: DataSpec) -> tuple[str, ...]:
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
    """Convert an Arrow, pandas or polars table to Arrow."""
    import pyarrow as pa

    if isinstance(frame, pa.Table):
        return frame
    if hasattr(frame, "to_arrow"):
        return frame.to_arrow()
    if not hasattr(frame, "columns"):
        raise DataError(
            f"got a {type(frame).__name__}: give (X, y), a pandas or polars DataFrame or an Arrow "
            "table"
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


def _source_from_arrays(
    name: str, x: np.ndarray, y: np.ndarray, targets: tuple[str, ...]
) -> SourceTable:
    """Convert a 2-D array to columns; keep rows of more dimensions as arrays."""
    if x.ndim < 3:
        return SourceTable(name, _arrays_to_table(x, y, None, targets), targets)
    labels = _arrays_to_table(np.zeros((len(x), 0)), y, None, targets)
    return SourceTable(name, labels, targets, array=normalize_rows(x))


def _arrays_to_table(
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
    told = np.ascontiguousarray(y.reshape(len(y), -1).T)
    columns |= {name: _cells_to_array(c) for name, c in zip(targets, told, strict=True)}
    return pa.table(columns)


def _open_files(location: str, data: DataSpec, folder: Path, text: Collection[str]) -> SourceTable:
    import pyarrow as pa

    whole = folder / Path(location).expanduser()
    if is_image_folder(whole):
        images, classes = read_class_folders(whole, data.image_size)
        targets = _resolve_target_names(np.asarray(classes), data)
        return SourceTable(whole.name, pa.table({targets[0]: classes}), targets, array=images)
    paths = _find_paths(location, folder)
    name = paths[0].name.partition(".")[0] if len(paths) == 1 else whole.parent.name
    name = whole.name if whole.is_dir() else name
    if paths[0].suffix == ".npz":
        return _read_npz(paths[0], data)
    tables, layout = _read_files(paths, data, text)
    if (spelled := _find_mixed_type_columns(tables)) and layout is not None:
        tables, layout = _read_files(paths, data, [*text, *spelled])
        tables = [_cast_to_text(table, spelled) for table in tables]
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowInvalid as error:
        raise DataError(f"its files do not agree in the type of a column: {error}") from None
    if table.num_rows == 0:
        raise DataError("there are no rows")
    return SourceTable(name, table, layout=layout)


def _refuse_partitioned_folder(folder: Path) -> None:
    """Refuse a folder of a Delta table, of partitions, or of an unfinished job."""
    if (folder / "_delta_log").is_dir():
        raise DataError(
            "a Delta table, whose folder holds files of earlier versions too: write the version "
            "that you mean as Parquet, and give that"
        )
    for path in sorted(p for p in folder.rglob("*") if p.is_dir()):
        name, equals, _ = path.name.partition("=")
        if equals:
            raise DataError(
                f"{path.relative_to(folder)}: a folder for each value of {name!r}, which is in no "
                "file and would be lost: write the table as files that hold the column"
            )
        if path.name == "_temporary":
            raise DataError(f"{path.name}: what writes this table has not finished")


def _read_files(
    paths: Sequence[Path], data: DataSpec, text: Collection[str]
) -> tuple[list[Any], Layout | None]:
    """Read several files; returns their tables, and the layout of the first."""
    read = [_read_file(path, data, text, alone=len(paths) == 1) for path in paths]
    for path, (table, _) in zip(paths, read, strict=True):
        if table.column_names != read[0][0].column_names:
            raise DataError(f"{path.name} has other columns than {paths[0].name}")
    return [table for table, _ in read], read[0][1]


def _find_mixed_type_columns(tables: Sequence[Any]) -> list[str]:
    """Find columns that are text in some tables and numbers in others."""
    kinds = [
        {str(field.type) for field in fields}
        for fields in zip(*(t.schema for t in tables), strict=True)
    ]
    names = tables[0].column_names
    return [n for n, k in zip(names, kinds, strict=True) if "string" in k and len(k) > 1]


def _find_paths(location: str, folder: Path) -> list[Path]:
    """Find the files of a path, sorted by name."""
    path = folder / Path(location).expanduser()
    if path.is_dir():
        _refuse_partitioned_folder(path)
        found = sorted(p for p in path.rglob("*") if p.suffix in (*READERS, *DELIMITED_SUFFIXES))
    elif glob.has_magic(location) and not path.exists():
        found = sorted(Path(p) for p in glob.glob(str(path), recursive=True))
    else:
        found = [path] if path.is_file() else []
    if not found:
        raise DataError(f"there is no such file (looked in {path.parent})")
    return found


def _read_file(
    path: Path, data: DataSpec, text: Collection[str], *, alone: bool
) -> tuple[Any, Layout | None]:
    import pyarrow as pa

    reader = READERS.get(path.suffix)
    try:
        return (reader(path), None) if reader else read_delimited(path, data, text)
    except DataError as error:
        raise error if alone else DataError(f"{path.name}: {error}") from None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, ValueError) as error:
        raise DataError(f"not readable as {path.suffix[1:] or 'text'}: {error}") from None


def _read_parquet(path: Path) -> Any:
    from pyarrow import parquet

    return parquet.ParquetFile(path).read()


def _read_feather(path: Path) -> Any:
    from pyarrow import feather

    return feather.read_table(path)


def _read_npy(path: Path) -> Any:
    array = np.load(path, allow_pickle=False)
    if array.ndim > 2:
        raise ValueError(f"an array of shape {array.shape} without targets: give .npz with x and y")
    return _arrays_to_table(array, None, None)


READERS: dict[str, Callable[[Path], Any]] = {
    ".parquet": _read_parquet,
    ".pq": _read_parquet,
    ".feather": _read_feather,
    ".arrow": _read_feather,
    ".npy": _read_npy,
}
DELIMITED_SUFFIXES = (".csv", ".tsv", ".gz")  # in a folder; a single file may have any name


def _read_npz(path: Path, data: DataSpec) -> SourceTable:
    """Read X and y, or x_train, y_train, x_test and y_test."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"not readable as npz: {error}") from None
    x, y = _find_first_array(arrays, FEATURE_KEYS), _find_first_array(arrays, TARGET_KEYS)
    if x is None or y is None:
        raise DataError(f"holds {', '.join(arrays)}; expected X and y, or x_train and y_train")
    targets = _resolve_target_names(y, data)
    source = _source_from_arrays(path.stem, x, y, targets)
    for x_key, y_key in TEST_KEYS:
        if x_key in arrays and y_key in arrays:
            test = _source_from_arrays(path.stem, arrays[x_key], arrays[y_key], targets)
            source = replace(source, test_table=test.table, test_array=test.array)
    return source


def _find_first_array(arrays: dict[str, np.ndarray], keys: Sequence[str]) -> np.ndarray | None:
    return next((arrays[k] for k in keys if k in arrays), None)
