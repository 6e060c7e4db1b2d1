"""From a declaration and its data to what every trial shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ..data import Dataset, load
from ..data.split import Split
from ..data.statistics import Statistics
from ..errors import SpecError
from ..events import DataSummary
from ..execution import devices
from ..execution.executor import EXECUTORS, Executor
from ..execution.process_executor import ProcessExecutor
from ..execution.resource_limits import GIB, WorkerLimits
from ..plugins import find_plugin
from ..search.objectives import COSTS
from ..search.pruner import Pruner
from ..search.pruners import default_pruner, make_pruner
from ..spec.data_spec import Task
from ..spec.function_reference import is_reference
from ..spec.search_space import Categorical, Int
from ..spec.study_file import StudyFile
from ..spec.study_spec import ExecutionSpec, StudySpec
from ..training.metrics import get_metric, list_default_metrics
from ..training.problem import EarlyStopping, Problem
from ..training.trainer_selection import choose_trainer, has_accelerator
from ..trial import Direction, Value
from .objective_validation import require_defined_objective
from .validation import validate_study

THRESHOLD_METRICS = (
    "balanced_accuracy",
    "f1",
    "matthews_corrcoef",
)  # objectives that need a threshold
TOGETHER = 64  # trials of a population on an accelerator, where nothing is declared
LISTED = 16  # values of a whole number; of more, powers of two
DEFAULT_OBJECTIVE = {
    "binary": "roc_auc",
    "multiclass": "accuracy",
    "multilabel": "roc_auc",
    "regression": "rmse",
}


def load_data(file: StudyFile, data: Any = None) -> Dataset:
    """The declared data, or those handed over in memory.

    Raises:
        SpecError: If there are neither, or the declaration does not suit the task that they are.
        DataError: If they cannot be used as they are, or the objective has no value on them.
    """
    spec = file.spec
    if data is None and spec.data.source is None:
        raise file.make_error("data.source", "is required, unless data are handed to hpsearch.tune")
    dataset = load(
        spec.data,
        task=spec.task,
        cross_validation=spec.cross_validation,
        seed=spec.seed,
        folder=file.folder,
        arrays=data,
    )
    if spec.task is None:
        _check_task(file, dataset.task)
    for name, _ in objectives_of(spec, dataset.task):
        if name not in COSTS and own_metric_of(spec) is None:
            require_defined_objective(get_metric(name, dataset.task), dataset)
    return dataset


def _check_task(file: StudyFile, task: Task) -> None:
    """Refuse what does not suit the task that was inferred."""
    try:
        validate_study(replace(file, spec=file.spec.model_copy(update={"task": task})))
    except SpecError as error:
        raise SpecError(
            f"{error}\nThe target's values make it a {task} task; the key task would say another."
        ) from None


def build_problem(spec: StudySpec, dataset: Dataset, folder: Path | None = None) -> Problem:
    """What every trial of the study shares; its paths are relative to `folder`."""
    objective = objective_of(spec, dataset.task)
    several = [name for name, _ in objectives_of(spec, dataset.task)]
    others = [name for name in several if name not in COSTS]
    stopping = spec.training.early_stopping
    problem = Problem(
        task=dataset.task,
        features=dataset.features,
        target=dataset.target,
        folds=dataset.folds,
        statistics=(),
        objective=objective,
        metrics=tuple(dict.fromkeys([*list_default_metrics(dataset.task, objective), *others])),
        model=spec.model_name,
        fixed_params=spec.fixed_params,
        weights=dataset.weights,
        target_transforms=dataset.schema.target.transforms if dataset.schema.target else (),
        early_stopping=EarlyStopping(**stopping.model_dump()) if stopping else None,
        fold_schedule="in_turn" if pruner_kind(spec) == "fold_race" else "together",
        folder=str((folder or Path()).resolve()),
        custom_metric=own_metric_of(spec),
        threshold=threshold_of(spec, dataset.task),
        cost_objectives=tuple(name for name in several if name in COSTS),
        category_ranges=dataset.schema.category_ranges,
        windows=dataset.windows,
        statistics_by_scaling={str(how): () for how in spec.possible_values("scaling")},
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


def objective_of(spec: StudySpec, task: str) -> str:
    """The metric that is improved: the declared one, or the task's usual one.

    With several objectives it is the first, which ranks trials and is watched epoch by epoch.

    Raises:
        SpecError: If the metric does not suit the task.
    """
    if spec.objectives:
        return get_metric(spec.objectives[0].metric, task).name
    if own := own_metric_of(spec):
        return own[0].rpartition(":")[2]
    name = spec.objective.metric if spec.objective else DEFAULT_OBJECTIVE[task]
    return get_metric(name, task).name


def own_metric_of(spec: StudySpec) -> tuple[str, Direction] | None:
    """The user's function that is the objective, and which of its values are better."""
    declared = spec.objective
    if declared is None or declared.direction is None or not is_reference(declared.metric):
        return None
    return declared.metric, declared.direction


def threshold_of(spec: StudySpec, task: str) -> float | Literal["tuned"]:
    """What is declared of a binary task's labels; else tuned, where the objective needs it.

    Accuracy is left at one half: a probability that means what it says is most accurate there. So
    are precision and recall, which are best where next to no row, or every row, is called positive.
    """
    if spec.objective is not None and spec.objective.threshold is not None:
        if task == "multilabel":
            raise SpecError(
                "objective.threshold: a multilabel task's labels are called at one half each: "
                "leave it out"
            )
        return spec.objective.threshold
    name = objective_of(spec, task)
    return "tuned" if name in THRESHOLD_METRICS and task == "binary" else 0.5


def objectives_of(spec: StudySpec, task: str) -> list[tuple[str, Direction]]:
    """Each objective's name and direction, in the order of the declaration.

    Raises:
        SpecError: If a metric does not suit the task.
    """
    if own := own_metric_of(spec):
        return [(objective_of(spec, task), own[1])]
    declared = [o.metric for o in spec.objectives or ()] or [objective_of(spec, task)]
    return [
        (name, "minimize" if name in COSTS else get_metric(name, task).direction)
        for name in declared
    ]


def pruner_of(spec: StudySpec) -> Pruner:
    """The declared pruner, or the usual one.

    Raises:
        SpecError: If there is none, or it does not read an option.
    """
    options = spec.pruner.options if spec.pruner else {}
    return make_pruner(pruner_kind(spec), options, epochs=spec.training.epochs, seed=spec.seed)


def pruner_kind(spec: StudySpec) -> str:
    """The name of the declared pruner, or of the usual one."""
    if spec.pruner is not None:
        return spec.pruner.kind
    if spec.sampler.kind == "keras_tuner_hyperband":
        return "none"  # it gives its trials their epochs itself
    n_objectives = len(spec.objectives or [None])
    return default_pruner(epochs=spec.training.epochs, objectives=n_objectives)


def population_of(spec: StudySpec, trainer: str) -> int:
    """How many trials a worker trains together.

    Where nothing is declared and there is an accelerator they are an eighth of the study, so that
    the sampler learns from those before, and at most `TOGETHER`. Which of them stand side by side
    on the device is left to its memory. A pruner's bracket is never cut.
    """
    wanted = spec.training.population
    declared = "population" in spec.training.model_fields_set
    if not declared and trainer == "vectorized" and has_accelerator():
        wanted = max(1, min(TOGETHER, spec.budget.trials // 8))
    bracket = pruner_of(spec).bracket
    return bracket * max(1, wanted // bracket)


class WorkerPool:
    """The workers, started on a guess of the trainer while the data are being read."""

    def __init__(
        self,
        spec: StudySpec,
        *,
        logs: Path,
        workers: int | None = None,
        threads: int | None = None,
    ) -> None:
        """Start the workers that `spec` declares; they import Keras at once.

        Args:
            spec: The study.
            logs: Folder for what workers print.
            workers: So many processes on this machine, whatever is declared.
            threads: Of each worker; None: its share of the machine's cores.
        """
        self._execution = spec.execution if workers is None else ExecutionSpec(workers=workers)
        self._threads = threads
        self.is_deterministic = spec.training.deterministic
        self._kind = spec.training.trainer
        self._spec = spec
        # A bracket is one population, and the next is not asked for before it has ended.
        self._asks_ahead = pruner_of(spec).bracket == 1
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
        return population_of(self._spec, self.trainer)

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
