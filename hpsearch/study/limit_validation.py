"""Validate constraints on what is measured: `latency_ms <= 2`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..search.objectives import COSTS
from ..spec.study_spec import StudySpec
from ..training.metrics import find_metric, find_optimum
from ..trial import Limit
from .task_validation import explain_unmeasured


def find_limit_problems(spec: StudySpec) -> Iterator[tuple[str, str]]:
    """Check that the constraints that are on no hyperparameter are on something measured."""
    own = spec.objective.metric.rpartition(":")[2] if spec.objective else None
    for index, limit in spec.limits.items():
        if limit.name not in (*COSTS, own) and find_metric(limit.name) is None:
            yield f"constraints.{index}", explain_unmeasured(spec, limit.name, spec.task)
        elif reason := explain_impossible(limit, spec.limits.values()):
            yield f"constraints.{index}", reason
    if reason := _explain_unreachable_target(spec):
        yield "budget.target", reason
    if not spec.limits:
        return
    texts = " and ".join(map(str, spec.limits.values()))
    if spec.budget.until is not None:
        yield "budget.until", f"does not take into account {texts}. Take budget.stagnation"
    if spec.selection.kind == "ensemble":
        yield (
            "selection.kind",
            f"{texts} is measured for single trials, and an ensemble has several: take best",
        )


def _explain_unreachable_target(spec: StudySpec) -> str | None:
    """Explain that no score can end the search; None if one can."""
    objective, target = spec.objective, spec.budget.target
    metric = find_metric(objective.metric) if objective else None
    if objective is None or metric is None or target is None:
        return None
    is_minimized = (objective.direction or metric.direction) == "minimize"
    return explain_impossible(Limit(metric.name, target, is_upper=is_minimized))


def explain_impossible(limit: Limit, others: Iterable[Limit] = ()) -> str | None:
    """Explain that no trial can be within a limit; None if one can."""
    metric, best = find_metric(limit.name), find_optimum(limit.name)
    if limit.name in COSTS and limit.is_upper and limit.bound <= 0:
        return f"no trial is within {limit}: {limit.name} is above 0"
    if metric is not None and best is not None:
        bounds_better = limit.is_upper == (metric.direction == "minimize")
        if bounds_better and limit.violation(best) > 0:
            return f"no trial is within {limit}: the best {limit.name} is {best}"
    for other in others:
        are_opposite = limit.name == other.name and limit.is_upper and not other.is_upper
        if are_opposite and other.violation(limit.bound) > 0:
            return f"no trial is within {limit} and {other}"
    return None
