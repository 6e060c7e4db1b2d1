"""Locks that end with their process, and who holds them.

The holder keeps a file locked by the operating system, writes into it who it is, and removes it
when done; a file that a crash left behind is taken over. Some file systems have no locks, and some
grant every lock. There the file's content decides: its process is looked for, and one on another
machine must be seen to renew the file.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

RENEW_SECONDS = 5.0  # seconds between two signs of life in a lock's file
STALE_SECONDS = (
    3 * RENEW_SECONDS
)  # seconds without one after which a holder on another machine is gone
SETTLE_SECONDS = 1.0  # seconds in which others that came at once are seen where nothing locks
RETRY_SECONDS = 0.3  # seconds: somebody may only be looking whether the lock is held
POLL_SECONDS = 0.05  # seconds
UNSUPPORTED_ERRORS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
LOCKED_BYTE = 1 << 30  # the byte that Windows locks, beyond what is read


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that holds a lock."""

    pid: int
    host: str
    since: float  # when it took the lock, seconds since the epoch
    started: str  # when the process began, to tell it from a later one with its number
    namespace: str = ""  # in which the number counts, where processes have several

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since).strftime("%Y-%m-%d %H:%M:%S")
        return f"process {self.pid} on {self.host} since {since}"

    @property
    def is_local(self) -> bool:
        """Whether this machine can say if the process lives."""
        return (self.host, self.namespace) == (socket.gethostname(), _namespace())

    @property
    def is_alive(self) -> bool:
        """Whether the process, which is of this machine, has not ended."""
        return _start_time(self.pid) == self.started != ""


class LockHeldError(Exception):
    """Another process holds the lock."""

    def __init__(self, owner: Owner | None) -> None:
        super().__init__(str(owner or "another process"))
        self.owner = owner


class FileLock:
    """A lock that this process holds, from its making to `release` or its end."""

    def __init__(self, path: Path, *, patience: float = RETRY_SECONDS) -> None:
        """Take the lock whose file is `path`, and wait for it at most `patience` seconds.

        Raises:
            LockHeldError: If another process holds it.
            OSError: If the file cannot be written.
        """
        self.path = path
        self._me = _this_process()
        self._file = _acquire(path, self._me, patience)
        self._released = threading.Event()
        self._guard = threading.Lock()  # of the file, which two threads write
        threading.Thread(target=self._renew_periodically, name="hpsearch-lock", daemon=True).start()

    def release(self) -> None:
        """Let others have it, and leave no file behind."""
        with self._guard:
            if self._released.is_set():
                return
            self._released.set()
            with suppress(FileNotFoundError):
                if _read_owner(self.path) == self._me:
                    _remove_file(self.path, self._file)
            self._file.close()

    def _renew_periodically(self) -> None:
        while not self._released.wait(RENEW_SECONDS):
            with self._guard, suppress(OSError):
                if not self._released.is_set():
                    _renew(self.path, self._me)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def find_holder(path: Path) -> Owner | None:
    """Who holds the lock whose file is `path`; None where it is free. Changes nothing.

    Raises:
        OSError: If that cannot be seen.
    """
    try:
        owner, renewed = _read_owner(path), path.stat().st_mtime
    except (FileNotFoundError, IsADirectoryError):
        return None
    is_free = None
    with suppress(OSError), path.open("rb+") as file:  # which may not be ours to write
        is_free = try_lock(file.fileno())
    if is_free is False:
        return owner or Owner(0, "this machine", renewed, "")
    if owner is None:
        return None
    lives = owner.is_alive if owner.is_local else time.time() - renewed < STALE_SECONDS
    return owner if lives else None


if sys.platform == "win32":
    import msvcrt

    def try_lock(descriptor: int) -> bool | None:
        """Lock an open file until it is closed; False: another holds it; None: no locks here."""
        os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            return None if error.errno in UNSUPPORTED_ERRORS else False
        return True

else:

    def try_lock(descriptor: int) -> bool | None:
        """Lock an open file until it is closed; False: another holds it; None: no locks here."""
        try:
            import fcntl
        except ModuleNotFoundError:  # some builds of Python have none
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in UNSUPPORTED_ERRORS:
                return None
            raise
        return True


def is_same_file(path: Path, descriptor: int) -> bool:
    """Whether an open file is still the one that has the name `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _acquire(path: Path, me: Owner, patience: float) -> FileIO:
    """The locked file, which says that it is ours."""
    end = time.monotonic() + patience
    while True:
        file = path.open("ab+", buffering=0)
        try:
            is_free = try_lock(file.fileno())
            if is_free is False:
                if time.monotonic() > end:
                    raise LockHeldError(_read_owner(path))
                time.sleep(POLL_SECONDS)
            elif is_same_file(path, file.fileno()):  # not removed while we waited for it
                _write_owner(path, file, me, is_locked=is_free is True)
                return file
        except BaseException as error:
            if isinstance(error, OSError) and error.filename is None:
                error.filename = str(path)  # the system's own names none for a lock
            file.close()
            raise
        file.close()


def _write_owner(path: Path, file: FileIO, me: Owner, *, is_locked: bool) -> None:
    """Write into the lock's file that it is ours, unless its last owner is alive all the same."""
    before = _read_owner(path)
    if before is not None and _is_alive(path, before):
        raise LockHeldError(before)
    file.truncate(0)
    file.write(_encode(me))
    if is_locked and not _is_granted_twice(path):
        return
    time.sleep(SETTLE_SECONDS)
    last = _read_owner(path)
    if last != me:
        raise LockHeldError(last)


def _is_granted_twice(path: Path) -> bool:
    """Whether this file system grants a lock that is held."""
    with path.open("rb+") as again:
        return bool(try_lock(again.fileno()))


def _is_alive(path: Path, owner: Owner) -> bool:
    if owner.is_local:
        return owner.is_alive
    before, end = path.stat().st_mtime_ns, time.monotonic() + STALE_SECONDS
    while time.monotonic() < end:
        time.sleep(min(1.0, STALE_SECONDS / 10))
        with path.open("rb") as file:  # which makes a network's file system look anew
            if os.fstat(file.fileno()).st_mtime_ns != before:
                return True
    return False


def _remove_file(path: Path, file: FileIO) -> None:
    try:
        path.unlink()
    except PermissionError:  # Windows removes no file that is open
        file.close()
        with suppress(OSError):
            path.unlink()


def _renew(path: Path, me: Owner) -> None:
    """Show that the holder lives; a file that somebody removed is written again."""
    try:
        if _read_owner(path) == me:
            os.utime(path)
    except FileNotFoundError:
        with path.open("xb") as file:
            file.write(_encode(me))


def _encode(owner: Owner) -> bytes:
    return json.dumps(asdict(owner)).encode() + b"\n"


def _read_owner(path: Path) -> Owner | None:
    """Who the lock's file names last; None where it is empty or was written by something else.

    Without locks, several that come at once may each empty it before each adds its line.

    Raises:
        FileNotFoundError: If there is none.
    """
    try:
        return Owner(**json.loads(path.read_bytes().splitlines()[-1]))
    except (ValueError, TypeError, IndexError):
        return None


def _this_process() -> Owner:
    pid = os.getpid()
    return Owner(pid, socket.gethostname(), time.time(), _start_time(pid), _namespace())


def _start_time(pid: int) -> str:
    """When a process began, by a clock that is not set meanwhile; empty where it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *fields = file.read().rpartition(b")")[2].split()
        return "" if state in (b"Z", b"X") else fields[18].decode()
    except OSError:
        pass
    import psutil

    try:
        return str(psutil.Process(pid).create_time())
    except psutil.Error:
        return ""


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
