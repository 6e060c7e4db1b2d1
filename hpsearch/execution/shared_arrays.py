"""Arrays shared by the workers of a machine: one copy in a temporary file.

Receivers map the arrays read-only. The file is removed with the coordinator: see
`platforms.shared_file`.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..platforms import shared_file

MIN_BYTES = 1 << 16  # bytes; smaller arrays are pickled with the message
PAGE_BYTES = 4096


class SharedArrays:
    """Pickles messages whose large arrays are stored once, in the file."""

    def __init__(self) -> None:
        """Create the file in the folder for temporary files, on disk rather than in memory."""
        self.path, self._file = shared_file.create()
        self._known: dict[int, tuple[np.ndarray, int]] = {}  # id -> array, offset

    def dumps(self, message: Any) -> bytes:
        """Pickle a message for a worker."""
        buffer = io.BytesIO()
        _Pickler(buffer, self._share_array).dump(message)
        return buffer.getvalue()

    def _share_array(self, array: np.ndarray) -> tuple[Any, ...]:
        """Return the reference of an array, writing the array at its first use."""
        if id(array) not in self._known:
            offset = -(-self._file.seek(0, os.SEEK_END) // PAGE_BYTES) * PAGE_BYTES
            self._file.seek(offset)
            self._file.write(np.ascontiguousarray(array).data)
            self._file.flush()
            self._known[id(array)] = (array, offset)  # kept alive, so that its id stays unique
        offset = self._known[id(array)][1]
        return map_array, (str(self.path), offset, array.shape, array.dtype.str)

    def close(self) -> None:
        """Remove the file; existing mappings stay readable."""
        self._known.clear()
        self._file.close()
        shared_file.remove(self.path)


class _Pickler(pickle.Pickler):
    """Replaces large numeric arrays by references."""

    def __init__(
        self, buffer: io.BytesIO, reference: Callable[[np.ndarray], tuple[Any, ...]]
    ) -> None:
        super().__init__(buffer, protocol=5)
        self._reference = reference

    def reducer_override(self, value: Any) -> Any:
        if type(value) is np.memmap and isinstance(value.base, mmap.mmap):  # a whole file, mapped
            order = "C" if value.flags.c_contiguous else "F"
            return np.memmap, (value.filename, value.dtype, "r", value.offset, value.shape, order)
        if type(value) is np.ndarray and value.nbytes >= MIN_BYTES and not value.dtype.hasobject:
            return self._reference(value)
        return NotImplemented


def map_array(path: str, offset: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Map an array of the file read-only; its pages are shared between processes."""
    with shared_file.open_read_only(Path(path)) as file:
        return np.asarray(np.memmap(file, dtype, "r", offset, shape))
