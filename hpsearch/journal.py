"""The journal: an append-only file with one checksummed line per event of a study.

A line is `<crc32 of the rest, 8 hex digits> <JSON>\\n`; `events.py` defines the events and
`event_codec.py` their encoding. A torn last line is one that a crash cut short.
"""

from __future__ import annotations

import math
import os
import time
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from io import BufferedReader, FileIO
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, cast

from .errors import JournalError, describe_os_error
from .event_codec import (
    FormatError,
    IncompleteError,
    NewerFormatError,
    decode_event,
    encode_event,
    escape_event,
    has_number,
    is_of_trial,
    is_one_of,
    without_metrics,
)
from .event_redaction import redact_line
from .events import FORMAT, RUNS, Event, StudyCreated, StudyResumed
from .platforms.files import atomic_write, sync_data, sync_file, sync_names
from .platforms.locks import (
    POLL_SECONDS,
    RENEW_SECONDS,
    FileLock,
    LockHeldError,
    find_holder,
    is_same_file,
    try_lock,
)

E = TypeVar("E", bound=Event)


def encode(text: bytes) -> bytes:
    """Encode an event's JSON as a journal line."""
    return b"%08x " % zlib.crc32(text) + text + b"\n"


def is_sound(line: bytes) -> bool:
    """Whether the checksum of a line is correct."""
    return _verify_line(line) is not None


def _verify_line(line: bytes) -> bytes | None:
    """Return the JSON in `line`; None if the checksum is wrong."""
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    return text if checksum == b"%08x" % zlib.crc32(text) else None


def _decode_event(text: bytes, path: Path) -> Event:
    """Decode the event of a line with a correct checksum.

    Raises:
        JournalError: If this version cannot read the line, or hpsearch did not write it.
    """
    try:
        return decode_event(text)
    except NewerFormatError as error:
        raise JournalError(f"{path}: {error}") from None
    except IncompleteError as error:
        raise JournalError(
            f"study {path.parent.name}: {error}: another version of hpsearch wrote it. Continue "
            "with that version, or start over with --fresh."
        ) from None
    except FormatError as error:
        raise JournalError(
            f"{path}: record {error.seq} was not written by hpsearch, although its checksum is "
            f"correct: {error}. {_format_remedy(path)}"
        ) from None


@dataclass(frozen=True, slots=True)
class Page:
    """The contents of a journal from an offset on."""

    events: tuple[Event, ...]
    end: int  # offset in bytes after the last whole line


def read_page(
    path: Path,
    offset: int = 0,
    *,
    without: Collection[type[Event]] = (),
    until: float = math.inf,
) -> Page:
    """Read whole lines from `offset` (bytes) on; the last one may end after `until`.

    Raises:
        JournalError: If a line before the last is damaged, or the file is empty or missing.
    """
    events: list[Event] = []
    end = offset
    for text, end in _stream_lines(path, offset):
        if not is_one_of(text, without):
            events.append(_decode_event(text, path))
        if end >= until:
            break
    return Page(tuple(events), end)


def stream_records(
    path: Path,
    *,
    until: int | None = None,
    without: Collection[type[Event]] = (),
    but_of: Collection[int] = (),
) -> Iterator[Event]:
    """Iterate over the events, so that a long journal need not fit in memory.

    A torn last line and lines after `until` (bytes) are skipped. Events of the kinds in `without`,
    except those of the trials `but_of`, are verified and skipped without parsing: most lines are
    epochs, of which tables of results need few.

    Raises:
        JournalError: If a line before the last is damaged, or the file is empty or missing.
    """
    for text, end in _stream_lines(path, 0):
        if until is not None and end > until:
            return
        if not is_one_of(text, without) or is_of_trial(text, but_of):
            yield _decode_event(text, path)


def redacted_text(path: Path) -> str | None:
    """Return a journal's text with its secrets hidden; None if it has none.

    Earlier versions wrote secrets unredacted.

    Raises:
        JournalError: If a line before the last is damaged, or the file is empty or missing.
    """
    is_clean = all(redact_line(text) == text for text, _ in _stream_lines(path, 0))
    if is_clean:
        return None
    return b"".join(encode(redact_line(text)) for text, _ in _stream_lines(path, 0)).decode()


def stream_scores(path: Path, *, until: int | None = None) -> Iterator[Event]:
    """Iterate over the events, epochs without metrics: the search uses only the scores.

    Raises:
        JournalError: If a line before the last is damaged, or the file is empty or missing.
    """
    for text, end in _stream_lines(path, 0):
        if until is not None and end > until:
            return
        yield _decode_event(without_metrics(text), path)


def _stream_lines(path: Path, offset: int) -> Iterator[tuple[bytes, int]]:
    """Iterate over the JSON of whole lines from `offset` on, with the offset after each line."""
    with _open_journal(path) as file:
        file.seek(offset)
        end = offset
        for number, line in enumerate(file, start=1):
            text = _verify_line(line) if line.endswith(b"\n") else None
            if text is None:
                if end == 0 or (line.endswith(b"\n") and file.peek(1)):
                    raise _damaged_error(path, line, f"line {number} from byte {offset}", end)
                break
            end += len(line)
            yield text, end
    if end == 0:
        raise _empty_error(path)


def _open_journal(path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise JournalError(f"{path}: there is no journal. Has the study been started?") from None
    except OSError as error:
        raise JournalError(describe_os_error(error)) from None


def _damaged_error(path: Path, line: bytes, where: str, end: int) -> JournalError:
    if not line.strip(b"\0\r\n "):
        return (
            _empty_error(path)
            if end == 0
            else JournalError(f"{path}: {where} is blank. {_format_remedy(path)}")
        )
    if _verify_line(_normalize_text(line)) is not None or line.startswith(
        (BOM_UTF16_LE, BOM_UTF16_BE)
    ):
        return JournalError(
            f"{path}: an editor, or git, has changed its line ends or begun it with a byte order "
            f"mark. `hpsearch doctor --repair {path.parent.name}` sets that right; nothing is lost."
        )
    return JournalError(f"{path}: {where} is damaged (byte {end}). {_format_remedy(path)}")


def _empty_error(path: Path) -> JournalError:
    return JournalError(
        f"{path}: the journal is empty, though it never was while the study ran. "
        f"{_format_remedy(path)}"
    )


def _normalize_text(data: bytes) -> bytes:
    """Undo changes of line ends and encoding by an editor, a shell or git."""
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        data = data.decode("utf-16", "replace").encode("utf-8", "replace")
    return data.removeprefix(BOM_UTF8).replace(b"\r\n", b"\n")


def _format_remedy(path: Path) -> str:
    return (
        "Restore the file from the study's run in MLflow, save what can be saved with "
        f"`hpsearch doctor --repair {path.parent.name}`, or start over with --fresh."
    )


@dataclass(frozen=True, slots=True)
class SoundLine:
    """A line with a correct checksum that hpsearch wrote."""

    event: Event
    text: bytes  # its JSON


@dataclass(frozen=True, slots=True)
class Salvage:
    """The sound lines of a possibly damaged journal."""

    lines: tuple[SoundLine, ...]
    damaged: tuple[int, ...]  # 1-based numbers of damaged lines, a torn last one included
    lost: int  # bytes of the damaged lines
    is_as_written: bool  # whether line ends and encoding are unchanged


def find_missing_line(events: Iterable[Event]) -> int | None:
    """Return the 1-based number of the first missing line; None if none is missing."""
    return next((index + 1 for index, event in enumerate(events) if event.seq != index), None)


def salvage_records(path: Path) -> Salvage:
    """Read the sound lines of a journal, skipping damaged ones.

    Raises:
        JournalError: If the file is missing, or in a format that this version cannot read.
    """
    with _open_journal(path) as file:
        data = file.read()
    plain = _normalize_text(data)
    lines = plain.splitlines(keepends=True)
    sound: list[SoundLine] = []
    damaged: list[int] = []
    for number, line in enumerate(lines):
        text = _verify_line(line)  # a last line without its newline is proved by its checksum
        event = None if text is None else _decode_or_none(text, path)
        if text is None or event is None:
            damaged.append(number)
        else:
            sound.append(SoundLine(event, text))
    return Salvage(
        tuple(sound),
        tuple(number + 1 for number in damaged),
        sum(len(lines[number]) for number in damaged),
        data == plain and (bool(damaged) or plain.endswith(b"\n")),
    )


def _decode_or_none(text: bytes, path: Path) -> Event | None:
    """Decode a line with a correct checksum; None if hpsearch did not write it."""
    try:
        return decode_event(text)
    except (NewerFormatError, IncompleteError):
        return _decode_event(text, path)  # which tells it
    except FormatError:
        return None


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
        hear: Callable[[Event], object] | None = None,
        with_metrics: bool = False,
    ) -> None:
        """Open the journal at `path`, or create it.

        Args:
            path: The file.
            hear: Called with every event of earlier runs while the file is read.
            with_metrics: Whether `hear` receives the metrics of epochs, too.

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
            for text, self._end in _stream_lines(path, 0) if path.exists() else ():
                if not has_number(text, self._seq):
                    raise JournalError(
                        f"{path}: line {self._seq + 1} is missing. {_format_remedy(path)}"
                    )
                if hear is not None or self.first is None or is_one_of(text, RUNS):
                    event = _decode_event(text if with_metrics else without_metrics(text), path)
                    self.first = self.first or event
                    if hear is not None:
                        hear(event)
                self._seq += 1
            self._file: FileIO | None = None  # a new journal is created with its first line
            if path.exists():
                self._file = _open_locked(path)
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _encode_numbered(event: E, seq: int, time: int) -> tuple[E, bytes]:
    """The event with its number and time, and its line."""
    numbered = replace(event, seq=seq, time=time)
    if isinstance(numbered, StudyCreated | StudyResumed):
        numbered = replace(numbered, format=FORMAT, written_by=version("hpsearch"))
    try:
        return numbered, encode(encode_event(numbered))
    except UnicodeEncodeError:  # part of a name that is not UTF-8, in an error or a path
        numbered = cast(E, escape_event(numbered))
        return numbered, encode(encode_event(numbered))


def take_lock(journal: Path) -> FileLock:
    """Take the lock on a journal. It is released explicitly, or when the process ends.

    Raises:
        JournalError: If another process holds it, which is named, or its file cannot be written.
    """
    try:
        lock = FileLock(journal.with_suffix(".lock"))
    except LockHeldError as held:
        raise _held_error(journal, str(held)) from None
    except OSError as error:
        raise JournalError(describe_os_error(error)) from None
    try:
        if journal.exists():
            _open_locked(journal).close()
    except JournalError:
        lock.release()
        raise _held_error(journal, _await_owner(journal)) from None
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


def _open_locked(path: Path) -> FileIO:
    """Open a journal for appending, locked against other processes."""
    file = path.open("ab", buffering=0)
    if try_lock(file.fileno()) is False:
        file.close()
        raise _held_error(path, "another process")
    return file


def _held_error(journal: Path, who: str) -> JournalError:
    return JournalError(
        f"{journal.parent.name}: the study is being run by {who}. Wait for it, or stop it."
    )


def _create_journal(path: Path, line: bytes) -> FileIO:
    """Create a journal with its first line atomically; an empty file is therefore damaged."""
    if path.exists():
        raise _held_error(path, "another process, which has just begun it")
    with atomic_write(path) as file:
        file.write(line)
    sync_names(path.parent)  # also syncs folders created elsewhere
    return _open_locked(path)
