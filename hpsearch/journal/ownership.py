"""The lock that makes one process the owner of a study."""

from __future__ import annotations

import time
from io import FileIO
from pathlib import Path

from ..errors import JournalError, describe_os_error
from ..platforms.locks import (
    POLL_SECONDS,
    RENEW_SECONDS,
    FileLock,
    LockHeldError,
    find_holder,
    try_lock,
)


def take_lock(journal: Path) -> FileLock:
    """Take the lock on a journal. It is released explicitly, or when the process ends.

    Raises:
        JournalError: If another process holds it, which is named, or its file cannot be written.
    """
    try:
        lock = FileLock(journal.with_suffix(".lock"))
    except LockHeldError as held:
        raise held_error(journal, str(held)) from None
    except OSError as error:
        raise JournalError(describe_os_error(error)) from None
    try:
        if journal.exists():
            open_locked(journal).close()
    except JournalError:
        lock.release()
        raise held_error(journal, _await_owner(journal)) from None
    except BaseException:
        lock.release()
        raise
    return lock


def _await_owner(journal: Path) -> str:
    """Wait for the owner of a study to restore its removed lock file; returns the owner."""
    end = time.monotonic() + 2 * RENEW_SECONDS
    while (who := find_owner(journal)) is None and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
    return who or "another process"


def find_owner(journal: Path) -> str | None:
    """Return who runs a study, and since when; None if it is not running. Changes nothing.

    Raises:
        JournalError: If the lock cannot be inspected.
    """
    try:
        holder = find_holder(journal.with_suffix(".lock"))
    except OSError as error:
        raise JournalError(describe_os_error(error)) from None
    return None if holder is None else str(holder)


def open_locked(path: Path) -> FileIO:
    """Open a journal for appending, locked against other processes.

    Raises:
        JournalError: If another process has locked it.
    """
    file = path.open("ab", buffering=0)
    if try_lock(file.fileno()) is False:
        file.close()
        raise held_error(path, "another process")
    return file


def held_error(journal: Path, who: str) -> JournalError:
    """Build the error for a study that is being run by `who`."""
    return JournalError(
        f"{journal.parent.name}: the study is being run by {who}. Wait for it, or stop it."
    )
