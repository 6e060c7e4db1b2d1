"""A study's declaration with everything derived from it, resolved once.

`CheckedStudy` is available before rows are read, `ResolvedStudy` once the task is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..events import Objective
from ..search.objectives import COSTS
from ..search.pruner import Pruner
from ..search.pruners import default_pruner, make_pruner
from ..spec.data_spec import Task
from ..spec.function_reference import is_reference
from ..spec.study_file import StudyFile
from ..spec.study_spec import StudySpec
from ..training.metrics import get_metric, list_default_metrics
from ..trial import Direction, Limit

# Objectives whose threshold is tuned. Not accuracy: calibrated probabilities are most accurate at
# 0.5. Nor precision and recall, which would be best with almost no, or only, positive labels.
THRESHOLD_METRICS = ("balanced_accuracy", "f1", "matthews_corrcoef")
DEFAULT_OBJECTIVE = {
    "binary": "roc_auc",
    "multiclass": "accuracy",
    "multilabel": "roc_auc",
    "regression": "rmse",
}


@dataclass(frozen=True, slots=True)
class CheckedStudy:
    """A declaration, and what is derived from it alone."""

    file: StudyFile
    pruner_kind: str  # the declared or the default pruner
    pruner: Pruner

    @property
    def spec(self) -> StudySpec:
        """The declaration."""
        return self.file.spec


@dataclass(frozen=True, slots=True)
class ResolvedStudy(CheckedStudy):
    """A declaration with a known task."""

    task: Task
    objectives: tuple[Objective, ...]  # as declared; the first ranks trials
    metrics: tuple[str, ...]  # computed every epoch, including the objectives
    custom_metric: tuple[str, Direction] | None  # custom objective function
    threshold: float | Literal["tuned"]  # decision threshold of a binary task

    @property
    def objective(self) -> Objective:
        """The objective that ranks trials."""
        return self.objectives[0]

    @property
    def costs(self) -> tuple[str, ...]:
        """The objectives and the limited quantities that are not metrics."""
        names = [*(o.metric for o in self.objectives), *(limit.name for limit in self.limits)]
        return tuple(dict.fromkeys(name for name in names if name in COSTS))

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The constraints on what is measured."""
        return tuple(self.spec.limits.values())


def choose_pruner(file: StudyFile) -> CheckedStudy:
    """Choose the declared or the default pruner.

    Raises:
        SpecError: If the pruner is unknown, or does not use an option.
    """
    spec = file.spec
    options = spec.pruner.options if spec.pruner else {}
    kind = _pruner_kind(spec)
    pruner = make_pruner(kind, options, epochs=spec.training.epochs, seed=spec.seed)
    return CheckedStudy(file, kind, pruner)


def _pruner_kind(spec: StudySpec) -> str:
    if spec.pruner is not None:
        return spec.pruner.kind
    if spec.sampler.kind == "keras_tuner_hyperband":
        return "none"  # this sampler sets the epochs of its trials
    return default_pruner(epochs=spec.training.epochs, objectives=len(spec.objectives or [None]))


def with_task(study: CheckedStudy, task: Task) -> ResolvedStudy:
    """Resolve the study for a task.

    Raises:
        SpecError: If a metric does not fit the task.
    """
    custom = _custom_metric(study.spec)
    objectives = _objectives(study.spec, task, custom)
    names = [o.metric for o in objectives if o.metric not in COSTS]
    limited = [x.name for x in study.spec.limits.values() if x.name not in COSTS]
    return ResolvedStudy(
        *(study.file, study.pruner_kind, study.pruner),
        task=task,
        objectives=objectives,
        metrics=tuple(dict.fromkeys([*list_default_metrics(task, names[0]), *names, *limited])),
        custom_metric=custom,
        threshold=_threshold(study.spec, task, names[0]),
    )


def _custom_metric(spec: StudySpec) -> tuple[str, Direction] | None:
    declared = spec.objective
    if declared is None or declared.direction is None or not is_reference(declared.metric):
        return None
    return declared.metric, declared.direction


def _objectives(
    spec: StudySpec, task: Task, custom: tuple[str, Direction] | None
) -> tuple[Objective, ...]:
    if custom is not None:
        return (Objective(custom[0].rpartition(":")[2], custom[1]),)
    several = spec.objectives or ([spec.objective] if spec.objective else [])
    names = [o.metric for o in several] or [spec.data.pinball_metric or DEFAULT_OBJECTIVE[task]]
    return tuple(
        Objective(name, "minimize" if name in COSTS else get_metric(name, task).direction)
        for name in names
    )


def _threshold(spec: StudySpec, task: Task, objective: str) -> float | Literal["tuned"]:
    """Return the declared threshold of a binary task; tuned, if the objective needs it."""
    if spec.objective is not None and spec.objective.threshold is not None:
        return spec.objective.threshold
    return "tuned" if objective in THRESHOLD_METRICS and task == "binary" else 0.5
