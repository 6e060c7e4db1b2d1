"""Return freed memory to the operating system after reading a table."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def trim_heap() -> None:
    """Release free heap pages; glibc would keep as much as the table that was read."""
    with suppress(AttributeError, OSError, TypeError):  # glibc only
        ctypes.CDLL(None).malloc_trim(0)
