"""Search spaces: which hyperparameters exist and which values they may take.

Pure data. Knows no sampler and no framework, so `hpsearch check` answers at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..errors import SpecError
from ..trial import Value

Condition = Mapping[str, tuple[Value, ...]]  # parent -> the values under which the child lives


@dataclass(frozen=True, slots=True)
class Float:
    """A real number in [low, high]; both ends belong to it."""

    name: str
    low: float
    high: float
    log: bool = False
    step: float | None = None
    when: Condition = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_bounds(self)

    def contains(self, value: Value) -> bool:
        """Whether `value` may be suggested."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if not self.low <= value <= self.high:
            return False
        if self.step is None:
            return True
        steps = (value - self.low) / self.step
        return math.isclose(steps, round(steps), abs_tol=1e-6)

    @property
    def size(self) -> float:
        """How many values there are."""
        if self.low == self.high:
            return 1
        return math.inf if self.step is None else math.floor((self.high - self.low) / self.step) + 1


@dataclass(frozen=True, slots=True)
class Int:
    """A whole number in [low, high]; both ends belong to it."""

    name: str
    low: int
    high: int
    log: bool = False
    step: int = 1
    when: Condition = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_bounds(self)

    def contains(self, value: Value) -> bool:
        """Whether `value` may be suggested."""
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        return self.low <= value <= self.high and (value - self.low) % self.step == 0

    @property
    def size(self) -> float:
        """How many values there are."""
        return (self.high - self.low) // self.step + 1


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of `choices`, which have no order."""

    name: str
    choices: tuple[Value, ...]
    when: Condition = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.choices:
            raise SpecError("choices is empty: give at least one value")
        if len({(type(c), c) for c in self.choices}) < len(self.choices):
            raise SpecError(f"choices repeats a value: {list(self.choices)}")

    def contains(self, value: Value) -> bool:
        """Whether `value` may be suggested; 1 and True are different."""
        return any(type(value) is type(c) and value == c for c in self.choices)

    @property
    def size(self) -> float:
        """How many values there are."""
        return len(self.choices)


Parameter = Float | Int | Categorical


def _check_bounds(p: Float | Int) -> None:
    for key in ("low", "high"):
        if not math.isfinite(getattr(p, key)):
            raise SpecError(f"{key}={getattr(p, key)} must be a finite number")
    if p.low > p.high:
        raise SpecError(f"low={p.low} must not be greater than high={p.high}")
    if p.log and p.low <= 0:
        raise SpecError(f"a log scale needs low > 0, got low={p.low}")
    if p.step is not None and p.step <= 0:
        raise SpecError(f"step={p.step} must be greater than 0")
    if p.log and p.step not in (None, 1):
        raise SpecError("log and step exclude each other: leave one of them out")


@dataclass(frozen=True, slots=True)
class Space:
    """All hyperparameters of a study, parents before their children."""

    parameters: tuple[Parameter, ...]

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.parameters)

    def __len__(self) -> int:
        return len(self.parameters)

    def is_active(self, parameter: Parameter, params: Mapping[str, Value]) -> bool:
        """Whether `parameter` exists beside the already chosen `params`."""
        return all(
            parent in params and any(_same(params[parent], v) for v in values)
            for parent, values in parameter.when.items()
        )

    def violation(self, params: Mapping[str, Value]) -> str | None:
        """Why `params` is no point of the space, or None where it is one."""
        for p in self.parameters:
            active = self.is_active(p, params)
            if active and p.name not in params:
                return f"{p.name} is missing"
            if not active and p.name in params:
                return f"{p.name} is given, but its condition {dict(p.when)} does not hold"
            if active and not p.contains(params[p.name]):
                return f"{p.name}={params[p.name]!r} is not a value of {p}"
        unknown = params.keys() - {p.name for p in self.parameters}
        return f"unknown: {', '.join(sorted(unknown))}" if unknown else None

    @property
    def size(self) -> float:
        """How many different points there are; infinite where a float has no step."""
        total = 0.0
        for _ in self._assignments({}, self._parents()):
            total += _
        return total

    def _parents(self) -> set[str]:
        return {parent for p in self.parameters for parent in p.when}

    def _assignments(self, chosen: dict[str, Value], parents: set[str]) -> Iterator[float]:
        """The number of points under every assignment of the parents of conditions."""
        count = 1.0
        for p in self.parameters:
            if p.name in chosen or not self.is_active(p, chosen):
                continue
            if p.name in parents:
                if not isinstance(p, Categorical):
                    values: tuple[Value, ...] = tuple(_listed(p))
                else:
                    values = p.choices
                for value in values:
                    yield from self._assignments({**chosen, p.name: value}, parents)
                return
            count *= p.size
        yield count


def _listed(p: Float | Int) -> Iterator[Value]:
    if isinstance(p, Int):
        yield from range(p.low, p.high + 1, p.step)
    elif p.step is not None:
        yield from (p.low + i * p.step for i in range(int(p.size)))
    else:
        raise SpecError(f"{p.name} is a parent of a condition and continuous: give it a step")


def _same(a: Value, b: Value) -> bool:
    return isinstance(a, bool) == isinstance(b, bool) and a == b
