"""References to a model: a family, a custom function, or one of another framework."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Tag, model_validator

from .function_reference import is_reference, resolve_reference


class DefineByRunModel(BaseModel):
    """A function that defines its own search space; exactly one key is given."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "oneOf": [
                {"required": [key], "properties": {key: {"type": "string"}}}
                for key in ("keras_tuner", "optuna")
            ]
        },
    )

    keras_tuner: str | None = None  # FILE.py:NAME of a `build(hp)` or a `HyperModel`
    optuna: str | None = None  # FILE.py:FUNCTION of a `build(trial)`

    @property
    def convention(self) -> str:
        """The key that was given."""
        return "keras_tuner" if self.keras_tuner is not None else "optuna"

    @property
    def reference(self) -> str:
        """The function, as `FILE.py:FUNCTION`."""
        return self.keras_tuner or self.optuna or ""

    @model_validator(mode="after")
    def _check_reference(self) -> DefineByRunModel:
        if (self.keras_tuner is None) == (self.optuna is None):
            raise ValueError("give keras_tuner or optuna, and one of them alone")
        if not is_reference(self.reference):
            raise ValueError(
                f"{self.convention}: {self.reference!r} names no function: write FILE.py:FUNCTION"
            )
        return self


def _discriminate_model(model: Any) -> str:
    return "convention" if isinstance(model, Mapping | BaseModel) else "family"


ModelName = Annotated[
    Annotated[str, Tag("family")] | Annotated[DefineByRunModel, Tag("convention")],
    Discriminator(_discriminate_model),
]


def resolve_model_path(model: str | DefineByRunModel, folder: Path) -> str | DefineByRunModel:
    """Resolve the model's file, if it names one, relative to `folder`."""
    if isinstance(model, str):
        return resolve_reference(model, folder)
    return DefineByRunModel(**{model.convention: resolve_reference(model.reference, folder)})


def format_model_name(model: str | DefineByRunModel) -> str:
    """Format the model as `models.load_family` expects it."""
    return model if isinstance(model, str) else f"{model.convention}:{model.reference}"
