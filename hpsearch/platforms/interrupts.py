"""Signals that ask a process to end, and an alarm that interrupts its main thread.

Windows has Ctrl-C and Ctrl-Break, which also stands for a closed console and a user who logs off;
it has no timer that interrupts a process.
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
    ALARM = signal.SIGABRT  # raised by `interrupt_main` alone
else:
    STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ALARM = signal.SIGALRM

Handler = Callable[[int, FrameType | None], object] | signal.Handlers


def handle_stop_signals(handler: Handler) -> dict[int, object]:
    """Install a handler of the signals that ask for an end; what was installed before.

    One that is ignored stays ignored: `nohup` ignores a closed terminal.
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
    """Raises KeyboardInterrupt in the main thread after some seconds. Made in the main thread."""

    def __init__(self) -> None:
        """Nothing is set."""
        self._timer: threading.Timer | None = None
        self._before = signal.signal(ALARM, _interrupt)

    def schedule(self, seconds: float) -> None:
        """Ring once, after this many seconds."""
        if sys.platform != "win32":
            signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))  # a timer of 0 never rings
        else:
            self._timer = threading.Timer(seconds, _thread.interrupt_main, (ALARM,))
            self._timer.daemon = True
            self._timer.start()

    def close(self) -> None:
        """Ring no more."""
        if sys.platform != "win32":
            signal.setitimer(signal.ITIMER_REAL, 0)
        elif self._timer is not None:
            self._timer.cancel()
        signal.signal(ALARM, self._before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
