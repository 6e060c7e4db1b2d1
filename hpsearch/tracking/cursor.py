"""The upload position of a journal in one store, in a small file beside the journal.

One file per store, since a study may be sent to several. It is used only if it matches the journal;
the sender compares it with the position recorded by the store itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ..errors import TrackingError, describe_os_error, redact_text
from ..journal import is_sound
from ..platforms.files import DRAFT, write_text
from ..platforms.locks import FileLock, LockHeldError

CURSOR = "uploaded-"  # prefix of the files
SENDING_LOCK = "uploading.lock"
BLOCK = 65536  # bytes read at once while the beginning of a line is looked for


@dataclass(frozen=True, slots=True)
class Position:
    """The end of a journal line, with a checksum that identifies the line."""

    offset: int = 0  # bytes
    checksum: str = ""  # the first eight characters of the last line before it

    @classmethod
    def at_offset(cls, journal: Path, offset: int) -> Position:
        """Return the position at `offset`, which must be the end of a line."""
        if offset == 0:
            return cls()
        return cls(offset, _last_line(journal, offset)[:8].decode("ascii", "replace"))

    @classmethod
    def parse(cls, text: str) -> Position:
        """Parse the output of `str`; any other text gives the start of the journal."""
        offset, _, checksum = text.partition(":")
        return cls(int(offset), checksum) if offset.isascii() and offset.isdigit() else cls()

    def __str__(self) -> str:
        return f"{self.offset}:{self.checksum}"

    def matches(self, journal: Path) -> bool:
        """Whether the journal contains this line at this offset, undamaged."""
        if self.offset == 0:
            return True
        try:
            if journal.stat().st_size < self.offset:
                return False
            line = _last_line(journal, self.offset)
        except OSError:
            return False
        if not line.endswith(b"\n") or line[:8] != self.checksum.encode():
            return False
        return is_sound(line)


@dataclass(frozen=True, slots=True)
class UploadState:
    """The upload state of a study in one store, as saved beside the journal."""

    position: Position = Position()
    run: str = ""  # the id of the study's run
    refused: tuple[str, ...] = ()  # permanent refusals, by name
    store: str = ""  # its URI, without a password

    @classmethod
    def from_json(cls, held: Any) -> Self:
        """Read a saved state; empty if the file is damaged or in another format."""
        if not isinstance(held, Mapping):
            return cls()
        texts = [held.get("position", ""), held.get("run", ""), held.get("store", "")]
        refused = held.get("refused", [])
        if not all(isinstance(text, str) for text in texts) or not isinstance(refused, list):
            return cls()
        return cls(Position.parse(texts[0]), texts[1], tuple(map(str, refused)), texts[2])


class Cursor:
    """The position up to which a store has acknowledged a journal, with a lock.

    The lock is released when the process ends. It prevents that two senders of a journal create a
    run twice.
    """

    def __init__(self, journal: Path, uri: str) -> None:
        """Open the cursor of `journal` for the store at `uri`.

        Raises:
            TrackingError: If another process is sending this journal, or the lock cannot be taken.
        """
        digest = hashlib.sha256(uri.encode()).hexdigest()[:12]
        self.path = journal.with_name(f"{CURSOR}{digest}.json")
        self._journal = journal
        self._uri = redact_text(uri)
        self._lock = _acquire_lock(journal.with_name(SENDING_LOCK), journal)
        for draft in journal.parent.glob(f"{CURSOR}*{DRAFT}*"):  # of a process that was killed
            with suppress(OSError):
                draft.unlink()

    def load(self, key: str) -> UploadState:
        """Load the acknowledged state of the study with this key, if it matches the journal."""
        held = _read_json(self.path)
        if not isinstance(held, Mapping) or held.get("key") != key:
            return UploadState()
        known = UploadState.from_json(held)
        if known.position.matches(self._journal):
            return known
        return UploadState(run=known.run, refused=known.refused)

    def save(self, key: str, known: UploadState) -> None:
        """Save that everything before the position has been acknowledged.

        Raises:
            OSError: If it cannot be written; the previous state is kept.
        """
        fields = {"key": key, "position": str(known.position), "run": known.run}
        more = {"refused": known.refused, "store": self._uri}
        write_text(self.path, json.dumps({**fields, **more}) + "\n")

    def close(self) -> None:
        """Release the lock."""
        self._lock.release()


def read_upload_states(journal: Path) -> list[UploadState]:
    """Read the upload state of each store; a damaged file counts as empty."""
    known = [UploadState.from_json(_read_json(p)) for p in journal.parent.glob(f"{CURSOR}*.json")]
    return [held if held.position.matches(journal) else UploadState() for held in known]


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):  # gone, cut off, not UTF-8
        return None


def _last_line(journal: Path, offset: int) -> bytes:
    """Return the line that ends at `offset`."""
    with journal.open("rb") as file:
        start, block, found = offset, BLOCK, b""
        while start > 0:
            start, end = max(0, start - block), start
            file.seek(start)
            found = file.read(end - start) + found
            cut = found.rfind(b"\n", 0, len(found) - 1)
            if cut >= 0:
                return found[cut + 1 :]
            block *= 2  # of a line that is longer
        return found


def _acquire_lock(path: Path, journal: Path) -> FileLock:
    try:
        return FileLock(path)
    except LockHeldError as held:
        raise TrackingError(
            f"{journal}: {held} is sending this study to MLflow. Wait for it to end."
        ) from None
    except OSError as error:
        raise TrackingError(describe_os_error(error)) from None
