"""Requests of users to a study, also while another process runs it.

Only the process that runs a study writes its journal. While one does, a request is a file in the
study's folder `inbox`; the loop moves it to the journal. Otherwise it is written to the journal.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from ..errors import JournalError
from ..event_codec import FormatError, decode_event, encode_event
from ..events import Request
from ..platforms.files import atomic_write, make_folder
from .ownership import find_owner
from .writer import Journal

logger = logging.getLogger("hpsearch.journal")

FOLDER = "inbox"  # in the study's folder
STOP = "stop"  # a file in it: the run should stop


class Inbox:
    """The requests to the process that runs a study."""

    def __init__(self, study: Path) -> None:
        """Read requests in the folder of a study."""
        self._folder = study / FOLDER
        self._stop = self._folder / STOP

    def receive(self) -> list[tuple[Path, Request]]:
        """Read the waiting requests with their files, in the order in which they were made."""
        try:
            files = sorted(self._folder.glob("*.json"))
        except OSError:
            return []
        found = []
        for file in files:
            try:
                request = decode_event(file.read_bytes())
                if not isinstance(request, Request):
                    raise FormatError("it is another kind of event")
            except (OSError, FormatError) as error:
                logger.warning("%s: is not a request, and is ignored: %s", file, error)
                file.unlink(missing_ok=True)
                continue
            found.append((file, request))
        return found

    def is_stop_requested(self) -> bool:
        """Whether the run should stop when its running trials have finished."""
        return self._stop.exists()

    def forget_stop(self) -> None:
        """Remove the request to stop of an earlier run."""
        self._stop.unlink(missing_ok=True)


def post_request(journal: Path, request: Request) -> bool:
    """Record a request in the journal, or send it to the process that runs the study.

    Returns:
        Whether a process runs the study.

    Raises:
        JournalError: If it cannot be written.
    """
    try:
        with Journal(journal) as opened:
            opened.append(request)
        return False
    except JournalError:
        if find_owner(journal) is None:
            raise
    folder = journal.parent / FOLDER
    make_folder(folder)
    with atomic_write(folder / f"{time.time_ns():020d}-{request.request}.json") as file:
        file.write(encode_event(request))
    return True


def post_stop(journal: Path) -> str:
    """Ask the process that runs the study to stop after its running trials; returns which it is.

    Raises:
        JournalError: If no process runs it.
    """
    owner = find_owner(journal)
    if owner is None:
        raise JournalError(f"{journal.parent.name}: no process runs the study.")
    make_folder(journal.parent / FOLDER)
    (journal.parent / FOLDER / STOP).touch()
    return owner
