"""Ctrl-C and SIGTERM: the first asks a study to stop, the second stops it at once.

Either way nothing is lost, and what is printed last is the command that goes on. The second takes
no leave of anybody: the journal is the truth, and what MLflow lacks of it is sent by the next run.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

from ..errors import redacted
from ..study.result import StudyStopped
from .terminal import say

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AT_ONCE = "stopped at once; nothing is lost"
SHOW_CURSOR = "\n\x1b[?25h"  # the progress on a terminal hides it
SHORTEST_GRACE = 0.001  # seconds; a timer of 0 never rings


class Interrupt:
    """Listens for the two signals while it is entered."""

    def __init__(self, grace: float) -> None:
        """Running trials get `grace` seconds to finish after the first signal."""
        self._grace = grace
        self._signal: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def requested(self) -> bool:
        """Whether somebody asked to stop."""
        return self._signal is not None

    def __enter__(self) -> Self:
        import psutil  # not in the handler: the import might be the one that it interrupts

        self._ourselves = psutil.Process()
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._take)
        self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._lose_patience)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if isinstance(error, StudyStopped | KeyboardInterrupt) and self._signal is not None:
            say(_last_line(str(error) or AT_ONCE), err=True)
            raise SystemExit(128 + self._signal)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            self._stop_at_once()
        self._signal = number
        signal.setitimer(signal.ITIMER_REAL, max(self._grace, SHORTEST_GRACE))
        message = (
            f"\nstopping: what trains gets {self._grace:g} s to finish; once more stops at once\n"
        )
        with suppress(OSError):  # nobody may be reading
            os.write(sys.stderr.fileno(), message.encode())

    def _stop_at_once(self) -> NoReturn:
        """Kill the workers and what they have started; end without unwinding or flushing."""
        assert self._signal is not None
        with suppress(OSError):  # nobody may be reading
            cursor = SHOW_CURSOR if sys.stderr.isatty() else ""
            os.write(sys.stderr.fileno(), f"{cursor}{_last_line(AT_ONCE)}\n".encode())
        for child in self._ourselves.children(recursive=True):
            with suppress(ProcessLookupError):
                leads = os.getpgid(child.pid) == child.pid
                (os.killpg if leads else os.kill)(child.pid, signal.SIGKILL)
        os._exit(128 + self._signal)

    def _lose_patience(self, number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt


def _last_line(told: str) -> str:
    arguments = (redacted(a) for a in sys.argv[1:] if a != "--fresh")
    return f"{told}. Go on: {shlex.join(['hpsearch', *arguments])}"
