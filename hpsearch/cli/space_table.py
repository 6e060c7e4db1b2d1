"""Print a search space on a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..spec import feasibility, type_coercion
from ..spec.conditions import format_condition
from ..spec.parameter_domains import format_value
from ..spec.search_space import Categorical, Parameter, SearchSpace
from .results import make_table
from .terminal import make_console

if TYPE_CHECKING:
    from ..study.resolved_study import CheckedStudy


def show_space(study: CheckedStudy) -> None:
    """Print the search space as a table, with its constraints and its size if finite."""
    out, spec = make_console(), study.spec
    names, model = {p.name for p in spec.space}, spec.model_name
    title = f"{spec.study}: {len(names)} hyperparameters, {_format_size(spec.space)}"
    columns = ("hyperparameter", "type", "values", "scale", "when", "allowed")
    grid = make_table(*columns, title=title)
    for column in grid.columns:
        column.justify = "left"
    for p in spec.space:
        kind = type(p).__name__.lower()
        allowed = type_coercion.describe_allowed(p.name, spec.space, spec.fixed_params, model)
        grid.add_row(
            p.name, kind, _format_values(p), _format_scale(p), format_condition(p.when), allowed
        )
    for name, value in spec.fixed_params.items():
        allowed = type_coercion.describe_allowed(name, spec.space, spec.fixed_params, model)
        grid.add_row(name, "fixed", format_value(value), "", "", allowed)
    out.print(grid)
    for constraint in spec.space.constraints:
        out.print(f"constraint: {constraint.text}", highlight=False, soft_wrap=True)
    for note in study.file.model_facts.get("notes", ()):
        out.print(f"note: {note}", highlight=False, soft_wrap=True)
    minutes = f" or {spec.budget.minutes:g} minutes" if spec.budget.minutes else ""
    kinds = f"sampler {spec.sampler.kind}, pruner {study.pruner_kind}, model {spec.model_name}"
    out.print(f"{kinds}, {spec.budget.trials} trials{minutes}, {spec.training.epochs} epochs")


def _format_size(space: SearchSpace) -> str:
    size, exact = feasibility.count_feasible_points(space)
    if math.isinf(size):
        return "without end"
    return f"{'' if exact else 'at most '}{size:,.0f} points"


def _format_values(p: Parameter) -> str:
    if isinstance(p, Categorical):
        return ", ".join(c if isinstance(c, str) else format_value(c) for c in p.choices)
    return f"{p.low:g} to {p.high:g}"


def _format_scale(p: Parameter) -> str:
    if isinstance(p, Categorical):
        return "choice"
    step = f", steps of {p.step:g}" if p.step not in (None, 1) else ""
    return f"{'log' if p.log else 'linear'}{step}"
