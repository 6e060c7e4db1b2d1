"""Ctrl-C and SIGTERM: the first asks a study to stop, the second stops it at once.

Either way nothing is lost, and what is printed last is the command that goes on.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from types import FrameType, TracebackType
from typing import Any, Self

import click

from ..study.result import StudyStopped

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Listens for the two signals while it is entered."""

    def __init__(self) -> None:
        """Nothing has been asked yet."""
        self._signal: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def requested(self) -> bool:
        """Whether somebody asked to stop."""
        return self._signal is not None

    def __enter__(self) -> Self:
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if isinstance(error, StudyStopped | KeyboardInterrupt) and self._signal is not None:
            command = shlex.join(["hpsearch", *(a for a in sys.argv[1:] if a != "--fresh")])
            click.echo(f"{error or 'stopped at once; nothing is lost'}. Go on: {command}", err=True)
            raise SystemExit(128 + self._signal)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            raise KeyboardInterrupt
        self._signal = number
        message = "\nstopping: the running trial may finish; once more stops at once\n"
        os.write(sys.stderr.fileno(), message.encode())
