"""Handle interrupts of a call: a notebook's stop button, or Ctrl-C in a script."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Self

from ..platforms.interrupts import Alarm
from ..study.result import StudyStopped

GRACE = 30.0  # seconds for running trials to finish


class StudyInterrupted(KeyboardInterrupt):
    """A call was interrupted; the same call continues the study."""

    def _render_traceback_(self) -> list[str]:
        """Render one line without a traceback in a notebook."""
        return [f"StudyInterrupted: {self}"]


class Interrupt:
    """A context manager: the first interrupt lets running trials finish, the second stops at once.

    Does nothing outside the main thread, where Python handles signals.
    """

    def __init__(self, grace: float = GRACE) -> None:
        """Give running trials `grace` seconds."""
        self._grace = grace
        self._requested = False
        self._handles = threading.current_thread() is threading.main_thread()

    def is_requested(self) -> bool:
        """Whether a stop was requested."""
        return self._requested

    def __enter__(self) -> Self:
        if self._handles:
            self._alarm = Alarm()
            self._before = signal.signal(signal.SIGINT, self._handle_signal)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._handles:
            self._alarm.close()
            signal.signal(signal.SIGINT, self._before)
        if isinstance(error, StudyStopped | KeyboardInterrupt) and self._requested:
            message = str(error) or "the study was stopped; nothing is lost"
            raise StudyInterrupted(f"{message}. The same call continues it.") from None

    def _handle_signal(self, number: int, frame: FrameType | None) -> None:
        if self._requested:
            raise KeyboardInterrupt
        self._requested = True
        self._alarm.schedule(self._grace)
        print(
            f"stopping: running trials get {self._grace:g} s to finish; a second interrupt stops "
            "immediately",
            file=sys.stderr,
        )
