"""Convert hyperparameters to their declared types, or explain why they are invalid.

`coerce_declaration` converts a study file to the types of `parameter_domains` before any other use,
so samplers, journal, trainers and reruns see the same values. `resolve_params` does the same for
one trial. Values without an exact conversion are kept; `find_invalid_values` reports them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from random import Random
from typing import Any

from ..errors import TrainingError
from ..trial import Value
from . import parameter_domains as table
from .parameter_domains import Domain, ParameterDomains
from .search_space import Categorical, Float, Int, Parameter, SearchSpace

PLACEHOLDER_LOSS = "binary_crossentropy"  # the default loss of a task
SCALARS = (bool, int, float, str)
CLIPPING_OPTIONS = ("clipnorm", "clipvalue", "global_clipnorm")
N_DRAWS = 200  # points sampled to detect two kinds of gradient clipping


def find_training_domains(
    model: str, optimizers: Collection[Any], losses: Collection[Any], schedules: Any
) -> ParameterDomains:
    """Return the domains that training reads with these optimizers, losses and schedules."""
    reads = dict(table.TRAINING_DOMAINS)
    for catalogue, names in (
        (table.OPTIMIZER_DOMAINS, optimizers or (table.DEFAULT_OPTIMIZER,)),
        (table.LOSS_DOMAINS, losses or (PLACEHOLDER_LOSS,)),
        (table.SCHEDULE_DOMAINS, schedules or (get_default_schedule(model),)),
    ):
        for name in names:
            if isinstance(name, str):
                reads.update(catalogue.get(name, {}))
    return reads


def get_default_schedule(model: str) -> str:
    """Return the default schedule of a model."""
    return table.FAMILY_SCHEDULES.get(model, table.DEFAULT_SCHEDULE)


# ---- declarations ----


def coerce_declaration(raw: Mapping[str, Any], *, compiled: bool = False) -> dict[str, Any]:
    """Coerce the hyperparameters, conditions and points of a declaration to their types.

    Args:
        raw: The file's values; malformed ones are kept.
        compiled: Whether the model's function compiles it, and so reads the other
            hyperparameters itself.
    """
    space = raw.get("search_space")
    if not isinstance(space, Mapping):
        return dict(raw)
    model = raw.get("model", "mlp")
    family = model if isinstance(model, str) else ""
    if compiled:
        reads = dict(table.ALWAYS_READ_DOMAINS)
    else:
        kinds = (
            _list_values(space[name]) if name in space else []
            for name in ("optimizer", "loss", "schedule")
        )
        reads = dict(find_training_domains(family, *kinds))
    reads |= table.FAMILY_DOMAINS.get(family, {})
    typed = {
        name: _coerce_conditions(_coerce_parameter(declared, reads.get(name)), reads)
        for name, declared in space.items()
    }
    points = raw.get("enqueue")
    enqueue = {} if points is None else {"enqueue": _coerce_points(points, reads)}
    return {**raw, "search_space": typed, **enqueue}


def _list_values(declared: Any) -> list[Any]:
    """List the values of a choice or a fixed value; empty if they cannot be listed."""
    if isinstance(declared, list):
        nested = [_list_values(d) if isinstance(d, Mapping) else [d] for d in declared]
        return [value for values in nested for value in values]
    if isinstance(declared, Mapping):
        choices = declared.get("choices")
        values = choices if isinstance(choices, list) else [declared.get("value")]
        return [*values, *_list_values(declared.get("ranges") or [])]
    return [declared]


def _coerce_parameter(declared: Any, domain: Domain | None) -> Any:
    """Coerce the declaration of one hyperparameter, or the list of its choices or ranges."""
    if domain is None:
        return declared
    if isinstance(declared, list):
        return [_coerce_parameter(d, domain) for d in declared]
    if not isinstance(declared, Mapping):
        return _coerce_value(declared, domain)
    typed = dict(declared)
    for key in ("choices", "value", "ranges"):
        if key in typed:
            typed[key] = _coerce_parameter(typed[key], domain)
    return _coerce_range(typed, domain) if "low" in typed or "high" in typed else typed


def _coerce_range(declared: dict[str, Any], domain: Domain) -> dict[str, Any]:
    """Convert a range of integers to floats with a step of 1, or the reverse."""
    numbers = {k: declared[k] for k in ("low", "high", "step") if declared.get(k) is not None}
    if declared.get("type") == "int" and domain.type == "float" and not declared.get("log"):
        if all(type(n) is int for n in numbers.values()):
            return {**declared, "type": "float", "step": 1.0, **_coerce_numbers(numbers, domain)}
    elif declared.get("type") == "float" and domain.type == "int" and "step" in numbers:
        whole = _coerce_numbers(numbers, domain)
        if all(type(n) is int for n in whole.values()):
            return {**declared, "type": "int", **whole}
    return declared


def _coerce_numbers(numbers: Mapping[str, Any], domain: Domain) -> dict[str, Any]:
    return {name: domain.coerce(number) for name, number in numbers.items()}


def _coerce_value(value: Any, domain: Domain) -> Any:
    return domain.coerce(value) if isinstance(value, SCALARS) else value


def _coerce_conditions(declared: Any, reads: ParameterDomains) -> Any:
    """Coerce the values in `when` to the types of the parents."""
    if isinstance(declared, list):
        return [_coerce_conditions(d, reads) for d in declared]
    if not isinstance(declared, Mapping):
        return declared
    typed = dict(declared)
    if "ranges" in typed:
        typed["ranges"] = _coerce_conditions(typed["ranges"], reads)
    if isinstance(when := typed.get("when"), Mapping):
        typed["when"] = {
            parent: _coerce_parameter(allowed, reads.get(parent))
            for parent, allowed in when.items()
        }
    return typed


def _coerce_points(points: Any, reads: ParameterDomains) -> Any:
    if isinstance(points, list):
        return [_coerce_points(point, reads) for point in points]
    if not isinstance(points, Mapping):
        return points
    return {name: _coerce_parameter(value, reads.get(name)) for name, value in points.items()}


# ---- validation ----


def find_invalid_values(
    space: SearchSpace, fixed: Mapping[str, Value], model: str, *, compiled: bool = False
) -> Iterator[tuple[str, str]]:
    """Find hyperparameters that can take an invalid value, with the reason.

    Args:
        space: The varying hyperparameters.
        fixed: The fixed ones.
        model: The family's name; for other models, only training hyperparameters are checked.
        compiled: Whether the model's function compiles it, and so reads the other
            hyperparameters itself.
    """
    reported: set[str] = set()
    for name, value in fixed.items():
        for domain, reader in _iter_reader_domains(name, {}, space, fixed, model, compiled):
            if (reason := domain.why_invalid(value)) and name not in reported:
                reported.add(name)
                yield name, f"{reason}{reader}"
    for p in space:
        when = _collect_ancestor_values(p, space)
        for domain, reader in _iter_reader_domains(p.name, when, space, fixed, model, compiled):
            if p.name not in reported and (reason := _why_range_invalid(p, domain)):
                reported.add(p.name)
                yield p.name, f"{reason}{reader}"


def describe_allowed(name: str, space: SearchSpace, fixed: Mapping[str, Value], model: str) -> str:
    """Describe the allowed values of a hyperparameter; empty if a custom function decides."""
    domains = [domain for domain, _ in _iter_reader_domains(name, {}, space, fixed, model, False)]
    texts = dict.fromkeys(domain.summary for domain in domains)
    return "; ".join(texts)


def find_clipping_conflict(
    space: SearchSpace, fixed: Mapping[str, Value]
) -> tuple[str, str] | None:
    """Find two kinds of gradient clipping active in one trial; Keras allows only one."""
    rng = Random(0)
    for _ in range(N_DRAWS):
        params = {**fixed, **space.draw(rng)}
        both = [name for name in CLIPPING_OPTIONS if params.get(name) is not None]
        if len(both) > 1 and space.find_broken_constraint(params) is None:
            return both[0], both[1]
    return None


def _why_range_invalid(p: Parameter, domain: Domain) -> str | None:
    if isinstance(p, Categorical):
        return next(filter(None, map(domain.why_invalid, p.choices)), None)
    numbers = {Float: "float", Int: "int"}[type(p)]
    if domain.type == "epochs":
        return None
    if domain.type not in ("float", "int"):
        return f"got a range from {p.low} to {p.high}; allowed: {domain}"
    if numbers != domain.type:
        kind = "real" if isinstance(p, Float) else "whole"
        return f"got a range of {kind} numbers; allowed: {domain}. Write type: {domain.type}"
    return domain.why_invalid(p.low) or domain.why_invalid(p.max_value)


def _iter_reader_domains(
    name: str,
    when: Mapping[str, Collection[Value]],
    space: SearchSpace,
    fixed: Mapping[str, Value],
    model: str,
    compiled: bool,
) -> Iterator[tuple[Domain, str]]:
    """Iterate over the domains of a hyperparameter, with the reader's name for messages."""
    if name in table.FAMILY_DOMAINS.get(model, {}):
        yield table.FAMILY_DOMAINS[model][name], f" ({model} reads it)"
    elif name in table.ALWAYS_READ_DOMAINS or (name in table.TRAINING_DOMAINS and not compiled):
        yield table.TRAINING_DOMAINS[name], ""
    if compiled:
        return
    for kind, catalogue, default in (
        ("optimizer", table.OPTIMIZER_DOMAINS, table.DEFAULT_OPTIMIZER),
        ("loss", table.LOSS_DOMAINS, PLACEHOLDER_LOSS),
        ("schedule", table.SCHEDULE_DOMAINS, get_default_schedule(model)),
    ):
        for reader in _possible_readers(kind, default, when, space, fixed):
            reads = catalogue.get(reader, {}) if isinstance(reader, str) else {}
            if name in reads:
                yield reads[name], f" ({kind} {reader} reads it)"


def _possible_readers(
    kind: str,
    default: str,
    when: Mapping[str, Collection[Value]],
    space: SearchSpace,
    fixed: Mapping[str, Value],
) -> list[Value]:
    """Return the optimizers (losses, schedules) with which a hyperparameter can be active."""
    if kind in fixed:
        return [fixed[kind]]
    parents = [p for p in space if p.name == kind and isinstance(p, Categorical)]
    values: list[Value] = [v for p in parents for v in p.choices if v in when.get(kind, p.choices)]
    if kind not in when and all(p.when for p in parents):
        values.append(default)  # absent in some trials
    return list(dict.fromkeys(values))


def _collect_ancestor_values(p: Parameter, space: SearchSpace) -> dict[str, Collection[Value]]:
    """Collect the values of all ancestors with which `p` is active."""
    found: dict[str, Collection[Value]] = {}
    waiting = [p]
    while waiting:
        for parent, allowed in waiting.pop().when.items():
            if isinstance(allowed, tuple):
                found.setdefault(parent, allowed)
            waiting += [q for q in space if q.name == parent]
    return found


# ---- one trial ----


def resolve_params(params: Mapping[str, Value], model: str) -> dict[str, Value]:
    """Convert a trial's hyperparameters to the types used in training and in the journal.

    Args:
        params: All hyperparameters, fixed ones included.
        model: The family's name; for other models, only common hyperparameters are checked.

    Raises:
        TrainingError: If a value is not allowed.
    """
    reads = dict(table.ALWAYS_READ_DOMAINS)
    if model in table.FAMILY_DOMAINS:
        kinds = ([params[k]] if k in params else () for k in ("optimizer", "loss", "schedule"))
        reads = {**find_training_domains(model, *kinds), **table.FAMILY_DOMAINS[model]}
    typed = {k: reads[k].coerce(v) if k in reads else v for k, v in params.items()}
    for name, value in typed.items():
        if name in reads and (reason := reads[name].why_invalid(value)):
            raise TrainingError(f"{name}: {reason}")
    return typed
