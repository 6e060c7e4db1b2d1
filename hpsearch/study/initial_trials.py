"""The first trials of a study: enqueued points, the framework's defaults, the priors' mode.

Hyperparameters missing from a point take the default of Keras and of the model, or the nearest
value in the space; without a default, they are drawn from the study's seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import Any

from ..errors import SpecError
from ..models import FAMILIES, find_family, make_training_defaults
from ..search.tried_points import PointKey, point_key
from ..spec.parameter_domains import format_value
from ..spec.priors import find_prior_mode, has_priors
from ..spec.search_space import Categorical, Float, Int, Parameter, format_values
from ..spec.study_spec import StudySpec
from ..training.losses import LOSSES
from ..training.optimizers import DEFAULT_OPTIMIZER
from ..training.schedules import DEFAULT_LEARNING_RATE
from ..trial import Value, derive_seed

DEFAULTS_WORD = "defaults"  # a point without declared values
PORTFOLIO_WORD = "portfolio"  # the family's points that do well on many data sets
MAX_DRAWS = 1000  # draws of the rest of a point, before its constraints count as unsatisfiable
BATCH_SIZE = 32  # Keras's `fit`

# Keras's defaults of arguments of optimizers and losses; None: no default.
ARGUMENTS: dict[str, Value] = {
    "learning_rate": DEFAULT_LEARNING_RATE,
    "momentum": 0.0,
    "nesterov": False,
    "rho": 0.9,
    "centered": False,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-7,
    "amsgrad": False,
    "use_ema": False,
    "ema_momentum": 0.99,
    "initial_accumulator_value": 0.1,
    "label_smoothing": 0.0,
    "alpha": 0.25,
    "gamma": 2.0,
    "delta": 1.0,
}
OPTIMIZER_ARGUMENTS: dict[str, dict[str, Value]] = {  # exceptions of an optimizer or loss
    "adamw": {"weight_decay": 0.004},
    "adadelta": {"rho": 0.95},
    "lion": {"beta_2": 0.99},
    "muon": {"momentum": 0.95, "nesterov": True},
    "schedule_free_adamw": {"epsilon": 1e-8},
    "tversky": {"alpha": 0.5},
}


def initial_points(
    spec: StudySpec, further: Sequence[Mapping[str, Value]] = ()
) -> list[dict[str, Value]]:
    """Return the points of `enqueue`, `further` and the mode of the priors, without duplicates.

    Raises:
        SpecError: If one is not a point of the space.
    """
    found: dict[PointKey, dict[str, Value]] = {}
    for index, declared in enumerate(spec.enqueue):
        for point in _complete_points(spec, declared, index):
            if (wrong := spec.space.why_invalid(point)) is not None:
                raise SpecError(wrong)
            found.setdefault(point_key(spec.space, point), point)
    for known in further:
        found.setdefault(point_key(spec.space, known), dict(known))
    if has_priors(spec.space):
        mode = find_prior_mode(spec.space, Random(derive_seed(spec.seed, "prior")))
        if mode is not None:
            found.setdefault(point_key(spec.space, mode), mode)
    return list(found.values())


def find_enqueue_problems(spec: StudySpec) -> Iterator[tuple[str, str]]:
    """Find problems of the declared points: key and message."""
    for index, declared in enumerate(spec.enqueue):
        where = f"enqueue.{index}"
        if declared == PORTFOLIO_WORD:
            if not _list_portfolio(spec):
                yield where, f"{spec.model_name} has no {PORTFOLIO_WORD}. {_describe_portfolios()}"
                continue
        elif declared != DEFAULTS_WORD and not isinstance(declared, Mapping):
            words = f"{DEFAULTS_WORD} or {PORTFOLIO_WORD}"
            message = f"a point is a mapping of names to values, or the word {words}"
            yield where, f"{message}. Received: {declared!r}"
            continue
        given = declared if isinstance(declared, Mapping) else {}
        wrong = list(_wrong_values(spec, given))
        yield from ((f"{where}.{name}", message) for name, message in wrong)
        if wrong:
            continue
        reasons = map(spec.space.why_invalid, _complete_points(spec, declared, index))
        yield from ((where, reason) for reason in reasons if reason is not None)


def _describe_portfolios() -> str:
    known = ", ".join(name for name, family in FAMILIES.items() if family.portfolio)
    return f"Families with one: {known}. Write {DEFAULTS_WORD}, or points of your own."


def _wrong_values(spec: StudySpec, declared: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    parameters: dict[str, list[Parameter]] = {}
    for p in spec.space:
        parameters.setdefault(p.name, []).append(p)
    for name, value in declared.items():
        if name in spec.fixed_params:
            if value != spec.fixed_params[name]:
                yield name, f"is fixed to {spec.fixed_params[name]!r} in the search space"
        elif name not in parameters:
            known = ", ".join(parameters)
            yield name, f"is not a hyperparameter of the search space. Known: {known}."
        elif not any(p.contains(value) for p in parameters[name]):
            ranges = ", or ".join(map(format_values, parameters[name]))
            yield name, f"{format_value(value)} is not allowed. Allowed: {ranges}."


def _list_portfolio(spec: StudySpec) -> Sequence[Mapping[str, Value]]:
    family = find_family(spec.model_name)
    return family.portfolio if family else ()


def _complete_points(spec: StudySpec, declared: Any, index: int) -> Iterator[dict[str, Value]]:
    """Complete what an item of `enqueue` declares: a point, or those of a portfolio."""
    if declared == PORTFOLIO_WORD:
        for learned in _list_portfolio(spec):
            yield _complete_point(spec, {}, index, learned)
    else:
        yield _complete_point(spec, {} if declared == DEFAULTS_WORD else declared, index)


def _complete_point(
    spec: StudySpec,
    given: Mapping[str, Any],
    index: int,
    learned: Mapping[str, Value] = MappingProxyType({}),
) -> dict[str, Value]:
    """Complete a point with all other active hyperparameters.

    Args:
        spec: The study.
        given: Values of the space.
        index: The point's place in `enqueue`, for its seed.
        learned: Values that replace the defaults: the nearest ones of the space are taken.
    """
    rng = Random(derive_seed(spec.seed, "enqueue", index))
    known = _default_point(spec)
    usual = {**make_training_defaults(spec.model_name, spec.task or ""), **learned}
    for draw in range(MAX_DRAWS):
        params: dict[str, Value] = {}
        for p in spec.space:
            if p.name in params or not spec.space.is_active(p, params):
                continue
            everything = {**spec.fixed_params, **params}
            if p.name in given:
                params[p.name] = float(given[p.name]) if isinstance(p, Float) else given[p.name]
                continue
            kinds = (everything.get("loss"), everything.get("optimizer", DEFAULT_OPTIMIZER))
            own = {
                k: v for kind in kinds for k, v in OPTIMIZER_ARGUMENTS.get(str(kind), {}).items()
            }
            default = nearest_value(p, {**known, **own, **usual}.get(p.name))
            # If defaults violate a constraint, undeclared values are drawn instead.
            params[p.name] = p.draw(rng) if default is None or draw else default
        if spec.space.find_broken_constraint(params) is None:
            break
    unread = {k: v for k, v in given.items() if k not in params and k not in spec.fixed_params}
    return {**params, **unread}  # `SearchSpace.why_invalid` reports inactive ones


def complete_point(spec: StudySpec, known: Mapping[str, Value]) -> dict[str, Value]:
    """Complete a point of another space as those of `enqueue`, without what is inactive here."""
    point = _complete_point(spec, known, 0)
    return {p.name: point[p.name] for p in spec.space.iter_active(point)}


def _default_point(spec: StudySpec) -> dict[str, Value]:
    family = find_family(spec.model_name)
    model = (family.defaults or {}) if family else {}
    loss: dict[str, Value] = {"loss": next(iter(LOSSES[spec.task]))} if spec.task else {}
    training: dict[str, Value] = {
        "optimizer": DEFAULT_OPTIMIZER,
        "batch_size": BATCH_SIZE,
        "epochs": spec.training.epochs,
        **loss,
    }
    return {**ARGUMENTS, **training, **model}


def nearest_value(p: Parameter, default: Value) -> Value:
    """Return the parameter's value nearest to a default; None if there is none."""
    if p.contains(default):
        return float(default) if isinstance(p, Float) and default is not None else default
    if isinstance(default, bool) or not isinstance(default, int | float):
        return None
    if isinstance(p, Categorical):
        numbers = [c for c in p.choices if isinstance(c, int | float) and not isinstance(c, bool)]
        return min(numbers, key=lambda c: abs(c - default), default=None)
    inside = min(max(default, p.low), p.high)
    if isinstance(p, Int) or p.step is not None:
        assert p.step is not None
        return p.value(min(round((inside - p.low) / p.step), int(p.size) - 1))
    return float(inside)
