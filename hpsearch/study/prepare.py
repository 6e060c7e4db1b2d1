"""From a declaration and its data to what every trial shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..data import Dataset, load
from ..data.split import Split
from ..data.statistics import Statistics
from ..events import DataSummary
from ..execution import devices
from ..execution.executor import EXECUTORS, Executor
from ..execution.process_executor import ProcessExecutor
from ..execution.resource_limits import GIB, WorkerLimits
from ..models import make_training_defaults
from ..plugins import find_plugin
from ..search.objectives import COSTS
from ..spec.search_space import Categorical, Int
from ..spec.study_spec import ExecutionSpec, StudySpec
from ..training.metrics import get_metric
from ..training.problem import EarlyStopping, Problem
from ..training.trainer_selection import choose_trainer, describe_precision, has_accelerator
from ..trial import Value
from .objective_validation import require_defined_objective
from .resolved_study import CheckedStudy, ResolvedStudy, with_task
from .task_validation import check_inferred_task

TOGETHER = 64  # trials of a population on an accelerator, where nothing is declared
LISTED = 16  # values of a whole number; of more, powers of two


def load_data(study: CheckedStudy, data: Any = None) -> Dataset:
    """The declared data, or those handed over in memory.

    Raises:
        SpecError: If there are neither.
        DataError: If they cannot be used as they are.
    """
    spec = study.spec
    if data is None and spec.data.source is None:
        raise study.file.make_error(
            "data.source", "is required, unless data are handed to hpsearch.tune"
        )
    return load(
        spec.data,
        task=spec.task,
        cross_validation=spec.cross_validation,
        seed=spec.seed,
        folder=study.file.folder,
        arrays=data,
    )


def resolve_study(study: CheckedStudy, dataset: Dataset) -> ResolvedStudy:
    """The study as one of these data.

    Raises:
        SpecError: If the declaration does not suit the task that they are.
        DataError: If an objective has no value on them.
    """
    if study.spec.task is None:
        check_inferred_task(study.file, dataset.task)
    resolved = with_task(study, dataset.task)
    if resolved.custom_metric is None:
        for objective in resolved.objectives:
            if objective.metric not in COSTS:
                require_defined_objective(get_metric(objective.metric, dataset.task), dataset)
    return resolved


def build_problem(study: ResolvedStudy, dataset: Dataset) -> Problem:
    """What every trial of the study shares."""
    spec, stopping = study.spec, study.spec.training.early_stopping
    usual = make_training_defaults(spec.model_name, study.task)
    if "scaling" in spec.data.model_fields_set:
        usual.pop("scaling", None)
    scalings = spec.possible_values("scaling") or [
        how for k, how in usual.items() if k == "scaling"
    ]
    problem = Problem(
        task=study.task,
        features=dataset.features,
        target=dataset.target,
        folds=dataset.folds,
        statistics=(),
        objective=study.objective.metric,
        metrics=study.metrics,
        model=spec.model_name,
        fixed_params={**usual, **spec.fixed_params},
        weights=dataset.weights,
        target_transforms=dataset.schema.target.transforms if dataset.schema.target else (),
        early_stopping=EarlyStopping(**stopping.model_dump()) if stopping else None,
        precision=spec.training.precision,
        fold_schedule="in_turn" if study.pruner_kind == "fold_race" else "together",
        folder=str(study.file.folder.resolve()),
        custom_metric=study.custom_metric,
        threshold=study.threshold,
        cost_objectives=study.costs,
        category_ranges=dataset.schema.category_ranges,
        windows=dataset.windows,
        statistics_by_scaling={str(how): () for how in scalings},
        optimizers=tuple(map(str, spec.possible_values("optimizer"))),
        batch_sizes_vary=any(p.name == "batch_size" and p.size > 1 for p in spec.space),
        sizes=whole_numbers(spec),
    )
    return with_folds(problem, dataset, dataset.folds)


def whole_numbers(spec: StudySpec) -> dict[str, tuple[int, ...]]:
    """The values of hyperparameters that are whole numbers; see `Problem.sizes`."""
    found: dict[str, set[int]] = {}
    for p in spec.space:
        values: Sequence[Value] = ()
        if isinstance(p, Categorical):
            values = p.choices
        elif isinstance(p, Int) and p.size <= LISTED:
            values = [p.value(index) for index in range(int(p.size))]
        elif isinstance(p, Int):
            powers = [1 << n for n in range(p.max_value.bit_length())]
            values = [p.low, *(n for n in powers if n > p.low), p.max_value]
        found.setdefault(p.name, set()).update(n for n in values if type(n) is int)
    return {name: tuple(sorted(values)) for name, values in found.items() if values}


def with_folds(problem: Problem, dataset: Dataset, folds: tuple[Split, ...]) -> Problem:
    """The same problem on other folds of its rows."""

    def fitted(how: str | None = None) -> tuple[Statistics, ...]:
        return tuple(dataset.statistics(fold.train, how) for fold in folds)

    scaled = {how: fitted(how) for how in problem.statistics_by_scaling or ()}
    return replace(problem, folds=folds, statistics=fitted(), statistics_by_scaling=scaled)


def population_of(study: CheckedStudy, trainer: str) -> int:
    """How many trials a worker trains together.

    Where nothing is declared and there is an accelerator they are an eighth of the study, so that
    the sampler learns from those before, and at most `TOGETHER`. Which of them stand side by side
    on the device is left to its memory. A pruner's bracket is never cut.
    """
    training, bracket = study.spec.training, study.pruner.bracket
    wanted = training.population
    declared = "population" in training.model_fields_set
    if not declared and trainer == "vectorized" and has_accelerator():
        wanted = max(1, min(TOGETHER, study.spec.budget.trials // 8))
    return bracket * max(1, wanted // bracket)


class WorkerPool:
    """The workers, started on a guess of the trainer while the data are being read."""

    def __init__(
        self,
        study: CheckedStudy,
        *,
        logs: Path,
        workers: int | None = None,
        threads: int | None = None,
    ) -> None:
        """Start the workers that `study` declares; they import Keras at once.

        Args:
            study: The study.
            logs: Folder for what workers print.
            workers: Processes on this machine, overriding what is declared.
            threads: Of each worker; None: its share of the machine's cores.
        """
        spec = study.spec
        self._execution = spec.execution if workers is None else ExecutionSpec(workers=workers)
        self._threads = threads
        self.is_deterministic = spec.training.deterministic
        self._kind = spec.training.trainer
        self._study = study
        # A bracket is one population, and the next is not asked for before it has ended.
        self._asks_ahead = study.pruner.bracket == 1
        minutes, gib = spec.budget.trial_minutes, spec.budget.memory_gib
        self._limits = WorkerLimits(
            trial_seconds=None if minutes is None else minutes * 60,
            memory=None if gib is None else int(gib * GIB),
        )
        self._logs = logs
        self.trainer: str = "vectorized" if self._kind == "auto" else self._kind
        self.reason = ""  # why this trainer, for people
        self.executor = self._start_executor()

    @property
    def _population(self) -> int:
        """How many trials the trainer is given at once."""
        return population_of(self._study, self.trainer)

    def _start_executor(self) -> Executor:
        declared, machine = self._execution, devices.detect_machine(self.trainer)
        # It compiles the next trial meanwhile.
        ahead = 1 if self.trainer == "vectorized" and self._asks_ahead else 0
        if self.is_deterministic:
            ahead = 0  # a round is as many trials as can train at once
        if declared.executor == "ray":
            return self._start_on_ray(declared, machine, ahead)
        if declared.executor not in EXECUTORS:
            return self._start_plugin(declared)
        workers = declared.workers or devices.default_workers(
            machine, trainer=self.trainer, gpus=declared.gpus
        )
        self.workers: int | None = workers
        self.threads = self._threads or devices.threads_per_worker(
            machine, workers, cpus=declared.cpus
        )
        return ProcessExecutor(
            trainer=self.trainer,
            workers=workers,
            ahead=ahead,
            population=self._population,
            threads=self.threads,
            gpus=declared.gpus,
            limits=self._limits,
            settings=devices.DETERMINISTIC if self.is_deterministic else None,
            logs=self._logs,
        )

    def _start_plugin(self, declared: ExecutionSpec) -> Executor:
        """An executor of another package."""
        plugin = find_plugin("executors", declared.executor)
        assert plugin is not None  # `checks` has looked for it
        self.workers, self.threads = declared.workers, self._threads or 1
        executor: Executor = plugin.value(
            trainer=self.trainer,
            workers=declared.workers,
            population=self._population,
            limits=self._limits,
            settings=devices.DETERMINISTIC if self.is_deterministic else {},
            logs=self._logs,
        )
        return executor

    def _start_on_ray(
        self, declared: ExecutionSpec, machine: devices.Machine, ahead: int
    ) -> Executor:
        from ..execution.ray_cluster import LOCAL, Resources
        from ..execution.ray_executor import RayExecutor

        local = declared.address == LOCAL  # it begins with one worker, like processes
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
            settings=devices.DETERMINISTIC if self.is_deterministic else None,
        )

    def set_up(self, problem: Problem) -> None:
        """Settle the trainer, and tell the workers what all trials share."""
        trainer, reason = choose_trainer(self._kind, problem)
        if said := describe_precision(problem.precision, on_accelerator=has_accelerator()):
            reason = f"{reason}; {said}"
        if trainer != self.trainer:
            self.fall_back(problem, reason)
            return
        self.reason = reason
        self.executor.set_up(problem)

    def fall_back(self, problem: Problem, reason: str) -> None:
        """Go on with the trainer that takes any model."""
        self.executor.close()
        self.trainer, self.reason = "keras_fit", reason
        self.executor = self._start_executor()
        self.executor.set_up(problem)

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.executor.close()


def describe_dataset(dataset: Dataset) -> DataSummary:
    """The data in a few plain values, for the journal."""
    return DataSummary(
        name=dataset.name,
        rows=dataset.n_rows,
        columns=dataset.n_columns,
        features=dataset.n_features,
        test_rows=len(dataset.locked_rows) if dataset.locked_rows else 0,
        folds=len(dataset.folds),
        notes=list(dataset.notes),
    )
