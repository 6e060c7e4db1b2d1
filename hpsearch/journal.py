"""The journal: a study's truth, one checksummed line per event, appended and never changed.

A line is `<crc32 of the rest, 8 hex digits> <JSON>\\n`. The JSON object holds `seq` (0-based, no
gap), `time` (milliseconds since the epoch), `event` and the event's own fields:

    study     spec, fingerprint, data, environment, direction     first line of every journal
              resolved, defaults, files                            on which its results depend
    changed   changes, resolved, defaults, files, environment      accepted when it went on
    asked     trial, attempt, params, seed, epochs
    remembered  trial, of, state, score              its first point was known from another trial
    epoch     trial, attempt, epoch, scores, metrics
    result    trial, attempt, state, score, spread, best_epoch, ...
    fold      trial, attempt, fold, scores                         where folds train in turn
    trainer   trainer, reason                                      another one took over
    ended     cause, reason                                        the search asks for no more
    winner    trial, members, threshold, of, ...                   what was chosen, and from what
    predictions  trial, attempt, file, crc32                       made again, since they were lost
    fitted    trial, members, files, digests                       the winner's networks are saved
    reading   trial, rows                                          the locked rows are read next
    final     test, reads, digests, ...                            what they said; `final/` is there
    plots     failed                                               drawn, but for those that failed
    promoted  name, version, alias

Knows no sampler, no trainer and no MLflow.
"""

from __future__ import annotations

import json
import os
import re
import time
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from io import BufferedReader, FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .errors import JournalError, describe_os_error
from .platforms.files import atomic_write, sync_data, sync_file, sync_names
from .platforms.locks import POLL, RENEWED, FileLock, LockHeldError, holder_of, is_at, try_lock
from .record_form import wrong_field
from .redaction import redact, redact_named, redact_patterns

Record = dict[str, Any]
HEAD = 100  # bytes of a line's JSON within which `seq`, `time`, `event` and `trial` stand
_TRIAL = re.compile(rb'"trial":(\d+),')
FORMAT = 2  # of the records; in 1, which no record names, `final` may lack fields
QUOTING = ("error", "traceback", "reason")  # fields that quote the user's code
RUNS = ("study", "resumed")  # events that begin a run; each names the format of what it writes


def encode(record: Record) -> bytes:
    """One journal line. Floats keep every bit; NaN and infinities are written as such."""
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()
    return b"%08x " % zlib.crc32(text) + text + b"\n"


def _escape(value: Any) -> Any:
    """A record whose texts are Unicode: what a name or message holds beside that is escaped."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_escape(key): _escape(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_escape(item) for item in value]
    return value


def decode(line: bytes) -> Record | None:
    """The record in `line`, or None where the checksum does not hold."""
    text = _sound(line)
    return None if text is None else json.loads(text)


def _sound(line: bytes) -> bytes | None:
    """The JSON in `line`, or None where the checksum does not hold."""
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    return text if checksum == b"%08x" % zlib.crc32(text) else None


def _record(text: bytes, path: Path) -> Record:
    """A sound line's record.

    Raises:
        JournalError: If another version of hpsearch wrote it, and this one cannot read it, or
            another program.
    """
    record, wrong = _parse(text)
    written = record.get("format", 1)
    if record.get("event") in RUNS and isinstance(written, int) and written > FORMAT:
        raise JournalError(
            f"{path}: written by hpsearch {record.get('written_by', 'of a later version')} in "
            f"format {written} of the journal; this version reads up to {FORMAT}. "
            "Install that one, or a later one."
        )
    if wrong is not None:
        raise JournalError(
            f"{path}: record {record.get('seq', '')} was not written by hpsearch, though its "
            f"checksum is right: {wrong}. {_remedy(path)}"
        )
    return record


def _parse(text: bytes) -> tuple[Record, str | None]:
    """A sound line's record, and what is wrong with its form."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        return {}, str(error)
    wrong = wrong_field(record)
    return record if isinstance(record, dict) else {}, wrong


@dataclass(frozen=True, slots=True)
class Page:
    """What a journal holds from some offset on."""

    records: tuple[Record, ...]
    end: int  # offset in bytes behind the last whole line


def read(path: Path, offset: int = 0, *, without: Collection[str] = ()) -> Page:
    """All whole lines from `offset` (bytes) on; see `stream`.

    Raises:
        JournalError: If a line before the last is damaged, or the file is empty or missing.
    """
    records: list[Record] = []
    end = offset
    for text, end in _lines(path, offset):  # noqa: B007 -- the last one counts
        if not _is_one_of(text, without):
            records.append(_record(text, path))
    return Page(tuple(records), end)


def stream(
    path: Path,
    *,
    until: int | None = None,
    without: Collection[str] = (),
    but_of: Collection[int] = (),
) -> Iterator[Record]:
    """The records one by one, so that a long journal need not fit in memory.

    A torn last line is left out, and so is what lies beyond `until` (bytes). Events named in
    `without` are checked and left out, but not parsed, except those of the trials `but_of`: a
    journal consists of epochs for the most part, and a table of results needs few of them.

    Raises:
        JournalError: If a line before the last is damaged, or the file is empty or missing.
    """
    for text, end in _lines(path, 0):
        if until is not None and end > until:
            return
        if not _is_one_of(text, without) or _is_of_trial(text, but_of):
            yield _record(text, path)


def without_secrets(path: Path) -> str | None:
    """A journal's text with the secrets hidden that are in it; None where there are none.

    This version hides them before it writes; earlier ones did not.

    Raises:
        JournalError: If a line before the last is damaged, or the file is empty or missing.
    """
    is_clean = all(_hidden(text) == text for text, _ in _lines(path, 0))
    if is_clean:
        return None
    lines = (b"%08x %s\n" % (zlib.crc32(t), t) for t in (_hidden(t) for t, _ in _lines(path, 0)))
    return b"".join(lines).decode()


def _hidden(text: bytes) -> bytes:
    """A line's JSON with its secrets hidden."""
    if _is_one_of(text, ("started", "epoch", "fold")) or redact(said := text.decode()) == said:
        return text
    record = json.loads(text)
    hidden = {name: _without_secrets(value, name) for name, value in record.items()}
    return text if hidden == record else encode(hidden)[len("01234567 ") : -1]


def _without_secrets(value: Any, name: str, *, has_telling_names: bool = True) -> Any:
    """A field without secrets: by their form or their name; an error's by the environment, too."""
    if isinstance(value, dict):
        tell = has_telling_names and name != "data"  # keys there are names of columns
        return {k: _without_secrets(v, str(k), has_telling_names=tell) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_secrets(v, name, has_telling_names=has_telling_names) for v in value]
    if not isinstance(value, str):
        return value
    if name in QUOTING:
        return redact(value)
    if name == "key" or not has_telling_names:  # the key of a study is random
        return redact_patterns(value)
    return redact_named(name, value)


def stream_scores(path: Path, *, until: int | None = None) -> Iterator[Record]:
    """`stream`, but of an epoch's metrics none is parsed: its scores decide what a search does.

    Raises:
        JournalError: If a line before the last is damaged, or the file is empty or missing.
    """
    for text, end in _lines(path, 0):
        if until is not None and end > until:
            return
        if _is_one_of(text, ("epoch",)):
            # The last field, behind the event's name and numbers: no text can hold the same.
            text = text.partition(b',"metrics":{')[0].removesuffix(b"}") + b',"metrics":{}}'
        yield _record(text, path)


def _is_one_of(text: bytes, events: Collection[str]) -> bool:
    return any(f'"event":"{event}"'.encode() in text[:HEAD] for event in events)


def _is_of_trial(text: bytes, trials: Collection[int]) -> bool:
    found = _TRIAL.search(text, 0, HEAD) if trials else None
    return found is not None and int(found[1]) in trials


def _lines(path: Path, offset: int) -> Iterator[tuple[bytes, int]]:
    """The JSON of each whole line from `offset` on, and the offset behind the line."""
    with _opened(path) as file:
        file.seek(offset)
        end = offset
        for number, line in enumerate(file, start=1):
            text = _sound(line) if line.endswith(b"\n") else None
            if text is None:
                if end == 0 or (line.endswith(b"\n") and file.peek(1)):
                    raise _damaged(path, line, f"line {number} from byte {offset}", end)
                break
            end += len(line)
            yield text, end
    if end == 0:
        raise _empty(path)


def _opened(path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise JournalError(f"{path}: there is no journal. Has the study been started?") from None
    except OSError as error:
        raise JournalError(describe_os_error(error)) from None


def _damaged(path: Path, line: bytes, where: str, end: int) -> JournalError:
    if not line.strip(b"\0\r\n "):
        return (
            _empty(path) if end == 0 else JournalError(f"{path}: {where} is blank. {_remedy(path)}")
        )
    if _sound(_as_written(line)) is not None or line.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return JournalError(
            f"{path}: an editor, or git, has changed its line ends or begun it with a byte order "
            f"mark. `hpsearch doctor --repair {path.parent.name}` sets that right; nothing is lost."
        )
    return JournalError(f"{path}: {where} is damaged (byte {end}). {_remedy(path)}")


def _empty(path: Path) -> JournalError:
    return JournalError(
        f"{path}: the journal is empty, though it never was while the study ran. {_remedy(path)}"
    )


def _as_written(data: bytes) -> bytes:
    """Text without what an editor, a shell or git may have made of it."""
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        data = data.decode("utf-16", "replace").encode("utf-8", "replace")
    return data.removeprefix(BOM_UTF8).replace(b"\r\n", b"\n")


def _remedy(path: Path) -> str:
    return (
        "Restore the file from the study's run in MLflow, save what can be saved with "
        f"`hpsearch doctor --repair {path.parent.name}`, or start over with --fresh."
    )


@dataclass(frozen=True, slots=True)
class Salvage:
    """What is sound in a journal, whatever state it is in."""

    records: tuple[Record, ...]  # of every line whose checksum holds
    damaged: tuple[int, ...]  # 1-based numbers of the other lines, a torn last one among them
    lost: int  # bytes of those
    is_as_written: bool  # no editor or shell has changed its line ends or its encoding


def missing(records: Iterable[Record]) -> int | None:
    """The 1-based line that is not there though later ones are; None where all are."""
    places = enumerate(record.get("seq") for record in records)
    return next((place + 1 for place, seq in places if seq != place), None)


def salvage(path: Path) -> Salvage:
    """Every sound line of a journal, damaged ones left out.

    Raises:
        JournalError: If there is no file.
    """
    with _opened(path) as file:
        data = file.read()
    plain = _as_written(data)
    lines = plain.splitlines(keepends=True)
    texts = [_sound(line) for line in lines]  # the checksum proves a last line without its end
    bad = [n for n, text in enumerate(texts) if text is None or _parse(text)[1] is not None]
    others = set(bad)
    return Salvage(
        tuple(_record(text, path) for n, text in enumerate(texts) if text and n not in others),
        tuple(number + 1 for number in bad),
        sum(len(lines[number]) for number in bad),
        data == plain and (bool(bad) or plain.endswith(b"\n")),
    )


class Journal:
    """The one writer of a study's journal.

    Opening it takes a lock that the operating system drops when the process ends, reads what
    is there and cuts a torn last line. The journal itself is locked as well: its lock's file may
    be removed. Where nothing locks, an append sees that another process has written.
    """

    def __init__(self, path: Path) -> None:
        """Open the journal at `path`, or begin one.

        Raises:
            JournalError: If another process holds it, or it is damaged.
        """
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = take_lock(path)
        try:
            self._epoch = time.time_ns() - time.monotonic_ns()  # of this run: a clock may jump
            self.first: Record | None = None  # of an earlier run of the study
            self._seq = self._end = 0  # the next record's; bytes of the whole lines
            for text, self._end in _lines(path, 0) if path.exists() else ():
                if not text.startswith(b'{"seq":%d,' % self._seq):  # which `append` puts first
                    raise JournalError(f"{path}: line {self._seq + 1} is missing. {_remedy(path)}")
                if self.first is None or _is_one_of(text, RUNS):
                    record = _record(text, path)
                    self.first = self.first or record
                self._seq += 1
            self._file: FileIO | None = None  # a new journal appears with its first line
            if path.exists():
                self._file = _open_locked(path)
                self._file.truncate(self._end)
        except BaseException:
            self._lock.release()
            raise

    def append(self, event: str, *, sync: bool = True, **fields: Any) -> Record:
        """Write one event, and wait for the disk where something will be done because of it.

        Raises:
            JournalError: If the disk takes no more, or another process has written to the file.
        """
        if event in RUNS:
            fields |= {"format": FORMAT, "written_by": version("hpsearch")}
        record = {"seq": self._seq, "time": self._now(), "event": event, **fields}
        try:
            line = encode(record)
        except UnicodeEncodeError:  # part of a name that is not UTF-8, in an error or a path
            record = _escape(record)
            line = encode(record)
        if self._file is None:
            self._file = _begin(self.path, line)
        else:
            self._require_alone(self._file)
            self._write(self._file, line, sync=sync)
        self._seq += 1
        self._end += len(line)
        return record

    def sync(self) -> None:
        """Wait for the disk to have what was written without waiting."""
        if self._file is not None:
            sync_data(self._file.fileno())

    def _now(self) -> int:
        """Milliseconds since the epoch, in steps of a clock that nobody sets."""
        return (self._epoch + time.monotonic_ns()) // 1_000_000

    def _require_alone(self, file: FileIO) -> None:
        """Refuse to write behind what another process or program has made of the file."""
        size = os.fstat(file.fileno()).st_size
        if not is_at(self.path, file.fileno()):
            found = "was removed, moved or replaced"
        elif size != self._end:
            found = f"was changed: {size:,} bytes, not {self._end:,},"
        else:
            return
        who = holder_of(self.path.with_suffix(".lock"))
        other = "" if who is None or who.pid == os.getpid() else f" Perhaps by {who}."
        raise JournalError(
            f"{self.path}: {found} by another program while the study ran.{other} Nothing more is "
            "written to it. See that one process alone runs the study, and run the command again."
        )

    def _write(self, file: FileIO, line: bytes, *, sync: bool) -> None:
        """A whole line or none of it, where the disk allows to take it back."""
        rest = memoryview(line)
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
        """Sync, and let another process have the study."""
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


def take_lock(journal: Path) -> FileLock:
    """The right to write a journal, to be released; a process's end does that too.

    Raises:
        JournalError: If another process has it; it is named.
    """
    try:
        lock = FileLock(journal.with_suffix(".lock"))
    except LockHeldError as held:
        raise _held(journal, str(held)) from None
    try:
        if journal.exists():
            _open_locked(journal).close()
    except JournalError:
        lock.release()
        raise _held(journal, _await_owner(journal)) from None
    except BaseException:
        lock.release()
        raise
    return lock


def _await_owner(journal: Path) -> str:
    """Who runs a study, though its lock's file was removed: they will soon write it again."""
    end = time.monotonic() + 2 * RENEWED
    while (who := owner(journal)) is None and time.monotonic() < end:
        time.sleep(POLL)
    return who or "another process"


def owner(journal: Path) -> str | None:
    """Who runs a study now, and since when; None where nobody does. Nothing is changed."""
    holder = holder_of(journal.with_suffix(".lock"))
    return None if holder is None else str(holder)


def _open_locked(path: Path) -> FileIO:
    """A journal, to be appended to by this process alone."""
    file = path.open("ab", buffering=0)
    if try_lock(file.fileno()) is False:
        file.close()
        raise _held(path, "another process")
    return file


def _held(journal: Path, who: str) -> JournalError:
    return JournalError(
        f"{journal.parent.name}: the study is being run by {who}. Wait for it, or stop it."
    )


def _begin(path: Path, line: bytes) -> FileIO:
    """A journal of one line; it is never seen without it, so an empty file is a damaged one."""
    if path.exists():
        raise _held(path, "another process, which has just begun it")
    with atomic_write(path) as file:
        file.write(line)
    sync_names(path.parent)  # whoever made the folders
    return _open_locked(path)
