"""The executor of worker processes on this machine.

Separation of concerns: this file owns the processes and what each of them holds; `worker.py`
is what runs in them. A worker is alive while its end of the socket is open, so a slow or stopped
one is never taken for dead.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import TrainingError, UnsuitableError
from ..training.final import FinalFit
from ..training.make import BACKENDS
from ..training.problem import Problem
from ..trial import TrialResult, TrialSpec
from .executor import Lost, Report
from .messages import Failure, Population, Prune, Recall, Recalled, Resume, Setup

GRACE = 2.0  # seconds between asking a worker to end and killing it


class _Process:
    """One worker and the trials it holds, the running one first."""

    def __init__(self, trainer: str, threads: int | None, log: Path) -> None:
        ours, theirs = socket.socketpair()
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "KERAS_BACKEND": BACKENDS[trainer],
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONUNBUFFERED": "1",
        }
        environment.pop("MLFLOW_RUN_ID", None)
        if threads:
            for name in ("HPSEARCH_THREADS", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
                environment[name] = str(threads)
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "hpsearch.execution.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is the coordinator's to handle
            )
        theirs.close()
        self.connection = Connection(ours.detach())
        self.log = log
        self.populations: deque[tuple[TrialSpec, ...]] = deque()

    def send(self, order: Any) -> None:
        """Give an order; a dead worker is noticed when its reports are read."""
        try:
            self.connection.send(order)
        except (BrokenPipeError, ConnectionResetError):
            return

    @property
    def trials(self) -> list[TrialSpec]:
        """Those that train and those that wait."""
        return [trial for population in self.populations for trial in population]

    def take(self, trials: tuple[TrialSpec, ...]) -> None:
        """Train these together after what was given before."""
        self.populations.append(trials)
        self.send(Population(trials))

    def drop(self, numbers: set[int]) -> None:
        """Hold these trials no more."""
        left = (tuple(t for t in p if t.number not in numbers) for p in self.populations)
        self.populations = deque(population for population in left if population)

    def end(self) -> None:
        self.connection.close()
        try:
            self.popen.wait(GRACE)
        except subprocess.TimeoutExpired:
            os.killpg(self.popen.pid, 9)
            self.popen.wait()


class ProcessExecutor:
    """Long-lived workers that start to import Keras when the executor is made."""

    def __init__(
        self,
        *,
        trainer: str,
        workers: int = 1,
        ahead: int = 1,
        population: int = 1,
        threads: int | None = None,
        logs: Path,
    ) -> None:
        """Start the workers.

        Args:
            trainer: What trains; it decides the Keras backend of the processes.
            workers: How many processes.
            ahead: How many populations a worker holds beside the running one, to prepare them.
            population: How many trials a worker trains together.
            threads: Threads of each worker; None leaves it to the libraries.
            logs: Folder for what workers print.
        """
        self._trainer = trainer
        self._ahead = ahead
        self.population = population
        self._threads = threads
        self._logs = logs
        self._setup: Setup | None = None
        self._processes = [self._start(i) for i in range(workers)]
        self._arrived: deque[Report] = deque()  # came while another answer was waited for

    def _start(self, place: int) -> _Process:
        return _Process(self._trainer, self._threads, self._logs / f"worker-{place}.log")

    def set_up(self, problem: Problem) -> None:
        """Tell the workers what all trials share. Comes before the first trial."""
        self._setup = Setup(problem, self._trainer)
        for process in self._processes:
            process.send(self._setup)

    @property
    def capacity(self) -> int:
        """See `Executor`."""
        return len(self._processes) * (1 + self._ahead) * self.population

    def submit(self, *trials: TrialSpec) -> None:
        """See `Executor`."""
        min(self._processes, key=lambda p: len(p.trials)).take(trials)

    def wait(self, timeout: float | None = None) -> Report | None:
        """See `Executor`."""
        if self._arrived:
            return self._arrived.popleft()
        ready = wait_for([p.connection for p in self._processes], timeout)
        if not ready:
            return None
        process = next(p for p in self._processes if p.connection is ready[0])
        report: Report = self._receive(process)
        return report

    def _receive(self, process: _Process) -> Any:
        """The next message of a worker; a dead one is replaced."""
        try:
            message = process.connection.recv()
        except (EOFError, ConnectionResetError):
            return self._replace(process)
        if isinstance(message, Failure):
            raise _raised(message)
        if isinstance(message, TrialResult):
            process.drop({message.number})
        return message

    def _replace(self, dead: _Process) -> Lost:
        """Start another worker; what had not begun goes to it, what had is lost."""
        dead.end()
        code = dead.popen.returncode
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        if not dead.trials:
            raise TrainingError(f"a worker ended {how} before its first trial; see {dead.log}")
        running, *queued = dead.populations
        place = self._processes.index(dead)
        fresh = self._processes[place] = self._start(place)
        fresh.send(self._setup)
        for population in queued:
            fresh.take(population)
        reason = f"the worker ended {how}; its log is {dead.log}"
        first, *others = (Lost(trial.number, reason) for trial in running)
        self._arrived.extend(others)
        return first

    def prune(self, trial: int) -> None:
        """See `Executor`."""
        self._judge(Prune(trial))

    def resume(self, trial: int) -> None:
        """See `Executor`."""
        self._judge(Resume(trial))

    def _judge(self, verdict: Prune | Resume) -> None:
        for process in self._processes:
            if any(t.number == verdict.trial for t in process.trials):
                process.send(verdict)

    def recall(self) -> Sequence[int]:
        """See `Executor`."""
        taken: list[int] = []
        for place in range(len(self._processes)):
            self._processes[place].send(Recall())
            while not isinstance(message := self._receive(self._processes[place]), Recalled):
                self._arrived.append(message)
                if isinstance(message, Lost):
                    self._processes[place].send(Recall())
            self._processes[place].drop(set(message.trials))
            taken += message.trials
        return taken

    def finish(self, final: FinalFit) -> np.ndarray:
        """See `Executor`."""
        process = self._processes[0]
        process.send(final)
        answer = self._receive(process)
        if isinstance(answer, Lost):
            raise TrainingError(f"the final fit failed: {answer.reason}")
        predictions: np.ndarray = answer
        return predictions

    def close(self) -> None:
        """See `Executor`."""
        for process in self._processes:
            process.end()


def _raised(failure: Failure) -> Exception:
    match failure.kind:
        case "unsuitable":
            return UnsuitableError(failure.reason)
        case "mistake":
            return TrainingError(failure.reason)
        case "bug":
            return RuntimeError(f"a worker failed:\n{failure.reason}")
