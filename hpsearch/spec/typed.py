"""The types of a study's hyperparameters: values as they are trained, or why they are refused.

`type_declaration` turns what a file says into the types of `hyperparameters` before anything else
sees it, so samplers, journal, trainers and a rerun have the same values. `resolve` does the same
for the hyperparameters of one trial. What is not exact stays, and `problems` tells it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from random import Random
from typing import Any

from ..errors import TrainingError
from ..trial import Value
from . import hyperparameters as table
from .hyperparameters import Domain, Reads
from .space import Categorical, Float, Int, Parameter, Space

UNNAMED_LOSS = "binary_crossentropy"  # stands for the loss of a task where none is named
SCALARS = (bool, int, float, str)
CLIPPING = ("clipnorm", "clipvalue", "global_clipnorm")
DRAWS = 200  # points among which two ways to clip are looked for


def read_by_training(optimizers: Collection[Any], losses: Collection[Any], schedules: Any) -> Reads:
    """What training reads with any of these optimizers, losses and schedules."""
    reads = dict(table.TRAINING)
    for catalogue, names in (
        (table.OPTIMIZERS, optimizers or (table.DEFAULT_OPTIMIZER,)),
        (table.LOSSES, losses or (UNNAMED_LOSS,)),
        (table.SCHEDULES, schedules or (table.DEFAULT_SCHEDULE,)),
    ):
        for name in names:
            if isinstance(name, str):
                reads.update(catalogue.get(name, {}))
    return reads


# ---- what a file declares ----


def type_declaration(raw: Mapping[str, Any], *, compiled: bool = False) -> dict[str, Any]:
    """A declaration whose hyperparameters, conditions and points have the types of the table.

    Args:
        raw: As in the file; whatever is malformed is left as it is.
        compiled: Whether the user's function compiles its model, and so reads the rest itself.
    """
    space = raw.get("search_space")
    if not isinstance(space, Mapping):
        return dict(raw)
    if compiled:
        reads = dict(table.ALWAYS)
    else:
        kinds = (
            _listed(space[name]) if name in space else []
            for name in ("optimizer", "loss", "schedule")
        )
        reads = dict(read_by_training(*kinds))
    model = raw.get("model", "mlp")
    if isinstance(model, str):
        reads |= table.FAMILIES.get(model, {})
    typed = {
        name: _typed_conditions(_typed_parameter(declared, reads.get(name)), reads)
        for name, declared in space.items()
    }
    points = raw.get("enqueue")
    enqueue = {} if points is None else {"enqueue": _typed_points(points, reads)}
    return {**raw, "search_space": typed, **enqueue}


def _listed(declared: Any) -> list[Any]:
    """The values of a choice or a fixed value; none where they cannot be listed."""
    if isinstance(declared, list):
        nested = [_listed(d) if isinstance(d, Mapping) else [d] for d in declared]
        return [value for values in nested for value in values]
    if isinstance(declared, Mapping):
        choices = declared.get("choices")
        values = choices if isinstance(choices, list) else [declared.get("value")]
        return [*values, *_listed(declared.get("ranges") or [])]
    return [declared]


def _typed_parameter(declared: Any, domain: Domain | None) -> Any:
    """A declaration of one hyperparameter, or a list of its choices or ranges."""
    if domain is None:
        return declared
    if isinstance(declared, list):
        return [_typed_parameter(d, domain) for d in declared]
    if not isinstance(declared, Mapping):
        return _typed_value(declared, domain)
    typed = dict(declared)
    for key in ("choices", "value", "ranges"):
        if key in typed:
            typed[key] = _typed_parameter(typed[key], domain)
    return _typed_range(typed, domain) if "low" in typed or "high" in typed else typed


def _typed_range(declared: dict[str, Any], domain: Domain) -> dict[str, Any]:
    """A range of whole numbers as one of real numbers in steps of 1, or the reverse."""
    numbers = {k: declared[k] for k in ("low", "high", "step") if declared.get(k) is not None}
    if declared.get("type") == "int" and domain.type == "float" and not declared.get("log"):
        if all(type(n) is int for n in numbers.values()):
            return {**declared, "type": "float", "step": 1.0, **_coerced(numbers, domain)}
    elif declared.get("type") == "float" and domain.type == "int" and "step" in numbers:
        whole = _coerced(numbers, domain)
        if all(type(n) is int for n in whole.values()):
            return {**declared, "type": "int", **whole}
    return declared


def _coerced(numbers: Mapping[str, Any], domain: Domain) -> dict[str, Any]:
    return {name: domain.coerce(number) for name, number in numbers.items()}


def _typed_value(value: Any, domain: Domain) -> Any:
    return domain.coerce(value) if isinstance(value, SCALARS) else value


def _typed_conditions(declared: Any, reads: Reads) -> Any:
    """A declaration whose `when` has the types of the parents."""
    if isinstance(declared, list):
        return [_typed_conditions(d, reads) for d in declared]
    if not isinstance(declared, Mapping):
        return declared
    typed = dict(declared)
    if "ranges" in typed:
        typed["ranges"] = _typed_conditions(typed["ranges"], reads)
    if isinstance(when := typed.get("when"), Mapping):
        typed["when"] = {
            parent: _typed_parameter(allowed, reads.get(parent)) for parent, allowed in when.items()
        }
    return typed


def _typed_points(points: Any, reads: Reads) -> Any:
    if isinstance(points, list):
        return [_typed_points(point, reads) for point in points]
    if not isinstance(points, Mapping):
        return points
    return {name: _typed_parameter(value, reads.get(name)) for name, value in points.items()}


# ---- what is refused ----


def problems(
    space: Space, fixed: Mapping[str, Value], model: str, *, compiled: bool = False
) -> Iterator[tuple[str, str]]:
    """Which hyperparameters may take a value that is not allowed, and why.

    Args:
        space: Those that vary.
        fixed: Those that do not.
        model: The family's name; of any other model only what the training reads is checked.
        compiled: Whether the user's function compiles its model, and so reads the rest itself.
    """
    told: set[str] = set()
    for name, value in fixed.items():
        for domain, reader in _domains(name, {}, space, fixed, model, compiled):
            if (reason := domain.problem(value)) and name not in told:
                told.add(name)
                yield name, f"{reason}{reader}"
    for p in space:
        when = _ancestors_conditions(p, space)
        for domain, reader in _domains(p.name, when, space, fixed, model, compiled):
            if p.name not in told and (reason := _range_problem(p, domain)):
                told.add(p.name)
                yield p.name, f"{reason}{reader}"


def allowed(name: str, space: Space, fixed: Mapping[str, Value], model: str) -> str:
    """What a hyperparameter may be, in words; empty where a function of the user's decides."""
    domains = [domain for domain, _ in _domains(name, {}, space, fixed, model, False)]
    texts = dict.fromkeys(domain.summary for domain in domains)
    return "; ".join(texts)


def clipped_twice(space: Space, fixed: Mapping[str, Value]) -> tuple[str, str] | None:
    """Two ways to clip gradients that one trial may have, of which Keras takes one."""
    rng = Random(0)
    for _ in range(DRAWS):
        params = {**fixed, **space.draw(rng)}
        both = [name for name in CLIPPING if params.get(name) is not None]
        if len(both) > 1 and space.broken(params) is None:
            return both[0], both[1]
    return None


def _range_problem(p: Parameter, domain: Domain) -> str | None:
    if isinstance(p, Categorical):
        return next(filter(None, map(domain.problem, p.choices)), None)
    numbers = {Float: "float", Int: "int"}[type(p)]
    if domain.type == "epochs":
        return None
    if domain.type not in ("float", "int"):
        return f"got a range from {p.low} to {p.high}; allowed: {domain}"
    if numbers != domain.type:
        kind = "real" if isinstance(p, Float) else "whole"
        return f"got a range of {kind} numbers; allowed: {domain}. Write type: {domain.type}"
    return domain.problem(p.low) or domain.problem(p.top)


def _domains(
    name: str,
    when: Mapping[str, Collection[Value]],
    space: Space,
    fixed: Mapping[str, Value],
    model: str,
    compiled: bool,
) -> Iterator[tuple[Domain, str]]:
    """What the readers of a hyperparameter allow, and how a message names the reader."""
    if name in table.FAMILIES.get(model, {}):
        yield table.FAMILIES[model][name], f" ({model} reads it)"
    elif name in table.ALWAYS or (name in table.TRAINING and not compiled):
        yield table.TRAINING[name], ""
    if compiled:
        return
    for kind, catalogue, default in (
        ("optimizer", table.OPTIMIZERS, table.DEFAULT_OPTIMIZER),
        ("loss", table.LOSSES, UNNAMED_LOSS),
        ("schedule", table.SCHEDULES, table.DEFAULT_SCHEDULE),
    ):
        for reader in _possible(kind, default, when, space, fixed):
            reads = catalogue.get(reader, {}) if isinstance(reader, str) else {}
            if name in reads:
                yield reads[name], f" ({kind} {reader} reads it)"


def _possible(
    kind: str,
    default: str,
    when: Mapping[str, Collection[Value]],
    space: Space,
    fixed: Mapping[str, Value],
) -> list[Value]:
    """The optimizers (losses, schedules) under which a hyperparameter with this `when` exists."""
    if kind in fixed:
        return [fixed[kind]]
    parents = [p for p in space if p.name == kind and isinstance(p, Categorical)]
    values: list[Value] = [v for p in parents for v in p.choices if v in when.get(kind, p.choices)]
    if kind not in when and all(p.when for p in parents):
        values.append(default)  # there is none in some trials
    return list(dict.fromkeys(values))


def _ancestors_conditions(p: Parameter, space: Space) -> dict[str, Collection[Value]]:
    """The values of parents, and of theirs, under which `p` exists."""
    found: dict[str, Collection[Value]] = {}
    waiting = [p]
    while waiting:
        for parent, allowed in waiting.pop().when.items():
            if isinstance(allowed, tuple):
                found.setdefault(parent, allowed)
            waiting += [q for q in space if q.name == parent]
    return found


# ---- what a trial is trained with ----


def resolve(params: Mapping[str, Value], model: str) -> dict[str, Value]:
    """A trial's hyperparameters in the types in which they are trained and recorded.

    Args:
        params: All of them, the fixed ones included.
        model: The family's name; of any other model only what is always read is checked.

    Raises:
        TrainingError: If a value is not allowed.
    """
    reads = dict(table.ALWAYS)
    if model in table.FAMILIES:
        kinds = ([params[k]] if k in params else () for k in ("optimizer", "loss", "schedule"))
        reads = {**read_by_training(*kinds), **table.FAMILIES[model]}
    typed = {k: reads[k].coerce(v) if k in reads else v for k, v in params.items()}
    for name, value in typed.items():
        if name in reads and (reason := reads[name].problem(value)):
            raise TrainingError(f"{name}: {reason}")
    return typed
