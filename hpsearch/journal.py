"""The journal: a study's truth, one checksummed line per event, appended and never changed.

A line is `<crc32 of the rest, 8 hex digits> <JSON>\\n`. The JSON object holds `seq` (0-based, no
gap), `time` (milliseconds since the epoch), `event` and the event's own fields:

    study     spec, fingerprint, data, environment, direction     first line of every journal
    asked     trial, attempt, params, seed, epochs
    epoch     trial, attempt, epoch, scores, metrics
    result    trial, attempt, state, score, spread, best_epoch, ...
    trainer   trainer, reason                                      another one took over
    winner    trial, epochs, ...                                   what the search chose
    final     test, artifacts, ...                                 the locked rows were read
    promoted  name, version, alias

Knows no sampler, no trainer and no MLflow.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from .errors import JournalError

Record = dict[str, Any]
HEAD = 80  # bytes of a line's JSON within which `seq`, `time` and `event` stand


def encode(record: Record) -> bytes:
    """One journal line. Floats keep every bit; NaN and infinities are written as such."""
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()
    return b"%08x " % zlib.crc32(text) + text + b"\n"


def decode(line: bytes) -> Record | None:
    """The record in `line`, or None where the checksum does not hold."""
    text = _sound(line)
    return None if text is None else _record(text)


def _sound(line: bytes) -> bytes | None:
    """The JSON in `line`, or None where the checksum does not hold."""
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    return text if checksum == b"%08x" % zlib.crc32(text) else None


def _record(text: bytes) -> Record:
    record: Record = json.loads(text)
    return record


@dataclass(frozen=True, slots=True)
class Page:
    """What a journal holds from some offset on."""

    records: tuple[Record, ...]
    end: int  # offset in bytes behind the last whole line


def read(path: Path, offset: int = 0, *, without: Collection[str] = ()) -> Page:
    """All whole lines from `offset` (bytes) on. A torn last line is left out.

    Events named in `without` are checked and left out, but not parsed: a journal consists of
    epochs for the most part, and a table of results needs none of them.

    Raises:
        JournalError: If a line before the last is damaged, or the file is empty or missing.
    """
    try:
        data = path.read_bytes() if offset == 0 else _tail(path, offset)
    except FileNotFoundError:
        raise JournalError(f"{path}: there is no journal. Has the study been started?") from None
    if offset == 0 and not data.strip(b"\0\n "):
        raise JournalError(f"{path}: the journal is empty. Repair: hpsearch tune --fresh.")
    left_out = [f'"event":"{event}"'.encode() for event in without]
    records: list[Record] = []
    end = offset
    for number, line in enumerate(data.splitlines(keepends=True), start=1):
        text = _sound(line) if line.endswith(b"\n") else None
        if text is None:
            if end + len(line) < offset + len(data):
                raise JournalError(
                    f"{path}: line {number} from byte {offset} is damaged (byte {end}). "
                    "Restore the file from the study's run in MLflow, or start over with --fresh."
                )
            break
        if not any(mark in text[:HEAD] for mark in left_out):
            records.append(_record(text))
        end += len(line)
    return Page(tuple(records), end)


def _tail(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read()


class Journal:
    """The one writer of a study's journal.

    Opening it takes a lock that the operating system drops when the process ends, reads what
    is there and cuts a torn last line.
    """

    def __init__(self, path: Path) -> None:
        """Open the journal at `path`, or begin one.

        Raises:
            JournalError: If another process holds it, or it is damaged.
        """
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _take_lock(path.with_suffix(".lock"))
        try:
            page = read(path) if path.exists() else Page((), 0)
            self.records = page.records  # what was there when it was opened
            self._seq = len(page.records)
            self._file: BinaryIO | None = None  # a new journal appears with its first line
            if path.exists():
                self._file = path.open("ab")
                self._file.truncate(page.end)
        except BaseException:
            self._lock.close()
            raise

    def append(self, event: str, *, sync: bool = True, **fields: Any) -> Record:
        """Write one event, and wait for the disk where something will be done because of it."""
        record = {"seq": self._seq, "time": time.time_ns() // 1_000_000, "event": event, **fields}
        if self._file is None:
            self._file = _begin(self.path, encode(record))
        else:
            self._file.write(encode(record))
            self._file.flush()
            if sync:
                os.fdatasync(self._file.fileno())
        self._seq += 1
        return record

    def close(self) -> None:
        """Sync, and let another process have the study."""
        if self._file is not None and not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _take_lock(path: Path) -> Any:
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read().strip() or "another process"
        file.close()
        raise JournalError(
            f"{path.parent.name}: the study is being run by {owner}. Wait for it, or stop it."
        ) from None
    file.seek(0)
    file.truncate()
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()
    return file


def _begin(path: Path, line: bytes) -> BinaryIO:
    """A journal of one line; it is never seen without it, so an empty file is a damaged one."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return path.open("ab")
