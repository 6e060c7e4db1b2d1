"""Prepare what all trials share: data and problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..data import Dataset, load
from ..data.folds import GivenFolds
from ..data.split import Split
from ..data.statistics import Statistics
from ..errors import DataError
from ..events import DataSummary
from ..models import find_family, make_training_defaults
from ..search.objectives import COSTS
from ..spec.search_space import Categorical, Int
from ..spec.study_spec import StudySpec
from ..tracking.store import source_folder
from ..training.input_layout import group_columns
from ..training.metrics import get_metric
from ..training.problem import Problem
from ..trial import Value
from .frozen_features import apply_backbones
from .objective_validation import require_defined_objective
from .resolved_study import CheckedStudy, ResolvedStudy, with_task
from .task_validation import check_inferred_task
from .training_phases import make_early_stopping, make_phases

LISTED = 16  # values of an integer range; of larger ranges, powers of two


def load_data(
    study: CheckedStudy,
    data: Any = None,
    pinned: Mapping[str, str] | None = None,
    given_folds: GivenFolds | None = None,
    root: Path | None = None,
) -> Dataset:
    """Load the declared data, or data passed in memory.

    Args:
        study: The declaration.
        data: The data in memory, if any.
        pinned: Versions of the sources that the study has read before, by location.
        given_folds: Training and validation rows of each fold, instead of `cross_validation`.
        root: The folder with `mlruns/`, which holds copies of addresses; None: the working folder.

    Raises:
        SpecError: If there is neither.
        DataError: If the data cannot be used in their present form.
    """
    spec = study.spec
    if data is None and spec.data.source is None:
        raise study.file.make_error(
            "data.source", "is required, unless data are passed to hpsearch.tune"
        )
    written = study.file.written_sources
    resolved = {text: location for location, text in written.items()}
    dataset = load(
        spec.data,
        task=spec.task,
        cross_validation=spec.cross_validation,
        seed=spec.seed,
        folder=study.file.folder,
        arrays=data,
        pinned={resolved.get(k, k): version for k, version in (pinned or {}).items()},
        given_folds=given_folds,
        cache=source_folder(root or Path.cwd()),
    )
    dataset = apply_backbones(dataset, spec.data, study.file.folder, root or Path.cwd())
    if data is not None or not written:
        return dataset
    versions = {written.get(k, k): version for k, version in dataset.versions.items()}
    return replace(dataset, name=study.file.name_source(dataset.name), versions=versions)


def resolve_study(study: CheckedStudy, dataset: Dataset) -> ResolvedStudy:
    """Resolve the study for these data.

    Raises:
        SpecError: If the declaration does not fit the task.
        DataError: If an objective is undefined on the data.
    """
    if study.spec.task is None:
        check_inferred_task(study.file, dataset.task)
    if study.spec.budget.until is not None and len(dataset.folds) == 1:
        raise study.file.make_error(
            "budget.until",
            "compares the expected gain with the standard error over the folds, and there is one "
            "fold: take more (cross_validation), or budget.stagnation",
        )
    resolved = with_task(study, dataset.task)
    if resolved.custom_metric is None:
        limited = [limit.name for limit in resolved.limits]
        for name in dict.fromkeys([*(o.metric for o in resolved.objectives), *limited]):
            if name not in COSTS:
                require_defined_objective(get_metric(name, dataset.task), dataset)
    return resolved


def build_problem(study: ResolvedStudy, dataset: Dataset) -> Problem:
    """Build the problem shared by the trials of the study."""
    spec = study.spec
    usual = make_training_defaults(spec.model_name, study.task)
    if "scaling" in spec.data.model_fields_set:
        usual.pop("scaling", None)
    scalings = spec.possible_values("scaling") or [
        how for k, how in usual.items() if k == "scaling"
    ]
    problem = Problem(
        task=study.task,
        features=dataset.features,
        target=dataset.target,
        folds=dataset.folds,
        statistics=(),
        objective=study.objective.metric,
        metrics=study.metrics,
        model=spec.model_name,
        fixed_params={**usual, **spec.fixed_params, **_quantile_loss(spec)},
        weights=dataset.weights,
        target_transforms=dataset.schema.target.transforms if dataset.schema.target else (),
        early_stopping=make_early_stopping(spec.training),
        precision=spec.training.precision,
        fold_schedule="in_turn" if study.pruner_kind == "fold_race" else "together",
        folder=str(study.file.folder.resolve()),
        custom_metric=study.custom_metric,
        threshold=study.threshold,
        cost_objectives=study.costs,
        category_ranges=dataset.schema.category_ranges,
        column_inputs=dataset.schema.after_backbones.column_inputs,
        input_groups=_group_inputs(study, dataset),
        windows=dataset.windows,
        on_disk=dataset.on_disk,
        statistics_by_scaling={str(how): () for how in scalings},
        callbacks=tuple(spec.training.callbacks),
        phases=make_phases(spec.training),
        own_fit=study.file.model_facts.get("own_fit"),
        optimizers=tuple(map(str, spec.possible_values("optimizer"))),
        batch_sizes_vary=any(p.name == "batch_size" and p.size > 1 for p in spec.space),
        sizes=whole_numbers(spec),
    )
    return with_folds(problem, dataset, dataset.folds)


def _quantile_loss(spec: StudySpec) -> Mapping[str, Value]:
    """Return the loss of the declared quantiles, which no trial changes."""
    loss = spec.data.pinball_metric
    return {} if loss is None else {"loss": loss}


def _group_inputs(study: ResolvedStudy, dataset: Dataset) -> Mapping[str, tuple[str, ...]]:
    """Return the columns of each named input of a custom model; a family has none.

    Raises:
        SpecError: If `data.inputs` is declared for a family, or does not fit the columns.
    """
    declared = study.spec.data.inputs
    if find_family(study.spec.model_name) is None:
        try:
            columns = dataset.schema.after_backbones.column_inputs
            return group_columns(columns, declared or dataset.inputs)
        except DataError as error:
            raise study.file.make_error("data.inputs", str(error)) from None
    if declared:
        raise study.file.make_error(
            "data.inputs", f"is for a model of your own; {study.spec.model_name} takes all columns"
        )
    return {}


def whole_numbers(spec: StudySpec) -> dict[str, tuple[int, ...]]:
    """Return the values of integer hyperparameters; see `Problem.sizes`."""
    found: dict[str, set[int]] = {}
    for p in spec.space:
        values: Sequence[Value] = ()
        if isinstance(p, Categorical):
            values = p.choices
        elif isinstance(p, Int) and p.size <= LISTED:
            values = [p.value(index) for index in range(int(p.size))]
        elif isinstance(p, Int):
            powers = [1 << n for n in range(p.max_value.bit_length())]
            values = [p.low, *(n for n in powers if n > p.low), p.max_value]
        found.setdefault(p.name, set()).update(n for n in values if type(n) is int)
    return {name: tuple(sorted(values)) for name, values in found.items() if values}


def with_folds(problem: Problem, dataset: Dataset, folds: tuple[Split, ...]) -> Problem:
    """Return the same problem with other folds."""

    def fitted(how: str | None = None) -> tuple[Statistics, ...]:
        return dataset.fold_statistics([fold.train for fold in folds], how)

    scaled = {how: fitted(how) for how in problem.statistics_by_scaling or ()}
    return replace(problem, folds=folds, statistics=fitted(), statistics_by_scaling=scaled)


def describe_dataset(dataset: Dataset) -> DataSummary:
    """Summarize the data in plain values, for the journal."""
    return DataSummary(
        name=dataset.name,
        rows=dataset.n_rows,
        columns=dataset.n_columns,
        features=dataset.n_features,
        test_rows=len(dataset.locked_rows) if dataset.locked_rows else 0,
        folds=len(dataset.folds),
        notes=list(dataset.notes),
        versions=dict(dataset.versions),
    )
