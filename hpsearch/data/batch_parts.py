"""Check the batches of a data set, and convert each to columns.

A batch is (x, y), (x, y, sample_weight), or a dict that includes the target. x is an array or a
dict of named inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError
from ..spec.data_spec import DataSpec
from .memory_source import resolve_target_names
from .source_table import SourceTable, normalize_column_types

DEFAULT_WEIGHTS_NAME = "sample_weight"
GROUPED_ROWS = 1024  # single rows that are converted together
FORMS = "(x, y), (x, y, sample_weight), or a dict with the column that data.target names"
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows."""

    table: Any  # pyarrow.Table of plain types
    array: np.ndarray | None  # (n_rows, *shape): x, if its rows have two dimensions or more


class BatchReader:
    """Reads batches that look like the first one."""

    def __init__(self, data: DataSpec) -> None:
        """Read nothing yet."""
        self._data = data
        self._shapes: dict[str, tuple[int, ...]] = {}  # of a row, by array
        self._kinds: dict[str, str] = {}
        self._targets: tuple[str, ...] = ()
        self._weights = ""
        self._inputs: dict[str, tuple[str, ...]] = {}

    def read(self, elements: Iterator[Any], *, are_batches: bool = False) -> Iterator[Batch]:
        """Convert elements, which are batches or single rows.

        Args:
            elements: The elements.
            are_batches: Whether none is a single row; otherwise the first one tells.

        Raises:
            DataError: With the number of a batch that cannot be read, or differs from the first.
        """
        rows: list[Arrays] = []
        are_rows = False
        for number, element in enumerate(elements, 1):
            where = f"batch {number}"
            arrays = _split_element(element, self._data.targets, where)
            if number == 1:
                are_rows = _is_row(arrays) and not are_batches
            if are_rows:
                arrays = {name: array[None] for name, array in arrays.items()}
            self._compare(arrays, where)
            if not are_rows:
                yield self._convert(arrays)
                continue
            rows.append(arrays)
            if len(rows) == GROUPED_ROWS:
                yield self._convert(_concatenate(rows))
                rows = []
        if rows:
            yield self._convert(_concatenate(rows))

    def make_source(
        self,
        name: str,
        table: Any,
        array: np.ndarray | None = None,
        notes: Sequence[str] = (),
    ) -> SourceTable:
        """Make the source of all rows that were read."""
        return SourceTable(
            name,
            table,
            self._targets,
            array=array,
            notes=tuple(notes),
            weights=self._weights,
            inputs=self._inputs,
        )

    def _compare(self, arrays: Arrays, where: str) -> None:
        """Compare the arrays of a batch with each other, and with those of the first batch."""
        if any(array.ndim == 0 for array in arrays.values()):
            raise DataError(f"{where} holds a single number: give {FORMS}, each with a row's axis")
        sizes = {name: len(array) for name, array in arrays.items()}
        if len(set(sizes.values())) > 1:
            shown = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise DataError(f"{where}: the numbers of rows differ: {shown}")
        shapes = {name: array.shape[1:] for name, array in arrays.items()}
        kinds: dict[str, str] = {name: array.dtype.kind for name, array in arrays.items()}
        if not self._shapes:
            self._shapes, self._kinds = shapes, kinds
            self._name_columns(arrays)
        if shapes.keys() != self._shapes.keys():
            raise DataError(
                f"{where} has {', '.join(shapes)}; batch 1 has {', '.join(self._shapes)}"
            )
        for name, shape in shapes.items():
            if shape != self._shapes[name]:
                raise DataError(
                    f"{where}: {name} has rows of shape {shape}, those of batch 1 have "
                    f"{self._shapes[name]}: pad or resize them"
                )
            if kinds[name] != self._kinds[name]:
                raise DataError(f"{where}: {name} has another type than in batch 1")

    def _convert(self, arrays: Arrays) -> Batch:
        """Convert a batch to columns."""
        import pyarrow as pa

        kept = _find_array(arrays)
        columns: dict[str, np.ndarray] = {}
        for name, array in arrays.items():
            if array is kept:
                continue
            for column, values in zip(self._list_columns(name, array), _split(array), strict=True):
                if column in columns:
                    raise DataError(
                        f"column {column!r} occurs twice: rename an input or the target"
                    )
                columns[column] = np.ascontiguousarray(values)
        table = pa.table({name: pa.array(values) for name, values in columns.items()})
        return Batch(normalize_column_types(table, self._data.drop), kept)

    def _name_columns(self, arrays: Arrays) -> None:
        """Name the targets and weights, and group the columns of each input."""
        targets = {n: a for n, a in arrays.items() if n == "y" or n.startswith("y.")}
        if "y" in targets:
            self._targets = resolve_target_names(targets["y"], self._data)
        else:
            self._targets = tuple(c for n, a in targets.items() for c in _name_split(n[2:], a))
            if self._data.targets and set(self._data.targets) - set(self._targets):
                raise DataError(f"data.target: y has {', '.join(self._targets)}")
        if DEFAULT_WEIGHTS_NAME in arrays:
            self._weights = self._data.weights or DEFAULT_WEIGHTS_NAME
        kept = _find_array(arrays)
        for name, array in arrays.items():
            if array is kept or not name.startswith("x."):
                continue
            if len(columns := _name_split(name[2:], array)) > 1:
                self._inputs[name[2:]] = columns

    def _list_columns(self, name: str, array: np.ndarray) -> tuple[str, ...]:
        if name == "y":
            return self._targets
        if name == DEFAULT_WEIGHTS_NAME:
            return (self._weights,)
        if name == "x":
            return _name_array_columns(len(_split(array)))
        return _name_split(name[2:], array)


def convert_inputs(element: Any, where: str) -> Any:
    """Convert the x of an element, which may have y and weights beside it, for a prediction.

    Returns:
        A `pyarrow.Table`; an array (n_rows, *shape) if its rows have two dimensions or more.

    Raises:
        DataError: If it is a single row.
    """
    import pyarrow as pa

    x = element[0] if isinstance(element, tuple | list) and element else element
    arrays = _name_arrays("x", x, where)
    if any(array.ndim == 0 for array in arrays.values()):
        raise DataError(f"{where} is a single row: give batches, with batch(n)")
    if (array := _find_array(arrays)) is not None:
        return array
    columns: dict[str, Any] = {}
    for name, array in arrays.items():
        parts = _split(array)
        own = _name_split(name[2:], array) if name != "x" else _name_array_columns(len(parts))
        columns |= dict(zip(own, map(np.ascontiguousarray, parts), strict=True))
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def _name_array_columns(n: int) -> tuple[str, ...]:
    return tuple(f"x{k}" for k in range(n))


def _split_element(element: Any, targets: Sequence[str], where: str) -> Arrays:
    """Return the arrays of an element: "x" or "x.NAME", "y" or "y.NAME", "sample_weight"."""
    if isinstance(element, Mapping):
        if not targets or not set(targets) <= set(element):
            raise DataError(
                f"{where} is a dict of {', '.join(map(str, element))}: declare data.target, one or "
                "more of them"
            )
        x = {name: v for name, v in element.items() if name not in targets}
        y = {name: element[name] for name in targets}
        return {**_name_arrays("x", x, where), **_name_arrays("y", y, where)}
    if not isinstance(element, tuple | list) or len(element) not in (2, 3):
        what = f"{len(element)} parts" if isinstance(element, tuple | list) else type(element)
        what = what if isinstance(what, str) else f"a {what.__name__}"
        raise DataError(f"{where} is {what}: give {FORMS}")
    x, y, *weights = element
    arrays = {**_name_arrays("x", x, where), **_name_arrays("y", y, where)}
    if weights and weights[0] is not None:
        arrays[DEFAULT_WEIGHTS_NAME] = _to_array(weights[0], DEFAULT_WEIGHTS_NAME, where)
    return arrays


def _name_arrays(name: str, value: Any, where: str) -> dict[str, np.ndarray]:
    if not isinstance(value, Mapping):
        return {name: _to_array(value, name, where)}
    return {f"{name}.{key}": _to_array(v, f"{name}[{key!r}]", where) for key, v in value.items()}


def _find_array(arrays: Arrays) -> np.ndarray | None:
    """Return x if it is alone and its rows have two dimensions or more."""
    inputs = [array for name, array in arrays.items() if name[0] == "x"]
    return inputs[0] if len(inputs) == 1 and inputs[0].ndim > 2 else None


def _to_array(value: Any, name: str, where: str) -> np.ndarray:
    """Convert a tensor of any library."""
    kind = type(value).__name__
    if hasattr(value, "detach"):  # torch
        value = value.detach().cpu()
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError):
        array = np.asarray(None)
    if array.dtype.kind == "V":  # bfloat16
        array = array.astype(np.float32)
    if array.dtype.kind == "S" or (array.dtype == object and _holds_texts(array)):
        return _decode(array, f"{where}: {name}")
    if array.dtype == object:
        raise DataError(
            f"{where}: {name} is a {kind} that is no dense array: pad ragged rows "
            "(padded_batch, to_tensor()), and make sparse ones dense (tf.sparse.to_dense)"
        )
    return array


def _holds_texts(array: np.ndarray) -> bool:
    return array.size > 0 and all(isinstance(cell, bytes | str) for cell in array.ravel())


def _decode(array: np.ndarray, where: str) -> np.ndarray:
    try:
        texts = [c.decode() if isinstance(c, bytes) else c for c in array.ravel().tolist()]
    except UnicodeDecodeError:
        raise DataError(f"{where} holds bytes that are not UTF-8: decode them first") from None
    return np.array(texts, dtype=object).reshape(array.shape)


def _is_row(arrays: Arrays) -> bool:
    """Whether an element is a single row."""
    lengths = {len(a) if a.ndim else None for name, a in arrays.items() if name[0] in "xy"}
    return None in lengths or len(lengths) > 1


def _concatenate(rows: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _split(array: np.ndarray) -> list[np.ndarray]:
    """Split an array of (n_rows,) or (n_rows, n) into columns."""
    return [array] if array.ndim < 2 else list(array.T)


def _name_split(name: str, array: np.ndarray) -> tuple[str, ...]:
    """Name the columns of an input or a target, as those of a list column.

    Raises:
        DataError: If its rows have more than one dimension.
    """
    if array.ndim > 2:
        raise DataError(
            f"{name} has rows of shape {array.shape[1:]}: beside other inputs, give one number, or "
            "a row of numbers; an image as its path in a column with kind: image"
        )
    n = len(_split(array))
    return (name,) if n == 1 else tuple(f"{name}[{k}]" for k in range(n))
