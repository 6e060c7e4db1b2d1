"""The Ray actor that runs the same worker as a worker process does.

Orders arrive as calls of the actor; reports are returned by a call that waits for them.
"""

from __future__ import annotations

import os
import queue
import tempfile
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray  # this module requires Ray

from ..platforms.processes import GroupWatcher, new_mark
from ..training.final_model import FinalFitRequest, LockedPredictionRequest, LockedPredictionResult
from ..training.keras_import import ignore_clear_session, import_keras
from ..trial import TrialResult
from .messages import Failure, MemoryExceeded, Ready, ReplaceMe
from .resource_limits import ResourceUsage, WorkerLimits
from .worker import Worker
from .worker_log import RedactedOutput

CHECK_SECONDS = 0.2  # seconds between checks of its memory
GRACE = 10.0  # seconds for the coordinator to end it


class QueueConnection:
    """The worker's end of the connection: two queues that connect it with the actor's calls."""

    def __init__(self, limits: WorkerLimits) -> None:
        """Create empty queues."""
        self._limits, self._watch = limits, ResourceUsage(os.getpid())
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self.orders: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.reports: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def recv(self) -> Any:
        """Wait for the next order."""
        return self.orders.get()

    def make_scratch(self) -> Path:
        """Create a folder, removed at the next answer: a killed actor could not remove it."""
        self._scratch = tempfile.TemporaryDirectory(prefix="hpsearch-final-")
        return Path(self._scratch.name)

    def remove_scratch(self) -> None:
        """Remove the folder, if there is one."""
        if self._scratch is not None:
            self._scratch.cleanup()

    def send(self, report: Any) -> None:
        """Send a report; after a result, also whether the process has grown too large."""
        if isinstance(report, LockedPredictionResult | Failure):
            self.remove_scratch()
        self.reports.put(report)
        if isinstance(report, TrialResult) and self._watch.has_grown_too_large(self._limits):
            self.reports.put(ReplaceMe())


class RayWorker:
    """The actor. `reports` has its own thread; other calls are executed in order."""

    def __init__(self, limits: WorkerLimits) -> None:
        """Start to import Keras; trials may be sent in the meantime."""
        self._limits = limits
        self._output = RedactedOutput()  # Ray keeps the output in its own logs
        mark = new_mark()
        os.environ.update(mark)  # inherited by processes that user code starts
        self._watcher = GroupWatcher(None, mark)  # Ray ends only this process
        self._line = QueueConnection(limits)
        self._worker = Worker(self._line)
        self._model = Path()  # left by the final fit
        for work in (self._worker.listen_or_die, self._work_or_die, self._watch_memory):
            threading.Thread(target=work, daemon=True).start()

    def _work_or_die(self) -> None:
        try:
            import_keras()
            ignore_clear_session()
            self._line.send(Ready(ray.util.get_node_ip_address(), os.getpid()))
            self._worker.run_orders()
        except BaseException:
            traceback.print_exc()
            self._output.close()
            os._exit(3)  # otherwise the coordinator would wait forever

    def _watch_memory(self) -> None:
        """Report exceeded memory; then the coordinator ends this process, or it exits itself."""
        watch = ResourceUsage(os.getpid())
        while (reason := watch.explain_memory_exceeded(self._limits)) is None:
            time.sleep(CHECK_SECONDS)
            watch.measure(is_training=False)
        self._line.send(MemoryExceeded(reason))
        time.sleep(GRACE)
        self._output.close()
        os._exit(4)

    def order(self, order: Any) -> None:
        """Accept one of `messages`; the model of a final fit is kept until it is fetched."""
        if isinstance(order, FinalFitRequest | LockedPredictionRequest):
            self._model = self._line.make_scratch() / order.path.name
            order = replace(order, path=self._model)
        self._line.orders.put(order)

    @ray.method(concurrency_group="reports")  # type: ignore[untyped-decorator]
    def reports(self) -> list[Any]:
        """Return the reports since the last call; waits for at least one."""
        reports = [self._line.reports.get()]
        while not self._line.reports.empty():
            reports.append(self._line.reports.get())
        return reports

    def model(self) -> bytes:
        """Return the file written by the final fit."""
        content = self._model.read_bytes()
        self._line.remove_scratch()
        return content
