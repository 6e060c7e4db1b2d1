"""The search space of a function that asks for its hyperparameters while it builds a model.

Such a function is called again and again with other answers, until no answer makes it ask for
anything new: every value of a choice, both ends and the middle of a range, every value of a whole
number that changes what is asked, then random points. From what was asked when follows the
condition of each hyperparameter.

What it cannot see: a hyperparameter that a single value inside a wide range brings about. A
condition that no list of parents' values can say (a threshold on a real number, an "or" of two
parents) is left out, so the hyperparameter is then drawn where nothing reads it; a note says so.
Knows neither Keras Tuner nor Optuna.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import HpsearchError, SpecError
from ..trial import Value
from .rejection import rejected_state

Condition = Mapping[str, tuple[Value, ...]]  # parent -> the values under which the child lives

NUMBERS = ("float", "int")
LISTED = 64  # values of a whole number that are tried one by one
SURE_AFTER = 24  # random points in a row that showed nothing new
BUILDS = 600  # at most


@dataclass(frozen=True, slots=True)
class Question:
    """A hyperparameter that a build function asks for."""

    name: str
    declared: Mapping[str, Any]  # as in a study's file, without `when`
    default: Value
    when: Condition = field(default_factory=dict)  # what the function says of it itself


@dataclass(frozen=True, slots=True)
class Run:
    """One call of the build function."""

    asked: Mapping[str, Question]  # in the order of asking
    values: Mapping[str, Value]  # the answers, by name
    silent: tuple[Question, ...] = ()  # named under a condition that did not hold
    wanted: tuple[Mapping[str, Value], ...] = ()  # answers that would make such conditions hold


Answer = Callable[[Question], Value]
Build = Callable[[Answer], Run]
Use = Callable[[Callable[[], Any]], Any]  # calls a function that makes a model, and looks at it


@dataclass(frozen=True, slots=True)
class Explored:
    """What a build function asks for."""

    declared: Mapping[str, Mapping[str, Any]]  # a `search_space` section
    notes: tuple[str, ...]
    builds: int  # calls that it took


class MissingAnswerError(LookupError):
    """A trial has no value for what its build function asks for."""


def given(params: Mapping[str, Value]) -> Answer:
    """Answers from a trial's hyperparameters.

    Raises:
        MissingAnswerError: From the answer, if the trial does not have the hyperparameter.
    """

    def answer(question: Question) -> Value:
        if question.name not in params:
            raise MissingAnswerError(
                f"the model's function asks for {question.name!r}, which was not found when its "
                "space was explored: declare it in search_space"
            )
        return params[question.name]

    return answer


def explore(build: Build) -> Explored:
    """Call `build` until it asks for nothing new.

    Raises:
        SpecError: If it asks for one name in two ways.
        Exception: What `build` raises with its own defaults. With other answers it may fail.
    """
    walk = _Walk(build)
    walk.begin()
    rng = random.Random(0)
    quiet = 0
    while quiet < SURE_AFTER and not walk.is_spent:
        quiet = 0 if walk.step(lambda question: _drawn(question, rng)) else quiet + 1
    return Explored(*_declared(walk), walk.builds)


class _Walk:
    """The calls so far."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self.runs: list[Run] = []
        self.questions: dict[str, list[Question]] = {}
        self.structural: set[str] = set()  # whole numbers that change what is asked
        self.builds = 0
        self.failure: str | None = None  # of the first call that failed
        self._tried: set[str] = set()

    @property
    def is_spent(self) -> bool:
        return self.builds >= BUILDS

    def begin(self) -> None:
        """The function's own defaults, and what follows from them."""
        self._follow(self._call(lambda question: question.default))

    def step(self, answer: Answer) -> bool:
        """Call once and follow what is new; whether anything was."""
        run = self._attempt(answer)
        return run is not None and self._follow(run)

    def _call(self, answer: Answer) -> Run:
        self.builds += 1
        return self._build(answer)

    def _attempt(self, answer: Answer) -> Run | None:
        try:
            return self._call(answer)
        except HpsearchError:
            raise
        except Exception as error:  # a point that the function cannot build is a failed trial
            if self.failure is None and rejected_state(error) is None:
                first, *_ = [*str(error).strip().splitlines(), ""]
                self.failure = f"{type(error).__name__}: {first}"
            return None

    def _with(self, values: Mapping[str, Value]) -> Run | None:
        """A call with these answers, and defaults beside them; None where it was made before."""
        key = repr(sorted(values.items()))
        if key in self._tried or self.is_spent:
            return None
        self._tried.add(key)
        return self._attempt(lambda question: _answered(question, values))

    def _follow(self, run: Run) -> bool:
        """Keep a run; where it names something new, vary each of its answers in turn."""
        self.runs.append(run)
        new = False
        for question in (*run.asked.values(), *run.silent):
            known = self.questions.setdefault(question.name, [])
            if question not in known:
                known.append(question)
                new = True
        if new:
            for wanted in run.wanted:
                self._also({**run.values, **wanted})
            for name in run.asked:
                self._vary(run, name)
        return new

    def _also(self, values: Mapping[str, Value]) -> Run | None:
        run = self._with(values)
        if run is not None:
            self._follow(run)
        return run

    def _vary(self, run: Run, name: str) -> None:
        """Every listed value of `name` in the context of a run."""
        declared = run.asked[name].declared
        shown = [run, *(self._also({**run.values, name: v}) for v in _sampled(declared))]
        asked = {frozenset(r.asked) - {name} for r in shown if r is not None}
        if declared["type"] == "int" and len(asked) > 1:
            self.structural.add(name)
        if name in self.structural:
            for value in listed(declared) or ():
                self._also({**run.values, name: value})


# ---- values ----


def _answered(question: Question, values: Mapping[str, Value]) -> Value:
    """The value given to the name, or the default where that lies in another range of the name."""
    value = values.get(question.name, question.default)
    return value if _contains(question.declared, value) else question.default


def _contains(declared: Mapping[str, Any], value: Value) -> bool:
    if (values := listed(declared)) is not None:
        return any(_same(value, v) for v in values)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return bool(declared["low"] <= value <= declared["high"])


def listed(declared: Mapping[str, Any]) -> tuple[Value, ...] | None:
    """All values of a hyperparameter where they are few, else None."""
    kind = declared["type"]
    if kind == "fixed":
        return (declared["value"],)
    if kind == "categorical":
        return tuple(declared["choices"])
    if kind == "int":
        values = range(declared["low"], declared["high"] + 1, declared.get("step", 1))
        return tuple(values) if len(values) <= LISTED else None
    return None


def _sampled(declared: Mapping[str, Any]) -> Iterable[Value]:
    """Values that show whether a hyperparameter changes what is asked."""
    if declared["type"] == "float":
        return (declared["low"], declared["high"])
    if declared["type"] != "int":
        return listed(declared) or ()
    values = range(declared["low"], declared["high"] + 1, declared.get("step", 1))
    return dict.fromkeys((values[0], values[len(values) // 2], values[-1]))


def _drawn(question: Question, rng: random.Random) -> Value:
    declared = question.declared
    if (values := listed(declared)) is not None:
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


def _declared(walk: _Walk) -> tuple[dict[str, Any], tuple[str, ...]]:
    fixed = {
        name: known[0].declared["value"]
        for name, known in walk.questions.items()
        if known[0].declared["type"] == "fixed" and not _differ(known)
    }
    declared: dict[str, Any] = {}
    vague = []
    for name, known in walk.questions.items():
        ranges, is_exact = _ranges(name, known, fixed, walk)
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
    if walk.failure is not None:
        notes.append(
            f"the model's function fails at some points, the first time with {walk.failure}"
        )
    if walk.is_spent:
        notes.append(f"the space is large: after {walk.builds} builds no more of it was explored")
    return declared, tuple(notes)


def _ranges(
    name: str, known: Sequence[Question], fixed: Mapping[str, Value], walk: _Walk
) -> tuple[list[dict[str, Any]], bool]:
    """The ranges under a name, each as a file declares it, and whether their conditions are exact.

    Raises:
        SpecError: If there are several, and no condition tells when each of them is asked for.
    """
    ranges: list[dict[str, Any]] = []
    exact = True
    kinds = [q for i, q in enumerate(known) if _is_other(q, known[:i])]
    for kind in kinds:
        alike = [q for q in known if dict(q.declared) == dict(kind.declared)]
        stated = dict(alike[0].when) if len(alike) == 1 else {}
        if any(parent in fixed and fixed[parent] not in v for parent, v in stated.items()):
            continue
        found, is_exact = _condition(kind, stated, walk)
        when = {p: list(v) for p, v in {**stated, **found}.items() if p not in fixed}
        declared = dict(kind.declared) if len(kinds) == 1 else _as_range(kind.declared, kinds)
        ranges.append({**declared, **({"when": when} if when and name not in fixed else {})})
        exact = exact and is_exact
    if len(ranges) > 1 and not (exact and all("when" in r for r in ranges)):
        raise SpecError(
            f"the model's function asks for {name!r} in two ways, {_shown(kinds[0].declared)} and "
            f"{_shown(kinds[1].declared)}, and which one when is not to be seen: give each a name "
            "of its own"
        )
    return ranges, exact


def _as_range(declared: Mapping[str, Any], beside: Sequence[Question]) -> dict[str, Any]:
    """A fixed value that is one of several ranges is a range of one value."""
    if declared["type"] != "fixed":
        return dict(declared)
    value = declared["value"]
    number = next((q.declared["type"] for q in beside if q.declared["type"] in NUMBERS), None)
    if number is None:
        return {"type": "categorical", "choices": [value]}
    return {"type": number, "low": value, "high": value}


def _differ(known: Sequence[Question]) -> bool:
    return any(dict(q.declared) != dict(known[0].declared) for q in known)


def _is_other(question: Question, before: Sequence[Question]) -> bool:
    return all(dict(q.declared) != dict(question.declared) for q in before)


def _shown(declared: Mapping[str, Any]) -> str:
    values = ", ".join(f"{k}={v}" for k, v in declared.items() if k != "type")
    return f"{declared['type']}({values})"


def _condition(kind: Question, stated: Condition, walk: _Walk) -> tuple[Condition, bool]:
    """Parents and values that tell the runs that ask for a range of a name from those that do not.

    The fewest parents that do: the one that excludes most of the runs comes first. The second
    value says whether they exclude all of them. They never exclude a run that asks for it.
    """
    name = kind.name
    yes = [run for run in walk.runs if _asks(run, kind)]
    no = [run for run in walk.runs if not _asks(run, kind) and _holds(stated, run.values)]
    allowed = {
        parent: tuple(dict.fromkeys(run.values[parent] for run in yes))
        for parent in walk.questions
        if parent not in stated and _is_parent(parent, name, yes, walk)
    }
    chosen: dict[str, tuple[Value, ...]] = {}
    while no:
        excluded = {
            parent: sum(not _holds({parent: values}, run.values) for run in no)
            for parent, values in allowed.items()
        }
        best = max(excluded, key=lambda parent: excluded[parent], default=None)
        if best is None or not excluded[best]:
            return chosen, False
        order = listed(walk.questions[best][0].declared) or ()
        chosen[best] = tuple(v for v in order if v in allowed[best])
        no = [run for run in no if _holds({best: chosen[best]}, run.values)]
    return chosen, True


def _asks(run: Run, kind: Question) -> bool:
    asked = run.asked.get(kind.name)
    return asked is not None and dict(asked.declared) == dict(kind.declared)


def _is_parent(parent: str, name: str, yes: Sequence[Run], walk: _Walk) -> bool:
    """Whether `parent` was answered before `name` was asked for, and all its values were tried."""
    declared = walk.questions[parent][0].declared
    if _differ(walk.questions[parent]):
        return False
    if declared["type"] != "categorical" and parent not in walk.structural:
        return False
    if listed(declared) is None:
        return False
    orders = [list(run.asked) for run in yes]
    return all(
        parent in order[: order.index(name)] if name in order else False for order in orders
    ) and bool(orders)


def _holds(condition: Condition, values: Mapping[str, Value]) -> bool:
    return all(
        parent in values and any(_same(values[parent], value) for value in allowed)
        for parent, allowed in condition.items()
    )


def _same(a: Value, b: Value) -> bool:
    return isinstance(a, bool) == isinstance(b, bool) and a == b
