"""Search spaces: hyperparameters and their values.

Pure data. Imports no framework, so `hpsearch check` answers at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from ..errors import SpecError
from ..trial import Value
from .conditions import Condition, format_condition, is_condition_met
from .constraints import Constraint
from .parameter_domains import format_value
from .point_counting import count_points

STEP_TOLERANCE = 1e-6  # tolerated distance from the grid, in steps


@dataclass(frozen=True, slots=True)
class Float:
    """A real number in the closed interval [low, high]."""

    name: str
    low: float
    high: float
    log: bool = False
    step: float | None = None
    when: Condition = field(default_factory=dict)
    prior: float | None = None  # where good values are expected

    def __post_init__(self) -> None:
        _check_bounds(self)

    def contains(self, value: Value) -> bool:
        """Whether `value` may be suggested."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.step is None:
            return self.low <= value <= self.high
        steps = (value - self.low) / self.step
        return -STEP_TOLERANCE < steps < self.size - 1 + STEP_TOLERANCE and math.isclose(
            steps, round(steps), abs_tol=STEP_TOLERANCE
        )

    @property
    def size(self) -> float:
        """The number of values."""
        if self.low == self.high:
            return 1
        if self.step is None:
            return math.inf
        # In decimal arithmetic: three steps of 0.1 from 0 give exactly 0.3.
        return int((_to_decimal(self.high) - _to_decimal(self.low)) // _to_decimal(self.step)) + 1

    @property
    def max_value(self) -> float:
        """The largest value: `high`, or the last step below it."""
        return self.high if self.step is None else self.value(int(self.size) - 1)

    @property
    def is_ordered(self) -> bool:
        """Whether `value` grows."""
        return True

    def value(self, index: int) -> float:
        """The value at an index; without a step, index 0 is `low` and 1 is `high`."""
        if self.step is None:
            return self.high if index else self.low
        return float(_to_decimal(self.low) + index * _to_decimal(self.step))

    def draw(self, rng: Random) -> float:
        """A random value, uniform on the scale."""
        if self.step is not None:
            return self.value(rng.randrange(int(self.size)))
        if not self.log:
            return min(max(rng.uniform(self.low, self.high), self.low), self.high)
        drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return min(max(drawn, self.low), self.high)


@dataclass(frozen=True, slots=True)
class Int:
    """A whole number in the closed interval [low, high]."""

    name: str
    low: int
    high: int
    log: bool = False
    step: int = 1
    when: Condition = field(default_factory=dict)
    prior: int | None = None  # where good values are expected

    def __post_init__(self) -> None:
        _check_bounds(self)

    def contains(self, value: Value) -> bool:
        """Whether `value` may be suggested."""
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        return self.low <= value <= self.high and (value - self.low) % self.step == 0

    @property
    def size(self) -> float:
        """The number of values."""
        return (self.high - self.low) // self.step + 1

    @property
    def max_value(self) -> int:
        """The largest value: `high`, or the last step below it."""
        return self.value(int(self.size) - 1)

    @property
    def is_ordered(self) -> bool:
        """Whether `value` grows."""
        return True

    def value(self, index: int) -> int:
        """The value at an index."""
        return self.low + index * self.step

    def draw(self, rng: Random) -> int:
        """A random value, uniform on the scale."""
        if not self.log:
            return self.value(rng.randrange(int(self.size)))
        drawn = math.exp(rng.uniform(math.log(self.low - 0.5), math.log(self.high + 0.5)))
        return min(max(round(drawn), self.low), self.high)


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of `choices`, which are unordered."""

    name: str
    choices: tuple[Value, ...]
    when: Condition = field(default_factory=dict)
    prior: Value | tuple[float, ...] | list[float] = None  # a choice, or weights

    def __post_init__(self) -> None:
        if not self.choices:
            raise SpecError("choices is empty: give at least one value")
        if len({(type(c), c) for c in self.choices}) < len(self.choices):
            raise SpecError(f"choices repeats a value: {list(self.choices)}")
        _check_choice_prior(self)

    def contains(self, value: Value) -> bool:
        """Whether `value` may be suggested; 1 and True are different."""
        return any(type(value) is type(c) and value == c for c in self.choices)

    def index(self, value: Value) -> int:
        """The position of a choice; 1 and True are different."""
        return next(i for i, c in enumerate(self.choices) if type(c) is type(value) and c == value)

    @property
    def size(self) -> float:
        """The number of values."""
        return len(self.choices)

    @property
    def is_ordered(self) -> bool:
        """Whether `value` grows."""
        return False

    def value(self, index: int) -> Value:
        """The choice at an index."""
        return self.choices[index]

    def draw(self, rng: Random) -> Value:
        """A random choice."""
        return rng.choice(self.choices)


Parameter = Float | Int | Categorical


def format_values(p: Parameter) -> str:
    """Format the values of a hyperparameter for a message.

    Examples:
        >>> format_values(Int("units", 8, 64, step=8))
        'whole numbers from 8 to 64 in steps of 8'
    """
    if isinstance(p, Categorical):
        return f"the choices {', '.join(map(format_value, p.choices))}"
    kind = "whole numbers from " if isinstance(p, Int) else ""
    step = "" if p.step in (None, 1) else f" in steps of {p.step:g}"
    return f"{kind}{p.low:g} to {p.high:g}{step}"


def _to_decimal(number: float) -> Decimal:
    return Decimal(repr(number))


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
    if p.prior is not None and not p.low <= p.prior <= p.high:
        raise SpecError(f"prior={p.prior} must be between low={p.low} and high={p.high}")


def _check_choice_prior(p: Categorical) -> None:
    if p.prior is None:
        return
    if not isinstance(p.prior, tuple | list):
        if not p.contains(p.prior):
            known = ", ".join(map(format_value, p.choices))
            raise SpecError(f"prior={format_value(p.prior)} is none of the choices: {known}")
        return
    if len(p.prior) != len(p.choices):
        raise SpecError(
            f"the number of weights in prior, {len(p.prior)}, is not that of the choices, "
            f"{len(p.choices)}: give one for each, or one of the choices"
        )
    if not all(math.isfinite(w) and w >= 0 for w in p.prior) or not any(p.prior):
        raise SpecError(f"prior={list(p.prior)}: weights must be finite, at least 0, and not all 0")


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """The hyperparameters of a study that vary, parents before children.

    Entries with the same name are ranges of one hyperparameter, with mutually exclusive conditions.
    If two ranges share the end of a continuous parent, the first applies.
    """

    parameters: tuple[Parameter, ...]
    constraints: tuple[Constraint, ...] = ()
    fixed_params: Mapping[str, Value] = field(
        default_factory=dict
    )  # constraints may refer to them, too

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.parameters)

    def __len__(self) -> int:
        return len(self.parameters)

    def is_active(self, parameter: Parameter, params: Mapping[str, Value]) -> bool:
        """Whether `parameter` is active given the already chosen `params`."""
        return is_condition_met(parameter.when, params)

    def iter_active(self, params: Mapping[str, Value]) -> Iterator[Parameter]:
        """Iterate over the active parameters of `params`, with the range that applies."""
        seen: set[str] = set()
        for p in self.parameters:
            if p.name in params and p.name not in seen and self.is_active(p, params):
                seen.add(p.name)
                yield p

    def find_broken_constraint(self, params: Mapping[str, Value]) -> Constraint | None:
        """Find the first violated constraint; None if the point is feasible.

        Raises:
            SpecError: If a constraint cannot be evaluated.
        """
        everything = {**self.fixed_params, **params}
        return next((c for c in self.constraints if not c.is_satisfied(everything)), None)

    def why_invalid(self, params: Mapping[str, Value]) -> str | None:
        """Explain why `params` is not a point of the space; None if it is."""
        live = {p.name: p for p in self.iter_active(params)}
        for p in self.parameters:
            if p.name not in params and self.is_active(p, params):
                return f"{p.name} is missing"
            if p.name in params and p.name not in live:
                whens = (
                    format_condition(other.when)
                    for other in self.parameters
                    if other.name == p.name
                )
                return f"{p.name} is given, but its condition fails: {', or '.join(whens)}"
            if p.name in params and not live[p.name].contains(params[p.name]):
                value, allowed = format_value(params[p.name]), format_values(live[p.name])
                return f"{p.name}: {value} is not allowed. Allowed: {allowed}."
        unknown = params.keys() - {p.name for p in self.parameters}
        if unknown:
            return f"unknown: {', '.join(sorted(unknown))}"
        broken = self.find_broken_constraint(params)
        return None if broken is None else f"it breaks the constraint {broken.text}"

    @property
    def size(self) -> float:
        """The number of points without constraints; infinite if a float has no step."""
        return count_points(self.parameters)

    def draw(self, rng: Random) -> dict[str, Value]:
        """Draw a random point, which may violate constraints."""
        params: dict[str, Value] = {}
        for p in self.parameters:
            if p.name not in params and self.is_active(p, params):
                params[p.name] = p.draw(rng)
        return params

    def largest_point(self) -> dict[str, Value]:
        """Return the point with the largest numbers and the last choices."""
        params: dict[str, Value] = {}
        for p in self.parameters:
            if p.name not in params and self.is_active(p, params):
                params[p.name] = p.choices[-1] if isinstance(p, Categorical) else p.max_value
        return params

    def points(self) -> Iterator[dict[str, Value]]:
        """Iterate over the feasible points of a finite space, in order."""
        return (
            params
            for params in self._iter_all_points({}, 0)
            if self.find_broken_constraint(params) is None
        )

    def _iter_all_points(self, chosen: dict[str, Value], index: int) -> Iterator[dict[str, Value]]:
        for i in range(index, len(self.parameters)):
            p = self.parameters[i]
            if p.name not in chosen and self.is_active(p, chosen):
                for k in range(int(p.size)):
                    yield from self._iter_all_points({**chosen, p.name: p.value(k)}, i + 1)
                return
        yield chosen
