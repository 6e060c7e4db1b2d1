"""What the loop writes down, and when others hear of it: once the disk has it, never before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from .. import faults
from ..history import History
from ..journal import Journal, Record
from ..redaction import LONGEST_TRACEBACK, redact, shorten
from ..trial import TrialResult

TEXTS = ("error", "traceback", "reason")  # fields that quote the user's code
Listener = Callable[[Record], None]


class Scribe:
    """Writes events into the journal and the history, and tells listeners."""

    def __init__(self, journal: Journal, history: History, listeners: Sequence[Listener]) -> None:
        """Nothing owed to the disk so far."""
        self._journal = journal
        self._history = history
        self._listeners = listeners
        self._owes_sync = False  # a result that no sync has followed
        self._unheard: list[Record] = []

    def write(self, event: str, *, sync: bool = True, **fields: Any) -> None:
        """Write one event; what is not synced is lost with the machine, and measured again."""
        texts = {k: _discreet(fields[k]) for k in TEXTS if isinstance(fields.get(k), str)}
        record = self._journal.append(event, sync=sync, **fields | texts)
        self._owes_sync = self._owes_sync and not sync
        self._history.apply(record)
        self._unheard.append(record)
        if not self._owes_sync:
            self._announce()

    def owe(self, event: str, **fields: Any) -> None:
        """Write one event that the next sync makes safe; nobody hears of it before."""
        self._owes_sync = True
        self.write(event, sync=False, **fields)

    def settle(self) -> None:
        """Wait for the disk to have what is owed, unless a later event did that."""
        if self._owes_sync:
            self._journal.sync()
            self._owes_sync = False
            self._announce()

    def _announce(self) -> None:
        unheard, self._unheard = self._unheard, []
        for record in unheard:
            for listener in self._listeners:
                listener(record)

    def keep_predictions(self, result: TrialResult) -> str | None:
        """Write the out-of-fold predictions beside the journal; give the file's name there.

        None where the disk is full: the score counts without them.
        """
        if result.predictions is None:
            return None
        name = f"predictions/{result.number:06d}.npy"
        path: Path = self._journal.path.parent / name
        partial = path.with_suffix(".partial")
        try:
            faults.reach("writing_artifact")
            path.parent.mkdir(exist_ok=True)
            with partial.open("wb") as file:
                np.save(file, result.predictions)
            partial.replace(path)
        except OSError:
            with suppress(OSError):
                partial.unlink()
            return None
        return name


def _discreet(text: str) -> str:
    return redact(shorten(text, LONGEST_TRACEBACK))


def numbers(values: np.ndarray) -> list[float]:
    """What JSON can hold of an array of one dimension."""
    return [float(v) for v in values]
