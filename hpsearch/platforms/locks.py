"""File locks that are released when their process ends, and their owners.

The owner locks a file through the operating system, writes its identity into it, and removes it on
release; a file left by a crash is taken over. On file systems without locks, or that grant every
lock, the file's content decides: its process must be alive, or, on another machine, keep renewing
the file.
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
from typing import Self

RENEW_SECONDS = 5.0  # seconds between renewals of a lock file
STALE_SECONDS = (
    3 * RENEW_SECONDS
)  # seconds without renewal after which a remote owner counts as dead
SETTLE_SECONDS = 1.0  # seconds to detect competitors on a file system without locks
RETRY_SECONDS = 0.3  # seconds to wait for a process that only tests whether the lock is held
POLL_SECONDS = 0.05  # seconds
UNSUPPORTED_ERRORS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
LOCKED_BYTE = 1 << 30  # the byte locked on Windows, beyond the content


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that holds a lock."""

    pid: int
    host: str
    since: float  # time of locking, seconds since the epoch
    started: str  # start time of the process; tells it from a later one with the same number
    namespace: str = ""  # PID namespace

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since).strftime("%Y-%m-%d %H:%M:%S")
        return f"process {self.pid} on {self.host} since {since}"

    @property
    def is_local(self) -> bool:
        """Whether this machine can check if the process is alive."""
        return (self.host, self.namespace) == (socket.gethostname(), _namespace())

    @property
    def is_alive(self) -> bool:
        """Whether the process, which must be local, is alive."""
        return _start_time(self.pid) == self.started != ""


class LockHeldError(Exception):
    """Another process holds the lock."""

    def __init__(self, owner: Owner | None) -> None:
        super().__init__(str(owner or "another process"))
        self.owner = owner


class FileLock:
    """A lock held by this process from creation until `release` or its end."""

    def __init__(self, path: Path, *, patience: float = RETRY_SECONDS) -> None:
        """Take the lock with the file `path`, waiting up to `patience` seconds.

        Raises:
            LockHeldError: If another process holds it.
            OSError: If the file cannot be written.
        """
        self.path = path
        self._me = _this_process()
        self._file = _acquire(path, self._me, patience)
        self._released = threading.Event()
        self._guard = threading.Lock()  # two threads write the file
        threading.Thread(target=self._renew_periodically, name="hpsearch-lock", daemon=True).start()

    def release(self) -> None:
        """Release the lock and remove its file."""
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

    def __exit__(self, *exception: object) -> None:
        self.release()


def find_holder(path: Path) -> Owner | None:
    """Return the owner of the lock with the file `path`; None if it is free. Changes nothing.

    Raises:
        OSError: If the file cannot be read.
    """
    try:
        owner, renewed = _read_owner(path), path.stat().st_mtime
    except (FileNotFoundError, IsADirectoryError):
        return None
    is_free = None
    with suppress(OSError), path.open("rb+") as file:  # it may be read-only for this user
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
        except ModuleNotFoundError:  # missing in some builds of Python
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
    """Whether an open file is still the file at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _acquire(path: Path, me: Owner, patience: float) -> FileIO:
    """Open and lock the file, with this process as its owner."""
    end = time.monotonic() + patience
    while True:
        file = path.open("ab+", buffering=0)
        try:
            is_free = try_lock(file.fileno())
            if is_free is False:
                if time.monotonic() > end:
                    raise LockHeldError(_read_owner(path))
                time.sleep(POLL_SECONDS)
            elif is_same_file(path, file.fileno()):  # it was not removed in the meantime
                _write_owner(path, file, me, is_locked=is_free is True)
                return file
        except BaseException as error:
            if isinstance(error, OSError) and error.filename is None:
                error.filename = str(path)  # the system's error does not name it
            file.close()
            raise
        file.close()


def _write_owner(path: Path, file: FileIO, me: Owner, *, is_locked: bool) -> None:
    """Write this process as owner into the lock file, unless the last owner is alive."""
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
    """Whether this file system grants a lock that is already held."""
    with path.open("rb+") as again:
        return bool(try_lock(again.fileno()))


def _is_alive(path: Path, owner: Owner) -> bool:
    if owner.is_local:
        return owner.is_alive
    before, end = path.stat().st_mtime_ns, time.monotonic() + STALE_SECONDS
    while time.monotonic() < end:
        time.sleep(min(1.0, STALE_SECONDS / 10))
        with path.open("rb") as file:  # forces a network file system to refresh
            if os.fstat(file.fileno()).st_mtime_ns != before:
                return True
    return False


def _remove_file(path: Path, file: FileIO) -> None:
    try:
        path.unlink()
    except PermissionError:  # Windows cannot remove an open file
        file.close()
        with suppress(OSError):
            path.unlink()


def _renew(path: Path, me: Owner) -> None:
    """Renew the lock file regularly; a removed one is written again."""
    try:
        if _read_owner(path) == me:
            os.utime(path)
    except FileNotFoundError:
        with path.open("xb") as file:
            file.write(_encode(me))


def _encode(owner: Owner) -> bytes:
    return json.dumps(asdict(owner)).encode() + b"\n"


def _read_owner(path: Path) -> Owner | None:
    """Read the last owner named in a lock file; None if it is empty or not a lock file.

    Without locks, several processes may each truncate it before appending their lines.

    Raises:
        FileNotFoundError: If the file does not exist.
    """
    try:
        return Owner(**json.loads(path.read_bytes().splitlines()[-1]))
    except (ValueError, TypeError, IndexError):
        return None


def _this_process() -> Owner:
    pid = os.getpid()
    return Owner(pid, socket.gethostname(), time.time(), _start_time(pid), _namespace())


def _start_time(pid: int) -> str:
    """Return the start time of a process by a monotonic clock; empty if it has ended."""
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
