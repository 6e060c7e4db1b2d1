"""The base of the sections of a study file."""

from __future__ import annotations

from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Section(BaseModel):
    """A section of the study file: immutable, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_boolean(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse `yes` for a number, which Python would read as 1."""
        if info.field_name in _list_numeric_fields(cls):
            values = value if isinstance(value, list | tuple) else [value]
            wrong = [each for each in values if isinstance(each, bool)]
            if wrong:
                raise ValueError(f"a number is needed. Received: {wrong[0]}")
        return value


@cache
def _list_numeric_fields(section: type[Section]) -> frozenset[str]:
    """List the fields that take a number and no boolean."""
    types = {n: set(_iter_types(f.annotation)) for n, f in section.model_fields.items()}
    return frozenset(n for n, t in types.items() if t & {int, float} and bool not in t)


def _iter_types(annotation: Any) -> list[Any]:
    """List the types of which an annotation is made."""
    inner = [t for argument in get_args(annotation) for t in _iter_types(argument)]
    return inner or [annotation]
