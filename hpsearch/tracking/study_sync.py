"""Send all that a store lacks of a study, in the caller's thread: `hpsearch sync`."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import HpsearchError, TrackingError
from .projection import Projection
from .sender import FilesAwayError, Sender
from .store import limited_requests

logger = logging.getLogger("hpsearch.tracking")

MAX_WAIT = 600.0  # seconds that `sync` waits in all for a server that limits requests


def sync_study(journal: Path, uri: str, artifacts: str | None = None) -> Projection:
    """Send what a store lacks of a journal, in this thread.

    Raises:
        TrackingError: If the store cannot be used or becomes unreachable; call again to continue.
        JournalError: If the journal is missing or damaged.
    """
    with _open_sender(journal, uri, artifacts) as sender:
        _send_all_patiently(sender)
        return sender.require_open()


def verify_study(journal: Path, uri: str, artifacts: str | None = None) -> Projection:
    """Call `sync_study`, then compare every run, point and file with the journal.

    Raises:
        TrackingError: As `sync_study` does.
        JournalError: As `sync_study` does.
    """
    with _open_sender(journal, uri, artifacts) as sender:
        _send_all_patiently(sender)
        sender.verify()
        sender.park_runs()
        return sender.require_open()


@contextmanager
def _open_sender(journal: Path, uri: str, artifacts: str | None) -> Iterator[Sender]:
    sender = Sender(journal, uri, artifacts)
    try:
        with limited_requests(uri):
            yield sender
    except HpsearchError:
        raise
    except Exception as error:  # every backend raises its own kind
        message = f"{sender.describe(error)} Nothing is lost: run the command again to continue."
        raise TrackingError(message) from None
    finally:
        sender.close()


def _send_all_patiently(sender: Sender) -> None:
    """Send everything, and wait as long as the server asks to, `MAX_WAIT` seconds in all."""
    waited = 0.0
    while True:
        try:
            return _send_all(sender)
        except Exception as error:  # every backend raises its own kind
            asked = sender.read_delay(error)
            delay = max(1.0, asked or 0.0)
            if asked is None or waited + delay > MAX_WAIT:
                raise
            logger.warning("%s Continued in %.0f s.", sender.describe(error), delay)
            time.sleep(delay)
            waited += delay


def _send_all(sender: Sender) -> None:
    if sender.projection is None:
        sender.open_study()
    with suppress(FilesAwayError):  # `park_runs` tries them again
        sender.send()
    projection = sender.require_open()
    if not projection.files.waiting:
        projection.add_missing()  # files that were refused may be accepted now
    sender.repair_runs()
    sender.park_runs()
