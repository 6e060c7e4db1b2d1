"""The declaration of a study: pure data with syntactic validation.

Whether a column exists or the model reads a parameter is validated in `study/validation.py`,
where data and models are available.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ..errors import SpecError
from ..platforms.paths import explain_unportable
from ..trial import Limit, Value
from .constraints import find_unknown_names, kind_of, parse_constraint, parse_limit
from .data_spec import CrossValidationSpec, DataSpec, Task
from .model_reference import DefineByRunModel, ModelName, format_model_name
from .parameter_declarations import Name, ParameterDeclaration, build_space, find_fixed_params
from .parameter_domains import FAMILY_TRAINING
from .search_space import Categorical, SearchSpace
from .section import Section

MAX_EPOCHS = 100_000  # of a trial


def _check_portable(name: str) -> str:
    reason = explain_unportable(name)
    if reason is not None:
        raise ValueError(
            f"{name!r} is not a valid folder name on every platform: {reason}; choose another"
        )
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
    """Return the kinds of values of each hyperparameter, fixed ones included."""
    kinds = {name: frozenset({kind_of(value)}) for name, value in space.fixed_params.items()}
    for p in space:
        values = p.choices if isinstance(p, Categorical) else (p.low,)
        kinds[p.name] = kinds.get(p.name, frozenset()).union(map(kind_of, values))
    return kinds


def _as_list(declared: Any) -> Any:
    return declared if isinstance(declared, list) else [declared]


class ObjectiveSpec(Section):
    """The optimized metric, measured on the validation rows and averaged over the folds."""

    metric: str
    direction: Literal["maximize", "minimize"] | None = None  # None: the metric's default
    threshold: Literal["tuned"] | Annotated[float, Field(gt=0, lt=1)] | None = None


class EarlyStoppingSpec(Section):
    """Early stopping of a trial."""

    patience: int = Field(5, ge=1)  # epochs without improvement
    min_delta: float = Field(0.0, ge=0)  # in units of the objective
    scope: Literal["mean", "fold"] = "mean"  # monitored curve


def _check_rate(rate: float | str | None) -> float | str | None:
    if isinstance(rate, float) and not 0 < rate < math.inf:
        raise ValueError(f"a positive number or the name of a hyperparameter. Received: {rate}")
    return rate


class PhaseSpec(Section):
    """A phase of the training of a custom model."""

    epochs: int = Field(ge=1, le=MAX_EPOCHS)
    # Names of layers, or of models of layers, with * and ?; None: as in the phase before.
    trainable: list[Annotated[str, Field(min_length=1)]] | None = Field(None, min_length=1)
    learning_rate: Annotated[float | Name | None, AfterValidator(_check_rate)] = None  # or a name


class TrainingSpec(Section):
    """Epochs and trainer of a trial."""

    epochs: int = Field(50, ge=1, le=MAX_EPOCHS)
    phases: list[PhaseSpec] = Field([], max_length=100)  # in order; `epochs` is their sum
    early_stopping: EarlyStoppingSpec | None = EarlyStoppingSpec()
    trainer: Literal["auto", "vectorized", "keras_fit"] = "auto"
    deterministic: bool = False  # bit-identical with several workers
    population: int = Field(1, ge=1, le=1000)  # trials trained together by one worker
    callbacks: list[str] = Field([], max_length=100)  # FILE.py:FUNCTION, which makes a fold's
    precision: Literal["float32", "tensorfloat32", "bfloat16"] | None = None  # of products
    # Where a running trial is saved: after each multiple of an int, or auto: where it is cheap.
    checkpoint: Literal["auto", "off"] | Annotated[int, Field(ge=1)] = "auto"

    @model_validator(mode="before")
    @classmethod
    def _sum_phases(cls, raw: Any) -> Any:
        """Fill in `epochs` if there are phases."""
        if not isinstance(raw, Mapping) or "epochs" in raw:
            return raw
        phases = raw.get("phases")
        counts = [
            phase.get("epochs") if isinstance(phase, Mapping) else None
            for phase in (phases if isinstance(phases, list) else [])
        ]
        if not counts or not all(isinstance(n, int) for n in counts):
            return raw  # refused by the fields
        return {**raw, "epochs": sum(counts)}

    @model_validator(mode="after")
    def _check_phases(self) -> TrainingSpec:
        total = sum(phase.epochs for phase in self.phases)
        if self.phases and total != self.epochs:
            raise ValueError(
                f"epochs: {self.epochs} epochs, but the phases have {total}; leave the key out"
            )
        return self


class SamplerSpec(Section):
    """The sampler; an option that its kind does not use is refused."""

    kind: str = "gp"
    startup: int | None = Field(None, ge=1)  # random trials before a model-based sampler starts
    population: int | None = Field(None, ge=2)  # trials per generation
    eta: int | None = Field(None, ge=2, le=10)  # reduction factor of Keras Tuner's Hyperband

    @property
    def options(self) -> dict[str, int]:
        """The declared options besides the kind."""
        return {k: v for k, v in self.model_dump().items() if k != "kind" and v is not None}


class PrunerSpec(Section):
    """The pruner; an option that its kind does not use is refused."""

    kind: str = "hyperband"
    eta: int | None = Field(None, ge=2, le=10)  # reduction factor between rungs
    min_epochs: int | None = Field(None, ge=1)  # epochs before a trial can be pruned
    startup: int | None = Field(None, ge=1)  # completed trials required before pruning
    percentile: float | None = Field(None, gt=0, lt=100)  # trials that continue, in percent
    patience: int | None = Field(None, ge=1)  # epochs without improvement
    min_delta: float | None = Field(None, ge=0)  # in units of the objective
    lower: float | None = Field(None, allow_inf_nan=False)  # prune if the mean score is below
    upper: float | None = Field(None, allow_inf_nan=False)  # prune if the mean score is above
    alpha: float | None = Field(None, gt=0, le=0.5)  # probability to prune an equally good trial

    @property
    def options(self) -> dict[str, float]:
        """The declared options besides the kind."""
        return {k: v for k, v in self.model_dump().items() if k != "kind" and v is not None}


class SelectionSpec(Section):
    """The choice of the winner after the search."""

    kind: Literal["best", "one_standard_error", "ensemble"] | None = None  # None: by the data
    finalists: int = Field(5, ge=0, le=100)  # best trials, re-scored on fresh folds and seeds
    seeds: int = Field(1, ge=1, le=100)  # averaged networks per chosen trial
    max_ms_per_row: float | None = Field(None, gt=0)  # an ensemble's time to answer, in batches


class ServeSpec(Section):
    """Settings of the served model."""

    trust_code: bool = False  # the user's Python files too, where the model needs them


class BudgetSpec(Section):
    """The end of the search; totals over all runs of the study."""

    trials: int = Field(30, ge=1, le=1_000_000)  # finished trials
    minutes: float | None = Field(None, gt=0, allow_inf_nan=False)  # wall clock
    trial_minutes: float | None = Field(None, gt=0, allow_inf_nan=False)  # of one trial
    memory_gib: float | None = Field(None, gt=0, allow_inf_nan=False)  # of one worker
    stagnation: int | None = Field(None, ge=1)  # finished trials without an improvement
    target: float | None = Field(None, allow_inf_nan=False)  # score at which the search stops
    until: Literal["converged"] | None = None  # see `search.convergence`
    checkpoint_gib: float = Field(5.0, gt=0, allow_inf_nan=False)  # of all checkpoints


class ExecutionSpec(Section):
    """The execution of trials; it does not affect their scores."""

    executor: str = "processes"  # or ray, or the name of a plugin
    workers: int | None = Field(None, ge=1)  # None: chosen by device
    address: str = "local"  # of a Ray cluster; "spark": one on the executors of Spark
    cpus: float | None = Field(None, ge=1)  # cores of one worker
    gpus: float | None = Field(None, ge=0)  # of one worker; 0.5: two share one


class StudySpec(Section):
    """One study."""

    study: StudyName = "study"
    seed: int = Field(0, ge=0, lt=2**31)
    data: DataSpec = DataSpec()
    task: Task | None = None
    objective: ObjectiveSpec | None = None
    objectives: list[ObjectiveSpec] | None = Field(None, min_length=2, max_length=5)
    cross_validation: CrossValidationSpec | None = None
    model: ModelName = "mlp"
    training: TrainingSpec = TrainingSpec()
    search_space: dict[Name, ParameterDeclaration] = {}
    constraints: list[Annotated[str, AfterValidator(_check_constraint)]] = Field([], max_length=100)
    sampler: SamplerSpec = SamplerSpec()
    enqueue: Annotated[
        list[Any], BeforeValidator(_as_list, json_schema_input_type=Any), Field(max_length=1000)
    ] = []
    # A study of the same data; or a list of studies of any data, of whose trials the order counts.
    warm_start: (
        StudyName | Annotated[list[StudyName], Field(min_length=1, max_length=20)] | None
    ) = None
    pruner: PrunerSpec | None = None  # None: ASHA if there are enough epochs
    budget: BudgetSpec = BudgetSpec()
    selection: SelectionSpec = SelectionSpec()
    serve: ServeSpec = ServeSpec()
    execution: ExecutionSpec = ExecutionSpec()

    @model_validator(mode="before")
    @classmethod
    def _take_family_training(cls, raw: Any) -> Any:
        """Fill the section `training` with the family's defaults."""
        if not isinstance(raw, Mapping) or not isinstance(raw.get("model"), str):
            return raw
        usual, declared = FAMILY_TRAINING.get(raw["model"]), raw.get("training", {})
        if usual is None or not isinstance(declared, Mapping):
            return raw
        return {**raw, "training": {**usual, **declared}}

    @model_validator(mode="after")
    def _check_space_if_known(self) -> StudySpec:
        if isinstance(self.model, DefineByRunModel):
            return self  # its space is discovered later, see `check_space`
        if not self.search_space:
            raise ValueError("search_space: is required, with at least one hyperparameter")
        return self.check_space()

    def check_space(self) -> StudySpec:
        """Return the spec if its conditions and constraints refer to existing names and values.

        Raises:
            ValueError: With every mistake on a line of its own.
        """
        try:
            space = build_space(self.search_space)
        except SpecError as error:
            raise ValueError(f"search_space.{error}") from error
        limits, known = self._find_limits(space), _kinds_of(space)
        found = [
            f"constraints.{index}: {what}"
            for index, text in enumerate(self.constraints)
            if index not in limits
            for _, what in find_unknown_names([parse_constraint(text)], known)
        ]
        if found:
            raise ValueError("\n".join(found))
        return self

    def _find_limits(self, space: SearchSpace) -> dict[int, Limit]:
        """Return the constraints that compare another name than a hyperparameter's, by index."""
        known = {*(p.name for p in space), *space.fixed_params}
        parsed = ((index, parse_limit(text)) for index, text in enumerate(self.constraints))
        return {i: limit for i, limit in parsed if limit is not None and limit.name not in known}

    @model_validator(mode="after")
    def _check_objectives(self) -> StudySpec:
        if self.objective is not None and self.objectives is not None:
            raise ValueError("objectives: objective is given too; keep one of the two keys")
        if self.objectives is not None and self.selection.kind == "ensemble":
            raise ValueError(
                "selection.kind: an ensemble is chosen by one objective, and this study has "
                f"{len(self.objectives)}; leave the key out, or declare one objective"
            )
        return self

    @property
    def model_name(self) -> str:
        """The model in the form that `models.load_family` expects."""
        return format_model_name(self.model)

    @property
    def earlier_studies(self) -> Sequence[str]:
        """The studies of `warm_start` if it is a list: of any data."""
        return self.warm_start if isinstance(self.warm_start, list) else ()

    @property
    def named_studies(self) -> Sequence[str]:
        """The studies of `warm_start`, of the same data or not."""
        return [self.warm_start] if isinstance(self.warm_start, str) else self.earlier_studies

    @cached_property
    def space(self) -> SearchSpace:
        """The hyperparameters that vary."""
        kept = [text for i, text in enumerate(self.constraints) if i not in self.limits]
        return build_space(self.search_space, tuple(parse_constraint(text) for text in kept))

    @cached_property
    def limits(self) -> Mapping[int, Limit]:
        """The constraints on what is measured, by their index."""
        return self._find_limits(build_space(self.search_space)) if self.constraints else {}

    def possible_values(self, name: str) -> tuple[Value, ...]:
        """Return the values of a hyperparameter, if they can be listed."""
        if name in self.fixed_params:
            return (self.fixed_params[name],)
        ranges = [p for p in self.space if p.name == name and isinstance(p, Categorical)]
        return tuple(dict.fromkeys(choice for p in ranges for choice in p.choices))

    @cached_property
    def fixed_params(self) -> dict[str, Value]:
        """The fixed hyperparameters."""
        return find_fixed_params(self.search_space)
