"""Pareto fronts of points with several values each. Pure; knows no trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Point = Sequence[float]
T = TypeVar("T")


def dominates(one: Point, other: Point, maximize: Sequence[bool]) -> bool:
    """Whether `one` is nowhere worse than `other` and somewhere better.

    Examples:
        >>> dominates((0.9, 10), (0.9, 12), (True, False))
        True
        >>> dominates((0.9, 10), (0.8, 9), (True, False))
        False
    """
    gains = [a - b if up else b - a for a, b, up in zip(one, other, maximize, strict=True)]
    return min(gains) >= 0 and max(gains) > 0


def add_to_front(
    front: Sequence[T], candidate: T, point: Callable[[T], Point], maximize: Sequence[bool]
) -> list[T] | None:
    """The front with `candidate` in it and without what it dominates.

    None where a member dominates the candidate. Points that are equal are members together.
    """
    own = point(candidate)
    if any(dominates(point(member), own, maximize) for member in front):
        return None
    return [*(m for m in front if not dominates(own, point(m), maximize)), candidate]
