"""Return freed memory to the operating system after reading a table."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def trim_heap() -> None:
    """Release free pages; glibc and Arrow would keep as much as the table that was read."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    with suppress(AttributeError, OSError, TypeError):  # glibc only
        ctypes.CDLL(None).malloc_trim(0)
