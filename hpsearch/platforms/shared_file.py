"""A file that the processes of one machine map, and that goes away with its owner.

It lies where temporary files go. Windows removes it with its last handle. Elsewhere its owner
removes it, or a process that sees the owner die (`remove`), or the next owner: a lock that ends
with its process tells a file in use from a leftover.
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
    """A new file: its path, for others to open, and the owner's handle."""
    folder = Path(tempfile.gettempdir())
    remove_leftovers(folder)
    while True:
        path = folder / f"{PREFIX}{uuid.uuid4().hex}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        file = os.fdopen(os.open(path, flags | _windows_flags(), 0o600), "r+b")
        if try_lock(file.fileno()) is not False and path.exists():
            return path, file
        file.close()  # somebody took it for a leftover before it was locked


def open_read_only(path: Path) -> IO[bytes]:
    """Another process's handle."""
    return os.fdopen(os.open(path, os.O_RDONLY | _windows_flags()), "rb")


def remove(path: Path) -> None:
    """Remove the name, if it is still there; who has mapped the file keeps it."""
    with suppress(OSError):
        path.unlink()


def remove_leftovers(folder: Path) -> None:
    """Remove the files of owners that were killed together with all their workers."""
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(OSError), path.open("rb+") as file:
            if try_lock(file.fileno()):  # None where nothing can be locked
                path.unlink()


def _windows_flags() -> int:
    if sys.platform == "win32":
        return os.O_BINARY | os.O_TEMPORARY
    return 0
