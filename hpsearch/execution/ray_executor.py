"""The executor for a Ray cluster whose nodes may come and go.

Separation of concerns: Ray schedules the actors; this file tracks the trials of each, and
`ray_worker.py` runs in them. The shared problem is put into the object store once, and the workers
of a node read one copy. The death of an actor or node is detected by the call that waits for its
reports; its running trials are lost, waiting ones move to another worker.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

from ..errors import ClusterError, TrainingError
from ..platforms.files import atomic_write
from ..training.final_model import (
    FinalFitDone,
    FinalFitRequest,
    LockedPredictionRequest,
    LockedPredictionResult,
)
from ..training.problem import Problem
from ..trial import TrialSpec
from .devices import gpu_memory_settings, worker_environment
from .executor import Report, make_failed, make_lost
from .messages import (
    Failure,
    MemoryExceeded,
    Prune,
    Ready,
    Recall,
    Recalled,
    ReplaceMe,
    Resume,
    Setup,
)
from .ray_cluster import LOCAL, SPARK, Resources, connect, count_cluster_workers
from .resource_limits import LONGEST_TICK, WorkerLimits
from .spark_cluster import connect_by_spark
from .trial_holder import TrialHolder

logger = logging.getLogger("hpsearch.execution")

CHECK_SECONDS = 5.0  # seconds between checks for free resources
MAX_STARTUP_FAILURES = 5  # consecutive workers that exit at startup; not caused by the nodes
FINAL_ATTEMPTS = 3  # workers that may die during the final fit


class _Actor(TrialHolder):
    """One worker, its trials, and the call that waits for its reports."""

    def __init__(self, handle: Any) -> None:
        super().__init__()
        self.handle = handle
        self.node = ""  # its node, once it is ready
        self.pid = 0  # on that node
        self.seconds = 0.0  # observed time of the running population
        self.is_retiring = False  # it finishes its trials and gets no more
        self.listen()

    def listen(self) -> None:
        """Request its next reports."""
        self.reports = self.handle.reports.remote()

    def send(self, order: Any) -> None:
        """Send an order or its reference; a dead worker is detected by `listen`."""
        self.handle.order.remote(order)

    def start_clock(self) -> None:
        """See `TrialHolder`."""
        self.seconds = 0.0


class RayExecutor:
    """Long-lived actors, which import Keras as soon as the cluster has scheduled them.

    Examples:
        >>> from hpsearch.testing.executors import result_of, small_problem, small_trial
        >>> executor = RayExecutor(trainer="vectorized", address="local", workers=1)
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
        address: str = LOCAL,
        workers: int | None = None,
        resources: Resources | None = None,
        ahead: int = 1,
        population: int = 1,
        limits: WorkerLimits | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Connect to the cluster and request workers.

        Args:
            trainer: The trainer, which determines the Keras backend of the workers.
            address: See `ray_cluster.connect`; "spark": on the executors of Spark.
            workers: Number of workers, independent of the current nodes; None: as many as fit on
                the living nodes, updated regularly.
            resources: Resources of one worker.
            ahead: Number of populations that a worker prepares besides the running one.
            population: Number of trials trained together by a worker.
            limits: Limits of each worker; None: unlimited. Memory is reserved on its node.
            settings: Additional environment variables of the workers.

        Raises:
            ClusterError: If the cluster cannot be used.
        """
        self.population = population
        self._trainer = trainer
        self._workers = workers
        self._resources = resources or Resources()
        self._ahead = ahead
        self._limits = limits or WorkerLimits()
        self._settings = settings or {}
        self._watched = time.monotonic()
        self._leave = self._connect(address)
        self._setup: Any = None  # reference to the Setup in the object store
        self._actors: list[_Actor] = []
        self._backlog: deque[tuple[TrialSpec, ...]] = deque()  # not yet assigned to a worker
        self._arrived: deque[Report] = deque()
        self._answers: dict[_Actor, Any] = {}  # answers to Recall and FinalFit
        self._stillborn = 0
        self._is_paused = False
        self._looked = 0.0
        self._start_missing()

    def _connect(self, address: str) -> Callable[[], None]:
        if address == SPARK:
            return connect_by_spark(self._resources, self._workers)
        return connect(address, cpus=self._resources.cpus * (self._workers or 1))

    # ---- workers ----

    def _start_missing(self) -> None:
        """Start missing workers; one without free resources waits in the cluster."""
        self._looked = time.monotonic()
        wanted = self._workers or max(1, count_cluster_workers(self._resources))
        while len(self._actors) < wanted:
            self._actors.append(self._start_actor())

    def _start_actor(self) -> _Actor:
        import ray

        from .ray_worker import RayWorker

        options = {
            "num_cpus": self._resources.cpus,
            "num_gpus": self._resources.gpus,
            "memory": self._resources.memory,
            "max_restarts": 0,  # replaced by this executor, after its trials are recorded
            "concurrency_groups": {"reports": 1},
            "runtime_env": {"env_vars": self._actor_environment()},
        }
        actor = _Actor(ray.remote(**options)(RayWorker).remote(self._limits))
        if self._setup is not None:
            actor.send(self._setup)
        actor.set_paused(paused=self._is_paused)
        return actor

    def _actor_environment(self) -> dict[str, str]:
        threads = max(1, int(self._resources.cpus))
        gpu = gpu_memory_settings(self._resources.gpus)  # Ray sets the visible GPU
        return {**worker_environment(self._trainer, threads=threads, gpu=gpu), **self._settings}

    @property
    def _ready_actors(self) -> list[_Actor]:
        return [actor for actor in self._actors if actor.node]

    def _handle_exit(self, actor: _Actor, error: Exception) -> None:
        """Handle the exit of a worker: its running trials are lost."""
        self._stillborn += not actor.node
        if self._stillborn >= MAX_STARTUP_FAILURES:
            raise ClusterError(
                f"{MAX_STARTUP_FAILURES} consecutive workers ended before they could train: {error}"
            )
        first = str(error).strip().splitlines()[0]
        reason = f"the worker on {actor.node or 'a node'} ended: {first}"
        logger.info("%s", reason)
        self._replace(actor, make_lost(reason))

    def _replace(self, actor: _Actor, end: Callable[[TrialSpec], Report]) -> None:
        """Replace a worker: running trials are reported as ended, waiting ones are requeued."""
        import ray

        logger.info("the worker on %s is replaced", actor.node or "a node")
        self._actors.remove(actor)
        with suppress(ray.exceptions.RayError):
            ray.kill(actor.handle)  # an unreachable one must not come back
        running, *queued = actor.populations or [()]
        self._backlog.extendleft(reversed(queued))
        self._arrived.extend(end(trial) for trial in running)
        self._start_missing()
        self._dispatch_backlog()

    def _enforce_limits(self) -> None:
        """End workers that exceed their deadline."""
        now = time.monotonic()
        passed, self._watched = min(now - self._watched, LONGEST_TICK), now
        for actor in [a for a in self._actors if a.is_training]:
            actor.seconds += passed
            allowed = (self._limits.trial_seconds or math.inf) * actor.size
            if actor.seconds > allowed:
                reason = f"ran longer than its deadline of {allowed:g} s"
                logger.info("the worker on %s is ended: %s", actor.node, reason)
                self._replace(actor, make_failed(reason, actor.seconds))

    def _handle_out_of_memory(self, actor: _Actor, reason: str) -> None:
        """Memory ran out: a single trial has failed; of several, the cause is not known."""
        self._ahead = 0  # from now on one population per worker, to identify the cause
        report = (
            make_failed(reason, actor.seconds) if actor.runs_single_trial else make_lost(reason)
        )
        self._replace(actor, report)

    def _dispatch_backlog(self) -> None:
        while self._backlog:
            free = [
                a
                for a in self._ready_actors
                if len(a.populations) <= self._ahead and not a.is_retiring
            ]
            if not free:
                return
            min(free, key=lambda a: len(a.populations)).enqueue(self._backlog.popleft())

    # ---- protocol ----

    def set_up(self, problem: Problem) -> None:
        """Send the workers what all trials share. Call it before the first trial."""
        logger.info("%d workers on the cluster train with %s", len(self._actors), self._trainer)
        import ray

        self._setup = ray.put(Setup(problem, self._trainer))
        for actor in self._actors:
            actor.send(self._setup)

    @property
    def capacity(self) -> int:
        """See `Executor`. Without a declared number of workers, counts the existing ones."""
        workers = self._workers or max(1, len(self._ready_actors))
        return workers * (1 + self._ahead) * self.population

    def submit(self, *trials: TrialSpec) -> None:
        """See `Executor`."""
        self._backlog.append(trials)
        self._dispatch_backlog()

    def wait(self, timeout: float | None = None) -> Report | None:
        """See `Executor`."""
        end = None if timeout is None else time.monotonic() + timeout
        while not self._arrived:
            left = LONGEST_TICK if end is None else max(0.0, end - time.monotonic())
            self._listen(min(LONGEST_TICK, left))
            if end is not None and time.monotonic() >= end:
                break
        return self._arrived.popleft() if self._arrived else None

    def drain(self) -> Sequence[Report]:
        """See `Executor`."""
        arrived = list(self._arrived)
        self._arrived.clear()
        return arrived

    def _listen(self, timeout: float) -> None:
        """Handle the reports that arrive within `timeout` seconds."""
        import ray

        self._enforce_limits()
        if time.monotonic() - self._looked >= CHECK_SECONDS:
            self._start_missing()
        calls = {actor.reports: actor for actor in self._actors}
        for call in ray.wait(list(calls), num_returns=1, timeout=timeout)[0]:
            actor = calls[call]
            try:
                messages = ray.get(call)
            except ray.exceptions.RayError as error:
                self._handle_exit(actor, error)
                continue
            actor.listen()
            for message in messages:
                if actor in self._actors:  # not ended by an earlier message
                    self._handle_message(actor, message)
            if actor in self._actors and actor.is_retiring and not actor.populations:
                self._replace(actor, make_lost("it had grown"))  # another replaces it
            self._dispatch_backlog()

    def _handle_message(self, actor: _Actor, message: Any) -> None:
        actor.record_report(message)
        match message:
            case Ready():
                actor.node, actor.pid = message.node, message.pid
                self._stillborn = 0
            case Failure():
                raise message.error()
            case MemoryExceeded():
                self._handle_out_of_memory(actor, message.reason)
            case ReplaceMe():
                actor.is_retiring = True
            case Recalled() | FinalFitDone() | LockedPredictionResult():
                self._answers[actor] = message
            case list():  # reports that came together
                self._arrived.extend(message)
            case _:
                self._arrived.append(message)

    def prune(self, trial: int) -> None:
        """See `Executor`."""
        self._send_verdict(Prune(trial))

    def resume(self, trial: int) -> None:
        """See `Executor`."""
        self._send_verdict(Resume(trial))

    def _send_verdict(self, verdict: Prune | Resume) -> None:
        for actor in self._actors:
            actor.send_verdict(verdict)

    def pause(self) -> None:
        """See `Executor`."""
        self._set_paused(paused=True)

    def unpause(self) -> None:
        """See `Executor`."""
        self._set_paused(paused=False)

    def _set_paused(self, *, paused: bool) -> None:
        self._is_paused = paused
        for actor in self._actors:
            actor.set_paused(paused=paused)

    def recall(self) -> Sequence[int]:
        """See `Executor`."""
        asked = [actor for actor in self._actors if actor.populations]
        for actor in asked:
            actor.send(Recall())
        taken: list[int] = []
        for actor in asked:
            answer = self._wait_for_answer(actor)
            if answer is not None:  # otherwise it died, and its waiting trials are in the backlog
                actor.forget_trials(set(answer.trials))
                taken += answer.trials
        taken += [trial.number for trials in self._backlog for trial in trials]
        self._backlog.clear()
        return taken

    def _wait_for_answer(self, actor: _Actor) -> Any:
        """Wait for a worker's answer; None if it dies."""
        while actor in self._actors and actor not in self._answers:
            self._listen(LONGEST_TICK)
        return self._answers.pop(actor, None)

    def fit(self, final: FinalFitRequest) -> FinalFitDone:
        """See `Executor`. The model is returned as bytes: the worker may have another disk."""
        import ray

        def fetch(actor: _Actor, said: FinalFitDone) -> tuple[bytes, FinalFitDone]:
            return ray.get(actor.handle.model.remote()), said

        model, done = self._run_order(final, "the final fit", fetch)
        with atomic_write(final.path) as file:
            file.write(model)
        return cast(FinalFitDone, done)

    def predict(self, order: LockedPredictionRequest) -> LockedPredictionResult:
        """See `Executor`."""
        whole = replace(order, model_bytes=order.path.read_bytes())
        answer: LockedPredictionResult = self._run_order(
            whole, "predicting the locked rows", lambda _, said: said
        )
        return answer

    def _run_order(self, order: Any, what: str, take: Callable[[_Actor, Any], Any]) -> Any:
        """Send an order and convert the answer by `take`; retry on another worker if one dies."""
        import ray

        stored = ray.put(order)
        for _ in range(FINAL_ATTEMPTS):
            while not self._ready_actors:
                self._listen(LONGEST_TICK)
            actor = self._ready_actors[0]
            actor.send(stored)
            answer = self._wait_for_answer(actor)
            if answer is None:
                continue
            try:
                return take(actor, answer)
            except ray.exceptions.RayError as error:
                self._handle_exit(actor, error)
        raise TrainingError(f"{what} failed: {FINAL_ATTEMPTS} workers died while running it")

    def close(self) -> None:
        """See `Executor`."""
        import ray

        for actor in self._actors:
            with suppress(ray.exceptions.RayError):
                ray.kill(actor.handle)
        self._actors.clear()
        self._setup = None  # frees the rows in the store of a cluster that continues
        self._leave()
