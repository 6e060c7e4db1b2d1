"""Write events to the journal, and pass them to listeners once they are on disk."""

from __future__ import annotations

import io
import logging
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from .. import fault_injection
from ..event_redaction import redact_event
from ..events import CURVES, Event, TrialFinished
from ..history import History
from ..journal import Journal
from ..platforms.files import atomic_write, make_folder
from ..trial import Trial, TrialResult

logger = logging.getLogger("hpsearch.search")


Listener = Callable[[Event], None]


class EventWriter:
    """Writes events to a study's journal and history, and notifies listeners."""

    def __init__(self, path: Path, listeners: Iterable[Listener] = ()) -> None:
        """Open the journal at `path`, reading it once, or create it.

        Args:
            path: Path of the journal.
            listeners: Called with every event; without the epochs of earlier runs if all of them
                have a true attribute `skips_past_curves`.

        Raises:
            JournalError: If another process has it open, or it is damaged.
        """
        self.history = History()  # ended trials of earlier runs are condensed
        self._listeners = list(listeners)
        self._owes_sync = False  # whether a result is not synced
        self._pending: list[Event] = []
        curious = [each for each in listeners if not getattr(each, "skips_past_curves", False)]
        self._tells_past_curves = bool(curious)
        self.journal = Journal(path, on_event=self._take_in_past, with_metrics=bool(curious))

    def _take_in_past(self, event: Event) -> None:
        trials = self.history.apply(event)
        if self._tells_past_curves or not isinstance(event, CURVES):
            self._notify_listeners(event)
        if isinstance(event, TrialFinished):
            for trial in trials:
                trial.drop_curves()

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every event from now on."""
        self._listeners.append(listener)

    def write(self, event: Event, *, sync: bool = True) -> None:
        """Write one event; unsynced ones may be lost in a power cut, and are measured again."""
        self.write_all([event], sync=sync)

    def write_all(self, events: Sequence[Event], *, sync: bool = True) -> None:
        """Write several events with at most one sync; see `write`."""
        written = self.journal.append_all([redact_event(e) for e in events], sync=sync)
        self._owes_sync = self._owes_sync and not sync
        for event in written:
            self.history.apply(event)
        self._pending.extend(written)
        if not self._owes_sync:
            self._notify_pending()

    def defer_sync(self, *events: Event) -> None:
        """Write events without syncing; listeners receive them after the next sync."""
        self._owes_sync = True
        self.write_all(events, sync=False)

    def flush(self) -> None:
        """Sync the deferred events to disk, unless a later event did."""
        if self._owes_sync:
            self.journal.sync()
            self._owes_sync = False
            self._notify_pending()

    def _notify_pending(self) -> None:
        pending, self._pending = self._pending, []
        for event in pending:
            self._notify_listeners(event)

    def _notify_listeners(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.journal.close()

    def write_predictions(self, result: TrialResult) -> tuple[str | None, int | None]:
        """Write the out-of-fold predictions beside the journal; return file name and CRC-32.

        If the disk is full, the trial is kept without them; they are computed again when a
        threshold or an ensemble needs them.
        """
        if result.predictions is None:
            return None, None
        try:
            return save_predictions(self.journal.path.parent, result.number, result.predictions)
        except OSError as error:
            logger.warning(
                "the out-of-fold predictions of trial %d could not be written (%s); its score "
                "counts, and they are made again where the end of the study needs them",
                result.number,
                error.strerror or error,
            )
            return None, None


def save_predictions(study: Path, trial: int, predictions: np.ndarray) -> tuple[str, int]:
    """Write a trial's out-of-fold predictions, (n_rows, n_outputs), into the study's folder.

    Returns:
        The file's name relative to the folder, and its CRC-32.

    Raises:
        OSError: If they cannot be written.
    """
    fault_injection.fault_point("writing_artifact")
    content = io.BytesIO()
    np.save(content, predictions, allow_pickle=False)
    name = f"predictions/{trial:06d}.npy"
    make_folder(study / "predictions")
    with atomic_write(study / name) as file:
        file.write(content.getbuffer())
    return name, zlib.crc32(content.getbuffer())


def load_predictions(study: Path, trial: Trial) -> np.ndarray | None:
    """Load the file of `save_predictions`; None if it is missing, empty or damaged."""
    if trial.predictions is None:
        return None
    try:
        content = (study / trial.predictions).read_bytes()
        if trial.predictions_crc32 not in (None, zlib.crc32(content)):
            return None
        found: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, MemoryError):  # of a damaged header
        return None
    return found


def to_list(values: np.ndarray) -> list[float]:
    """Convert a one-dimensional array for JSON."""
    return [float(v) for v in values]
