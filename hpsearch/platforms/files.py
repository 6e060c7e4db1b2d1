"""Durable files: a name leads to the whole old content or to the whole new one.

A new file or folder is written under a draft name of our own, synced, renamed, and the folder
that holds it is synced. Linux and macOS keep the rename after a power cut; Windows has no way to
sync a folder.
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

DRAFT = ".draft-"  # in every draft's name; leftovers of a crash can be removed by it
HELD_ERRORS = (5, 32, 33)  # of Windows: access denied, sharing violation, lock violation
HELD_SECONDS = 5.0  # how long Windows may refuse a rename while another program reads the file


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that takes the name `path` once the block ends without an error.

    Raises:
        OSError: If it cannot be written; `path` is then what it was before.
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
    """Sync a file that was written under a draft name and give it the name `path`."""
    with draft.open("rb+") as file:
        sync_file(file.fileno())
    replace(draft, path)
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file; see `atomic_write`."""
    with atomic_write(path) as file:
        file.write(text.encode())


def publish_folder(draft: Path, path: Path) -> None:
    """Sync a folder that was made under a draft name and give it the name `path`.

    A folder of that name is moved aside first and removed last, so that a crash leaves one of
    the two, under its own name or a draft's.
    """
    sync_tree(draft)
    old = draft_of(path)
    if path.exists():
        replace(path, old)
    replace(draft, path)
    sync_folder(path.parent)
    remove_anything(old)


def remove_anything(path: Path) -> None:
    """Remove a file or a folder with all that is in it, as far as that can be done."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def draft_of(path: Path) -> Path:
    """A name beside `path` that no other file has."""
    return path.with_name(f"{path.name[:80]}{DRAFT}{uuid.uuid4().hex[:8]}")


def sync_tree(folder: Path) -> None:
    """Wait until the disk has every file below `folder`, and the names of all."""
    for parent, _, names in os.walk(folder):
        for name in names:
            _sync_by_name(Path(parent, name))
        sync_folder(Path(parent))


def sync_file(descriptor: int) -> None:
    """Wait until the disk has a file's content."""
    if sys.platform == "darwin":  # fsync leaves it in the drive's cache there
        import fcntl

        with suppress(OSError):  # a network's file system may have no full sync
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def sync_data(descriptor: int) -> None:
    """`sync_file`, but times and other facts about the file may follow later."""
    sync = getattr(os, "fdatasync", sync_file)  # macOS and Windows have none
    sync(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in a folder; nothing on Windows, which opens none."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, and wait until the disk has them."""
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        sync_names(path)


def sync_names(path: Path) -> None:
    """Wait until the disk has the name of `path`, and those of the folders above it.

    A file that is synced is lost all the same where the disk does not have a folder's name yet.
    """
    device = path.stat().st_dev
    for folder in path.absolute().parents:
        with suppress(OSError):  # one that is not ours to open
            if folder.stat().st_dev != device:
                return
            sync_folder(folder)


def sync_path(path: Path) -> None:
    """Wait until the disk has a file that another library wrote, and its name."""
    _sync_by_name(path)
    sync_names(path)


def _sync_by_name(path: Path) -> None:
    """`sync_file` of a file that may be read-only; Windows has no way to sync such a file."""
    is_writable = os.access(path, os.W_OK)
    if not is_writable and sys.platform == "win32":
        return
    with path.open("rb+" if is_writable else "rb") as file:
        sync_file(file.fileno())


def remove_drafts(folder: Path, *, but: str) -> None:
    """Remove what a process that was killed has left half written below `folder`.

    Args:
        folder: In which no other process writes now.
        but: The beginning of names which another process may be writing all the same.
    """
    for draft in list(folder.rglob(f"*{DRAFT}*")):
        if not draft.name.startswith(but):
            remove_anything(draft)


def replace(source: Path, target: Path) -> None:
    """Rename, and wait on Windows for a virus scanner or indexer that holds the file."""
    end = time.monotonic() + HELD_SECONDS
    while True:
        try:
            return os.replace(source, target)
        except PermissionError as error:
            is_held = getattr(error, "winerror", None) in HELD_ERRORS
            if not is_held or time.monotonic() > end:
                raise
            time.sleep(0.05)
