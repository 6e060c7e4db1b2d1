"""Pareto fronts of points with several objectives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from .trial import Direction, orient

Point = Sequence[float]
T = TypeVar("T")


def dominates(one: Point, other: Point, directions: Sequence[Direction]) -> bool:
    """Whether `one` dominates `other`: it is better in some objective and worse in none.

    Examples:
        >>> dominates((0.9, 10), (0.9, 12), ("maximize", "minimize"))
        True
        >>> dominates((0.9, 10), (0.8, 9), ("maximize", "minimize"))
        False
    """
    gains = [orient(a - b, d) for a, b, d in zip(one, other, directions, strict=True)]
    return min(gains) >= 0 and max(gains) > 0


def add_to_front(
    front: Sequence[T], candidate: T, point: Callable[[T], Point], directions: Sequence[Direction]
) -> list[T] | None:
    """Add `candidate` to the front and remove the members that it dominates.

    None if a member dominates the candidate. Equal points are all members.
    """
    own = point(candidate)
    if any(dominates(point(member), own, directions) for member in front):
        return None
    return [*(m for m in front if not dominates(own, point(m), directions)), candidate]
