"""What a user declares of a study. Pure data, checked for form.

Whether the model reads a parameter or a column exists is checked where models and data are
known; see `hpsearch/study/validation.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ..errors import SpecError
from ..platforms.paths import explain_unportable
from ..trial import Value
from .constraints import find_unknown_names, kind_of, parse_constraint
from .data_spec import CrossValidationSpec, DataSpec, Task
from .model_reference import DefineByRunModel, ModelName, format_model_name
from .parameter_declarations import Name, ParameterDeclaration, build_space, find_fixed_params
from .parameter_domains import FAMILY_TRAINING
from .search_space import Categorical, SearchSpace


def _check_portable(name: str) -> str:
    reason = explain_unportable(name)
    if reason is not None:
        raise ValueError(f"{name!r} cannot be a folder everywhere: {reason}; take another name")
    return name


StudyName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"), AfterValidator(_check_portable)
]


def _check_constraint(text: str) -> str:
    try:
        parse_constraint(text)
    except SpecError as error:
        raise ValueError(str(error)) from error
    return text


def _kinds_of(space: SearchSpace) -> dict[str, frozenset[str]]:
    """Of what kinds the values of each hyperparameter are, the fixed ones included."""
    kinds = {name: frozenset({kind_of(value)}) for name, value in space.fixed_params.items()}
    for p in space:
        values = p.choices if isinstance(p, Categorical) else (p.low,)
        kinds[p.name] = kinds.get(p.name, frozenset()).union(map(kind_of, values))
    return kinds


def _as_list(declared: Any) -> Any:
    return declared if isinstance(declared, list) else [declared]


class _StudySection(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ObjectiveSpec(_StudySection):
    """What the search improves: a metric on the validation rows, averaged over the folds."""

    metric: str
    direction: Literal["maximize", "minimize"] | None = None  # None: the metric's own
    threshold: Literal["tuned"] | Annotated[float, Field(gt=0, lt=1)] | None = None


class EarlyStoppingSpec(_StudySection):
    """When a trial ends before its last epoch."""

    patience: int = Field(5, ge=1)  # epochs without improvement
    min_delta: float = Field(0.0, ge=0)  # in units of the objective
    scope: Literal["mean", "fold"] = "mean"  # whose curve is watched


class TrainingSpec(_StudySection):
    """How long and by what a trial is trained."""

    epochs: int = Field(50, ge=1, le=100_000)
    early_stopping: EarlyStoppingSpec | None = EarlyStoppingSpec()
    trainer: Literal["auto", "vectorized", "keras_fit"] = "auto"
    deterministic: bool = False  # the same bits with several workers too
    population: int = Field(1, ge=1, le=1000)  # trials that a worker trains together
    precision: Literal["float32", "tensorfloat32", "bfloat16"] | None = None  # of products


class SamplerSpec(_StudySection):
    """What proposes trials; an option that its kind does not read is refused."""

    kind: str = "gp"
    startup: int | None = Field(None, ge=1)  # trials before the model of a sampler begins
    population: int | None = Field(None, ge=2)  # trials of one generation
    eta: int | None = Field(None, ge=2, le=10)  # one in `eta` goes on in Keras Tuner's Hyperband

    @property
    def options(self) -> dict[str, int]:
        """What was declared beside the kind."""
        return {k: v for k, v in self.model_dump().items() if k != "kind" and v is not None}


class PrunerSpec(_StudySection):
    """What ends trials before their last epoch; options are those that its kind reads."""

    kind: str = "hyperband"
    eta: int | None = Field(None, ge=2, le=10)  # one in `eta` goes on from a rung
    min_epochs: int | None = Field(None, ge=1)  # no trial is pruned before
    startup: int | None = Field(None, ge=1)  # completed trials before trials are compared
    percentile: float | None = Field(
        None, gt=0, lt=100
    )  # the share of trials that go on, in percent
    patience: int | None = Field(None, ge=1)  # epochs without improvement
    min_delta: float | None = Field(None, ge=0)  # in units of the objective
    lower: float | None = None  # a mean score below it is pruned
    upper: float | None = None  # a mean score above it is pruned
    alpha: float | None = Field(None, gt=0, le=0.5)  # chance to prune a trial that is no worse

    @property
    def options(self) -> dict[str, float]:
        """What was declared beside the kind."""
        return {k: v for k, v in self.model_dump().items() if k != "kind" and v is not None}


class SelectionSpec(_StudySection):
    """How the winner is chosen, once the search has ended."""

    kind: Literal["best", "one_standard_error", "ensemble"] = "best"
    finalists: int = Field(5, ge=0, le=100)  # best trials, scored again on fresh folds and seeds
    seeds: int = Field(1, ge=1, le=100)  # networks of each chosen trial, averaged


class ServeSpec(_StudySection):
    """What is packed for serving."""

    trust_code: bool = False  # the user's Python files too, where the model needs them


class BudgetSpec(_StudySection):
    """When the search ends: totals of the study, however often it is resumed."""

    trials: int = Field(30, ge=1, le=1_000_000)  # finished trials
    minutes: float | None = Field(None, gt=0)  # wall clock
    trial_minutes: float | None = Field(None, gt=0)  # wall clock of one trial
    memory_gib: float | None = Field(None, gt=0)  # of one worker
    stagnation: int | None = Field(None, ge=1)  # finished trials without a better best
    target: float | None = Field(None, allow_inf_nan=False)  # the score that is good enough


class ExecutionSpec(_StudySection):
    """Where trials are trained. A trial's score depends on none of it."""

    executor: str = "processes"  # or ray, or the name of another package's
    workers: int | None = Field(None, ge=1)  # None: as many as suit the devices
    address: str = "local"  # of a Ray cluster
    cpus: float | None = Field(None, ge=1)  # cores of one worker
    gpus: float | None = Field(None, ge=0)  # of one worker; 0.5: two share one


class StudySpec(_StudySection):
    """One study."""

    study: StudyName = "study"
    seed: int = Field(0, ge=0, lt=2**31)
    data: DataSpec
    task: Task | None = None
    objective: ObjectiveSpec | None = None
    objectives: list[ObjectiveSpec] | None = Field(None, min_length=2, max_length=5)
    cross_validation: CrossValidationSpec | None = None
    model: ModelName = "mlp"
    training: TrainingSpec = TrainingSpec()
    search_space: dict[Name, ParameterDeclaration] = {}
    constraints: list[Annotated[str, AfterValidator(_check_constraint)]] = Field([], max_length=100)
    sampler: SamplerSpec = SamplerSpec()
    enqueue: Annotated[list[Any], BeforeValidator(_as_list), Field(max_length=1000)] = []
    warm_start: StudyName | None = None  # a study whose trials the sampler learns
    pruner: PrunerSpec | None = None  # None: ASHA where the epochs allow it
    budget: BudgetSpec = BudgetSpec()
    selection: SelectionSpec = SelectionSpec()
    serve: ServeSpec = ServeSpec()
    execution: ExecutionSpec = ExecutionSpec()

    @model_validator(mode="before")
    @classmethod
    def _take_family_training(cls, raw: Any) -> Any:
        """The file's section `training`, with what the family says where that is silent."""
        if not isinstance(raw, Mapping) or not isinstance(raw.get("model"), str):
            return raw
        usual, declared = FAMILY_TRAINING.get(raw["model"]), raw.get("training", {})
        if usual is None or not isinstance(declared, Mapping):
            return raw
        return {**raw, "training": {**usual, **declared}}

    @model_validator(mode="after")
    def _check_space_if_known(self) -> StudySpec:
        if isinstance(self.model, DefineByRunModel):
            return self  # its space is not known before it was asked: `check_space`
        if not self.search_space:
            raise ValueError("search_space: is required, with one hyperparameter at least")
        return self.check_space()

    def check_space(self) -> StudySpec:
        """Itself, if conditions and constraints name hyperparameters and values that exist.

        Raises:
            ValueError: With every mistake on a line of its own.
        """
        try:
            space = build_space(self.search_space)
        except SpecError as error:
            raise ValueError(f"search_space.{error}") from error
        told = find_unknown_names(
            [parse_constraint(text) for text in self.constraints], _kinds_of(space)
        )
        if told:
            raise ValueError("\n".join(f"constraints.{place}: {what}" for place, what in told))
        return self

    @model_validator(mode="after")
    def _check_objectives(self) -> StudySpec:
        if self.objective is not None and self.objectives is not None:
            raise ValueError("objectives: there is an objective too; keep one of the two keys")
        return self

    @property
    def model_name(self) -> str:
        """The model, as `models.load_family` takes it."""
        return format_model_name(self.model)

    @cached_property
    def space(self) -> SearchSpace:
        """The hyperparameters that vary."""
        return build_space(
            self.search_space, tuple(parse_constraint(text) for text in self.constraints)
        )

    def possible_values(self, name: str) -> tuple[Value, ...]:
        """The values that a hyperparameter can take, where they can be listed."""
        if name in self.fixed_params:
            return (self.fixed_params[name],)
        ranges = [p for p in self.space if p.name == name and isinstance(p, Categorical)]
        return tuple(dict.fromkeys(choice for p in ranges for choice in p.choices))

    @cached_property
    def fixed_params(self) -> dict[str, Value]:
        """The hyperparameters that no trial changes."""
        return find_fixed_params(self.search_space)
