"""How a hyperparameter is written in a file, and the `Space` that the file declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ..errors import SpecError
from ..trial import Value
from .space import Categorical, Condition, Float, Int, Parameter, Space

Scalar = bool | int | float | str | None
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Variable(_Declared):
    when: dict[str, Scalar | list[Scalar]] = Field(default_factory=dict)

    def condition(self) -> Condition:
        return {k: tuple(v) if isinstance(v, list) else (v,) for k, v in self.when.items()}

    def parameter(self, name: str) -> Parameter:
        raise NotImplementedError

    @model_validator(mode="after")
    def _check(self) -> _Variable:
        try:
            self.parameter("")
        except SpecError as error:
            raise ValueError(str(error)) from error
        return self


class FloatDeclaration(_Variable):
    """`{type: float, low: 1e-4, high: 1e-1, log: true}`."""

    type: Literal["float"]
    low: float
    high: float
    log: bool = False
    step: float | None = None

    def parameter(self, name: str) -> Float:
        return Float(name, self.low, self.high, self.log, self.step, self.condition())


class IntDeclaration(_Variable):
    """`{type: int, low: 1, high: 3}`."""

    type: Literal["int"]
    low: int
    high: int
    log: bool = False
    step: int = 1

    def parameter(self, name: str) -> Int:
        return Int(name, self.low, self.high, self.log, self.step, self.condition())


class CategoricalDeclaration(_Variable):
    """`{type: categorical, choices: [sgd, adam]}`, or just the list."""

    type: Literal["categorical"]
    choices: list[Scalar]

    def parameter(self, name: str) -> Categorical:
        return Categorical(name, tuple(self.choices), self.condition())


class FixedDeclaration(_Declared):
    """A value that no trial changes, or just the bare value."""

    type: Literal["fixed"]
    value: Scalar


def _spelled_out(declared: Any) -> Any:
    """A list is short for a categorical, a bare value for a fixed one."""
    if isinstance(declared, list):
        return {"type": "categorical", "choices": declared}
    if isinstance(declared, Mapping | BaseModel):
        return declared
    return {"type": "fixed", "value": declared}


Declaration = Annotated[
    Annotated[
        FloatDeclaration | IntDeclaration | CategoricalDeclaration | FixedDeclaration,
        Field(discriminator="type"),
    ],
    BeforeValidator(_spelled_out),
]


def fixed_params(declared: Mapping[str, Declaration]) -> dict[str, Value]:
    """The hyperparameters that no trial changes."""
    return {k: d.value for k, d in declared.items() if isinstance(d, FixedDeclaration)}


def space_of(declared: Mapping[str, Declaration]) -> Space:
    """The space of the hyperparameters that vary, parents before their children.

    Raises:
        SpecError: If a condition names no parameter, a value its parent cannot take, or a ring.
    """
    variable = {k: d.parameter(k) for k, d in declared.items() if isinstance(d, _Variable)}
    for name, parameter in variable.items():
        for parent, values in parameter.when.items():
            _check_condition(name, parent, values, variable, declared)
    return Space(tuple(_parents_first(variable)))


def _check_condition(
    name: str,
    parent: str,
    values: tuple[Value, ...],
    variable: Mapping[str, Parameter],
    declared: Mapping[str, Declaration],
) -> None:
    if parent not in declared:
        known = ", ".join(sorted(declared.keys() - {name}))
        raise SpecError(f"{name}.when: there is no parameter {parent!r}. Known: {known}.")
    if parent not in variable:
        raise SpecError(f"{name}.when: {parent} is fixed, so the condition decides nothing")
    for value in values:
        if not variable[parent].contains(value):
            raise SpecError(f"{name}.when: {parent} never takes the value {value!r}")


def _parents_first(variable: Mapping[str, Parameter]) -> list[Parameter]:
    placed: dict[str, Parameter] = {}
    waiting = dict(variable)
    while waiting:
        ready = [k for k, p in waiting.items() if all(parent in placed for parent in p.when)]
        if not ready:
            ring = ", ".join(sorted(waiting))
            raise SpecError(f"{ring}: their conditions wait for each other")
        for name in ready:
            placed[name] = waiting.pop(name)
    return list(placed.values())
