"""Send a study's journal to MLflow in the background while the study runs.

A daemon thread sends new events every few seconds, and retries with growing pauses while the store
is unreachable. The study's loop never waits for it: unsent events stay in the journal for the next
`tune` or `sync`.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Self

from ..errors import HpsearchError
from .refusals import LOGIN_EXPIRED, http_status
from .sender import FilesAwayError, Sender
from .store import limited_requests, uri_option

logger = logging.getLogger("hpsearch.tracking")

MAX_PAUSE = 60.0  # seconds between retries, at most
MIN_PAUSE = 0.01  # seconds between two reads of the journal, at least
PATIENT = 30.0  # seconds to wait for the last events at the end
AWAY = 3.0  # the same if the last attempt failed
IMPATIENT = 0.5  # the same if the study is stopped immediately


class Uploader:
    """Sends a journal from a background thread.

    Examples:
        with Uploader(journal, uri) as uploader:
            uploader.wait_open(30)  # a wrong URI raises here, before anything is trained
            ...
            uploader.flush(30)
            uploader.run_id(12)
    """

    def __init__(
        self,
        journal: Path,
        uri: str,
        *,
        artifacts: str | None = None,
        interval: float = 5.0,
        first_pause: float = 1.0,
    ) -> None:
        """Lock the sending of the journal; nothing is sent before `start`.

        Args:
            journal: The study's journal. It need not exist yet.
            uri: An MLflow tracking URI.
            artifacts: Where a new experiment keeps its files (`store.artifact_location`).
            interval: Seconds between two transmissions, so that small trials share one.
            first_pause: Seconds before the first retry; doubled for each further one.

        Raises:
            TrackingError: If another process is sending this journal.
        """
        journal.parent.mkdir(parents=True, exist_ok=True)
        self._sender = Sender(journal, uri, artifacts, needs_files=True)
        self._interval = interval
        self._first_pause = first_pause
        self._thread = threading.Thread(target=self._run, name="hpsearch-uploader", daemon=True)
        self._changed = threading.Condition()
        self._news = False  # the journal grew
        self._hurry = 0  # number of waiting callers of flush and close
        self._ending = False  # close was called
        self._abandoned = False  # close gave up waiting
        self._reached = False  # the store has answered
        self._opening = False  # wait_open raises problems to its caller
        self._problem: HpsearchError | None = None  # of the last attempt
        self._failures = 0  # number of failed attempts
        self._delay = 0.0  # seconds that the server asked to wait after the last attempt

    def start(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def wake(self) -> None:
        """Notify the thread that the journal grew; returns immediately."""
        with self._changed:
            self._news = True
            self._changed.notify_all()

    def wait_open(self, timeout: float) -> bool:
        """Wait until the store has answered; return False after `timeout` seconds.

        Raises:
            TrackingError: If the first attempt failed; the thread keeps retrying.
            JournalError: If the journal is damaged.
        """
        with self._changed:
            self._opening = True
            self._changed.wait_for(lambda: self._reached or self._problem is not None, timeout)
            self._opening = False
            if self._reached:
                return True
            if self._problem is not None:
                raise self._problem
            return False

    def flush(self, timeout: float, *, tries: int | None = None) -> bool:
        """Wait until the store has the whole journal; return False after `timeout` seconds.

        It also returns False if the store is unreachable; nothing is lost, and the thread keeps
        retrying. With `tries`, waiting ends after this many failures.
        """
        target = self._journal_size()
        with self._changed:
            last = None if tries is None else self._failures + tries
            self._hurry += 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(
                    lambda: (
                        self._sender.acknowledged_bytes >= target
                        or not self._thread.is_alive()
                        or (last is not None and self._failures >= last)
                    ),
                    timeout,
                )
            finally:
                self._hurry -= 1
            return self._sender.acknowledged_bytes >= target

    def close(self, timeout: float = PATIENT) -> bool:
        """Send the rest, end open runs and stop; return whether everything was acknowledged."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        if self._thread.ident is None:
            self._sender.close()
        else:
            self._thread.join(timeout)
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()
        return self.pending == 0 and not self._thread.is_alive()

    @property
    def pending(self) -> int:
        """Bytes of the journal that the store has not acknowledged."""
        return max(0, self._journal_size() - self._sender.acknowledged_bytes)

    @property
    def problem(self) -> HpsearchError | None:
        """The error of the last attempt; None if it succeeded."""
        return self._problem

    @property
    def refusals(self) -> tuple[str, ...]:
        """Permanent refusals of the store, one line each."""
        return tuple(self._sender.problems)

    @property
    def experiment_id(self) -> str | None:
        """The study's experiment; None before the store has answered."""
        projection = self._sender.projection
        return projection.experiment_id if projection else None

    @property
    def parent_run_id(self) -> str | None:
        """The study's run; None before the store has answered."""
        projection = self._sender.projection
        return projection.parent if projection else None

    def run_id(self, trial: int) -> str | None:
        """Return the run id of a trial's last attempt; None if it is not sent yet. Flush first."""
        projection = self._sender.projection
        return projection.run_id(trial) if projection else None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._ending:
            return
        refused = self._problem is not None and not self._reached  # reported by `wait_open`
        if kind is KeyboardInterrupt or refused:  # an immediate stop does not wait for the server
            self.close(IMPATIENT)
        elif not self.close(PATIENT if self._problem is None else AWAY):
            study, root = self._sender.journal.parent.name, self._sender.journal.parents[3]
            logger.warning(
                "MLflow has not taken all of it yet; later: hpsearch sync %s%s",
                study,
                uri_option(self._sender.uri, root),
            )

    # -- the thread -------------------------------------------------------------------------

    def _run(self) -> None:
        pause = self._first_pause
        try:
            with limited_requests(self._sender.uri):
                while not self._abandoned:
                    ending = self._ending
                    if self._try_once(ending):
                        pause = self._first_pause
                        if ending:
                            return
                        self._wait_for_news()
                    else:
                        self._wait(pause)
                        pause = min(2 * pause, MAX_PAUSE)
        finally:
            self._sender.close()
            with self._changed:
                self._changed.notify_all()

    def _try_once(self, ending: bool) -> bool:
        """Send the new events; return whether that succeeded."""
        problem: HpsearchError | None = None
        status: int | None = None
        delay: float | None = None
        try:
            if self._sender.projection is not None or self._sender.open_study():
                self._mark_open()
                self._send(ending)
        except Exception as error:  # every backend raises its own kind
            problem, status = self._sender.describe(error), http_status(error)
            delay = self._sender.read_delay(error)
        with self._changed:
            if problem is not None and self._problem is None and not self._opening:
                self._warn(problem, status, delay)
            self._problem, self._delay = problem, delay or 0.0
            self._failures += problem is not None
            self._reached = self._reached or problem is None
            self._changed.notify_all()
        return problem is None

    def _warn(self, problem: HpsearchError, status: int | None, delay: float | None) -> None:
        if status in LOGIN_EXPIRED:
            study, root = self._sender.journal.parent.name, self._sender.journal.parents[3]
            logger.warning(
                "%s The study goes on, and its journal keeps everything. Renew the login; the rest "
                "is sent then, or later by: hpsearch sync %s%s",
                problem,
                study,
                uri_option(self._sender.uri, root),
            )
        elif delay:
            logger.warning("%s Continued in %.0f s.", problem, delay)
        else:
            logger.warning("MLflow does not answer, trying again: %s", problem)

    def _send(self, ending: bool) -> None:
        try:
            self._sender.send()
        except FilesAwayError:
            if not ending:  # at the end, open runs are ended nevertheless
                raise
        self._sender.send_system_metrics()
        if ending:
            if self._sender.is_finished:
                self._sender.repair_runs()
            self._sender.park_runs()

    def _mark_open(self) -> None:
        with self._changed:
            self._reached = True
            self._changed.notify_all()

    def _wait_for_news(self) -> None:
        """Wait for new events, at least for the interval."""
        end = time.monotonic() + self._interval
        with self._changed:
            self._changed.wait_for(lambda: self._news or self._is_urgent())
            self._news = False
            self._changed.wait_for(self._is_urgent, max(0.0, end - time.monotonic()))
            if not self._ending:
                self._changed.wait(MIN_PAUSE)  # a line may be incomplete

    def _wait(self, seconds: float) -> None:
        """Wait before a retry: as long as the server asks to; shorter if a caller waits for it."""
        with self._changed:
            urgent = self._is_urgent()
            limit = min(seconds, self._first_pause) if urgent else seconds
            self._changed.wait_for(lambda: self._abandoned, self._delay)
            self._changed.wait_for(
                lambda: self._abandoned or (self._is_urgent() and not urgent),
                0.0 if self._delay else limit,
            )

    def _is_urgent(self) -> bool:
        return bool(self._ending or self._abandoned or (self._hurry and self.pending))

    def _journal_size(self) -> int:
        try:
            return self._sender.journal.stat().st_size
        except FileNotFoundError:
            return 0
