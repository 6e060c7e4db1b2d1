"""Memory that reading took and no longer needs."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def trim_heap() -> None:
    """Return freed memory to the system; glibc keeps as much again as a table that it read."""
    with suppress(AttributeError, OSError, TypeError):  # another system's library has no such call
        ctypes.CDLL(None).malloc_trim(0)
