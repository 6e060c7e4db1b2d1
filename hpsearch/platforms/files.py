"""Durable file writes: a path always has either its whole old or its whole new content.

A file or folder is written under a draft name, synced and renamed, and its parent folder is
synced. On Linux and macOS the rename survives a power cut; Windows cannot sync a folder.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

DRAFT = ".draft-"  # part of every draft's name, to find leftovers of a crash
HELD_ERRORS = (5, 32, 33)  # Windows: access denied, sharing violation, lock violation
HELD_SECONDS = 5.0  # seconds to retry a rename on Windows while another program reads the file


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a draft for writing, and rename it to `path` if the block succeeds.

    Raises:
        OSError: If it cannot be written; `path` is then unchanged.
    """
    draft = draft_of(path)
    try:
        with draft.open("xb") as file:
            yield file
        publish_file(draft, path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def publish_file(draft: Path, path: Path) -> None:
    """Sync a draft file and rename it to `path`."""
    with draft.open("rb+") as file:
        sync_file(file.fileno())
    replace(draft, path)
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file; see `atomic_write`."""
    with atomic_write(path) as file:
        file.write(text.encode())


def publish_folder(draft: Path, path: Path) -> None:
    """Sync a draft folder and rename it to `path`.

    An existing folder is moved aside first and removed last, so that after a crash one of the two
    exists, under its own name or a draft name.
    """
    sync_tree(draft)
    old = draft_of(path)
    if path.exists():
        replace(path, old)
    replace(draft, path)
    sync_folder(path.parent)
    remove_anything(old)


def remove_anything(path: Path) -> None:
    """Remove a file or a folder tree, ignoring errors."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def draft_of(path: Path) -> Path:
    """Return an unused draft name beside `path`."""
    return path.with_name(f"{path.name[:80]}{DRAFT}{uuid.uuid4().hex[:8]}")


def sync_tree(folder: Path) -> None:
    """Sync every file and folder below `folder`."""
    for parent, _, names in os.walk(folder):
        for name in names:
            _sync_by_name(Path(parent, name))
        sync_folder(Path(parent))


def sync_file(descriptor: int) -> None:
    """Sync a file's content to disk."""
    if sys.platform == "darwin":  # there, fsync only reaches the drive's cache
        import fcntl

        with suppress(OSError):  # a network file system may not support it
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def sync_data(descriptor: int) -> None:
    """Sync a file's content, but not necessarily its metadata."""
    sync = getattr(os, "fdatasync", sync_file)  # not available on macOS and Windows
    sync(descriptor)


def sync_folder(folder: Path) -> None:
    """Sync a folder's entries; does nothing on Windows, which cannot open folders."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Create and sync a folder and its missing parents."""
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        sync_names(path)


def sync_names(path: Path) -> None:
    """Sync the parent folders of `path`.

    A synced file is lost if the entry of one of its folders is not on disk.
    """
    device = path.stat().st_dev
    for folder in path.absolute().parents:
        with suppress(OSError):  # a folder of another user
            if folder.stat().st_dev != device:
                return
            sync_folder(folder)


def sync_path(path: Path) -> None:
    """Sync a file that a library wrote, and its parent folders."""
    _sync_by_name(path)
    sync_names(path)


def _sync_by_name(path: Path) -> None:
    """Sync a file that may be read-only; Windows cannot sync such a file."""
    is_writable = os.access(path, os.W_OK)
    if not is_writable and sys.platform == "win32":
        return
    with path.open("rb+" if is_writable else "rb") as file:
        sync_file(file.fileno())


def remove_drafts(folder: Path, *, but: str) -> None:
    """Remove the drafts that a killed process left below `folder`.

    Args:
        folder: A folder to which no other process writes.
        but: Prefix of names that another process may be writing nevertheless.
    """
    for draft in list(folder.rglob(f"*{DRAFT}*")):
        if not draft.name.startswith(but):
            remove_anything(draft)


def replace(source: Path, target: Path) -> None:
    """Rename; on Windows, retry while a virus scanner or indexer has the file open."""
    end = time.monotonic() + HELD_SECONDS
    while True:
        try:
            return os.replace(source, target)
        except PermissionError as error:
            is_held = getattr(error, "winerror", None) in HELD_ERRORS
            if not is_held or time.monotonic() > end:
                raise
            time.sleep(0.05)
