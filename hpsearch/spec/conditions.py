"""Conditions on the values of parent hyperparameters, under which a child is active.

Pure data and one evaluator, shared by all samplers, so that they agree on every value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import SpecError
from ..trial import Value
from .parameter_domains import format_value

RELATIVE_TOLERANCE = 1e-9  # relative: 0.1 + 0.2 equals 0.3


@dataclass(frozen=True, slots=True)
class NumberRange:
    """The closed interval [low, high]."""

    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if math.isnan(self.low) or math.isnan(self.high):
            raise SpecError("min and max must be numbers")
        if self.low > self.high:
            raise SpecError(f"min={self.low:g} must not be greater than max={self.high:g}")

    def __contains__(self, value: Value) -> bool:
        """Whether `value` is a number in the range; True is not a number."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return is_at_most(self.low, value) and is_at_most(value, self.high)

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"at least {self.low:g}"
        if math.isinf(self.low):
            return f"at most {self.high:g}"
        return f"{self.low:g} to {self.high:g}"


AllowedValues = tuple[Value, ...] | NumberRange  # values of a parent with which the child is active
Condition = Mapping[str, AllowedValues]  # parent -> allowed values; all must hold


def allows_value(allowed: AllowedValues, value: Value) -> bool:
    """Whether a parent's `value` activates the child."""
    if isinstance(allowed, NumberRange):
        return value in allowed
    return any(is_same_value(value, a) for a in allowed)


def is_condition_met(condition: Condition, params: Mapping[str, Value]) -> bool:
    """Whether every parent is active in `params` and has an allowed value."""
    return all(name in params and allows_value(a, params[name]) for name, a in condition.items())


def format_condition(condition: Condition) -> str:
    """`optimizer is sgd or rmsprop and layers is at least 2`."""
    return " and ".join(
        f"{name} is {a if isinstance(a, NumberRange) else ' or '.join(map(_format_value, a))}"
        for name, a in condition.items()
    )


def _format_value(value: Value) -> str:
    """Format a value as YAML; strings without quotes."""
    return value if isinstance(value, str) else format_value(value)


def is_same_value(a: Value, b: Value) -> bool:
    """Whether two values are equal: 1 and 1.0, 0.1 + 0.2 and 0.3, but not True and 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == b or _is_close(a, b)
    return a == b


def _is_close(a: float, b: float) -> bool:
    """Whether two numbers are equal within `RELATIVE_TOLERANCE`."""
    try:
        return math.isclose(a, b, rel_tol=RELATIVE_TOLERANCE)
    except OverflowError:  # a whole number beyond the range of floats
        return False


def is_at_most(a: float, b: float) -> bool:
    """Whether `a` is less than or equal to `b`, in the sense of `is_same_value`."""
    return a <= b or _is_close(a, b)
