"""Check a study before it runs: its file, its data, and one batch of its model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..data import Dataset
from ..spec import feasibility, type_coercion
from ..spec.conditions import format_condition
from ..spec.parameter_domains import format_value
from ..spec.priors import get_choice_weights
from ..spec.search_space import Categorical, Parameter, SearchSpace
from ..training.trainer_selection import has_accelerator
from .device_memory import describe_memory
from .model_validation import check_model
from .population import describe_training
from .prepare import build_problem, load_data, resolve_study
from .resolved_study import CheckedStudy
from .tune import Declared, read_spec
from .warm_start import note_missing_studies
from .winner.selection import describe_ensemble_rule, resolve_selection

COLUMNS = ("hyperparameter", "type", "values", "scale", "when", "allowed")


@dataclass(frozen=True, slots=True)
class StudyCheck:
    """The meaning of a valid study; `str` describes it."""

    study: CheckedStudy
    training: str  # number of trials trained at once
    dataset: Dataset | None  # None: the data were not read
    notes: tuple[str, ...]  # of the model

    @property
    def task(self) -> str | None:
        """The task; None: the data were not read."""
        return None if self.dataset is None else str(self.dataset.task)

    def __str__(self) -> str:
        title, rows = describe_space(self.study)
        lines = [title, *("  " + "  ".join(filter(None, row[:5])) for row in rows)]
        lines += describe_settings(self.study)
        lines.append(self.training)
        if self.dataset is not None:
            lines.append(f"{self.dataset.name}: {self.dataset.task}, {describe_rows(self.dataset)}")
            lines += [f"note: {note}" for note in self.dataset.notes]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    __repr__ = __str__


def check(
    spec: Declared,
    data: Any = None,
    *,
    overrides: Sequence[str] = (),
    read_data: bool = True,
) -> StudyCheck:
    """Validate a declaration, its data and its model, without training anything.

    Args:
        spec: As for `tune`.
        data: As for `tune`.
        overrides: As for `tune`.
        read_data: False: check only the declaration.

    Raises:
        HpsearchError: With every mistake of the declaration, or the first of data and model.
    """
    study = read_spec(spec, overrides)
    training = describe_training(study)
    if not read_data or (data is None and study.spec.data.source is None):
        return StudyCheck(study, training, None, ())
    return StudyCheck(study, training, *inspect_data(study, data))


def inspect_data(
    study: CheckedStudy, data: Any = None, tell: Callable[[str], None] = lambda _: None
) -> tuple[Dataset, tuple[str, ...]]:
    """Read a study's data and run one batch of its model; also returns notes on the model."""
    tell("reading the data")
    dataset = load_data(study, data)
    resolved = resolve_study(study, dataset)
    tell("building the model")
    one_fold = build_problem(resolved, replace(dataset, folds=dataset.folds[:1]))
    checked = check_model(study.file, one_fold)
    selection = resolve_selection(
        study.spec.selection, one_fold, len(resolved.objectives), len(resolved.limits)
    )
    notes = note_missing_studies(study.spec, Path.cwd())
    if selection.kind == "ensemble":
        notes.append(describe_ensemble_rule(selection))
    memory = None
    if has_accelerator():
        tell("compiling a population")
        memory = describe_memory(study, build_problem(resolved, dataset), checked.own_training)
    return dataset, (*checked.notes, *notes, *([memory] if memory else []))


def describe_space(study: CheckedStudy) -> tuple[str, list[tuple[str, ...]]]:
    """Describe a search space: a title, and a row of `COLUMNS` for each hyperparameter."""
    spec = study.spec
    names, model = {p.name for p in spec.space}, spec.model_name
    title = f"{spec.study}: {len(names)} hyperparameters, {_format_size(spec.space)}"
    rows: list[tuple[str, ...]] = []
    for p in spec.space:
        kind, allowed = type(p).__name__.lower(), _describe_allowed(study, p.name, model)
        when = format_condition(p.when)
        rows.append((p.name, kind, _format_values(p), _format_scale(p), when, allowed))
    for name, value in spec.fixed_params.items():
        allowed = _describe_allowed(study, name, model)
        rows.append((name, "fixed", format_value(value), "", "", allowed))
    return title, rows


def describe_settings(study: CheckedStudy) -> list[str]:
    """Describe constraints, the model's notes, sampler, pruner and budget, a line each."""
    spec = study.spec
    lines = [f"constraint: {constraint.text}" for constraint in spec.space.constraints]
    lines += [f"note: {note}" for note in study.file.model_facts.get("notes", ())]
    minutes = f" or {spec.budget.minutes:g} minutes" if spec.budget.minutes else ""
    kinds = f"sampler {spec.sampler.kind}, pruner {study.pruner_kind}, model {spec.model_name}"
    ends = f"{spec.budget.trials} trials{minutes}, {spec.training.epochs} epochs"
    return [*lines, f"{kinds}, {ends}"]


def describe_rows(dataset: Dataset) -> str:
    """Describe rows, folds and features on one line."""
    locked = len(dataset.locked_rows) if dataset.locked_rows else 0
    rows = f"{dataset.n_rows:,} development rows in {len(dataset.folds)} folds ({dataset.kind})"
    features = f"{dataset.n_features} features"
    if len(dataset.shape) > 1:
        what = "windows" if dataset.windows else f"rows ({dataset.schema.dtype})"
        features = f"{what} of shape {dataset.shape}"
    return f"{rows}, {locked:,} locked rows, {features}"


def _describe_allowed(study: CheckedStudy, name: str, model: str) -> str:
    return type_coercion.describe_allowed(name, study.spec.space, study.spec.fixed_params, model)


def _format_size(space: SearchSpace) -> str:
    size, exact = feasibility.count_feasible_points(space)
    if math.isinf(size):
        return "infinitely many points"
    return f"{'' if exact else 'at most '}{size:,.0f} points"


def _format_values(p: Parameter) -> str:
    if isinstance(p, Categorical):
        return ", ".join(c if isinstance(c, str) else format_value(c) for c in p.choices)
    return f"{p.low:g} to {p.high:g}"


def _format_prior(p: Parameter) -> str:
    if p.prior is None:
        return ""
    if isinstance(p, Categorical):
        shares = ", ".join(f"{w:.0%}" for w in get_choice_weights(p))
        return f", prior {shares}"
    return f", prior {p.prior:g}"


def _format_scale(p: Parameter) -> str:
    if isinstance(p, Categorical):
        return f"choice{_format_prior(p)}"
    step = f", steps of {p.step:g}" if p.step not in (None, 1) else ""
    return f"{'log' if p.log else 'linear'}{step}{_format_prior(p)}"
