"""A worker process: imports Keras at once, then trains the trials that it receives.

Started as `python -m hpsearch.execution.worker ROWS`: it reads orders from standard input and
writes reports to standard output; ROWS is the file of the shared arrays. It ends with its
coordinator: a thread reads the input and detects that it closes.
"""

from __future__ import annotations

import gc
import os
import queue
import sys
import threading
import traceback
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import fault_injection
from ..errors import DeviceLostError, HpsearchError, UnsuitableError
from ..platforms import shared_file
from ..redaction import MAX_TRACEBACK_LENGTH, redact, shorten
from ..training.final_model import (
    FinalFitRequest,
    LockedPredictionRequest,
    fit_final_model,
    predict_locked_rows,
)
from ..training.keras_import import ignore_clear_session, import_keras
from ..training.problem import Problem
from ..training.trainer import Trainer
from ..training.trainer_factory import make_trainer
from ..trial import TrialResult, TrialSpec
from .channel import standard_channel
from .executor import Started
from .messages import (
    DEVICE_LOST_EXIT_CODE,
    Connection,
    Failure,
    InspectionRequest,
    Pause,
    Population,
    Prune,
    Recall,
    Recalled,
    Resume,
    Setup,
    Unpause,
)

if TYPE_CHECKING:
    from ..training.model_inspection import ModelInspection


class Worker:
    """Receives the coordinator's orders in a thread and executes them in the main thread."""

    def __init__(self, connection: Connection, rows: Path | None = None) -> None:
        """Listen on `connection`; remove the file `rows` when the coordinator exits."""
        self._connection = connection
        self._rows = rows
        self._orders: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._verdicts = threading.Condition()  # guards the next three fields
        self._pruned: set[int] = set()
        self._resumed: set[int] = set()
        self._is_paused = False
        self._lock = threading.Lock()
        self._trainer: Trainer | None = None  # of the last Setup that was executed
        self._preparing = threading.Lock()  # guards the next field
        # Of each Setup that has arrived but was not executed: the populations that follow it.
        self._unprepared: deque[list[Population]] = deque()

    def send(self, report: Any) -> None:
        """Send to the coordinator; called from both threads."""
        with self._lock:
            self._connection.send(report)

    def listen_or_die(self) -> None:
        """Listen; exit on an error, since the coordinator would wait forever."""
        try:
            self.listen()
        except BaseException:
            traceback.print_exc()
            os._exit(3)

    def listen(self) -> None:
        """Receive orders until the coordinator exits, which ends this process."""
        while True:
            try:
                order = self._connection.recv()
            except (EOFError, OSError):
                if self._rows is not None:
                    shared_file.remove(self._rows)
                os._exit(1)
            match order:
                case Prune(trial):
                    self._set_verdict(trial, self._pruned)
                case Resume(trial):
                    self._set_verdict(trial, self._resumed)
                case Pause() | Unpause():
                    with self._verdicts:
                        self._is_paused = isinstance(order, Pause)
                        self._verdicts.notify()
                case Recall():
                    self.send(Recalled(self._drain_queue()))
                case Population():
                    with self._verdicts:  # verdicts on an earlier attempt are void
                        self._pruned.difference_update(t.number for t in order.trials)
                    self._prepare(order)
                    self._orders.put(order)
                case _:
                    if isinstance(order, Setup):
                        with self._preparing:
                            self._unprepared.append([])
                    self._orders.put(order)

    def _prepare(self, order: Population) -> None:
        """Prepare trials, now or as soon as their trainer exists."""
        with self._preparing:
            if self._unprepared:
                self._unprepared[-1].append(order)
                return
        assert self._trainer is not None
        self._trainer.prepare(order.trials)

    def _set_up(self, order: Setup) -> None:
        """Make the trainer, and prepare the trials that have arrived meanwhile."""
        self._setup = order
        try:
            self._trainer = self._make_trainer(order.problem)
        finally:
            with self._preparing:
                waiting = self._unprepared.popleft()
        for population in waiting:
            self._trainer.prepare(population.trials)

    def _drain_queue(self) -> tuple[int, ...]:
        """Empty the queue of trials; returns their numbers."""
        with self._preparing:
            self._unprepared = deque([] for _ in self._unprepared)
        waiting = []
        with suppress(queue.Empty):
            while True:
                waiting.append(self._orders.get_nowait())
        populations = [order for order in waiting if isinstance(order, Population)]
        for order in waiting:
            if not isinstance(order, Population):
                self._orders.put(order)
        return tuple(trial.number for order in populations for trial in order.trials)

    def _set_verdict(self, trial: int, verdict: set[int]) -> None:
        with self._verdicts:
            verdict.add(trial)
            self._verdicts.notify()

    def run_orders(self) -> None:
        """Execute orders; None ends the loop."""
        while (order := self._orders.get()) is not None:
            try:
                self._run_order(order)
            except DeviceLostError as error:  # a successor may find the device again
                print(error, file=sys.stderr, flush=True)
                os._exit(DEVICE_LOST_EXIT_CODE)
            except UnsuitableError as error:
                self.send(Failure(str(error), "unsuitable"))
            except HpsearchError as error:
                self.send(Failure(str(error), "mistake"))
            except OSError as error:  # a full disk during the final fit
                self.send(Failure(f"{error.filename or 'a file'}: {error.strerror}", "mistake"))
            except Exception:
                trace = shorten(traceback.format_exc(), MAX_TRACEBACK_LENGTH)
                self.send(Failure(redact(trace), "bug"))

    def _run_order(
        self,
        order: Setup | FinalFitRequest | LockedPredictionRequest | Population | InspectionRequest,
    ) -> None:
        match order:
            case InspectionRequest():
                self.send(_inspect(order))
            case Setup():
                self._set_up(order)
            case FinalFitRequest():
                self.send(fit_final_model(self._make_trainer(order.problem), order))
            case LockedPredictionRequest():
                self.send(predict_locked_rows(order))
            case Population(trials):
                self._train(trials)

    def _make_trainer(self, problem: Problem) -> Trainer:
        """Make a trainer, which has the compiled programs of the previous one."""
        return make_trainer(self._setup.trainer, problem, earlier=self._trainer)

    def _train(self, trials: Sequence[TrialSpec]) -> None:
        assert self._trainer is not None
        self._wait_for_verdicts(set())
        self.send([Started(trial.number) for trial in trials])
        rungs = {t.number: t.rungs for t in trials}
        reports = self._trainer.train(trials)
        answer: set[int] | None = None
        try:
            while True:
                messages = reports.send(answer)
                answer = set()
                if isinstance(messages, TrialResult):
                    self.send(messages)
                    continue
                self.send(messages)  # an epoch of all of them at once
                for _ in messages:
                    fault_injection.fault_point("after_epoch")
                answer = self._wait_for_verdicts(
                    {r.trial for r in messages if r.epoch + 1 in rungs[r.trial]}
                )
        except StopIteration:
            return
        finally:
            reports.close()

    def _wait_for_verdicts(self, held: set[int]) -> set[int]:
        """Wait until each of the `held` trials is pruned or resumed; returns those to stop.

        Also waits for the end of a pause.
        """
        with self._verdicts:
            self._verdicts.wait_for(
                lambda: not self._is_paused and held <= self._pruned | self._resumed
            )
            self._resumed -= held
            return set(self._pruned)


def _inspect(order: InspectionRequest) -> ModelInspection:
    """Inspect the model that this worker is going to train."""
    from ..training.model_inspection import inspect_model
    from ..training.vectorized.session import start_session

    start_session()  # JAX uses its cache of programs only if it is set before the first is compiled
    return inspect_model(order.problem, order.points, order.losses)


def main() -> None:
    """Serve the coordinator at the other end of standard input and output."""
    worker = Worker(standard_channel(), Path(sys.argv[1]))
    threading.Thread(target=worker.listen_or_die, daemon=True).start()
    import_keras()  # takes seconds, while the coordinator reads the data
    ignore_clear_session()
    gc.freeze()  # the garbage collector need not look at the libraries' objects again and again
    worker.run_orders()
    os._exit(0)  # does not wait for JAX's and TensorFlow's threads


if __name__ == "__main__":
    main()
