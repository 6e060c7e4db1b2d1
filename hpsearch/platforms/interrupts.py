"""Stop signals, and an alarm that interrupts the main thread.

Windows has Ctrl-C and Ctrl-Break, which also signals a closed console and a logoff; it has no
interval timer.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

if sys.platform == "win32":
    STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGBREAK)
    ALARM = signal.SIGABRT  # only raised by `interrupt_main`
else:
    STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ALARM = signal.SIGALRM

Handler = Callable[[int, FrameType | None], object] | signal.Handlers


def handle_stop_signals(handler: Handler) -> dict[int, object]:
    """Install a handler of the stop signals; returns the previous handlers.

    Ignored signals stay ignored: `nohup` ignores SIGHUP.
    """
    before: dict[int, object] = {}
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, handler)
    return before


def restore_handlers(before: dict[int, object]) -> None:
    """Undo `handle_stop_signals`."""
    for number, handler in before.items():
        signal.signal(number, handler)  # type: ignore[arg-type]


class Alarm:
    """Raises KeyboardInterrupt in the main thread after some seconds; create it there."""

    def __init__(self) -> None:
        """Create an alarm that is not scheduled."""
        self._timer: threading.Timer | None = None
        self._before = signal.signal(ALARM, _interrupt)

    def schedule(self, seconds: float) -> None:
        """Trigger once, after this many seconds."""
        if sys.platform != "win32":
            signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))  # a timer of 0 would be off
        else:
            self._timer = threading.Timer(seconds, _thread.interrupt_main, (ALARM,))
            self._timer.daemon = True
            self._timer.start()

    def close(self) -> None:
        """Cancel the alarm."""
        if sys.platform != "win32":
            signal.setitimer(signal.ITIMER_REAL, 0)
        elif self._timer is not None:
            self._timer.cancel()
        signal.signal(ALARM, self._before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
