"""Sample points that satisfy all constraints; explain an infeasible space."""

from __future__ import annotations

from collections import Counter
from random import Random

from ..errors import SpecError
from ..trial import Value
from .search_space import SearchSpace

MAX_TRIES = 10_000  # random points drawn before a space is reported as empty
N_CHECKED_POINTS = 200  # random points at which every constraint is evaluated
MAX_ENUMERATED_POINTS = 20_000  # largest finite space that is enumerated


def sample_feasible_point(
    space: SearchSpace, seed: int, tries: int = MAX_TRIES
) -> dict[str, Value]:
    """Sample a random feasible point.

    Raises:
        SpecError: If `tries` draws find none; says how often each constraint failed first.
    """
    rng = Random(seed)
    broken: Counter[str] = Counter()
    for _ in range(tries):
        params = space.draw(rng)
        constraint = space.find_broken_constraint(params)
        if constraint is None:
            return params
        broken[constraint.text] += 1
    counts = "; ".join(f"{text} is broken by {n:,}" for text, n in broken.most_common())
    raise SpecError(
        f"none of {tries:,} random points of the space is feasible ({counts}): loosen the "
        "constraint, or narrow the ranges to where it holds"
    )


def find_failing_constraints(space: SearchSpace) -> list[tuple[str, str]]:
    """Find constraints that raise at some point, or that no point satisfies: key and message."""
    points = _sample_points(space)
    found = []
    for index, constraint in enumerate(space.constraints):
        try:
            for params in points:
                constraint.is_satisfied(params)
        except SpecError as error:
            found.append((f"constraints.{index}", str(error)))
    if space.constraints and not found:
        try:
            _refuse_empty(space)
        except SpecError as error:
            found.append(("constraints", str(error)))
    return found


def _sample_points(space: SearchSpace) -> list[dict[str, Value]]:
    rng = Random(0)
    return [{**space.fixed_params, **space.draw(rng)} for _ in range(N_CHECKED_POINTS)]


def _refuse_empty(space: SearchSpace) -> None:
    if space.size > MAX_ENUMERATED_POINTS:
        sample_feasible_point(space, 0)
    elif next(space.points(), None) is None:
        texts = " and ".join(c.text for c in space.constraints)
        raise SpecError(f"none of the {space.size:,.0f} points of the space meets {texts}")


def count_feasible_points(space: SearchSpace) -> tuple[float, bool]:
    """Count the feasible points; also whether the count is exact or an upper bound."""
    if not space.constraints or space.size > MAX_ENUMERATED_POINTS:
        return space.size, not space.constraints
    return sum(1 for _ in space.points()), True
