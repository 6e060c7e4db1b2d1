"""One worker process, as its coordinator sees it.

Separation of concerns: `worker.py` runs in it, `resource_limits.py` says what it may use, and
`process_executor.py` decides which worker gets which trial and what happens to those of a dead one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from .. import fault_injection
from ..platforms.processes import GroupWatcher, kill_group, new_mark, own_group, terminate_group
from .channel import WorkerChannel
from .executor import Started
from .resource_limits import ResourceUsage, WorkerLimits
from .shared_arrays import SharedArrays
from .trial_holder import TrialHolder
from .worker_log import DRAIN_SECONDS, WorkerLog

GRACE = 2.0  # seconds between asking a worker to end and killing it
TERM_GRACE = 0.5  # seconds between SIGTERM and SIGKILL for one beyond its deadline


class WorkerProcess(TrialHolder):
    """One worker process and the trials it holds."""

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
            one_at_a_time: See `TrialHolder`.
            faulty: What is to break in it, for tests.
        """
        super().__init__(one_at_a_time=one_at_a_time)
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
        self.watch = ResourceUsage(self.popen.pid)
        self.has_trained = False  # it has imported Keras and knew the problem

    def record_report(self, report: Any) -> None:
        """See `TrialHolder`."""
        self.has_trained = self.has_trained or isinstance(report, Started)
        super().record_report(report)

    def start_clock(self) -> None:
        """See `TrialHolder`."""
        self.watch.start_population()

    def measure(self) -> None:
        """Take the measure of its time and memory."""
        self.watch.measure(is_training=self.is_training)

    def explain_time_exceeded(self, limits: WorkerLimits) -> str | None:
        """Why its running population has to end; None where it may go on."""
        return self.watch.explain_time_exceeded(limits, self.size)

    def send(self, order: Any) -> None:
        """Give an order; a dead worker is noticed when its reports are read."""
        try:
            self.channel.send_bytes(self._shared.dumps(order))
        except OSError:
            return

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
        """Close the connection, upon which it exits."""
        self.channel.close()

    def wait_or_kill(self, grace: float = GRACE) -> None:
        """Wait for its exit, and kill it with all it started after `grace` seconds."""
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
