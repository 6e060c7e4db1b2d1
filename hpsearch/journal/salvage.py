"""Read what a damaged journal still holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..event_codec import FormatError, IncompleteError, NewerFormatError, decode_event
from ..events import Event
from .lines import decode_line, normalize_text, open_journal, verify_line


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
    with open_journal(path) as file:
        data = file.read()
    plain = normalize_text(data)
    lines = plain.splitlines(keepends=True)
    sound: list[SoundLine] = []
    damaged: list[int] = []
    for number, line in enumerate(lines):
        text = verify_line(line)  # a last line without its newline is proved by its checksum
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
        return decode_line(text, path)  # raises
    except FormatError:
        return None
