"""How far a journal has reached one store: a small file beside the journal.

One file a store, since a study may be sent to a second one later. Knows no MLflow.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from ..errors import TrackingError, redacted
from ..platforms.locks import FileLock, LockHeldError


class Cursor:
    """The offset (bytes) up to which a store has acknowledged a journal.

    Opening it takes a lock that the operating system drops when the process ends: two senders
    of one journal could create a run twice.
    """

    def __init__(self, journal: Path, uri: str) -> None:
        """Open the cursor of `journal` for the store at `uri`.

        Raises:
            TrackingError: If another process is sending this journal.
        """
        digest = hashlib.sha256(uri.encode()).hexdigest()[:12]
        self.path = journal.with_name(f"uploaded-{digest}.json")
        self._uri = redacted(uri)
        self._lock = _locked(journal.with_name("uploading.lock"), journal)

    def load(self, key: str) -> int:
        """The offset for the study with this key; 0 where nothing of it was acknowledged."""
        try:
            held = json.loads(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return 0
        return int(held["offset"]) if held.get("key") == key else 0

    def save(self, key: str, offset: int) -> None:
        """Everything before `offset` has been acknowledged."""
        text = json.dumps({"key": key, "offset": offset, "store": self._uri})
        draft = self.path.with_suffix(".new")
        draft.write_text(text + "\n", encoding="utf-8")
        os.replace(draft, self.path)

    def close(self) -> None:
        """Let another process send."""
        self._lock.release()


def _locked(path: Path, journal: Path) -> FileLock:
    try:
        return FileLock(path)
    except LockHeldError as held:
        raise TrackingError(
            f"{journal}: {held} is sending this study to MLflow. Wait for it to end."
        ) from None
