"""The executor of worker processes on this machine.

Separation of concerns: this file assigns trials to workers and handles exits;
`worker_process.py` is the coordinator's view of one worker, `worker.py` runs inside it, and
`resource_limits.py` holds its limits. A worker counts as alive while its end of the pipe is
open, so a slow or stopped one is never mistaken for dead.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import fault_injection
from ..errors import TrainingError
from ..training.final_model import (
    FinalFitDone,
    FinalFitRequest,
    LockedPredictionRequest,
    LockedPredictionResult,
)
from ..training.problem import Problem
from ..trial import TrialResult, TrialSpec
from .channel import wait_for_any
from .devices import assign_gpu, detect_machine, worker_environment
from .executor import Report, make_failed, make_lost
from .messages import (
    Failure,
    InspectionRequest,
    Prune,
    Recall,
    Recalled,
    Resume,
    Setup,
    describe_exit,
)
from .resource_limits import GIB, WorkerLimits
from .shared_arrays import SharedArrays
from .worker_log import WorkerLog
from .worker_process import GRACE, WorkerProcess

if TYPE_CHECKING:
    from ..training.model_inspection import ModelInspection

TICK = 0.2  # seconds between checks of the workers
MAX_STARTUP_FAILURES = 3  # consecutive exits before training: no trial is the cause

logger = logging.getLogger("hpsearch.execution")


class ProcessExecutor:
    """Long-lived worker processes, which import Keras as soon as the executor is created.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import mkdtemp
        >>> from hpsearch.testing.executors import result_of, small_problem, small_trial
        >>> executor = ProcessExecutor(trainer="vectorized", logs=Path(mkdtemp()))
        >>> executor.set_up(small_problem())
        >>> executor.submit(small_trial(epochs=2))
        >>> result_of(executor).state
        'COMPLETE'
        >>> executor.close()
    """

    def __init__(
        self,
        *,
        trainer: str,
        workers: int = 1,
        ahead: int = 1,
        population: int = 1,
        threads: int | None = None,
        gpus: float | None = None,
        limits: WorkerLimits | None = None,
        settings: Mapping[str, str] | None = None,
        logs: Path,
    ) -> None:
        """Start the workers.

        Args:
            trainer: The trainer, which determines the Keras backend of the workers.
            workers: Number of processes.
            ahead: Number of populations that a worker prepares besides the running one.
            population: Number of trials trained together by a worker.
            threads: Threads of each worker; None: the libraries' default.
            gpus: GPUs of each worker, or a fraction of one; None: an equal share.
            limits: Limits of each worker; None: unlimited.
            settings: Additional environment variables, such as `devices.DETERMINISTIC`.
            logs: Folder for the workers' output.
        """
        self._trainer = trainer
        self._ahead = ahead
        self.population = population
        self._threads = threads
        self._gpus = gpus
        self._limits = limits or WorkerLimits()
        self._settings = dict(settings or {})
        self._logs = [WorkerLog(logs / f"worker-{i}.log") for i in range(workers)]
        self._setup: Setup | None = None
        self._shared = SharedArrays()  # one copy of the rows, shared by all workers
        self._arrival = threading.Condition()  # notified by the workers' channels
        self._machine, self._count = detect_machine(trainer), workers
        faulty = os.environ.get(fault_injection.VARIABLE)  # injected once: replacements get none
        self._processes = [self._start_worker(i, faulty=faulty) for i in range(workers)]
        self._retiring: list[WorkerProcess] = []  # each finishes its trials and exits
        self._arrived: deque[Report] = deque()  # received while waiting for another answer
        self._stillborn = 0  # consecutive workers that exited before they could train
        self._is_paused = False

    def _start_worker(
        self, index: int, *, one_at_a_time: bool = False, faulty: str | None = None
    ) -> WorkerProcess:
        log = self._logs[index]
        gpu = assign_gpu(index, self._count, self._machine, gpus=self._gpus)
        own = worker_environment(self._trainer, threads=self._threads, gpu=gpu) | self._settings
        return WorkerProcess(
            own, self._shared, log, self._arrival, one_at_a_time=one_at_a_time, faulty=faulty
        )

    def set_up(self, problem: Problem) -> None:
        """See `Executor`. Call it before the first trial."""
        logger.info("%d workers train with %s", len(self._processes), self._trainer)
        self._setup = Setup(problem, self._trainer)
        for process in self._processes:
            process.send(self._setup)

    def inspect(self, request: InspectionRequest) -> ModelInspection:
        """Inspect a custom model in a worker; call it before `set_up`.

        Raises:
            TrainingError: If the model cannot be trained, or ends the worker.
        """
        process = self._processes[0]
        process.send(request)
        try:
            answer = process.channel.recv()
        except EOFError:
            process.wait_or_kill()
            how = describe_exit(process.popen.returncode)
            raise TrainingError(
                f"{request.problem.model}: inspecting it ended its process {how}:\n"
                f"{process.log_tail()}"
            ) from None
        if isinstance(answer, Failure):
            raise answer.error()
        inspection: ModelInspection = answer
        return inspection

    @property
    def capacity(self) -> int:
        """See `Executor`."""
        return len(self._processes) * (1 + self._ahead) * self.population

    def submit(self, *trials: TrialSpec) -> None:
        """See `Executor`."""
        worker = min(self._processes, key=lambda p: len(p.trials))
        logger.debug("worker %d gets %s", worker.popen.pid, numbers_of(trials))
        worker.enqueue(trials)

    def wait(self, timeout: float | None = None) -> Report | None:
        """See `Executor`."""
        end = None if timeout is None else time.monotonic() + timeout
        while not self._arrived:
            self._enforce_limits()
            left = TICK if end is None else min(TICK, end - time.monotonic())
            workers = {p.channel: p for p in self._all_workers()}
            ready = wait_for_any(workers, self._arrival, left)
            for channel in ready[:1]:
                self._handle_message(workers[channel])
            if not ready and end is not None and time.monotonic() >= end:
                return None
        return self._arrived.popleft()

    def drain(self) -> Sequence[Report]:
        """See `Executor`."""
        arrived = list(self._arrived)
        self._arrived.clear()
        return arrived

    def _all_workers(self) -> list[WorkerProcess]:
        return [*self._processes, *self._retiring]

    def _handle_message(self, process: WorkerProcess) -> None:
        """Handle a worker's next message; reports for the caller are added to `_arrived`."""
        message = self._receive(process)
        if message is None:
            return
        self._keep(message)
        if not isinstance(message, TrialResult) or process.is_busy:
            return
        if process in self._retiring:
            self._retiring.remove(process)
            process.wait_or_kill()
        elif process.watch.has_grown_too_large(self._limits):
            self._retire(process)

    def _keep(self, message: Any) -> None:
        """Queue a report, or several that came together."""
        self._arrived.extend(message if isinstance(message, list) else [message])

    def _receive(self, process: WorkerProcess) -> Any:
        """Receive a worker's next message; None: it died and was replaced."""
        try:
            message = process.channel.recv()
        except EOFError:
            self._handle_exit(process)
            return None
        if isinstance(message, Failure):
            raise message.error()
        process.record_report(message)
        if process.has_trained:
            self._stillborn = 0
        return message

    def _handle_exit(self, dead: WorkerProcess) -> None:
        """Replace a worker that exited."""
        dead.wait_or_kill()
        code = dead.popen.returncode
        how = describe_exit(code)
        if not dead.has_trained:
            self._restart_unready(dead, how)
            return
        if dead.watch.was_killed_for_memory(code):
            gib = dead.watch.seen / GIB
            self._handle_out_of_memory(
                dead, f"out of memory: the kernel ended the worker at {gib:.2f} GiB"
            )
            return
        self._replace(dead, make_lost(f"the worker ended {how}; its log is {dead.log}"))

    def _restart_unready(self, dead: WorkerProcess, how: str) -> None:
        """Replace a worker that exited before it could train, which no trial can have caused."""
        logger.info("worker %d ended %s before it could train", dead.popen.pid, how)
        self._stillborn += 1
        if self._stillborn >= MAX_STARTUP_FAILURES:
            raise TrainingError(
                f"{MAX_STARTUP_FAILURES} consecutive workers ended before they could train, "
                f"the last {how}. "
                f"The end of {dead.log}:\n{dead.log_tail()}"
            )
        self._start_successor(dead, dead.populations, one_at_a_time=dead.one_at_a_time)

    def _enforce_limits(self) -> None:
        """End workers that exceed their limits."""
        for process in self._all_workers():
            process.measure()
            if not process.is_busy:
                continue
            if reason := process.watch.explain_memory_exceeded(self._limits):
                logger.info("worker %d is ended: %s", process.popen.pid, reason)
                process.kill()
                self._handle_out_of_memory(process, reason)
            elif reason := process.explain_time_exceeded(self._limits):
                logger.info("worker %d is ended: %s", process.popen.pid, reason)
                process.kill()
                self._replace(process, make_failed(reason, process.watch.seconds))

    def _handle_out_of_memory(self, dead: WorkerProcess, reason: str) -> None:
        """Handle exhausted memory: a single trial has failed; of several, any may be the cause."""
        report = (
            make_failed(reason, dead.watch.seconds) if dead.runs_single_trial else make_lost(reason)
        )
        self._replace(dead, report, one_at_a_time=True)

    def _replace(
        self,
        dead: WorkerProcess,
        end: Callable[[TrialSpec], Report],
        *,
        one_at_a_time: bool = False,
    ) -> None:
        """Replace a worker: running trials are reported as ended, waiting ones move on."""
        dead.wait_or_kill()
        running, *queued = dead.populations or [()]
        logger.info("worker %d has ended; it trained %s", dead.popen.pid, numbers_of(running))
        self._arrived.extend(end(trial) for trial in running)
        if dead in self._retiring:
            self._retiring.remove(dead)
        else:
            self._start_successor(dead, queued, one_at_a_time=one_at_a_time)

    def _start_successor(
        self,
        old: WorkerProcess,
        populations: Sequence[tuple[TrialSpec, ...]],
        *,
        one_at_a_time: bool = False,
    ) -> None:
        index = self._processes.index(old)
        fresh = self._processes[index] = self._start_worker(index, one_at_a_time=one_at_a_time)
        logger.info("worker %d takes the place of worker %d", fresh.popen.pid, old.popen.pid)
        fresh.send(self._setup)
        fresh.set_paused(paused=self._is_paused)
        for population in populations:
            fresh.enqueue(population)

    def _retire(self, process: WorkerProcess) -> None:
        """Replace a worker whose memory has grown; it finishes its trials beside its successor."""
        logger.info("worker %d has grown: it is replaced", process.popen.pid)
        queued = {p[0].number: p for p in process.populations}
        taken = self._recall_from(process)
        if process not in self._processes:  # it died in the meantime
            return
        self._start_successor(process, [p for n, p in queued.items() if n in taken])
        if process.trials:
            self._retiring.append(process)
        else:
            process.wait_or_kill()

    def _recall_from(self, process: WorkerProcess) -> set[int]:
        """Withdraw the trials that a worker, or its replacement, has not started."""
        index = self._processes.index(process)
        process.send(Recall())
        while not isinstance(message := self._receive(self._processes[index]), Recalled):
            if message is None:
                self._processes[index].send(Recall())
            else:
                self._keep(message)
        holder = self._processes[index]
        taken = {*message.trials, *(trial.number for trial in holder.unsent_trials)}
        holder.forget_trials(taken)
        return taken

    def prune(self, trial: int) -> None:
        """See `Executor`."""
        self._send_verdict(Prune(trial))

    def resume(self, trial: int) -> None:
        """See `Executor`."""
        self._send_verdict(Resume(trial))

    def _send_verdict(self, verdict: Prune | Resume) -> None:
        for process in self._all_workers():
            process.send_verdict(verdict)

    def pause(self) -> None:
        """See `Executor`."""
        self._set_paused(paused=True)

    def unpause(self) -> None:
        """See `Executor`."""
        self._set_paused(paused=False)

    def _set_paused(self, *, paused: bool) -> None:
        self._is_paused = paused
        for process in self._all_workers():
            process.set_paused(paused=paused)

    def recall(self) -> Sequence[int]:
        """See `Executor`."""
        return [n for process in list(self._processes) for n in sorted(self._recall_from(process))]

    def fit(self, final: FinalFitRequest) -> FinalFitDone:
        """See `Executor`."""
        done: FinalFitDone = self._run_order(final, "the final fit")
        return done

    def predict(self, order: LockedPredictionRequest) -> LockedPredictionResult:
        """See `Executor`."""
        answer: LockedPredictionResult = self._run_order(order, "predicting the locked rows")
        return answer

    def _run_order(self, order: Any, what: str) -> Any:
        """Send an order to a worker and return its answer.

        Raises:
            TrainingError: If the worker dies.
        """
        process = self._processes[0]
        process.send(order)
        answer = self._receive(process)
        if answer is None:
            raise TrainingError(f"{what} crashed its worker; its log is {process.log}")
        return answer

    def close(self) -> None:
        """See `Executor`."""
        for process in self._all_workers():  # all at the same time
            process.disconnect()
        end = time.monotonic() + GRACE
        for process in self._all_workers():
            process.wait_or_kill(max(0.0, end - time.monotonic()))
        self._shared.close()


def numbers_of(trials: Sequence[TrialSpec]) -> str:
    """Format the numbers of trials for a log message."""
    return f"trials {', '.join(str(t.number) for t in trials)}" if trials else "no trial"
