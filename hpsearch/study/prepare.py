"""Prepare what all trials share: data, problem and workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data import Dataset, load
from ..data.folds import GivenFolds
from ..data.split import Split
from ..data.statistics import Statistics
from ..errors import DataError
from ..events import DataSummary
from ..execution import devices
from ..execution.executor import EXECUTORS, Executor
from ..execution.inline_executor import start_inline
from ..execution.messages import InspectionRequest
from ..execution.process_executor import ProcessExecutor
from ..execution.resource_limits import GIB, WorkerLimits
from ..models import find_family, make_training_defaults
from ..plugins import find_plugin
from ..search.objectives import COSTS
from ..spec.data_spec import CrossValidationSpec, count_folds
from ..spec.search_space import Categorical, Int
from ..spec.study_spec import ExecutionSpec, StudySpec
from ..tracking.store import source_folder
from ..training.input_layout import group_columns
from ..training.metrics import get_metric
from ..training.problem import Problem
from ..training.trainer_factory import KERAS_BACKENDS
from ..training.trainer_selection import (
    choose_backend,
    choose_trainer,
    describe_backend,
    describe_precision,
    has_accelerator,
)
from ..trial import Value
from .frozen_features import apply_backbones
from .objective_validation import require_defined_objective
from .resolved_study import CheckedStudy, ResolvedStudy, with_task
from .task_validation import check_inferred_task
from .training_phases import make_early_stopping, make_phases

if TYPE_CHECKING:
    from ..training.model_inspection import ModelInspection

Inspector = Callable[[InspectionRequest], "ModelInspection"]

TOGETHER = 64  # default population on an accelerator
LEARN_NOTHING = ("random", "grid")  # samplers that do not use results
MOST_TOGETHER = 1000  # their maximum default population on an accelerator
KNOWN_AHEAD = 4  # populations prepared by a worker whose next trials depend on no result
LISTED = 16  # values of an integer range; of larger ranges, powers of two


def load_data(
    study: CheckedStudy,
    data: Any = None,
    pinned: Mapping[str, str] | None = None,
    given_folds: GivenFolds | None = None,
    root: Path | None = None,
) -> Dataset:
    """Load the declared data, or data passed in memory.

    Args:
        study: The declaration.
        data: The data in memory, if any.
        pinned: Versions of the sources that the study has read before, by location.
        given_folds: Training and validation rows of each fold, instead of `cross_validation`.
        root: The folder with `mlruns/`, which holds copies of addresses; None: the working folder.

    Raises:
        SpecError: If there is neither.
        DataError: If the data cannot be used in their present form.
    """
    spec = study.spec
    if data is None and spec.data.source is None:
        raise study.file.make_error(
            "data.source", "is required, unless data are passed to hpsearch.tune"
        )
    written = study.file.written_sources
    resolved = {text: location for location, text in written.items()}
    dataset = load(
        spec.data,
        task=spec.task,
        cross_validation=spec.cross_validation,
        seed=spec.seed,
        folder=study.file.folder,
        arrays=data,
        pinned={resolved.get(k, k): version for k, version in (pinned or {}).items()},
        given_folds=given_folds,
        cache=source_folder(root or Path.cwd()),
    )
    dataset = apply_backbones(dataset, spec.data, study.file.folder, root or Path.cwd())
    if data is not None or not written:
        return dataset
    versions = {written.get(k, k): version for k, version in dataset.versions.items()}
    return replace(dataset, name=study.file.name_source(dataset.name), versions=versions)


def resolve_study(study: CheckedStudy, dataset: Dataset) -> ResolvedStudy:
    """Resolve the study for these data.

    Raises:
        SpecError: If the declaration does not fit the task.
        DataError: If an objective is undefined on the data.
    """
    if study.spec.task is None:
        check_inferred_task(study.file, dataset.task)
    resolved = with_task(study, dataset.task)
    if resolved.custom_metric is None:
        limited = [limit.name for limit in resolved.limits]
        for name in dict.fromkeys([*(o.metric for o in resolved.objectives), *limited]):
            if name not in COSTS:
                require_defined_objective(get_metric(name, dataset.task), dataset)
    return resolved


def build_problem(study: ResolvedStudy, dataset: Dataset) -> Problem:
    """Build the problem shared by the trials of the study."""
    spec = study.spec
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
        fixed_params={**usual, **spec.fixed_params, **_quantile_loss(spec)},
        weights=dataset.weights,
        target_transforms=dataset.schema.target.transforms if dataset.schema.target else (),
        early_stopping=make_early_stopping(spec.training),
        precision=spec.training.precision,
        fold_schedule="in_turn" if study.pruner_kind == "fold_race" else "together",
        folder=str(study.file.folder.resolve()),
        custom_metric=study.custom_metric,
        threshold=study.threshold,
        cost_objectives=study.costs,
        category_ranges=dataset.schema.category_ranges,
        column_inputs=dataset.schema.after_backbones.column_inputs,
        input_groups=_group_inputs(study, dataset),
        windows=dataset.windows,
        on_disk=dataset.on_disk,
        statistics_by_scaling={str(how): () for how in scalings},
        callbacks=tuple(spec.training.callbacks),
        phases=make_phases(spec.training),
        own_fit=study.file.model_facts.get("own_fit"),
        optimizers=tuple(map(str, spec.possible_values("optimizer"))),
        batch_sizes_vary=any(p.name == "batch_size" and p.size > 1 for p in spec.space),
        sizes=whole_numbers(spec),
    )
    return with_folds(problem, dataset, dataset.folds)


def _quantile_loss(spec: StudySpec) -> Mapping[str, Value]:
    """Return the loss of the declared quantiles, which no trial changes."""
    loss = spec.data.pinball_metric
    return {} if loss is None else {"loss": loss}


def _group_inputs(study: ResolvedStudy, dataset: Dataset) -> Mapping[str, tuple[str, ...]]:
    """Return the columns of each named input of a custom model; a family has none.

    Raises:
        SpecError: If `data.inputs` is declared for a family, or does not fit the columns.
    """
    declared = study.spec.data.inputs
    if find_family(study.spec.model_name) is None:
        try:
            columns = dataset.schema.after_backbones.column_inputs
            return group_columns(columns, declared or dataset.inputs)
        except DataError as error:
            raise study.file.make_error("data.inputs", str(error)) from None
    if declared:
        raise study.file.make_error(
            "data.inputs", f"is for a model of your own; {study.spec.model_name} takes all columns"
        )
    return {}


def whole_numbers(spec: StudySpec) -> dict[str, tuple[int, ...]]:
    """Return the values of integer hyperparameters; see `Problem.sizes`."""
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
    """Return the same problem with other folds."""

    def fitted(how: str | None = None) -> tuple[Statistics, ...]:
        return dataset.fold_statistics([fold.train for fold in folds], how)

    scaled = {how: fitted(how) for how in problem.statistics_by_scaling or ()}
    return replace(problem, folds=folds, statistics=fitted(), statistics_by_scaling=scaled)


def population_of(study: CheckedStudy, trainer: str, *, threads: int = 1) -> int:
    """Return the number of trials that a worker trains together.

    The default on an accelerator is an eighth of the study, so that the sampler can learn from
    earlier trials, and at most `TOGETHER`; all of it where the sampler learns nothing. The device's
    memory limits how many of them run at the
    same time. On a processor it is as many as keep all `threads` of the worker busy, each of which
    trains a fold. A pruner's bracket is never split.
    """
    training, bracket = study.spec.training, study.pruner.bracket
    wanted = training.population
    declared = "population" in training.model_fields_set
    if not declared and trainer == "vectorized":
        folds = count_folds(study.spec.cross_validation or CrossValidationSpec()) or 1
        if has_accelerator():
            trials, kind = study.spec.budget.trials, study.spec.sampler.kind
            wanted = max(1, min(TOGETHER, trials // 8))
            if kind in LEARN_NOTHING:
                wanted = min(MOST_TOGETHER, trials)
        elif folds > 1:  # one fold alone may use all threads
            wanted = -(-threads // folds)
    return bracket * max(1, wanted // bracket)


def count_ahead(study: CheckedStudy, trainer: str, *, workers: int) -> int:
    """Return the number of populations that a worker prepares besides the running one.

    They are compiled while the running one trains. Where neither the sampler nor the end of the
    search depends on results or time, the only worker of a machine prepares several: a program
    takes longer to compile than a short trial to train, and with one of them a core would wait.
    """
    spec, budget = study.spec, study.spec.budget
    if trainer != "vectorized" or spec.training.deterministic:
        return 0  # a deterministic study trains as many trials at the same time
    if study.pruner.bracket > 1:
        return 0  # a bracket is one population; the next one is made after it has ended
    ends = (budget.target, budget.stagnation, budget.until, budget.minutes)
    is_known = spec.sampler.kind in LEARN_NOTHING and not any(end is not None for end in ends)
    is_alone = workers == 1 and spec.execution.executor == "processes" and not has_accelerator()
    return KNOWN_AHEAD if is_known and is_alone else 1


def divide_machine(
    machine: devices.Machine, declared: ExecutionSpec, trainer: str
) -> tuple[int, int]:
    """Return the number of workers on a machine and the threads of each."""
    default = devices.default_workers(machine, trainer=trainer, gpus=declared.gpus)
    workers = declared.workers or default
    return workers, devices.threads_per_worker(machine, workers, cpus=declared.cpus)


def describe_training(study: CheckedStudy) -> str:
    """Describe how many trials will train at once on this machine, before any row is read."""
    trainer = "keras_fit" if study.spec.training.trainer == "keras_fit" else "vectorized"
    machine = devices.detect_machine(trainer)
    _, threads = divide_machine(machine, study.spec.execution, trainer)
    population = population_of(study, trainer, threads=threads)
    text = describe_population(population, threads=threads)
    return f"population: {text or 'one trial at a time'}"


def describe_population(population: int, *, threads: int) -> str:
    """Describe how many trials train at once; empty for one.

    Examples:
        >>> describe_population(2, threads=8)
        '2 trials at once on the 8 threads of a worker'
    """
    if population == 1:
        return ""
    if has_accelerator():
        return f"up to {population} trials at once, as many as the device's memory holds"
    return f"{population} trials at once on the {threads} threads of a worker"


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
        population = self._population if trainer == "vectorized" else 1
        for text in (
            describe_backend(trainer),
            describe_precision(problem.precision, on_accelerator=has_accelerator()),
            describe_population(population, threads=self.threads),
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


def describe_dataset(dataset: Dataset) -> DataSummary:
    """Summarize the data in plain values, for the journal."""
    return DataSummary(
        name=dataset.name,
        rows=dataset.n_rows,
        columns=dataset.n_columns,
        features=dataset.n_features,
        test_rows=len(dataset.locked_rows) if dataset.locked_rows else 0,
        folds=len(dataset.folds),
        notes=list(dataset.notes),
        versions=dict(dataset.versions),
    )
