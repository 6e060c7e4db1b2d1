"""What a disk holds of what a process has written, and points between its operations.

`Disk` wraps the functions of `os` that create, sync, rename and remove, and SQLite's commits, as
this process sees them, whoever calls them. Right before and right after each of them is a point,
numbered from 1. At a point the process can be killed, or the folder be written down as the disk
would hold it after a power cut: a file's content as of its last fsync, a folder's names as of that
folder's last fsync, and of all that came later any part. SQLite is believed: a database is as of
its last commits. Linux only.
"""

import builtins
import io
import os
import random
import sqlite3
import threading
from collections.abc import Callable
from functools import wraps
from pathlib import Path

DATABASE = ".db"
BESIDE_DATABASE = (".db-journal", ".db-wal", ".db-shm")


class Disk:
    """The folder `root` between two of its operations."""

    def __init__(self, root: Path, at_point: Callable[[int, str], None]) -> None:
        """Watch `root`; `at_point` gets each point's number and what is next or was done."""
        self.root = os.path.realpath(root)
        self.points = 0
        self._at_point = at_point
        self._lock = threading.RLock()
        self._files: dict[int, int] = {}  # inode -> our number; inodes are used again
        self._next = 0
        self._content: dict[int, list[bytes]] = {}  # our number -> synced contents, newest last
        self._names: dict[str, dict[str, int | None]] = {}  # folder -> synced names; None: folder
        for folder, _, names in os.walk(self.root):  # has long been on the disk
            for name in names:
                self._synced(os.path.join(folder, name))
            self._sync_names(folder)

    # -- what the process does ----------------------------------------------------------------

    def install(self) -> None:
        """Wrap the functions; there is no way back, so call it in a process of its own."""
        for name in ("fsync", "fdatasync"):
            setattr(os, name, self._wrap(name, getattr(os, name), self._synced))
        for name in ("mkdir", "rmdir", "unlink", "remove"):
            setattr(os, name, self._wrap(name, getattr(os, name), self._forget))
        for name in ("rename", "replace", "link"):
            setattr(os, name, self._wrap(name, getattr(os, name), self._forget))
        opened = io.open
        io.open = builtins.open = self._wrap_open(opened)
        from sqlalchemy.engine.default import DefaultDialect

        commit = DefaultDialect.do_commit
        disk = self

        def do_commit(self, connection):
            raw = getattr(connection, "dbapi_connection", connection)
            path = _database_of(raw)
            if path is None or not disk._is_ours(path):
                commit(self, connection)
                return
            with disk._lock:
                disk._point(f"before commit {path}")
                commit(self, connection)
                disk._committed(path)
                disk._point(f"after commit {path}")

        DefaultDialect.do_commit = do_commit

    def _wrap(self, name, function, note):
        @wraps(function)
        def wrapped(target, *arguments, **options):
            path = _path(target, options.get("dir_fd") or options.get("src_dir_fd"))
            if path is None or not self._is_ours(path):
                return function(target, *arguments, **options)
            with self._lock:
                self._point(f"before {name} {path}")
                gone = note(path, *arguments) if note == self._forget else None
                answer = function(target, *arguments, **options)
                if note == self._synced:
                    self._synced(path)
                if name in ("rename", "replace") and arguments:
                    self._move(path, _path(arguments[0], options.get("dst_dir_fd")))
                if gone is not None:
                    self._files.pop(gone, None)
                self._point(f"after {name} {path}")
                return answer

        return wrapped

    def _wrap_open(self, opened):
        @wraps(opened)
        def wrapped(file, mode="r", *arguments, **options):
            path = None if isinstance(file, int) else _path(file, None)
            if path is None or not self._is_ours(path) or not set(mode) & set("wax+"):
                return opened(file, mode, *arguments, **options)
            with self._lock:
                self._point(f"before open {path}")
                answer = opened(file, mode, *arguments, **options)
                self._point(f"after open {path}")
                return answer

        return wrapped

    def _is_ours(self, path: str) -> bool:
        return path == self.root or path.startswith(self.root + os.sep)

    def _point(self, what: str) -> None:
        self.points += 1
        self._at_point(self.points, what.replace(self.root + os.sep, ""))

    def _forget(self, path: str, target: object = None, *_: object) -> int | None:
        """The inode that has no name any more after a removal, or a rename over it."""
        other = path if target is None or isinstance(target, int) else _path(target, None)
        try:
            status = os.lstat(other or path)
        except OSError:
            return None
        return status.st_ino if status.st_nlink == 1 else None

    # -- what the disk has ----------------------------------------------------------------------

    def _number(self, inode: int) -> int:
        if inode not in self._files:
            self._next += 1
            self._files[inode] = self._next
        return self._files[inode]

    def _synced(self, path: str) -> None:
        if os.path.isdir(path):
            self._sync_names(path)
        elif os.path.exists(path):
            with open(path, "rb") as file:
                content = file.read()
                number = self._number(os.fstat(file.fileno()).st_ino)
            self._content.setdefault(number, []).append(content)
            del self._content[number][:-3]

    def _sync_names(self, folder: str) -> None:
        self._names[folder] = {
            entry.name: None if entry.is_dir() else self._number(entry.inode())
            for entry in os.scandir(folder)
        }

    def _move(self, old: str, new: str | None) -> None:
        """A folder that gets another name keeps what is in it."""
        for path in [p for p in self._names if p == old or p.startswith(old + os.sep)]:
            self._names[f"{new}{path[len(old) :]}"] = self._names.pop(path)

    def _committed(self, path: str) -> None:
        """A commit is as good as an fsync: SQLite does it."""
        self._synced(path)

    def write_down(self, target: Path, seed: int | None) -> None:
        """Write the folder as the disk may hold it now; with no seed, what is certain alone."""
        rng = None if seed is None else random.Random(seed)
        with self._lock:
            self._write_down(self.root, target, rng)

    def _write_down(self, folder: str, target: Path, rng: random.Random | None) -> None:
        target.mkdir(parents=True)
        synced = self._names.get(folder, {})
        there = {
            entry.name: None if entry.is_dir() else self._number(entry.inode())
            for entry in (os.scandir(folder) if os.path.isdir(folder) else ())
        }
        for name in sorted({*synced, *there}):
            if name.endswith(BESIDE_DATABASE):
                continue
            versions = [names[name] for names in (synced, there) if name in names]
            is_certain = name in synced and versions[0] == versions[-1]
            is_certain = is_certain and name in there
            if not is_certain:
                if rng is None:
                    if name not in synced:
                        continue
                    version = synced[name]
                else:
                    held = rng.choice((synced, there))
                    if name not in held:
                        continue
                    version = held[name]
            else:
                version = versions[0]
            if version is None:
                self._write_down(os.path.join(folder, name), target / name, rng)
            else:
                path = os.path.join(folder, name)
                is_current = there.get(name) == version
                (target / name).write_bytes(self._held(path if is_current else None, version, rng))

    def _held(self, path: str | None, number: int, rng: random.Random | None) -> bytes:
        """What the disk holds of a file; `path` where it still has that name."""
        synced = self._content.get(number, [b""])
        if rng is None or path is None:
            return synced[-1]
        if path.endswith(DATABASE):
            return rng.choice(synced)  # an older one, as from a backup
        with open(path, "rb") as file:
            now = file.read()
        if now.startswith(synced[-1]):  # appended to: any part of it, perhaps as zeros
            more = now[len(synced[-1]) :]
            cut = rng.randint(0, len(more))
            return synced[-1] + (more[:cut] if rng.random() < 0.7 else bytes(cut))
        return rng.choice((synced[-1], now))


def _path(target: object, folder: int | None) -> str | None:
    """The path that a function of `os` was called with, or that of an open file."""
    try:
        if isinstance(target, int):
            return os.readlink(f"/proc/self/fd/{target}")
        path = os.fsdecode(target)
        if folder is not None:
            path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
        path = os.path.abspath(path)
        return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    except (OSError, TypeError, ValueError):
        return None


def _database_of(connection: sqlite3.Connection) -> str | None:
    try:
        path = connection.execute("pragma database_list").fetchone()[2]
    except (sqlite3.Error, AttributeError, TypeError):
        return None
    return os.path.realpath(path) if path else None
