"""How a search space looks on a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..spec import feasibility, typed
from ..spec.conditions import described
from ..spec.hyperparameters import written
from ..spec.space import Categorical, Parameter, Space
from ..spec.study import StudySpec
from .answer import table
from .terminal import console


def show_space(spec: StudySpec, notes: Sequence[str] = ()) -> None:
    """The search space as a table, its constraints below, with its size where it is finite.

    Args:
        spec: The declaration.
        notes: What the exploration of a user's model has to say.
    """
    out = console()
    names, model = {p.name for p in spec.space}, spec.network
    title = f"{spec.study}: {len(names)} hyperparameters, {_size(spec.space)}"
    columns = ("hyperparameter", "type", "values", "scale", "when", "allowed")
    grid = table(*columns, title=title)
    for column in grid.columns:
        column.justify = "left"
    for p in spec.space:
        kind = type(p).__name__.lower()
        allowed = typed.allowed(p.name, spec.space, spec.fixed, model)
        grid.add_row(p.name, kind, _values(p), _scale(p), described(p.when), allowed)
    for name, value in spec.fixed.items():
        allowed = typed.allowed(name, spec.space, spec.fixed, model)
        grid.add_row(name, "fixed", written(value), "", "", allowed)
    out.print(grid)
    for constraint in spec.space.constraints:
        out.print(f"constraint: {constraint.text}", highlight=False, soft_wrap=True)
    for note in notes:
        out.print(f"note: {note}", highlight=False, soft_wrap=True)
    minutes = f" or {spec.budget.minutes:g} minutes" if spec.budget.minutes else ""
    from ..study.prepare import pruner_kind

    sampler = f"sampler {spec.sampler.kind}, pruner {pruner_kind(spec)}, model {spec.network}"
    out.print(f"{sampler}, {spec.budget.trials} trials{minutes}, {spec.training.epochs} epochs")


def _size(space: Space) -> str:
    size, exact = feasibility.size(space)
    if math.isinf(size):
        return "without end"
    return f"{'' if exact else 'at most '}{size:,.0f} points"


def _values(p: Parameter) -> str:
    if isinstance(p, Categorical):
        return ", ".join(c if isinstance(c, str) else written(c) for c in p.choices)
    return f"{p.low:g} to {p.high:g}"


def _scale(p: Parameter) -> str:
    if isinstance(p, Categorical):
        return "choice"
    step = f", steps of {p.step:g}" if p.step not in (None, 1) else ""
    return f"{'log' if p.log else 'linear'}{step}"
