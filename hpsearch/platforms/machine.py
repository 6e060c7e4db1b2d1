"""What this process may use of its machine."""

from __future__ import annotations

import os


def count_usable_cores() -> int:
    """Cores that this process may run on: fewer than the machine has under an affinity mask."""
    import psutil

    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):  # macOS binds no process to cores
        return len(process.cpu_affinity())
    return os.cpu_count() or 1
