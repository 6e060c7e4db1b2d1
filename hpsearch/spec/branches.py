"""One hyperparameter with several ranges, as several hyperparameters with one range each.

A user, a trial, the journal and MLflow know one name; a library of samplers knows one range a
name. Here a space and its points are split for such a library, and joined again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from ..errors import SpecError
from ..trial import Value
from .conditions import AllowedValues, Condition, allows_value, format_condition
from .constraints import Constraint
from .point_counting import iter_value_groups
from .search_space import Categorical, Float, Int, Parameter, SearchSpace

BRANCH_SEPARATOR = "@"  # between a name and the place of its range; no declared name holds it


@dataclass(frozen=True, slots=True)
class _JoinedConstraint:
    """A constraint over split points."""

    constraint: Constraint

    @property
    def text(self) -> str:
        return self.constraint.text

    def is_satisfied(self, params: Mapping[str, Value]) -> bool:
        return self.constraint.is_satisfied(join_point(params))


def has_branches(space: SearchSpace) -> bool:
    """Whether any name has several ranges."""
    return len({p.name for p in space}) < len(space)


def split_branches(space: SearchSpace) -> SearchSpace:
    """The same points, with a name of its own for every range."""
    renamed = tuple(replace(p, name=own) for own, p in _name_branches(space))
    return SearchSpace(
        renamed, tuple(map(_JoinedConstraint, space.constraints)), space.fixed_params
    )


def split_point(space: SearchSpace, params: Mapping[str, Value]) -> dict[str, Value]:
    """A point of `space` as one of `apart(space)`; what the space lacks stays as it is."""
    own_names = {id(p): own for own, p in _name_branches(space)}
    live = {p.name: own_names[id(p)] for p in space.iter_active(params)}
    return {live.get(name, name): value for name, value in params.items()}


def join_point(params: Mapping[str, Value]) -> dict[str, Value]:
    """A point of `apart(space)` as one of `space`; the first of a name's ranges counts."""
    found: dict[str, Value] = {}
    for own, value in params.items():
        found.setdefault(own.partition(BRANCH_SEPARATOR)[0], value)
    return found


def merge_ranges(space: SearchSpace) -> SearchSpace:
    """One range a name, from the lowest end to the highest, without its condition; for plots."""
    ranges: dict[str, list[Parameter]] = {}
    for p in space:
        ranges.setdefault(p.name, []).append(p)
    return replace(
        space,
        parameters=tuple(_merge_parameter(ps) if len(ps) > 1 else ps[0] for ps in ranges.values()),
    )


def _merge_parameter(ranges: Sequence[Parameter]) -> Parameter:
    name, numbers = ranges[0].name, [p for p in ranges if not isinstance(p, Categorical)]
    if not numbers:
        choices = [p.value(i) for p in ranges for i in range(int(p.size))]
        return Categorical(name, tuple({(type(c), c): c for c in choices}.values()))
    low, high = min(p.low for p in numbers), max(p.high for p in numbers)
    log = all(p.log for p in numbers)
    if all(isinstance(p, Int) for p in numbers):
        return Int(name, int(low), int(high), log)
    return Float(name, low, high, log)


def _name_branches(space: SearchSpace) -> list[tuple[str, Parameter]]:
    total, seen = Counter(p.name for p in space), Counter[str]()
    named = []
    for p in space:
        seen[p.name] += 1
        named.append(
            (f"{p.name}{BRANCH_SEPARATOR}{seen[p.name]}" if total[p.name] > 1 else p.name, p)
        )
    return named


def check_exclusive(
    name: str, ranges: Sequence[Parameter], parents: Mapping[str, Parameter]
) -> None:
    """Refuse ranges of one name that two of them could give a value at one point.

    Two conditions exclude each other where a parent, or a parent of a parent, has no value that
    both allow. The end at which two ranges of a continuous parent meet belongs to the first.

    Args:
        name: Of all `ranges`.
        ranges: As they are declared, each with its condition.
        parents: Every hyperparameter that a condition names, by name.

    Raises:
        SpecError: Naming two ranges that do not exclude each other.
    """
    whole = [_include_ancestors(p.when, parents) for p in ranges]
    for (i, a), (k, b) in combinations(enumerate(whole, 1), 2):
        if not any(
            _are_disjoint(parents[parent], x, y)
            for parent, x in a
            for other, y in b
            if parent == other
        ):
            first, second = (
                format_condition(ranges[i - 1].when),
                format_condition(ranges[k - 1].when),
            )
            raise SpecError(
                f"{name}: ranges {i} ({first}) and {k} ({second}) can hold in the same trial: "
                "give them values of one parent that exclude each other, such as "
                "optimizer: sgd and optimizer: adam"
            )


def _include_ancestors(
    condition: Condition, parents: Mapping[str, Parameter]
) -> list[tuple[str, AllowedValues]]:
    """What must hold of the parents, and of theirs, for a condition to hold."""
    found = list(condition.items())
    for name in condition:
        found += _include_ancestors(parents[name].when, parents)
    return found


def _are_disjoint(parent: Parameter, a: AllowedValues, b: AllowedValues) -> bool:
    return not any(
        allows_value(a, v) and allows_value(b, v) for v, _ in iter_value_groups(parent, [a, b])
    )
