"""The coordinator's view of one worker process.

Separation of concerns: `worker.py` runs in it, `resource_limits.py` holds its limits, and
`process_executor.py` assigns trials and handles exits.
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
TERM_GRACE = 0.5  # seconds between SIGTERM and SIGKILL for a worker beyond its deadline


class WorkerProcess(TrialHolder):
    """One worker process and its trials."""

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
        """Start the process.

        Args:
            environment: Its additional variables.
            shared: Arrays that it maps instead of receiving copies.
            log: The log of its output.
            arrived: Notified when a message arrives, or the process exits.
            one_at_a_time: See `TrialHolder`.
            faulty: Fault to inject, for tests.
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
            **own_group(),  # the coordinator handles Ctrl-C
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
        self.has_trained = False  # it has imported Keras and received the problem

    def record_report(self, report: Any) -> None:
        """See `TrialHolder`."""
        self.has_trained = self.has_trained or isinstance(report, Started)
        super().record_report(report)

    def start_clock(self) -> None:
        """See `TrialHolder`."""
        self.watch.start_population()

    def measure(self) -> None:
        """Measure its time and memory."""
        self.watch.measure(is_training=self.is_training)

    def explain_time_exceeded(self, limits: WorkerLimits) -> str | None:
        """Explain an exceeded time limit of the running population; None if it is met."""
        return self.watch.explain_time_exceeded(limits, self.size)

    def send(self, order: Any) -> None:
        """Send an order; a dead worker is detected when its reports are read."""
        try:
            self.channel.send_bytes(self._shared.dumps(order))
        except OSError:
            return

    def kill(self) -> None:
        """End the process and its children: SIGTERM, then SIGKILL to the group."""
        for end_group in (terminate_group, kill_group):
            try:
                end_group(self.popen.pid)
                self.popen.wait(TERM_GRACE)
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue

    def disconnect(self) -> None:
        """Close the connection, which makes the worker exit."""
        self.channel.close()

    def wait_or_kill(self, grace: float = GRACE) -> None:
        """Wait for its exit; kill it and its children after `grace` seconds."""
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
        """Read the end of its log, which may include its predecessor's."""
        return self._log.read_tail()
