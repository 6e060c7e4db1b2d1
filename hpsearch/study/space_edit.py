"""An edited search space of an existing study: which of its trials still lie in it.

Any edit is possible: ranges, choices, conditions, constraints, hyperparameters. What counts is
whether a trial is a point of the new space; a new hyperparameter therefore excludes all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..history import History
from ..spec.parameter_domains import format_value
from ..spec.search_space import Categorical, Float, Parameter
from ..spec.study_file import StudyFile
from ..spec.study_spec import StudySpec
from ..trial import Trial, Value
from .warm_start import point_of


def find_outside(file: StudyFile, history: History) -> list[int]:
    """Find the trials that are no points of the space.

    Raises:
        SpecError: If no finished trial is left, or a point that waits to be trained lies outside.
    """
    _require_measured(file, history)
    waiting = [
        point.params for point in history.enqueued if point_of(file.spec, point.params) is None
    ]
    if waiting:
        raise file.make_error(
            "search_space",
            f"the enqueued point {_format_point(waiting[0])} lies outside the edited space: let "
            "tune train it with the earlier space first",
        )
    outside = [t.number for t in history.trials if point_of(file.spec, t.params) is None]
    finished = {t.number for t in history.trials if t.is_finished}
    if finished and finished.issubset(outside):
        raise file.make_error(
            "search_space",
            f"none of the {len(finished)} finished trials of study {history.name} lies in the "
            "edited space, so nothing would be left of it: start another study with --study NAME, "
            f"whose sampler gp learns from these trials with warm_start: [{history.name}]",
        )
    return outside


def _format_point(params: Mapping[str, Value]) -> str:
    return " ".join(f"{name}={format_value(value)}" for name, value in params.items())


def _require_measured(file: StudyFile, history: History) -> None:
    """Refuse a limit on a quantity that the finished trials were not measured for."""
    measured = {limit.name for limit in history.limits}
    new = [i for i, limit in file.spec.limits.items() if limit.name not in measured]
    if new and any(t.is_finished for t in history.trials):
        limit = file.spec.limits[new[0]]
        raise file.make_error(
            f"constraints.{new[0]}",
            f"{limit.name} was not measured in the trials of study {history.name}, so none could "
            "win: start another study with --study NAME. The bound of a quantity that was "
            "measured can be edited.",
        )


def find_trials_beyond(spec: StudySpec, history: History) -> list[Trial]:
    """Find the trials that an edit excludes by ranges or constraints alone, for `gp`.

    They have the hyperparameters and the choices of the space, so their scores, of the same data
    and folds, inform the study's own model. Empty for other samplers.
    """
    if spec.sampler.kind != "gp":
        return []
    trials = [history.last[number] for number in sorted(history.ended_outside)]
    return [
        replace(t, params=p) for t in trials if (p := find_point_beyond(spec, t.params)) is not None
    ]


def find_point_beyond(spec: StudySpec, params: Mapping[str, Value]) -> dict[str, Value] | None:
    """Return the params that vary if only numbers' ranges or constraints exclude them.

    None if such a number decides which others are active, or its range is a single value.
    """
    fixed = spec.fixed_params
    if any(name not in params or params[name] != value for name, value in fixed.items()):
        return None
    point = {name: value for name, value in params.items() if name not in fixed}
    parents = {name for p in spec.space for name in p.when}
    inside = dict(point)
    for p in spec.space.iter_active(point):
        if p.name not in parents and not p.contains(point[p.name]) and _is_number_of(p, point):
            inside[p.name] = p.value(0)
    return point if replace(spec.space, constraints=()).why_invalid(inside) is None else None


def _is_number_of(p: Parameter, point: Mapping[str, Value]) -> bool:
    """Whether the value of `p` is on its scale, perhaps outside its range."""
    value = point[p.name]
    if isinstance(p, Categorical) or p.size == 1 or isinstance(value, bool):
        return False
    if not (isinstance(value, int) or (isinstance(value, float) and isinstance(p, Float))):
        return False
    return value > 0 or not p.log


def describe_outside(outside: list[int], history: History) -> str:
    """Describe how many trials an edit of the space leaves."""
    total = len(history.last)
    if not outside:
        return f"All {total} trials lie in the edited space."
    return (
        f"{total - len(outside)} of {total} trials lie in the edited space. The others stay in the "
        "journal, but cannot win. Only the sampler gp learns from them, and not from those with a "
        "choice that was removed."
    )
