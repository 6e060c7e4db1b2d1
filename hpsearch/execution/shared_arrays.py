"""Arrays that the workers of this machine share: one copy in a temporary file.

Who receives a message finds the arrays mapped, and cannot write to them. The file goes away with
the coordinator: see `platforms.shared_file`.
"""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..platforms import shared_file

MIN_BYTES = 1 << 16  # bytes; a smaller array travels with its message
PAGE_BYTES = 4096


class SharedArrays:
    """Writes messages whose large arrays are in the file, each of them once."""

    def __init__(self) -> None:
        """An empty file where temporary files go; the disk's, so that it need not fit in memory."""
        self.path, self._file = shared_file.create()
        self._known: dict[int, tuple[np.ndarray, int]] = {}  # id -> itself, offset

    def dumps(self, message: Any) -> bytes:
        """The message as bytes that `pickle.loads` reads in a worker."""
        buffer = io.BytesIO()
        _Pickler(buffer, self._share_array).dump(message)
        return buffer.getvalue()

    def _share_array(self, array: np.ndarray) -> tuple[Any, ...]:
        """How a worker comes to an array; it is written where it was not."""
        if id(array) not in self._known:
            offset = -(-self._file.seek(0, os.SEEK_END) // PAGE_BYTES) * PAGE_BYTES
            self._file.seek(offset)
            self._file.write(np.ascontiguousarray(array).data)
            self._file.flush()
            self._known[id(array)] = (array, offset)  # it keeps its id for as long as it lives
        offset = self._known[id(array)][1]
        return map_array, (str(self.path), offset, array.shape, array.dtype.str)

    def close(self) -> None:
        """Remove the file; what is mapped stays readable."""
        self._known.clear()
        self._file.close()
        shared_file.remove(self.path)


class _Pickler(pickle.Pickler):
    """Writes a reference in the place of a large array of numbers."""

    def __init__(
        self, buffer: io.BytesIO, reference: Callable[[np.ndarray], tuple[Any, ...]]
    ) -> None:
        super().__init__(buffer, protocol=5)
        self._reference = reference

    def reducer_override(self, value: Any) -> Any:
        if type(value) is np.ndarray and value.nbytes >= MIN_BYTES and not value.dtype.hasobject:
            return self._reference(value)
        return NotImplemented


def map_array(path: str, offset: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """An array of the file, read-only; its pages are shared by all who map them."""
    with shared_file.open_read_only(Path(path)) as file:
        return np.asarray(np.memmap(file, dtype, "r", offset, shape))
