"""One worker process and the trials it holds, as its coordinator sees them.

Separation of concerns: `worker.py` is what runs in it, `limits.py` what it may use; which worker
gets which trial, and what becomes of a dead one's, is decided in `processes.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from .. import fault_injection
from ..platforms.processes import GroupWatcher, kill_group, new_mark, own_group, terminate_group
from ..trial import EpochReport, FoldReport, TrialResult, TrialSpec
from .channel import WorkerChannel
from .executor import Started
from .messages import Population, Prune, Resume
from .resource_limits import ResourceUsage, WorkerLimits
from .shared_arrays import SharedArrays
from .worker_log import DRAIN_SECONDS, WorkerLog

GRACE = 2.0  # seconds between asking a worker to end and killing it
TERM_GRACE = 0.5  # seconds between SIGTERM and SIGKILL for one beyond its deadline


class WorkerProcess:
    """One worker and the trials it holds, the running one first."""

    def __init__(
        self,
        environment: Mapping[str, str],
        shared: SharedArrays,
        log: WorkerLog,
        arrived: threading.Condition,
        *,
        one_at_a_time: bool,
        faulty: str | None,
    ) -> None:
        """Start it.

        Args:
            environment: Variables of its own.
            shared: The arrays that it maps instead of being sent them.
            log: What it prints is added here.
            arrived: Notified when it has said something, or has ended.
            one_at_a_time: Let it prepare nothing while it trains: its predecessor ran out of
                memory, and the next time it shall be known whose doing it was.
            faulty: What is to break in it, for tests.
        """
        mark = new_mark()
        environment = {**os.environ, **environment, **mark, fault_injection.VARIABLE: faulty or ""}
        environment.pop("MLFLOW_RUN_ID", None)
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "hpsearch.execution.worker", str(shared.path)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **own_group(),  # Ctrl-C is the coordinator's to handle
        )
        assert self.popen.stdout is not None
        assert self.popen.stdin is not None
        assert self.popen.stderr is not None
        self._watcher = GroupWatcher(self.popen.pid, mark, file=shared.path)
        self._log_reader = log.read_from(self.popen.stderr)
        self.channel = WorkerChannel(self.popen.stdout, self.popen.stdin, arrived)
        self._shared = shared
        self._log = log
        self.log = log.path
        self.populations: deque[tuple[TrialSpec, ...]] = deque()
        self.watch = ResourceUsage(self.popen.pid)
        self.one_at_a_time = one_at_a_time
        self.has_trained = False  # it has imported Keras and knew the problem
        self._size = 0  # of the running population, when it began
        self._training = 0  # trials of the running population that have no result
        self._held: set[int] = set()  # those of them that wait for a verdict

    def record_report(self, report: Any) -> None:
        """Take in what a report says of what the worker does."""
        self.has_trained = self.has_trained or isinstance(report, Started)
        match report:
            case Started(number) if number == self.populations[0][0].number:
                self.watch.start_population()
                self._training = self._size = len(self.populations[0])
            case EpochReport() | FoldReport() if report.epoch + 1 in self._rungs_of(report.trial):
                self._held.add(report.trial)
            case TrialResult():
                self._training -= 1
                self._held.discard(report.number)
                self.forget_trials({report.number})
                if self.one_at_a_time and not self._training and self.populations:
                    self.send(Population(self.populations[0]))

    def _rungs_of(self, number: int) -> tuple[int, ...]:
        return next((t.rungs for t in self.trials if t.number == number), ())

    def send_verdict(self, verdict: Prune | Resume) -> None:
        """Send a verdict on a trial."""
        self._held.discard(verdict.trial)
        self.send(verdict)

    @property
    def is_busy(self) -> bool:
        """Whether it trains a population, or waits for a verdict on it."""
        return self._training > 0

    def measure(self) -> None:
        """Take the measure of its time and memory."""
        self.watch.measure(is_training=self._training > len(self._held))

    def explain_time_exceeded(self, limits: WorkerLimits) -> str | None:
        """Why its running population has to end; None where it may go on."""
        return self.watch.explain_time_exceeded(limits, self._size)

    @property
    def runs_single_trial(self) -> bool:
        """Whether all that happens in the worker is a single trial's doing."""
        return self._size == 1 and (self.one_at_a_time or len(self.populations) == 1)

    def send(self, order: Any) -> None:
        """Give an order; a dead worker is noticed when its reports are read."""
        try:
            self.channel.send_bytes(self._shared.dumps(order))
        except OSError:
            return

    @property
    def trials(self) -> list[TrialSpec]:
        """Those that train and those that wait."""
        return [trial for population in self.populations for trial in population]

    def enqueue(self, trials: tuple[TrialSpec, ...]) -> None:
        """Train these together after what was given before."""
        self.populations.append(trials)
        if not self.one_at_a_time or len(self.populations) == 1:
            self.send(Population(trials))

    @property
    def unsent_trials(self) -> list[TrialSpec]:
        """The trials that it has not been told of."""
        later = list(self.populations)[1:] if self.one_at_a_time else []
        return [trial for population in later for trial in population]

    def forget_trials(self, numbers: set[int]) -> None:
        """Hold these trials no more."""
        left = (tuple(t for t in p if t.number not in numbers) for p in self.populations)
        self.populations = deque(population for population in left if population)

    def kill(self) -> None:
        """End it and what it has started: SIGTERM, then SIGKILL to the group."""
        for end_group in (terminate_group, kill_group):
            try:
                end_group(self.popen.pid)
                self.popen.wait(TERM_GRACE)
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue

    def disconnect(self) -> None:
        """Let it end by itself: it sees that its coordinator is gone."""
        self.channel.close()

    def wait_or_kill(self, grace: float = GRACE) -> None:
        """See to it that it has ended, with all it started, at the latest in `grace` seconds."""
        self.disconnect()
        try:
            self.popen.wait(grace)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                kill_group(self.popen.pid)
            self.popen.wait()
        self._watcher.end_group()
        self._log_reader.join(DRAIN_SECONDS)

    def log_tail(self) -> str:
        """The end of what it, or one before it, has printed."""
        return self._log.read_tail()
