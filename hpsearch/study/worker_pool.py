"""The workers of a study, started while its data are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..execution import devices
from ..execution.executor import EXECUTORS, Executor
from ..execution.inline_executor import start_inline
from ..execution.messages import InspectionRequest
from ..execution.process_executor import ProcessExecutor
from ..execution.resource_limits import GIB, WorkerLimits
from ..plugins import find_plugin
from ..spec.study_spec import ExecutionSpec
from ..training.problem import Problem
from ..training.trainer_factory import KERAS_BACKENDS
from ..training.trainer_selection import (
    choose_backend,
    choose_trainer,
    describe_backend,
    describe_precision,
    has_accelerator,
)
from .population import count_ahead, describe_population, divide_machine, population_of
from .resolved_study import CheckedStudy

if TYPE_CHECKING:
    from ..training.model_inspection import ModelInspection

Inspector = Callable[[InspectionRequest], "ModelInspection"]


class WorkerPool:
    """The workers, started with a guess of the trainer while the data are read."""

    def __init__(
        self,
        study: CheckedStudy,
        *,
        logs: Path,
        workers: int | None = None,
        threads: int | None = None,
    ) -> None:
        """Start the declared workers, which import Keras at once.

        Args:
            study: The study.
            logs: Folder for the workers' output.
            workers: Number of processes on this machine; overrides the declaration.
            threads: Threads per worker; None: an equal share of the cores.
        """
        spec = study.spec
        self._execution = spec.execution if workers is None else ExecutionSpec(workers=workers)
        self._threads = threads
        self.is_deterministic = spec.training.deterministic
        self._kind = spec.training.trainer
        self._study = study
        minutes, gib = spec.budget.trial_minutes, spec.budget.memory_gib
        self._limits = WorkerLimits(
            trial_seconds=None if minutes is None else minutes * 60,
            memory=None if gib is None else int(gib * GIB),
        )
        self._logs = logs
        self.trainer: str = "vectorized" if self._kind == "auto" else self._kind
        self.reason = ""  # why this trainer was chosen, for the user
        self.workers: int | None = None
        self.executor = self._start_executor()

    @property
    def _population(self) -> int:
        """Return the number of trials per population."""
        return population_of(self._study, self.trainer, threads=self.threads)

    @property
    def _settings(self) -> dict[str, str]:
        """Return further environment variables of a worker, besides trainer and devices."""
        backend = choose_backend(self.trainer, self._study.spec.model_name)
        own = {} if backend == KERAS_BACKENDS[self.trainer] else {"KERAS_BACKEND": backend}
        return {**(devices.DETERMINISTIC if self.is_deterministic else {}), **own}

    def _start_executor(self) -> Executor:
        declared, machine = self._execution, devices.detect_machine(self.trainer)
        workers, threads = divide_machine(machine, declared, self.trainer)
        ahead = count_ahead(self._study, self.trainer, workers=workers)
        if declared.executor == "inline" and self.trainer == "vectorized":
            self.workers, self.threads = 1, self._threads or machine.cores
            return start_inline(self.trainer, population=self._population)
        if declared.executor == "ray":
            return self._start_on_ray(declared, machine, ahead)
        if declared.executor not in EXECUTORS:
            return self._start_plugin(declared)
        self.workers = workers
        self.threads = self._threads or threads
        return ProcessExecutor(
            trainer=self.trainer,
            workers=workers,
            ahead=ahead,
            population=self._population,
            threads=self.threads,
            gpus=declared.gpus,
            limits=self._limits,
            settings=self._settings,
            logs=self._logs,
        )

    def _start_plugin(self, declared: ExecutionSpec) -> Executor:
        """Start the executor of a plugin."""
        plugin = find_plugin("executors", declared.executor)
        assert plugin is not None  # validated by `study.validation`
        self.workers, self.threads = declared.workers, self._threads or 1
        executor: Executor = plugin.value(
            trainer=self.trainer,
            workers=declared.workers,
            population=self._population,
            limits=self._limits,
            settings={**devices.worker_environment(self.trainer), **self._settings},
            logs=self._logs,
        )
        return executor

    def _start_on_ray(
        self, declared: ExecutionSpec, machine: devices.Machine, ahead: int
    ) -> Executor:
        from ..execution.ray_cluster import LOCAL, Resources
        from ..execution.ray_executor import RayExecutor

        local = declared.address == LOCAL  # initially one worker, as with processes
        self.workers = declared.workers or (1 if local else None)
        share = machine.cores // (self.workers or 1) if local else 1
        cpus = float(declared.cpus or max(1, share))
        resources = Resources(cpus, declared.gpus or 0.0, self._limits.memory or 0)
        self.threads = max(1, int(resources.cpus))
        return RayExecutor(
            trainer=self.trainer,
            address=declared.address,
            workers=self.workers,
            resources=resources,
            ahead=ahead,
            population=self._population,
            limits=self._limits,
            settings=self._settings,
        )

    def find_inspector(self, trainer: str) -> Inspector | None:
        """Return the function that inspects a custom model in a worker, which has imported Keras.

        None if the workers are no processes of this machine, may have another backend than a
        worker of `trainer`, or need the memory of an accelerator.
        """
        is_same = trainer == self.trainer == "vectorized"
        if isinstance(self.executor, ProcessExecutor) and is_same and not has_accelerator():
            return self.executor.inspect
        return None

    def set_up(self, problem: Problem, own_training: str | None = None) -> None:
        """Choose the trainer, and send the problem to the workers.

        Args:
            problem: The problem shared by all trials.
            own_training: Why Keras's own `fit` trains the model; None: it does not.
        """
        trainer, reason = choose_trainer(self._kind, problem, own_training)
        population = population_of(self._study, trainer, threads=self.threads)
        for text in (
            describe_backend(trainer),
            describe_precision(problem.precision, on_accelerator=has_accelerator()),
            describe_population(
                population,
                trainer=trainer,
                threads=self.threads,
                pruner=self._study.pruner_kind,
            ),
        ):
            reason += f"; {text}" if text else ""
        if trainer != self.trainer:
            self.fall_back(problem, reason)
            return
        self.reason = reason
        self.executor.set_up(problem)

    def fall_back(self, problem: Problem, reason: str) -> None:
        """Switch to the trainer that supports any model."""
        self.executor.close()
        self.trainer, self.reason = "keras_fit", reason
        self.executor = self._start_executor()
        self.executor.set_up(problem)

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.executor.close()
