"""Lines of a journal: their checksums, and the errors for damaged ones."""

from __future__ import annotations

import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from ..errors import JournalError, describe_os_error
from ..event_codec import FormatError, IncompleteError, NewerFormatError, decode_event
from ..events import Event

START_OVER = "start over with --fresh"  # remedy of errors for a study that is to be run


def encode_line(text: bytes) -> bytes:
    """Encode an event's JSON as a journal line."""
    return b"%08x " % zlib.crc32(text) + text + b"\n"


def is_sound(line: bytes) -> bool:
    """Whether the checksum of a line is correct."""
    return verify_line(line) is not None


def verify_line(line: bytes) -> bytes | None:
    """Return the JSON in `line`; None if the checksum is wrong."""
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    return text if checksum == b"%08x" % zlib.crc32(text) else None


def decode_line(text: bytes, path: Path) -> Event:
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
            f"with that version, or {START_OVER}."
        ) from None
    except FormatError as error:
        raise JournalError(
            f"{path}: record {error.seq} was not written by hpsearch, although its checksum is "
            f"correct: {error}. {format_remedy(path)}"
        ) from None


def stream_lines(path: Path, offset: int) -> Iterator[tuple[bytes, int]]:
    """Iterate over the JSON of whole lines from `offset` on, with the offset after each line.

    Raises:
        JournalError: If a line before the last is damaged, or the file is empty or missing.
    """
    with open_journal(path) as file:
        file.seek(offset)
        end = offset
        for number, line in enumerate(file, start=1):
            text = verify_line(line) if line.endswith(b"\n") else None
            if text is None:
                if end == 0 or (line.endswith(b"\n") and file.peek(1)):
                    raise _damaged_error(path, line, f"line {number} from byte {offset}", end)
                break
            end += len(line)
            yield text, end
    if end == 0:
        raise _empty_error(path)


def open_journal(path: Path) -> BufferedReader:
    """Open a journal for reading.

    Raises:
        JournalError: If it is missing, or cannot be opened.
    """
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
            else JournalError(f"{path}: {where} is blank. {format_remedy(path)}")
        )
    if verify_line(normalize_text(line)) is not None or line.startswith(
        (BOM_UTF16_LE, BOM_UTF16_BE)
    ):
        return JournalError(
            f"{path}: an editor, or git, has changed its line ends or begun it with a byte order "
            f"mark. `hpsearch doctor --repair {path.parent.name}` sets that right; nothing is lost."
        )
    return JournalError(f"{path}: {where} is damaged (byte {end}). {format_remedy(path)}")


def _empty_error(path: Path) -> JournalError:
    return JournalError(
        f"{path}: the journal is empty, though it never was while the study ran. "
        f"{format_remedy(path)}"
    )


def normalize_text(data: bytes) -> bytes:
    """Undo changes of line ends and encoding by an editor, a shell or git."""
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        data = data.decode("utf-16", "replace").encode("utf-8", "replace")
    return data.removeprefix(BOM_UTF8).replace(b"\r\n", b"\n")


def format_remedy(path: Path) -> str:
    """Say how a damaged journal is restored."""
    return (
        "Restore the file from the study's run in MLflow, save what can be saved with "
        f"`hpsearch doctor --repair {path.parent.name}`, or {START_OVER}."
    )
