"""What a user declares of a study. Pure data, checked for form.

Whether the model reads a parameter or a column exists is checked where models and data are
known; see `hpsearch/checks.py`.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..errors import SpecError
from ..trial import Value
from .data import CrossValidation, DataSpec, Task
from .parameters import Declaration, Name, fixed_params, space_of
from .space import Space

StudyName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Objective(_Section):
    """What the search improves: a metric on the validation rows, averaged over the folds."""

    metric: str
    direction: Literal["maximize", "minimize"] | None = None  # None: the metric's own


class Stopping(_Section):
    """When a trial ends before its last epoch."""

    patience: int = Field(5, ge=1)  # epochs without improvement
    min_delta: float = Field(0.0, ge=0)  # in units of the objective
    scope: Literal["mean", "fold"] = "mean"  # whose curve is watched


class Training(_Section):
    """How long and by what a trial is trained."""

    epochs: int = Field(50, ge=1, le=100_000)
    early_stopping: Stopping | None = Stopping()
    trainer: Literal["auto", "vectorized", "keras_fit"] = "auto"


class Sampler(_Section):
    """What proposes trials."""

    kind: str = "gp"


class Budget(_Section):
    """When the search ends: totals of the study, however often it is resumed."""

    trials: int = Field(30, ge=1, le=1_000_000)  # finished trials
    minutes: float | None = Field(None, gt=0)  # wall clock


class StudySpec(_Section):
    """One study."""

    study: StudyName = "study"
    seed: int = Field(0, ge=0, lt=2**31)
    data: DataSpec
    task: Task | None = None
    objective: Objective | None = None
    cross_validation: CrossValidation | None = None
    model: str = "mlp"
    training: Training = Training()
    search_space: dict[Name, Declaration] = Field(min_length=1)
    sampler: Sampler = Sampler()
    budget: Budget = Budget()

    @model_validator(mode="after")
    def _check_space(self) -> StudySpec:
        try:
            space_of(self.search_space)
        except SpecError as error:
            raise ValueError(f"search_space.{error}") from error
        return self

    @cached_property
    def space(self) -> Space:
        """The hyperparameters that vary."""
        return space_of(self.search_space)

    @cached_property
    def fixed(self) -> dict[str, Value]:
        """The hyperparameters that no trial changes."""
        return fixed_params(self.search_space)
