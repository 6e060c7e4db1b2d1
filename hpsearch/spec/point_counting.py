"""Count the points of a space without enumerating them.

A parent's value matters only by which of its children's conditions it satisfies, so values are
counted in groups that satisfy the same conditions.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from ..trial import Value
from .conditions import AllowedValues, NumberRange, allows_value, is_condition_met

if TYPE_CHECKING:
    from .search_space import Parameter

ValueClasses = list[tuple[Value, float]]  # (a value, size of its group)


def count_points(parameters: Sequence[Parameter]) -> float:
    """Count the distinct points; infinite if a float without a step can be active.

    Args:
        parameters: Parents before their children.
    """
    if any(math.isinf(p.size) and not p.when for p in parameters):
        return math.inf
    classes = {
        p.name: _group_values(p, tests)
        for p in parameters
        if (tests := _conditions_on(p, parameters))
    }

    def below(index: int, chosen: dict[str, Value]) -> float:
        total = 1.0
        for i in range(index, len(parameters)):
            p = parameters[i]
            if not is_condition_met(p.when, chosen):
                continue
            if p.name in classes:
                ways = (n * below(i + 1, {**chosen, p.name: v}) for v, n in classes[p.name])
                return total * sum(ways)
            total *= p.size
        return total

    return below(0, {})


def _conditions_on(parent: Parameter, parameters: Sequence[Parameter]) -> list[AllowedValues]:
    """Return the conditions on a parent."""
    return [p.when[parent.name] for p in parameters if parent.name in p.when]


def _group_values(parent: Parameter, tests: Sequence[AllowedValues]) -> ValueClasses:
    found: Counter[tuple[bool, ...]] = Counter()
    examples: dict[tuple[bool, ...], Value] = {}
    for value, n in iter_value_groups(parent, tests):
        signature = tuple(allows_value(test, value) for test in tests)
        examples.setdefault(signature, value)
        found[signature] += n  # type: ignore[assignment]  # infinity is a float
    return [(examples[s], n) for s, n in found.items()]


def iter_value_groups(
    parent: Parameter, tests: Sequence[AllowedValues]
) -> Iterator[tuple[Value, float]]:
    """Iterate over groups of values that no condition separates: a value and the group's size."""
    if math.isinf(parent.size):
        yield from ((v, math.inf) for v in _interval_midpoints(parent, tests))
        return
    indices, n = range(int(parent.size)), int(parent.size)
    if parent.is_ordered:
        cuts = {0, n}
        for low, high in _interval_ends(tests):
            cuts.add(bisect_left(indices, low, key=parent.value))  # type: ignore[arg-type]
            cuts.add(bisect_right(indices, high, key=parent.value))  # type: ignore[arg-type]
        near = {c + d for c in cuts for d in (-1, 0, 1)}  # values that rounding moves across an end
        bounds = sorted(c for c in cuts | near if 0 <= c <= n)
        yield from ((parent.value(a), b - a) for a, b in pairwise(bounds))
    else:
        yield from ((parent.value(i), 1) for i in indices)


def _interval_midpoints(parent: Parameter, tests: Sequence[AllowedValues]) -> Iterator[Value]:
    """Return a value inside each open interval of a continuous parent."""
    low, high = parent.value(0), parent.value(-1)
    assert isinstance(low, float)
    assert isinstance(high, float)
    ends = [end for pair in _interval_ends(tests) for end in pair if low < end < high]
    yield from ((a + b) / 2 for a, b in pairwise(sorted({low, *ends, high})))


def _interval_ends(tests: Sequence[AllowedValues]) -> Iterator[tuple[float, float]]:
    for test in tests:
        if isinstance(test, NumberRange):
            yield test.low, test.high
        else:
            yield from ((v, v) for v in test if isinstance(v, int | float))
