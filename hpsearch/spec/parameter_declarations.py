"""Declarations of hyperparameters in a study file, and the `SearchSpace` that they define."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from ..errors import SpecError
from ..trial import Value
from .branches import check_exclusive
from .conditions import AllowedValues, Condition, NumberRange, allows_value
from .constraints import Constraint
from .point_counting import iter_value_groups
from .search_space import Categorical, Float, Int, Parameter, SearchSpace

Scalar = bool | int | float | str | None
# Keras Tuner's scopes separate names by "/"; otherwise the characters of MLflow's param keys.
NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_ .:-]*(/[A-Za-z0-9_][A-Za-z0-9_ .:-]*)*$"
MAX_NAME_CHARACTERS = 100
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=MAX_NAME_CHARACTERS)]


class _StrictModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RangeDeclaration(_StrictModel):
    """`{min: 2}`, `{max: 1e-2}` or both: a closed range of a parent's values."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    min: float | None = None
    max: float | None = None

    def to_range(self) -> NumberRange:
        given = {"low": self.min, "high": self.max}
        return NumberRange(**{k: v for k, v in given.items() if v is not None})

    @model_validator(mode="after")
    def _check_range(self) -> RangeDeclaration:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        try:
            self.to_range()
        except SpecError as error:
            raise ValueError(str(error)) from error
        return self


def _discriminate_allowed(allowed: Any) -> str:
    if isinstance(allowed, Mapping | BaseModel):
        return "range"
    return "values" if isinstance(allowed, list) else "value"


AllowedDeclaration = Annotated[
    Annotated[Scalar, Tag("value")]
    | Annotated[list[Scalar], Field(min_length=1), Tag("values")]
    | Annotated[RangeDeclaration, Tag("range")],
    Discriminator(_discriminate_allowed),
]


def _to_allowed_values(declared: Scalar | list[Scalar] | RangeDeclaration) -> AllowedValues:
    if isinstance(declared, RangeDeclaration):
        return declared.to_range()
    return tuple(declared) if isinstance(declared, list) else (declared,)


class _VariableDeclaration(_StrictModel):
    when: dict[str, AllowedDeclaration] = Field(default_factory=dict)

    def to_condition(self) -> Condition:
        return {parent: _to_allowed_values(declared) for parent, declared in self.when.items()}

    def to_parameter(self, name: str) -> Parameter:
        raise NotImplementedError

    @model_validator(mode="after")
    def _check_parameter(self) -> _VariableDeclaration:
        try:
            self.to_parameter("")
        except SpecError as error:
            raise ValueError(str(error)) from error
        return self


class FloatDeclaration(_VariableDeclaration):
    """`{type: float, low: 1e-4, high: 1e-1, log: true}`."""

    type: Literal["float"]
    low: float
    high: float
    log: bool = False
    step: float | None = None
    prior: float | None = None

    def to_parameter(self, name: str) -> Float:
        condition = self.to_condition()
        return Float(name, self.low, self.high, self.log, self.step, condition, self.prior)


class IntDeclaration(_VariableDeclaration):
    """`{type: int, low: 1, high: 3}`."""

    type: Literal["int"]
    low: int
    high: int
    log: bool = False
    step: int = 1
    prior: int | None = None

    def to_parameter(self, name: str) -> Int:
        condition = self.to_condition()
        return Int(name, self.low, self.high, self.log, self.step, condition, self.prior)


class CategoricalDeclaration(_VariableDeclaration):
    """`{type: categorical, choices: [sgd, adam]}`, or just the list."""

    type: Literal["categorical"]
    choices: list[Scalar] = Field(json_schema_extra={"minItems": 1})
    prior: Scalar | Annotated[list[float], Field(min_length=1)] = None  # a choice, or weights

    def to_parameter(self, name: str) -> Categorical:
        prior = tuple(self.prior) if isinstance(self.prior, list) else self.prior
        return Categorical(name, tuple(self.choices), self.to_condition(), prior)


class FixedDeclaration(_StrictModel):
    """A fixed value, or just the bare value."""

    type: Literal["fixed"]
    value: Scalar


RangeWithCondition = Annotated[
    FloatDeclaration | IntDeclaration | CategoricalDeclaration,
    Field(discriminator="type", json_schema_extra={"required": ["when"]}),
]


class RangesDeclaration(_StrictModel):
    """A list of ranges, each with its own `when`; at most one is active in a trial."""

    type: Literal["ranges"]
    ranges: list[RangeWithCondition] = Field(json_schema_extra={"minItems": 2})

    @model_validator(mode="after")
    def _check_ranges(self) -> RangesDeclaration:
        if len(self.ranges) < 2:
            raise ValueError("one range needs no list: write its keys under the name")
        for index, declared in enumerate(self.ranges, 1):
            if not declared.when:
                raise ValueError(f"range {index} of {len(self.ranges)} has no when: give it one")
        if len({isinstance(d, CategoricalDeclaration) for d in self.ranges}) > 1:
            raise ValueError("ranges mix numbers and choices: use one of the two")
        return self


def _expand_shorthand(declared: Any) -> Any:
    """Expand a list to a categorical or to ranges, and a bare value to a fixed one."""
    if isinstance(declared, list):
        if declared and all(isinstance(d, Mapping) for d in declared):
            return {"type": "ranges", "ranges": declared}
        return {"type": "categorical", "choices": declared}
    if isinstance(declared, Mapping | BaseModel):
        return declared
    return {"type": "fixed", "value": declared}


_TypedDeclaration = Annotated[
    FloatDeclaration
    | IntDeclaration
    | CategoricalDeclaration
    | FixedDeclaration
    | RangesDeclaration,
    Field(discriminator="type"),
]
# What `_expand_shorthand` accepts, for the JSON schema of the study file.
_WrittenDeclaration = (
    Scalar
    | Annotated[list[Scalar], Field(min_length=1)]
    | Annotated[list[RangeWithCondition], Field(min_length=2)]
    | _TypedDeclaration
)
ParameterDeclaration = Annotated[
    _TypedDeclaration,
    BeforeValidator(_expand_shorthand, json_schema_input_type=_WrittenDeclaration),
]
# Models that convert no text to a number.
STRICT_MODELS = frozenset(
    model.__name__
    for model in (
        RangeDeclaration,
        FloatDeclaration,
        IntDeclaration,
        CategoricalDeclaration,
        FixedDeclaration,
        RangesDeclaration,
    )
)


def find_fixed_params(declared: Mapping[str, ParameterDeclaration]) -> dict[str, Value]:
    """Return the fixed hyperparameters."""
    return {k: d.value for k, d in declared.items() if isinstance(d, FixedDeclaration)}


def build_space(
    declared: Mapping[str, ParameterDeclaration], constraints: tuple[Constraint, ...] = ()
) -> SearchSpace:
    """Build the space of the hyperparameters that vary, parents before children.

    Raises:
        SpecError: If a condition names an unknown parameter or an impossible value, if conditions
            are cyclic, or if two ranges of one parameter can be active together.
    """
    variable = {k: ranges for k, d in declared.items() if (ranges := _to_parameters(k, d))}
    for name, ranges in variable.items():
        for parent in (parent for p in ranges for parent in p.when):
            _check_parent(f"{name}.when", parent, declared)
    parameters = tuple(p for ranges in _sort_parents_first(variable) for p in ranges)
    single = {name: ranges[0] for name, ranges in variable.items() if len(ranges) == 1}
    for p in parameters:
        for parent, allowed in p.when.items():
            _check_reachable(f"{p.name}.when", single[parent], allowed)
    for name, ranges in variable.items():
        check_exclusive(name, ranges, single)
    return SearchSpace(parameters, constraints, find_fixed_params(declared))


def _to_parameters(name: str, declared: ParameterDeclaration) -> list[Parameter]:
    """Return the ranges of a parameter; empty if it is fixed."""
    if isinstance(declared, RangesDeclaration):
        return [d.to_parameter(name) for d in declared.ranges]
    return [declared.to_parameter(name)] if isinstance(declared, _VariableDeclaration) else []


def _check_parent(where: str, parent: str, declared: Mapping[str, ParameterDeclaration]) -> None:
    if parent not in declared:
        known = ", ".join(sorted(declared.keys() - {where.removesuffix(".when")}))
        raise SpecError(f"{where}: there is no parameter {parent!r}. Known: {known}.")
    if isinstance(declared[parent], FixedDeclaration):
        raise SpecError(f"{where}: {parent} is fixed, so the condition has no effect")
    if isinstance(declared[parent], RangesDeclaration):
        raise SpecError(
            f"{where}: {parent} has several ranges, so nothing can depend on it: name what its "
            "ranges depend on instead"
        )


def _check_reachable(where: str, parent: Parameter, allowed: AllowedValues) -> None:
    """Refuse a condition that can never hold."""
    values = [value for value, _ in iter_value_groups(parent, [allowed])]
    if isinstance(allowed, NumberRange):
        if not any(value in allowed for value in values):
            raise SpecError(f"{where}: {parent.name} is never {allowed}")
        return
    for value in allowed:
        if not parent.contains(value):
            raise SpecError(f"{where}: {parent.name} never takes the value {value!r}")
    if not any(allows_value(allowed, value) for value in values):
        raise SpecError(
            f"{where}: {parent.name} is continuous and never meets {allowed[0]!r}: give a range, "
            f"such as {parent.name}: {{max: {allowed[0]}}}"
        )


def _sort_parents_first(variable: Mapping[str, list[Parameter]]) -> list[list[Parameter]]:
    placed: dict[str, list[Parameter]] = {}
    waiting = dict(variable)
    while waiting:
        ready = [k for k, ps in waiting.items() if all(n in placed for p in ps for n in p.when)]
        if not ready:
            ring = ", ".join(sorted(waiting))
            raise SpecError(f"{ring}: their conditions form a cycle")
        for name in ready:
            placed[name] = waiting.pop(name)
    return list(placed.values())
