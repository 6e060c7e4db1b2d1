"""A worker process: imports Keras at once, then trains what it is sent until it is told to stop.

Started as `python -m hpsearch.execution.worker FD`; the file descriptor is its end of a socket
pair. It ends with its coordinator: a thread of it waits on the socket and sees it close.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any

from ..errors import HpsearchError, UnsuitableError
from ..training.final import FinalFit, final_fit
from ..training.keras_import import import_keras
from ..training.make import make_trainer
from ..trial import TrialResult, TrialSpec
from .executor import Started
from .messages import Failure, Prune, Recall, Recalled, Setup


class Worker:
    """The coordinator's orders, taken in by a thread and carried out by the main one."""

    def __init__(self, connection: Connection) -> None:
        """Listen on `connection`."""
        self._connection = connection
        self._orders: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._recalled: set[int] = set()
        self._queued: list[int] = []  # trials that have not begun
        self._pruned: set[int] = set()
        self._lock = threading.Lock()
        self._trainer: Any = None  # there once the Setup has come

    def send(self, report: Any) -> None:
        """Tell the coordinator; both threads do."""
        with self._lock:
            self._connection.send(report)

    def listen_or_die(self) -> None:
        """Listen; a worker that is deaf would be waited for without end."""
        try:
            self.listen()
        except BaseException:
            traceback.print_exc()
            os._exit(3)

    def listen(self) -> None:
        """Take orders in until the coordinator is gone; a dead coordinator ends the process."""
        while True:
            try:
                order = self._connection.recv()
            except (EOFError, OSError):
                os._exit(1)
            match order:
                case Prune(trial):
                    self._pruned.add(trial)
                case Recall():
                    with self._lock:
                        self._recalled.update(self._queued)
                        numbers, self._queued = tuple(self._queued), []
                    self.send(Recalled(numbers))
                case TrialSpec():
                    with self._lock:
                        self._queued.append(order.number)
                    self._recalled.discard(order.number)
                    self._orders.put(order)
                    if self._trainer is not None:
                        self._trainer.prepare(order)
                case _:
                    self._orders.put(order)

    def work(self) -> None:
        """Carry orders out; None ends it."""
        while (order := self._orders.get()) is not None:
            try:
                self._carry_out(order)
            except UnsuitableError as error:
                self.send(Failure(str(error), "unsuitable"))
            except HpsearchError as error:
                self.send(Failure(str(error), "mistake"))
            except Exception:
                self.send(Failure(traceback.format_exc(), "bug"))

    def _carry_out(self, order: Setup | FinalFit | TrialSpec) -> None:
        match order:
            case Setup():
                self._setup = order
                self._trainer = make_trainer(order.trainer, order.problem)
            case FinalFit():
                trainer = make_trainer(self._setup.trainer, order.problem)
                self.send(final_fit(trainer, order))
            case TrialSpec():
                self._train(order)

    def _train(self, trial: TrialSpec) -> None:
        with self._lock:
            if trial.number in self._recalled:
                return
            self._queued.remove(trial.number)
        self.send(Started(trial.number))
        reports = self._trainer.train([trial])
        answer: bool | None = None
        try:
            while True:
                report = reports.send(answer)
                self.send(report)
                if isinstance(report, TrialResult):
                    return
                answer = trial.number in self._pruned
        finally:
            reports.close()


def main() -> None:
    """Serve the coordinator at the other end of the file descriptor."""
    worker = Worker(Connection(int(sys.argv[1])))
    threading.Thread(target=worker.listen_or_die, daemon=True).start()
    import_keras()  # seconds: while the coordinator reads the data
    worker.work()
    os._exit(0)  # JAX's and TensorFlow's threads have nothing left to say


if __name__ == "__main__":
    main()
