"""Validate a study before any row is read: unknown or unused names, invalid values.

`spec/` validates the syntax of a file; this module validates it against the registries of models,
optimizers, losses, metrics and samplers. `task_validation.py` covers what depends on the task.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..errors import SpecError
from ..execution.executor import EXECUTORS
from ..models import find_family, format_unknown_family
from ..plugins import describe_known, find_plugin
from ..search.objectives import COSTS
from ..search.pruners import PRUNERS, SEVERAL_OBJECTIVES, find_pruner, make_pruner
from ..search.pruners.fold_race import min_folds_to_reject
from ..search.samplers import find_earlier_problem, find_sampler_problems
from ..spec import feasibility, type_coercion
from ..spec.data_spec import CrossValidationSpec, count_folds
from ..spec.function_reference import is_reference, resolve_reference
from ..spec.model_reference import DefineByRunModel
from ..spec.pinball import parse_pinball
from ..spec.secrets import SECRET_REMEDY, find_secrets
from ..spec.study_file import StudyFile
from ..spec.study_spec import StudySpec
from ..training import schedules
from ..training.metrics import METRICS, find_metric
from ..training.trainer_selection import NO_BFLOAT16
from ..trial import Limit
from . import initial_trials
from .limit_validation import explain_impossible, find_limit_problems
from .model_validation import explain_missing
from .resolved_study import CheckedStudy, choose_pruner
from .task_validation import (
    TASKS,
    explain_unknown_loss,
    explain_unknown_metric,
    find_task_problems,
    find_unread,
    format_problems,
    list_losses,
)
from .training_phases import find_phase_problems

MAX_FURTHER_EPOCHS = 100  # among which more epochs are suggested to a pruner


def check_study(file: StudyFile) -> CheckedStudy:
    """Validate a declaration, and choose its pruner.

    Raises:
        SpecError: With every mistake on a line of its own.
    """
    problems = [*_find_problems(file), *_check_pruner_options(file.spec)]
    study = None
    if not any(key.startswith("pruner.") for key, _ in problems):
        study = choose_pruner(file)
        problems += _check_pruner(study)
    if file.spec.task is not None:
        problems += find_task_problems(file, file.spec.task)
    if problems or study is None:
        raise SpecError(format_problems(file, problems))
    return study


def _find_problems(file: StudyFile) -> Iterator[tuple[str, str]]:
    """Find problems independent of the task: key and message."""
    yield from ((key, SECRET_REMEDY) for key in dict.fromkeys(find_secrets(file.raw)))
    spec = file.spec
    sampler, n_objectives = spec.sampler, len(spec.objectives or [1])
    for key, message in find_sampler_problems(
        sampler.kind, sampler.options, spec.space, objectives=n_objectives
    ):
        yield f"sampler.{key}", message
    if spec.earlier_studies:
        problem = find_earlier_problem(sampler.kind, objectives=n_objectives)
        if problem is not None:
            yield "warm_start", f"{problem}. A study of the same data is named without a list"
    yield from _check_named_studies(spec)
    yield from _check_objective(file)
    yield from _check_quantiles(spec)
    yield from _check_objectives(spec)
    yield from find_limit_problems(spec)
    yield from _check_schedule(spec)
    yield from _check_execution(spec)
    yield from _check_precision(spec)
    yield from find_phase_problems(spec)
    yield from _check_values(file)
    if spec.selection.max_ms_per_row is not None and not _may_take_ensemble(spec):
        yield (
            "selection.max_ms_per_row",
            (
                "limits an ensemble, and this winner is a single trial: leave it out. "
                "A limit on trials is a constraint: latency_ms <= 2"
            ),
        )
    if "scaling" in spec.search_space and "scaling" in spec.data.model_fields_set:
        yield "data.scaling", "the search space has scaling too: keep one of the two keys"
    yield from find_unread(file, spec.search_space, TASKS)
    yield from _check_model(spec)
    empty = list(feasibility.find_failing_constraints(spec.space))
    yield from empty or initial_trials.find_enqueue_problems(spec)


def _may_take_ensemble(spec: StudySpec) -> bool:
    """Whether the winner can be an ensemble, as far as the declaration says."""
    return spec.selection.kind in (None, "ensemble") and not (spec.objectives or spec.limits)


def _check_named_studies(spec: StudySpec) -> Iterator[tuple[str, str]]:
    """Check that `warm_start` names other studies, each once."""
    named = spec.named_studies
    if spec.study in named:
        yield "warm_start", f"{spec.study} is this study itself: name an earlier one"
    if len(set(named)) < len(named):
        yield "warm_start", f"a study stands twice in {', '.join(named)}"


def _check_model(spec: StudySpec) -> Iterator[tuple[str, str]]:
    if isinstance(spec.model, DefineByRunModel) or find_family(spec.model):
        return
    problem = (
        explain_missing(spec.model) if ":" in spec.model else format_unknown_family(spec.model)
    )
    if problem:
        yield "model", problem


def _check_values(file: StudyFile) -> Iterator[tuple[str, str]]:
    """Find values of hyperparameters that cannot be trained."""
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
        return  # a custom function may read the others
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
    for value in spec.possible_values("loss"):
        if isinstance(value, str) and is_reference(value):
            if problem := explain_missing(resolve_reference(value, file.folder)):
                yield "search_space.loss", problem
        elif isinstance(value, str) and value not in list_losses(TASKS):
            tasks = [spec.task] if spec.task else TASKS
            yield "search_space.loss", explain_unknown_loss(value, tasks)


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
            yield "objective.metric", f"{name} is the name of a built-in metric: rename it"
        return
    metric = find_metric(name)
    if metric is None:
        yield "objective.metric", explain_unknown_metric(spec, name, spec.task)
    elif spec.objective.direction not in (None, metric.direction):
        yield "objective.direction", f"{name} is to be {metric.direction}d: leave it out"


def _check_quantiles(spec: StudySpec) -> Iterator[tuple[str, str]]:
    """Check that quantiles have their own metric and loss, and that no other target has it."""
    expected = spec.data.pinball_metric
    declared = spec.objectives or ([spec.objective] if spec.objective else [])
    for index, objective in enumerate(declared):
        name = objective.metric
        key = f"objectives.{index}.metric" if spec.objectives else "objective.metric"
        if expected is None and len(parse_pinball(name)) > 1:
            levels = ", ".join(f"{level:g}" for level in parse_pinball(name))
            yield key, f"{name} scores several quantiles: data.quantiles: [{levels}]"
        elif expected not in (None, name) and name not in COSTS and not is_reference(name):
            yield key, f"data.quantiles are scored by {expected}, the default; got {name}"
    if expected is not None and "loss" in spec.search_space:
        yield "search_space.loss", f"data.quantiles have their loss, {expected}: leave it out"


def _check_objectives(spec: StudySpec) -> Iterator[tuple[str, str]]:
    names = [objective.metric for objective in spec.objectives or ()]
    if names and spec.budget.until is not None:
        yield "budget.until", "is for one objective. For several: budget.stagnation"
    for index, objective in enumerate(spec.objectives or ()):
        key, name = f"objectives.{index}.metric", objective.metric
        metric = None if name in COSTS else find_metric(name)
        direction = metric.direction if metric else "minimize"
        if metric is None and name not in COSTS:
            yield key, explain_unknown_metric(spec, name, spec.task)
        elif index == 0 and name in COSTS:
            yield key, f"the first objective ranks the trials: a metric. Put {name} behind it."
        elif name in names[:index]:
            yield key, f"{name} stands twice"
        elif objective.direction not in (None, direction):
            yield f"objectives.{index}.direction", f"{name} is to be {direction}d: leave it out"


def _check_pruner_options(spec: StudySpec) -> Iterator[tuple[str, str]]:
    """Check that the pruner exists and uses the declared options."""
    if spec.pruner is None:
        return
    kind, found = spec.pruner.kind, find_pruner(spec.pruner.kind)
    if found is None:
        yield "pruner.kind", f"{kind!r} does not exist. {describe_known('pruners', PRUNERS)}"
        return
    known = f"it reads {', '.join(found[1])}" if found[1] else "it reads no option"
    for name in spec.pruner.options:
        if name not in found[1]:
            yield f"pruner.{name}", f"{kind} does not read this option: {known}"


def _check_pruner(study: CheckedStudy) -> Iterator[tuple[str, str]]:
    """Check that the declared pruner can ever prune a trial of this study."""
    spec, epochs = study.spec, study.spec.training.epochs
    if spec.pruner is None or spec.pruner.kind == "none":
        return
    kind, options = spec.pruner.kind, spec.pruner.options
    if spec.objectives and kind not in SEVERAL_OBJECTIVES:
        allowed = ", ".join(SEVERAL_OBJECTIVES)
        yield "pruner.kind", f"{kind} compares one objective. For several: {allowed}, none"
    elif kind == "threshold" and not {"lower", "upper"} & options.keys():
        yield "pruner.kind", "threshold needs lower, upper or both, in units of the objective"
    elif options.get("lower", -math.inf) > options.get("upper", math.inf):
        yield "pruner.lower", "lower must not be above upper"
    elif reason := _explain_threshold(spec):
        yield "pruner.kind", reason
    elif kind == "fold_race":
        alpha = PRUNERS["fold_race"][1]["alpha"]
        yield from _check_fold_race(spec, options.get("alpha", alpha))
    elif not any(study.pruner.rungs(n, epochs) for n in range(99)):
        yield "pruner.kind", _explain_no_rung(study)


def _explain_threshold(spec: StudySpec) -> str | None:
    """Explain that `threshold` would prune every trial; None if it need not."""
    if spec.pruner is None or spec.objective is None or spec.pruner.kind != "threshold":
        return None
    bounds = {False: spec.pruner.lower, True: spec.pruner.upper}
    for is_upper, bound in bounds.items():
        limit = None if bound is None else Limit(spec.objective.metric, bound, is_upper)
        if limit is not None and (reason := explain_impossible(limit)):
            return f"threshold would prune every trial: {reason}"
    return None


def _explain_no_rung(study: CheckedStudy) -> str:
    """Explain that the pruner decides nothing in so few epochs."""
    epochs, kind = study.spec.training.epochs, study.pruner_kind
    options = study.spec.pruner.options if study.spec.pruner else {}
    reason = f"{kind} would never prune a trial of {epochs} epochs: train longer"
    for longer in range(epochs + 1, epochs + MAX_FURTHER_EPOCHS):
        pruner = make_pruner(kind, options, epochs=longer)
        if any(pruner.rungs(number, longer) for number in range(99)):
            return f"{reason}, {longer} epochs at least"
    return reason


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


def _check_precision(spec: StudySpec) -> Iterator[tuple[str, str]]:
    by_keras = spec.training.trainer == "keras_fit" or spec.training.phases
    if spec.training.precision == "bfloat16" and by_keras:
        yield "training.precision", NO_BFLOAT16.partition(": ")[2]


def _check_execution(spec: StudySpec) -> Iterator[tuple[str, str]]:
    declared = spec.execution
    if declared.executor not in EXECUTORS and not find_plugin("executors", declared.executor):
        known = describe_known("executors", EXECUTORS)
        yield "execution.executor", f"{declared.executor!r} does not exist. {known}"
    limited = [key for key in ("trial_minutes", "memory_gib") if getattr(spec.budget, key)]
    if declared.executor == "inline" and limited:
        yield (
            f"budget.{limited[0]}",
            "ends a trial's worker, and execution.executor: inline has none: leave one of them out",
        )
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
