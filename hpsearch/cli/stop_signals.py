"""Handle Ctrl-C, SIGTERM and SIGHUP: the first stops the study, the second exits at once.

In both cases nothing is lost, and the last line printed is the command to continue. The second
signal exits without cleanup; the next run sends MLflow what it lacks of the journal.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import NoReturn, Self

from ..errors import redact_text
from ..platforms.interrupts import Alarm, handle_stop_signals, restore_handlers
from ..platforms.processes import kill_descendants
from ..study.result import StudyStopped
from .terminal import print_line

STOPPED_MESSAGE = "stopped immediately; nothing is lost"
SHOW_CURSOR = "\n\x1b[?25h"  # the live display hides it


class StopSignals:
    """A context manager that handles SIGINT and SIGTERM."""

    def __init__(self, grace: float) -> None:
        """Give running trials `grace` seconds to finish after the first signal."""
        self._grace = grace
        self._signal: int | None = None

    def is_requested(self) -> bool:
        """Whether a stop was requested."""
        return self._signal is not None

    def __enter__(self) -> Self:
        import psutil  # not in the handler: the signal may have interrupted this very import

        self._ourselves = psutil.Process()
        self._alarm = Alarm()
        self._before = handle_stop_signals(self._handle_signal)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._alarm.close()
        restore_handlers(self._before)
        if isinstance(error, StudyStopped | KeyboardInterrupt):
            print_line(_format_resume_line(str(error) or STOPPED_MESSAGE), err=True)
            raise SystemExit(128 + (self._signal or signal.SIGINT))  # `hpsearch stop` sends none

    def _handle_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            self._stop_at_once()
        self._signal = number
        self._alarm.schedule(self._grace)
        message = (
            f"\nstopping: running trials get {self._grace:g} s to finish; "
            "a second signal stops immediately\n"
        )
        with suppress(OSError):  # the pipe may be closed
            os.write(sys.stderr.fileno(), message.encode())

    def _stop_at_once(self) -> NoReturn:
        """Kill the workers and their children; exit without unwinding or flushing."""
        assert self._signal is not None
        with suppress(OSError):  # the pipe may be closed
            cursor = SHOW_CURSOR if sys.stderr.isatty() else ""
            os.write(
                sys.stderr.fileno(), f"{cursor}{_format_resume_line(STOPPED_MESSAGE)}\n".encode()
            )
        kill_descendants(self._ourselves)
        os._exit(128 + self._signal)


def _format_resume_line(message: str) -> str:
    arguments = (redact_text(a) for a in sys.argv[1:] if a != "--fresh")
    return f"{message}. To continue: {shlex.join(['hpsearch', *arguments])}"
