"""The single writer of a journal."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from io import FileIO
from pathlib import Path
from typing import Self, TypeVar, cast

from ..errors import JournalError, describe_os_error
from ..event_codec import encode_event, escape_event, has_number, is_one_of, without_metrics
from ..events import FORMAT, RUNS, Event, StudyCreated, StudyResumed
from ..platforms.files import atomic_write, sync_data, sync_file, sync_names
from ..platforms.locks import find_holder, is_same_file
from .lines import decode_line, encode_line, format_remedy, stream_lines
from .ownership import held_error, open_locked, take_lock

E = TypeVar("E", bound=Event)


class Journal:
    """The single writer of a study's journal.

    Opening it takes a lock, which the operating system releases when the process ends, reads the
    existing lines and truncates a torn last one. The journal itself is locked too, since the lock
    file may be removed. On a file system without locks, `append` detects another writer.
    """

    def __init__(
        self,
        path: Path,
        *,
        on_event: Callable[[Event], object] | None = None,
        with_metrics: bool = False,
    ) -> None:
        """Open the journal at `path`, or create it.

        Args:
            path: The file.
            on_event: Called with every event of earlier runs while the file is read.
            with_metrics: Whether `on_event` receives the metrics of epochs, too.

        Raises:
            JournalError: If another process has the journal open, or it is damaged.
        """
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = take_lock(path)
        try:
            self._epoch = time.time_ns() - time.monotonic_ns()  # once, since a clock may jump
            self.first: Event | None = None  # end of an earlier run of the study
            self._seq = self._end = 0  # number of the next event; bytes of whole lines
            for text, self._end in stream_lines(path, 0) if path.exists() else ():
                if not has_number(text, self._seq):
                    raise JournalError(
                        f"{path}: line {self._seq + 1} is missing. {format_remedy(path)}"
                    )
                if on_event is not None or self.first is None or is_one_of(text, RUNS):
                    event = decode_line(text if with_metrics else without_metrics(text), path)
                    self.first = self.first or event
                    if on_event is not None:
                        on_event(event)
                self._seq += 1
            self._file: FileIO | None = None  # a new journal is created with its first line
            if path.exists():
                self._file = open_locked(path)
                self._file.truncate(self._end)
        except BaseException:
            self._lock.release()
            raise

    def append(self, event: E, *, sync: bool = True) -> E:
        """Write one event; sync it to disk if an action will depend on it.

        Returns:
            The event with its number and time.

        Raises:
            JournalError: If the disk refuses, or another process has written to the file.
        """
        return self.append_all([event], sync=sync)[0]

    def append_all(self, events: Sequence[E], *, sync: bool = True) -> list[E]:
        """Write several events at once: all of them, or none if the disk refuses.

        Returns:
            The events with their numbers and time.

        Raises:
            JournalError: As `append` does.
        """
        if self._file is None and len(events) > 1:  # a new journal appears with its first line
            return [self.append(events[0]), *self.append_all(events[1:], sync=sync)]
        now = self._timestamp()
        numbered, lines = [], []
        for index, event in enumerate(events):
            written, line = _encode_numbered(event, self._seq + index, now)
            numbered.append(written)
            lines.append(line)
        text = b"".join(lines)
        if self._file is None:
            self._file = _create_journal(self.path, text)
        else:
            self._require_unchanged(self._file)
            self._write(self._file, text, sync=sync)
        self._seq += len(numbered)
        self._end += len(text)
        return numbered

    def sync(self) -> None:
        """Sync to disk the events that were written without syncing."""
        if self._file is not None:
            sync_data(self._file.fileno())

    def _timestamp(self) -> int:
        """Return milliseconds since the epoch, advanced by a monotonic clock."""
        return (self._epoch + time.monotonic_ns()) // 1_000_000

    def _require_unchanged(self, file: FileIO) -> None:
        """Refuse to append if another process or program has changed the file."""
        size = os.fstat(file.fileno()).st_size
        if not is_same_file(self.path, file.fileno()):
            found = "was removed, moved or replaced"
        elif size != self._end:
            found = f"was changed: {size:,} bytes, not {self._end:,},"
        else:
            return
        who = None
        with suppress(OSError):
            who = find_holder(self.path.with_suffix(".lock"))
        other = "" if who is None or who.pid == os.getpid() else f" Perhaps by {who}."
        raise JournalError(
            f"{self.path}: {found} by another program while the study ran.{other} Nothing more is "
            "written to it. See that only one process runs the study, and run the command again."
        )

    def _write(self, file: FileIO, lines: bytes, *, sync: bool) -> None:
        """Write whole lines; on an error, remove what was written if the disk allows."""
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[file.write(rest) :]
            if sync:
                sync_data(file.fileno())
        except OSError as error:
            with suppress(OSError):
                file.truncate(self._end)
            error.filename = error.filename or self.path
            raise JournalError(describe_os_error(error)) from None

    def close(self) -> None:
        """Sync, and release the study for other processes."""
        if self._file is not None and not self._file.closed:
            sync_file(self._file.fileno())
            self._file.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _encode_numbered(event: E, seq: int, time: int) -> tuple[E, bytes]:
    """Return the event with its number and time, and its encoded line."""
    numbered = replace(event, seq=seq, time=time)
    if isinstance(numbered, StudyCreated | StudyResumed):
        numbered = replace(numbered, format=FORMAT, written_by=version("hpsearch"))
    try:
        return numbered, encode_line(encode_event(numbered))
    except UnicodeEncodeError:  # part of a name that is not UTF-8, in an error or a path
        numbered = cast(E, escape_event(numbered))
        return numbered, encode_line(encode_event(numbered))


def _create_journal(path: Path, line: bytes) -> FileIO:
    """Create a journal with its first line atomically; an empty file is therefore damaged."""
    if path.exists():
        raise held_error(path, "another process, which has just begun it")
    with atomic_write(path) as file:
        file.write(line)
    sync_names(path.parent)  # also syncs folders created elsewhere
    return open_locked(path)
