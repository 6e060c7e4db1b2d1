"""The memory that this process may use: the machine's, or its control group's if that is less."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def total_memory() -> int:
    """Return the memory of the machine or of the container, in bytes."""
    import psutil

    found = [int(psutil.virtual_memory().total)]
    for path in CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # no control group, or "max"
            found.append(int(path.read_text(encoding="ascii")))
    return min(found)
