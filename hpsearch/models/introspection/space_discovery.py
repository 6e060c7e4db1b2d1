"""Discover the search space of a define-by-run function by calling it.

The function is called repeatedly with different values, until no value makes it request a new
hyperparameter: every value of a choice, both ends and the middle of a range, every value of an
integer that changes the requests, then random points. The conditions of each hyperparameter are
inferred from the calls that requested it.

Limits: a hyperparameter requested for a single value inside a wide range is not found. A
condition that is not a list of parents' values (a threshold on a float, an "or" of two parents)
is dropped, so the hyperparameter is also drawn where it has no effect; a note says so.
Independent of Keras Tuner and Optuna.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import HpsearchError, SpecError, first_line
from ...trial import Value
from .rejection import get_rejection_state

ParentValues = Mapping[str, tuple[Value, ...]]  # parent -> values with which the child is active

NUMERIC_TYPES = ("float", "int")
MAX_LISTED_VALUES = 64  # most values of an integer that are all tried
PATIENCE = 24  # consecutive random points without a new request
MAX_BUILDS = 600  # maximum number of calls


@dataclass(frozen=True, slots=True)
class ParameterRequest:
    """A hyperparameter requested by a build function."""

    name: str
    declaration: Mapping[str, Any]  # as in a study file, without `when`
    default: Value
    when: ParentValues = field(default_factory=dict)  # conditions declared by the function itself


@dataclass(frozen=True, slots=True)
class BuildCall:
    """One call of the build function."""

    requests: Mapping[str, ParameterRequest]  # in order of request
    values: Mapping[str, Value]  # values, by name
    inactive_requests: tuple[
        ParameterRequest, ...
    ] = ()  # requested under a condition that did not hold
    activating_values: tuple[
        Mapping[str, Value], ...
    ] = ()  # values that would satisfy such conditions
    own_fit: str | None = None  # why a `fit` beside the function has to train; None: it need not


AnswerFunction = Callable[[ParameterRequest], Value]
BuildFunction = Callable[[AnswerFunction], BuildCall]
ModelVisitor = Callable[
    [Callable[[], Any]], Any
]  # calls a function that builds a model, and inspects the model


@dataclass(frozen=True, slots=True)
class DiscoveredSpace:
    """The search space of a build function."""

    search_space: Mapping[str, Mapping[str, Any]]  # a `search_space` section
    notes: tuple[str, ...]
    n_builds: int  # number of calls
    own_fit: str | None = None  # see `BuildCall`


class MissingAnswerError(LookupError):
    """A trial lacks a hyperparameter that its build function requests."""


def answer_from_params(params: Mapping[str, Value]) -> AnswerFunction:
    """Return a function that answers requests from a trial's hyperparameters.

    Raises:
        MissingAnswerError: By the returned function, if the hyperparameter is missing.
    """

    def answer(question: ParameterRequest) -> Value:
        if question.name not in params:
            raise MissingAnswerError(
                f"the model's function requests {question.name!r}, which was not found when its "
                "space was explored: declare it in search_space"
            )
        return params[question.name]

    return answer


def explore_space(build: BuildFunction) -> DiscoveredSpace:
    """Call `build` until it requests nothing new.

    Raises:
        SpecError: If it requests one name in two ways.
        Exception: Any exception of `build` with its defaults; with other values it may fail.
    """
    walk = _SpaceExplorer(build)
    walk.explore_defaults()
    rng = random.Random(0)
    quiet = 0
    while quiet < PATIENCE and not walk.is_exhausted:
        quiet = (
            0 if walk.explore_answers(lambda question: _draw_value(question, rng)) else quiet + 1
        )
    own_fit = next((call.own_fit for call in walk.calls if call.own_fit), None)
    return DiscoveredSpace(*_build_search_space(walk), walk.n_builds, own_fit)


class _SpaceExplorer:
    """Explores a build function and records the calls."""

    def __init__(self, build: BuildFunction) -> None:
        self._build = build
        self.calls: list[BuildCall] = []
        self.requests: dict[str, list[ParameterRequest]] = {}
        self.structural: set[str] = set()  # integers that change the requests
        self.n_builds = 0
        self.first_failure: str | None = None  # error of the first failed call
        self._tried_values: set[str] = set()

    @property
    def is_exhausted(self) -> bool:
        return self.n_builds >= MAX_BUILDS

    def explore_defaults(self) -> None:
        """Call with the function's defaults, and follow up on the requests."""
        self._follow_up(self._call_build(lambda question: question.default))

    def explore_answers(self, answer: AnswerFunction) -> bool:
        """Call once and follow up on new requests; returns whether there were any."""
        run = self._try_build(answer)
        return run is not None and self._follow_up(run)

    def _call_build(self, answer: AnswerFunction) -> BuildCall:
        self.n_builds += 1
        return self._build(answer)

    def _try_build(self, answer: AnswerFunction) -> BuildCall | None:
        try:
            return self._call_build(answer)
        except HpsearchError:
            raise
        except Exception as error:  # in a study, such a point is a failed trial
            if self.first_failure is None and get_rejection_state(error) is None:
                self.first_failure = f"{type(error).__name__}: {first_line(error)}"
            return None

    def _build_with(self, values: Mapping[str, Value]) -> BuildCall | None:
        """Call with these values and defaults otherwise; None if the call was made before."""
        key = repr(sorted(values.items()))
        if key in self._tried_values or self.is_exhausted:
            return None
        self._tried_values.add(key)
        return self._try_build(lambda question: _answer_or_default(question, values))

    def _follow_up(self, run: BuildCall) -> bool:
        """Record a call; if it requested something new, vary each of its values in turn."""
        self.calls.append(run)
        new = False
        for question in (*run.requests.values(), *run.inactive_requests):
            known = self.requests.setdefault(question.name, [])
            if question not in known:
                known.append(question)
                new = True
        if new:
            for wanted in run.activating_values:
                self._build_and_follow_up({**run.values, **wanted})
            for name in run.requests:
                self._vary_parameter(run, name)
        return new

    def _build_and_follow_up(self, values: Mapping[str, Value]) -> BuildCall | None:
        run = self._build_with(values)
        if run is not None:
            self._follow_up(run)
        return run

    def _vary_parameter(self, run: BuildCall, name: str) -> None:
        """Try every listed value of `name` in the context of a call."""
        declared = run.requests[name].declaration
        shown = [
            run,
            *(
                self._build_and_follow_up({**run.values, name: v})
                for v in _list_probe_values(declared)
            ),
        ]
        asked = {frozenset(r.requests) - {name} for r in shown if r is not None}
        if declared["type"] == "int" and len(asked) > 1:
            self.structural.add(name)
        if name in self.structural:
            for value in list_values(declared) or ():
                self._build_and_follow_up({**run.values, name: value})


# ---- values ----


def _answer_or_default(question: ParameterRequest, values: Mapping[str, Value]) -> Value:
    """Return the given value, or the default if the value belongs to another range."""
    value = values.get(question.name, question.default)
    return value if _contains_value(question.declaration, value) else question.default


def _contains_value(declared: Mapping[str, Any], value: Value) -> bool:
    if (values := list_values(declared)) is not None:
        return any(_is_same_value(value, v) for v in values)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return bool(declared["low"] <= value <= declared["high"])


def list_values(declared: Mapping[str, Any]) -> tuple[Value, ...] | None:
    """List all values of a hyperparameter if they are few, else None."""
    kind = declared["type"]
    if kind == "fixed":
        return (declared["value"],)
    if kind == "categorical":
        return tuple(declared["choices"])
    if kind == "int":
        values = range(declared["low"], declared["high"] + 1, declared.get("step", 1))
        return tuple(values) if len(values) <= MAX_LISTED_VALUES else None
    return None


def _list_probe_values(declared: Mapping[str, Any]) -> Iterable[Value]:
    """List values that reveal whether a hyperparameter changes the requests."""
    if declared["type"] == "float":
        return (declared["low"], declared["high"])
    if declared["type"] != "int":
        return list_values(declared) or ()
    values = range(declared["low"], declared["high"] + 1, declared.get("step", 1))
    return dict.fromkeys((values[0], values[len(values) // 2], values[-1]))


def _draw_value(question: ParameterRequest, rng: random.Random) -> Value:
    declared = question.declaration
    if (values := list_values(declared)) is not None:
        return rng.choice(values)
    low, high, step = declared["low"], declared["high"], declared.get("step")
    if declared.get("log"):
        value = math.exp(rng.uniform(math.log(low), math.log(high)))
        return min(high, max(low, round(value))) if declared["type"] == "int" else value
    if step is not None or declared["type"] == "int":
        step = step or 1
        drawn: Value = low + step * rng.randrange(int((high - low) / step + 1e-9) + 1)
        return drawn
    return rng.uniform(low, high)


# ---- conditions ----


def _build_search_space(walk: _SpaceExplorer) -> tuple[dict[str, Any], tuple[str, ...]]:
    fixed = {
        name: known[0].declaration["value"]
        for name, known in walk.requests.items()
        if known[0].declaration["type"] == "fixed" and not _have_several_declarations(known)
    }
    declared: dict[str, Any] = {}
    vague = []
    for name, known in walk.requests.items():
        ranges, is_exact = _build_ranges(name, known, fixed, walk)
        if not ranges:
            continue  # under a condition that never holds
        declared[name] = ranges[0] if len(ranges) == 1 else ranges
        if name not in fixed and not is_exact:
            vague.append(name)
    notes = []
    if vague:
        notes.append(
            f"{', '.join(vague)}: drawn in every trial that may read it, and in some that do not"
        )
    if walk.first_failure is not None:
        notes.append(
            f"the model's function fails at some points, the first time with {walk.first_failure}"
        )
    if walk.is_exhausted:
        notes.append(
            f"the space is large: it was not explored further after {walk.n_builds} builds"
        )
    return declared, tuple(notes)


def _build_ranges(
    name: str, known: Sequence[ParameterRequest], fixed: Mapping[str, Value], walk: _SpaceExplorer
) -> tuple[list[dict[str, Any]], bool]:
    """Build the declarations of a name's ranges; also whether their conditions are exact.

    Raises:
        SpecError: If there are several, and no condition separates them.
    """
    ranges: list[dict[str, Any]] = []
    exact = True
    kinds = [q for i, q in enumerate(known) if _is_new_declaration(q, known[:i])]
    for kind in kinds:
        alike = [q for q in known if dict(q.declaration) == dict(kind.declaration)]
        stated = dict(alike[0].when) if len(alike) == 1 else {}
        if any(parent in fixed and fixed[parent] not in v for parent, v in stated.items()):
            continue
        found, is_exact = _infer_condition(kind, stated, walk)
        when = {p: list(v) for p, v in {**stated, **found}.items() if p not in fixed}
        declared = dict(kind.declaration) if len(kinds) == 1 else _to_range(kind.declaration, kinds)
        ranges.append({**declared, **({"when": when} if when and name not in fixed else {})})
        exact = exact and is_exact
    if len(ranges) > 1 and not (exact and all("when" in r for r in ranges)):
        raise SpecError(
            f"the model's function requests {name!r} in two ways, "
            f"{_format_declaration(kinds[0].declaration)} and "
            f"{_format_declaration(kinds[1].declaration)}, and no condition separates "
            "them: give each its own name"
        )
    return ranges, exact


def _to_range(declared: Mapping[str, Any], beside: Sequence[ParameterRequest]) -> dict[str, Any]:
    """Convert a fixed value, if it is one of several ranges, to a range of one value."""
    if declared["type"] != "fixed":
        return dict(declared)
    value = declared["value"]
    number = next(
        (q.declaration["type"] for q in beside if q.declaration["type"] in NUMERIC_TYPES), None
    )
    if number is None:
        return {"type": "categorical", "choices": [value]}
    return {"type": number, "low": value, "high": value}


def _have_several_declarations(known: Sequence[ParameterRequest]) -> bool:
    return any(dict(q.declaration) != dict(known[0].declaration) for q in known)


def _is_new_declaration(question: ParameterRequest, before: Sequence[ParameterRequest]) -> bool:
    return all(dict(q.declaration) != dict(question.declaration) for q in before)


def _format_declaration(declared: Mapping[str, Any]) -> str:
    values = ", ".join(f"{k}={v}" for k, v in declared.items() if k != "type")
    return f"{declared['type']}({values})"


def _infer_condition(
    kind: ParameterRequest, stated: ParentValues, walk: _SpaceExplorer
) -> tuple[ParentValues, bool]:
    """Infer parents and values that separate calls with a range of a name from calls without.

    Uses as few parents as possible, greedily by how many calls each excludes. The second value
    says whether all calls without the range are excluded; calls with it never are.
    """
    name = kind.name
    yes = [run for run in walk.calls if _has_requested(run, kind)]
    no = [
        run
        for run in walk.calls
        if not _has_requested(run, kind) and _is_condition_met(stated, run.values)
    ]
    allowed = {
        parent: tuple(dict.fromkeys(run.values[parent] for run in yes))
        for parent in walk.requests
        if parent not in stated and _is_parent(parent, name, yes, walk)
    }
    chosen: dict[str, tuple[Value, ...]] = {}
    while no:
        excluded = {
            parent: sum(not _is_condition_met({parent: values}, run.values) for run in no)
            for parent, values in allowed.items()
        }
        best = max(excluded, key=lambda parent: excluded[parent], default=None)
        if best is None or not excluded[best]:
            return chosen, False
        order = list_values(walk.requests[best][0].declaration) or ()
        chosen[best] = tuple(v for v in order if v in allowed[best])
        no = [run for run in no if _is_condition_met({best: chosen[best]}, run.values)]
    return chosen, True


def _has_requested(run: BuildCall, kind: ParameterRequest) -> bool:
    asked = run.requests.get(kind.name)
    return asked is not None and dict(asked.declaration) == dict(kind.declaration)


def _is_parent(parent: str, name: str, yes: Sequence[BuildCall], walk: _SpaceExplorer) -> bool:
    """Whether `parent` was requested before `name`, and all its values were tried."""
    declared = walk.requests[parent][0].declaration
    if _have_several_declarations(walk.requests[parent]):
        return False
    if declared["type"] != "categorical" and parent not in walk.structural:
        return False
    if list_values(declared) is None:
        return False
    orders = [list(run.requests) for run in yes]
    return all(
        parent in order[: order.index(name)] if name in order else False for order in orders
    ) and bool(orders)


def _is_condition_met(condition: ParentValues, values: Mapping[str, Value]) -> bool:
    return all(
        parent in values and any(_is_same_value(values[parent], value) for value in allowed)
        for parent, allowed in condition.items()
    )


def _is_same_value(a: Value, b: Value) -> bool:
    return isinstance(a, bool) == isinstance(b, bool) and a == b
