"""Split a hyperparameter with several ranges into several with one range each, and back.

Study files, trials, the journal and MLflow use one name for all ranges; sampler libraries support
one range per name. This module converts spaces and points in both directions.
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

BRANCH_SEPARATOR = "@"  # between a name and its range's index; not allowed in declared names


@dataclass(frozen=True, slots=True)
class _JoinedConstraint:
    """A constraint evaluated on split points."""

    constraint: Constraint

    @property
    def text(self) -> str:
        return self.constraint.text

    def is_satisfied(self, params: Mapping[str, Value]) -> bool:
        return self.constraint.is_satisfied(join_point(params))


def has_branches(space: SearchSpace) -> bool:
    """Whether a name has several ranges."""
    return len({p.name for p in space}) < len(space)


def split_branches(space: SearchSpace) -> SearchSpace:
    """Return the same space with a separate name for every range."""
    renamed = tuple(replace(p, name=own) for own, p in _name_branches(space))
    return SearchSpace(
        renamed, tuple(map(_JoinedConstraint, space.constraints)), space.fixed_params
    )


def split_point(space: SearchSpace, params: Mapping[str, Value]) -> dict[str, Value]:
    """Convert a point of `space` to `split_branches(space)`; unknown names are kept."""
    own_names = {id(p): own for own, p in _name_branches(space)}
    live = {p.name: own_names[id(p)] for p in space.iter_active(params)}
    return {live.get(name, name): value for name, value in params.items()}


def join_point(params: Mapping[str, Value]) -> dict[str, Value]:
    """Convert a point of `split_branches(space)` to `space`; a name's first range applies."""
    found: dict[str, Value] = {}
    for own, value in params.items():
        found.setdefault(own.partition(BRANCH_SEPARATOR)[0], value)
    return found


def merge_ranges(space: SearchSpace) -> SearchSpace:
    """Merge the ranges of each name into one without a condition, for plots."""
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
    """Refuse ranges of one name that can be active together.

    Two conditions are exclusive if an ancestor has no value that both allow. An end shared by two
    ranges of a continuous parent belongs to the first.

    Args:
        name: The common name of `ranges`.
        ranges: The ranges with their conditions, in declared order.
        parents: The hyperparameters used in conditions, by name.

    Raises:
        SpecError: Names two ranges that are not exclusive.
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
    """Combine a condition with those of all its ancestors."""
    found = list(condition.items())
    for name in condition:
        found += _include_ancestors(parents[name].when, parents)
    return found


def _are_disjoint(parent: Parameter, a: AllowedValues, b: AllowedValues) -> bool:
    return not any(
        allows_value(a, v) and allows_value(b, v) for v, _ in iter_value_groups(parent, [a, b])
    )
