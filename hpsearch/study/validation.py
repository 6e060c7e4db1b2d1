"""What can be wrong with a study before any row is read: names that nothing knows or reads.

The form of a file is checked in `spec/`; here it meets the catalogues of models, optimizers,
losses, metrics and samplers.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import SpecError
from ..execution.executor import EXECUTORS
from ..models import find_family, format_unknown_family
from ..plugins import describe_known, find_plugin
from ..search.objectives import COSTS
from ..search.pruners import PRUNERS, find_pruner, make_pruner
from ..search.pruners.fold_race import min_folds_to_reject
from ..search.samplers import find_problems as sampler_problems
from ..spec import feasibility, type_coercion
from ..spec.data_spec import CrossValidationSpec, count_folds
from ..spec.function_reference import is_reference, resolve_reference
from ..spec.model_reference import DefineByRunModel
from ..spec.secrets import SECRET_REMEDY, find_secrets
from ..spec.study_file import StudyFile
from ..spec.study_spec import StudySpec
from ..training import losses, optimizers, schedules
from ..training.class_weights import TASKS_WITHOUT_CLASSES
from ..training.metrics import METRICS, find_metric
from . import initial_trials
from .model_validation import explain_missing

TRAINING_PARAMETERS = (
    "optimizer",
    "batch_size",
    "epochs",
    "loss",
    "schedule",
    "class_weight",
    "scaling",
)


def validate_study(file: StudyFile) -> None:
    """Refuse a study that could not run.

    Raises:
        SpecError: With every mistake on a line of its own.
    """
    problems = [str(file.make_error(key, message)) for key, message in _find_problems(file)]
    if problems:
        raise SpecError("\n".join(problems))


def _find_problems(file: StudyFile) -> Iterator[tuple[str, str]]:
    yield from ((key, SECRET_REMEDY) for key in dict.fromkeys(find_secrets(file.raw)))
    spec, facts = file.spec, file.model_facts
    kind, options, n_objectives = (
        spec.sampler.kind,
        spec.sampler.options,
        len(spec.objectives or [1]),
    )
    for key, message in sampler_problems(kind, options, spec.space, objectives=n_objectives):
        yield f"sampler.{key}", message
    yield from _check_objective(file)
    yield from _check_objectives(spec)
    yield from _check_pruner(spec)
    yield from _check_schedule(spec)
    yield from _check_execution(spec)
    yield from _check_values(file)
    if "scaling" in spec.search_space and "scaling" in spec.data.model_fields_set:
        yield "data.scaling", "the search space has scaling too: keep one of the two keys"
    if isinstance(spec.model, DefineByRunModel):
        yield from _check_unread(spec, _parameters_read_beside(spec, facts))
    elif family := find_family(spec.model):
        if family.defaults is not None:
            yield from _check_unread(
                spec, (*TRAINING_PARAMETERS, *family.defaults, *_optimizer_and_loss_arguments(spec))
            )
    elif (
        problem := explain_missing(spec.model)
        if ":" in spec.model
        else format_unknown_family(spec.model)
    ):
        yield "model", problem
    empty = list(feasibility.find_failing_constraints(spec.space))
    yield from empty or initial_trials.find_problems(spec)


def _check_values(file: StudyFile) -> Iterator[tuple[str, str]]:
    """Values of hyperparameters that nothing can be trained with."""
    spec, is_compiled = file.spec, bool(file.model_facts.get("compiled"))
    wrong = type_coercion.find_invalid_values(
        spec.space, spec.fixed_params, spec.model_name, compiled=is_compiled
    )
    yield from ((f"search_space.{name}", message) for name, message in wrong)
    if "epochs" in spec.search_space and spec.sampler.kind == "keras_tuner_hyperband":
        yield (
            "search_space.epochs",
            "keras_tuner_hyperband decides how many epochs a trial gets: leave epochs out, and "
            "say training.epochs",
        )
    if is_compiled:
        return  # it is the user's own function that reads the rest
    clipping = [name for name in type_coercion.CLIPPING_OPTIONS if name in spec.search_space]
    if len(clipping) > 1 and (
        both := type_coercion.find_clipping_conflict(spec.space, spec.fixed_params)
    ):
        yield (
            f"search_space.{both[1]}",
            f"{both[0]} and {both[1]} exclude each other in Keras, and a trial may have both: "
            "leave one of them out, or give them a when, or null among their choices and a "
            "constraint",
        )
    if "class_weight" in spec.search_space and spec.task in TASKS_WITHOUT_CLASSES:
        what = "has no classes" if spec.task == "regression" else "has several labels a row"
        yield "search_space.class_weight", f"a {spec.task} task {what}: leave it out"
    for value in spec.possible_values("loss"):
        if isinstance(value, str) and is_reference(value):
            if problem := explain_missing(resolve_reference(value, file.folder)):
                yield "search_space.loss", problem
        elif isinstance(value, str) and value not in (known := _known_losses(spec)):
            listed = ", ".join(sorted(known))
            yield "search_space.loss", f"{value!r} does not exist. Known: {listed}."


def _parameters_read_beside(spec: StudySpec, facts: Mapping[str, Any]) -> tuple[str, ...]:
    """What is read where the model names its own hyperparameters."""
    read = ("batch_size", "epochs", "scaling", *facts["declared"])
    return (
        read
        if facts["compiled"]
        else (*TRAINING_PARAMETERS, *read, *_optimizer_and_loss_arguments(spec))
    )


def _check_objective(file: StudyFile) -> Iterator[tuple[str, str]]:
    spec = file.spec
    if spec.objective is None:
        return
    name = spec.objective.metric
    if is_reference(name):
        if problem := explain_missing(resolve_reference(name, file.folder)):
            yield "objective.metric", problem
        if spec.objective.direction is None:
            yield "objective.direction", "is required of a function: maximize or minimize"
        if name.rpartition(":")[2] in METRICS:
            yield "objective.metric", f"{name} is called like a metric of ours: rename it"
        return
    metric = find_metric(name)
    if metric is None or spec.task not in (None, *metric.tasks):
        kind = f" for {spec.task}" if spec.task else ""
        known = sorted(m.name for m in METRICS.values() if spec.task in (None, *m.tasks))
        told = describe_known("metrics", known)
        yield "objective.metric", f"{name!r} does not exist{kind}. {told}"
    elif spec.objective.direction not in (None, metric.direction):
        yield "objective.direction", f"{name} is to be {metric.direction}d: leave it out"


def _check_objectives(spec: StudySpec) -> Iterator[tuple[str, str]]:
    metrics = sorted(m.name for m in METRICS.values() if spec.task in (None, *m.tasks))
    names = [objective.metric for objective in spec.objectives or ()]
    for place, objective in enumerate(spec.objectives or ()):
        key, name = f"objectives.{place}.metric", objective.metric
        found = None if name in (*metrics, *COSTS) else find_metric(name)
        if name not in (*metrics, *COSTS) and (not found or spec.task not in (None, *found.tasks)):
            told = describe_known("metrics", (*metrics, *COSTS))
            yield key, f"{name!r} does not exist. {told}"
        elif place == 0 and name in COSTS:
            yield key, f"the first objective ranks the trials: a metric. Put {name} behind it."
        elif name in names[:place]:
            yield key, f"{name} stands twice"
        elif objective.direction not in (None, _direction_of(name)):
            yield (
                f"objectives.{place}.direction",
                f"{name} is to be {_direction_of(name)}d: leave it out",
            )


def _direction_of(name: str) -> str:
    if name in COSTS:
        return "minimize"
    metric = find_metric(name)
    assert metric is not None
    return metric.direction


def _check_pruner(spec: StudySpec) -> Iterator[tuple[str, str]]:
    if spec.pruner is None:
        return
    kind, options, epochs = spec.pruner.kind, spec.pruner.options, spec.training.epochs
    found = find_pruner(kind)
    if found is None:
        yield "pruner.kind", f"{kind!r} does not exist. {describe_known('pruners', PRUNERS)}"
        return
    reads = found[1]
    unread = [name for name in options if name not in reads]
    for name in unread:
        known = f"it reads {', '.join(reads)}" if reads else "it reads no option"
        yield f"pruner.{name}", f"{kind} does not read this option: {known}"
    if unread or kind == "none":
        return
    if spec.objectives:
        yield "pruner.kind", "with several objectives no trial is pruned: leave it out, or say none"
    elif kind == "threshold" and not {"lower", "upper"} & options.keys():
        yield "pruner.kind", "threshold needs lower, upper or both, in units of the objective"
    elif options.get("lower", -math.inf) > options.get("upper", math.inf):
        yield "pruner.lower", "lower must not be above upper"
    elif kind == "fold_race":
        yield from _check_fold_race(spec, options.get("alpha", reads["alpha"]))
    elif not any(make_pruner(kind, options, epochs=epochs).rungs(n, epochs) for n in range(99)):
        yield "pruner.kind", f"{kind} would never prune a trial of {epochs} epochs: train longer"


def _check_schedule(spec: StudySpec) -> Iterator[tuple[str, str]]:
    kinds = spec.possible_values("schedule")
    if "piecewise" in kinds:
        if "boundaries" not in spec.search_space:
            yield (
                "search_space.schedule",
                "piecewise needs boundaries: the epochs at which the rate falls, as in "
                'boundaries: "10, 20"',
            )
        for value in spec.possible_values("boundaries"):
            try:
                schedules.parse_boundaries(value)
            except SpecError as error:
                yield "search_space.boundaries", str(error)
    if "reduce_on_plateau" in kinds and spec.pruner and spec.pruner.kind == "fold_race":
        yield (
            "search_space.schedule",
            "reduce_on_plateau watches the mean over the folds, which folds trained one after "
            "another do not have: leave it out, or take another pruner than fold_race",
        )


def _check_execution(spec: StudySpec) -> Iterator[tuple[str, str]]:
    declared = spec.execution
    if declared.executor not in EXECUTORS and not find_plugin("executors", declared.executor):
        told = describe_known("executors", EXECUTORS)
        yield "execution.executor", f"{declared.executor!r} does not exist. {told}"
    counted = declared.workers is not None or declared.executor != "ray"
    if spec.training.deterministic and not counted and declared.address != "local":
        yield (
            "execution.workers",
            "is required of a deterministic study on a cluster, whose nodes come and go: a round "
            "has as many trials as there are workers",
        )


def _check_fold_race(spec: StudySpec, alpha: float) -> Iterator[tuple[str, str]]:
    if spec.training.trainer != "keras_fit":
        yield "pruner.kind", "fold_race trains one fold after another: training.trainer: keras_fit"
    stopping = spec.training.early_stopping
    if stopping is not None and stopping.scope != "fold":
        yield (
            "pruner.kind",
            "folds that are trained one after another can only stop on their own curves: "
            "training.early_stopping.scope: fold, or early_stopping: null",
        )
    folds = count_folds(spec.cross_validation or CrossValidationSpec())
    needed = min_folds_to_reject(alpha) + 1
    if folds is not None and folds < needed:
        yield (
            "pruner.kind",
            f"with {folds} folds a race can never reject at alpha {alpha:g}: the smallest p of n "
            f"folds is 1/2^n, and the last fold saves nothing. It takes {needed} folds, or "
            "another pruner.",
        )


def _known_losses(spec: StudySpec) -> dict[str, object]:
    tasks = [spec.task] if spec.task else list(losses.LOSSES)
    return {name: None for task in tasks for name in losses.LOSSES[task]}


def _optimizer_and_loss_arguments(spec: StudySpec) -> set[str]:
    """What at least one of the study's optimizers and losses reads."""
    read: set[str] = set()
    for name in spec.possible_values("optimizer") or (optimizers.DEFAULT_OPTIMIZER,):
        if name in optimizers.OPTIMIZERS:
            read.update(optimizers.list_optimizer_params(str(name)))
    for schedule in spec.possible_values("schedule"):
        if schedule in schedules.SCHEDULES:
            read.update(schedules.list_schedule_params(str(schedule)))
    tasks = [spec.task] if spec.task else list(losses.LOSSES)
    for task in tasks:
        for loss in spec.possible_values("loss") or (None,):
            if loss is None or loss in losses.LOSSES[task] or is_reference(str(loss)):
                read.update(losses.list_loss_params(task, None if loss is None else str(loss)))
    return read


def _check_unread(spec: StudySpec, read: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name in spec.search_space:
        if name not in read:
            close = difflib.get_close_matches(name, read, 1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            known = ", ".join(sorted(read))
            yield f"search_space.{name}", f"nothing reads this parameter.{hint} Read: {known}."
