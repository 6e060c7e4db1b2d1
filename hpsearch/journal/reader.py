"""Read the events of a journal, whole or from an offset on."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..event_codec import (
    is_of_trial,
    is_one_of,
    without_metrics,
)
from ..event_redaction import redact_line
from ..events import Event
from .lines import (
    decode_line,
    encode_line,
    stream_lines,
)


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
    for text, end in stream_lines(path, offset):
        if not is_one_of(text, without):
            events.append(decode_line(text, path))
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
    for text, end in stream_lines(path, 0):
        if until is not None and end > until:
            return
        if not is_one_of(text, without) or is_of_trial(text, but_of):
            yield decode_line(text, path)


def stream_scores(path: Path, *, until: int | None = None) -> Iterator[Event]:
    """Iterate over the events, epochs without metrics: the search uses only the scores.

    Raises:
        JournalError: If a line before the last is damaged, or the file is empty or missing.
    """
    for text, end in stream_lines(path, 0):
        if until is not None and end > until:
            return
        yield decode_line(without_metrics(text), path)


def redacted_text(path: Path) -> str | None:
    """Return a journal's text with its secrets hidden; None if it has none.

    Earlier versions wrote secrets unredacted.

    Raises:
        JournalError: If a line before the last is damaged, or the file is empty or missing.
    """
    is_clean = all(redact_line(text) == text for text, _ in stream_lines(path, 0))
    if is_clean:
        return None
    return b"".join(encode_line(redact_line(text)) for text, _ in stream_lines(path, 0)).decode()
