"""A temporary file that processes of one machine map, removed with its owner.

Windows removes it when its last handle closes. Elsewhere it is removed by its owner, by a process
that detects the owner's death (`remove`), or by the next owner, who identifies leftovers by their
released lock.
"""

from __future__ import annotations

import os
import sys
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path
from typing import IO

from .locks import try_lock

PREFIX = "hpsearch-rows-"


def create() -> tuple[Path, IO[bytes]]:
    """Create a file; returns its path, for other processes, and the owner's handle."""
    folder = Path(tempfile.gettempdir())
    remove_leftovers(folder)
    while True:
        path = folder / f"{PREFIX}{uuid.uuid4().hex}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        file = os.fdopen(os.open(path, flags | _windows_flags(), 0o600), "r+b")
        if try_lock(file.fileno()) is not False and path.exists():
            return path, file
        file.close()  # removed as a leftover before it was locked


def open_read_only(path: Path) -> IO[bytes]:
    """Open the file of another process."""
    return os.fdopen(os.open(path, os.O_RDONLY | _windows_flags()), "rb")


def remove(path: Path) -> None:
    """Remove the file's name if it exists; mappings stay valid."""
    with suppress(OSError):
        path.unlink()


def remove_leftovers(folder: Path) -> None:
    """Remove files whose owners were killed together with their workers."""
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(OSError), path.open("rb+") as file:
            if try_lock(file.fileno()):  # None: no locks on this file system
                path.unlink()


def _windows_flags() -> int:
    if sys.platform == "win32":
        return os.O_BINARY | os.O_TEMPORARY
    return 0
