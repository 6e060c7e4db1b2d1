"""Validate what depends on a study's task: metrics, losses and their arguments.

Called when the task is declared, or when it was inferred from the rows.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence

from ..errors import SpecError
from ..models import find_family
from ..plugins import describe_known
from ..search.objectives import COSTS
from ..spec.data_spec import Task
from ..spec.function_reference import is_reference
from ..spec.model_reference import DefineByRunModel
from ..spec.study_file import StudyFile
from ..spec.study_spec import ObjectiveSpec, StudySpec
from ..spec.type_coercion import get_default_schedule
from ..training import losses, optimizers, schedules
from ..training.class_weights import TASKS_WITHOUT_CLASSES
from ..training.metrics import METRICS, find_metric
from ..trial import Value

TASKS = tuple(losses.LOSSES)
TRAINING_PARAMETERS = (
    "optimizer",
    "batch_size",
    "epochs",
    "loss",
    "schedule",
    "class_weight",
    "scaling",
    "dropout_schedule",
    "weight_decay_schedule",
    "clamp",
)


def check_inferred_task(file: StudyFile, task: Task) -> None:
    """Refuse a declaration that does not fit the task inferred from the rows.

    Raises:
        SpecError: With every mistake on a line of its own.
    """
    if problems := list(find_task_problems(file, task)):
        raise SpecError(
            f"{format_problems(file, problems)}\nThe task was inferred from the target's values: "
            f"{task}. The key task overrides it."
        )


def format_problems(file: StudyFile, problems: Iterable[tuple[str, str]]) -> str:
    """Format one problem per line."""
    return "\n".join(str(file.make_error(key, message)) for key, message in problems)


def find_task_problems(file: StudyFile, task: Task) -> Iterator[tuple[str, str]]:
    """Find keys that do not fit the task, although they would fit another."""
    spec = file.spec
    for key, declared in _declared_objectives(spec):
        name, metric = declared.metric, find_metric(declared.metric)
        if metric is not None and task not in metric.tasks:
            yield f"{key}.metric", explain_unknown_metric(spec, name, task)
    for index, limit in spec.limits.items():
        metric = find_metric(limit.name)
        if metric is not None and task not in metric.tasks:
            yield f"constraints.{index}", explain_unmeasured(spec, limit.name, task)
    if task == "multilabel" and spec.objective and spec.objective.threshold is not None:
        yield (
            "objective.threshold",
            "a multilabel task's labels are called at one half each: leave it out",
        )
    if file.model_facts.get("compiled"):
        return  # a custom function may read the others
    if "class_weight" in spec.search_space and task in TASKS_WITHOUT_CLASSES:
        what = "has no classes" if task == "regression" else "has several labels a row"
        yield "search_space.class_weight", f"a {task} task {what}: leave it out"
    for value in spec.possible_values("loss"):
        if value in list_losses(TASKS) and value not in losses.LOSSES[task]:
            yield "search_space.loss", explain_unknown_loss(value, [task])
    known = _parameters_read(file, TASKS)
    yield from find_unread(file, [n for n in spec.search_space if n in (known or ())], [task])


def list_losses(tasks: Sequence[str]) -> list[str]:
    """List the losses of some tasks."""
    return sorted({name for task in tasks for name in losses.LOSSES[task]})


def explain_unknown_loss(name: Value, tasks: Sequence[str]) -> str:
    """Explain that a loss is unknown, or belongs to other tasks."""
    return f"{name!r} does not exist. Known: {', '.join(list_losses(tasks))}."


def _parameters_read(file: StudyFile, tasks: Sequence[str]) -> tuple[str, ...] | None:
    """Return the hyperparameters read in one of these tasks; None if only the model knows."""
    spec, facts = file.spec, file.model_facts
    arguments = _optimizer_and_loss_arguments(spec, tasks)
    if isinstance(spec.model, DefineByRunModel):
        read = ("batch_size", "epochs", "scaling", *facts["declared"])
        return read if facts["compiled"] else (*TRAINING_PARAMETERS, *read, *arguments)
    family = find_family(spec.model)
    if family is None or family.defaults is None:
        return None
    return (*TRAINING_PARAMETERS, *family.defaults, *arguments)


def _declared_objectives(spec: StudySpec) -> Iterator[tuple[str, ObjectiveSpec]]:
    if spec.objective is not None:
        yield "objective", spec.objective
    yield from ((f"objectives.{index}", o) for index, o in enumerate(spec.objectives or ()))


def explain_unknown_metric(spec: StudySpec, name: str, task: str | None) -> str:
    """Explain that an objective is not a metric of this task, or of any."""
    known = sorted(m.name for m in METRICS.values() if task in (None, *m.tasks))
    if spec.objectives:
        return f"{name!r} does not exist. {describe_known('metrics', (*known, *COSTS))}"
    kind = f" for {task}" if task else ""
    return f"{name!r} does not exist{kind}. {describe_known('metrics', known)}"


def explain_unmeasured(spec: StudySpec, name: str, task: str | None) -> str:
    """Explain that a constraint is on neither a hyperparameter nor something measured."""
    measured = [*COSTS, *sorted(m.name for m in METRICS.values() if task in (None, *m.tasks))]
    known = [*(p.name for p in spec.space), *spec.fixed_params]
    close = difflib.get_close_matches(name, [*known, *measured], 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return (
        f"there is no parameter {name!r}, and nothing of this name is measured.{hint} "
        f"Parameters: {', '.join(sorted(known))}. Measured: {', '.join(measured)}."
    )


def _optimizer_and_loss_arguments(spec: StudySpec, tasks: Sequence[str]) -> set[str]:
    """Return the arguments read by an optimizer or loss of the study in one of these tasks."""
    read: set[str] = set()
    for name in spec.possible_values("optimizer") or (optimizers.DEFAULT_OPTIMIZER,):
        if name in optimizers.OPTIMIZERS:
            read.update(optimizers.list_optimizer_params(str(name)))
    default_schedule = get_default_schedule(spec.model_name)
    for schedule in spec.possible_values("schedule") or (default_schedule,):
        if schedule in schedules.SCHEDULES:
            read.update(schedules.list_schedule_params(str(schedule)))
    for task in tasks:
        for loss in spec.possible_values("loss") or (None,):
            if loss is None or loss in losses.LOSSES[task] or is_reference(str(loss)):
                read.update(losses.list_loss_params(task, None if loss is None else str(loss)))
    return read


def find_unread(
    file: StudyFile, names: Iterable[str], tasks: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Find hyperparameters that no model, optimizer or loss of these tasks reads."""
    if (read := _parameters_read(file, tasks)) is None:
        return
    for name in names:
        if name not in read:
            close = difflib.get_close_matches(name, read, 1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            known = ", ".join(sorted(read))
            yield f"search_space.{name}", f"nothing reads this parameter.{hint} Read: {known}."
