"""A study in a process of its own, so that the protocol is answered while it trains.

The process stops when the server asks it to, and when the server has died: both end its pipe.
"""

from __future__ import annotations

import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Literal

from ..errors import HpsearchError
from ..platforms.interrupts import Alarm
from ..redaction import MAX_TRACEBACK_LENGTH, redact, shorten
from ..spec.study_file import StudyFile
from ..study.result import StudyStopped
from ..study.tune import tune

GRACE = 60.0  # seconds for running trials, or the final fit, to finish
EXIT_SECONDS = 15.0  # seconds for the process to exit after that


@dataclass(frozen=True, slots=True)
class StudyOrder:
    """The study that a process runs."""

    file: StudyFile  # as it was checked
    tracking_uri: str | None
    seconds: float  # wall clock of the search


@dataclass(frozen=True, slots=True)
class StudyOutcome:
    """The end of a run."""

    state: Literal["finished", "stopped", "failed"]
    message: str = ""


class StopWatch:
    """Tells the search to stop once the server asks for it; interrupts what takes too long."""

    def __init__(self, pipe: Connection, seconds: float) -> None:
        """Watch `pipe`; interrupt the run `GRACE` seconds after `seconds`."""
        self._pipe = pipe
        self._alarm = Alarm()
        self._alarm.schedule(seconds + GRACE)
        self._is_requested = False

    def is_requested(self) -> bool:
        """Whether the server asked to stop, or has died."""
        if not self._is_requested and self._pipe.poll():
            self._is_requested = True
            self._alarm.schedule(GRACE)
        return self._is_requested

    def close(self) -> None:
        """Cancel the interrupt."""
        self._alarm.close()


def run_study(order: StudyOrder, pipe: Connection) -> None:
    """Run or continue a study; the body of the process."""
    watch = StopWatch(pipe, order.seconds)
    try:
        tune(order.file, tracking_uri=order.tracking_uri, stop_requested=watch.is_requested)
        outcome = StudyOutcome("finished")
    except (StudyStopped, KeyboardInterrupt):
        outcome = StudyOutcome("stopped")
    except HpsearchError as error:
        outcome = StudyOutcome("failed", str(error))
    except Exception:  # a bug: its traceback is for stderr, not for the client
        text = shorten(traceback.format_exc(), MAX_TRACEBACK_LENGTH)
        print(redact(text), file=sys.stderr)
        outcome = StudyOutcome("failed", "hpsearch failed; its traceback is on the server's stderr")
    watch.close()
    with suppress(OSError):  # the server has died
        pipe.send(outcome)


class StudyProcess:
    """A process that runs a study."""

    def __init__(self, order: StudyOrder) -> None:
        """Start the process."""
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=run_study, args=(order, theirs))
        self._process.start()
        theirs.close()
        self._outcome: StudyOutcome | None = None

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.is_alive()

    def await_exit(self) -> None:
        """Wait for the process to exit, once its study has ended."""
        self._process.join(EXIT_SECONDS)

    def stop(self) -> StudyOutcome:
        """Let running trials finish, for at most `GRACE` seconds; nothing is lost in any case."""
        with suppress(OSError):
            self._pipe.send("stop")
        self._process.join(GRACE + EXIT_SECONDS)
        for end in (self._process.terminate, self._process.kill):
            if self._process.is_alive():
                end()
                self._process.join(EXIT_SECONDS)
        return self.outcome()

    def outcome(self) -> StudyOutcome:
        """Return the outcome of the process, which has ended."""
        if self._outcome is None:
            self._outcome = StudyOutcome("stopped")
            with suppress(EOFError, OSError):
                if self._pipe.poll():
                    self._outcome = self._pipe.recv()
                elif self._process.exitcode:
                    code = self._process.exitcode
                    self._outcome = StudyOutcome("failed", f"its process exited with code {code}")
            self._pipe.close()
        return self._outcome
