"""How results look on a terminal."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from ..spec.space import Categorical, Parameter
from ..spec.study import StudySpec

if TYPE_CHECKING:
    from rich.console import Console

    from ..data import Dataset
    from ..study import StudyResult
    from ..study.plan import Plan

WIDE = 200  # characters


def console() -> Console:
    """Standard output; what is no terminal gets lines as long as they need to be."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDE)


def table(*columns: str, title: str | None = None) -> Any:
    """An empty table in the house's look; the first column is text, the others are figures."""
    from rich import box
    from rich.table import Table

    made = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for i, column in enumerate(columns):
        made.add_column(column, justify="left" if i == 0 else "right")
    return made


def show_result(result: StudyResult) -> None:
    """The winner, the locked rows and what to do next."""
    from .progress import shown

    out = console()
    best, counts = result.best, result.trials
    states = ", ".join(f"{n} {state}" for state, n in counts.items() if n)
    out.print(f"[bold]{result.study}[/]: {states} in {result.seconds:.0f} s")
    score = f"{best.score:.4f} ± {best.score_std:.4f}"
    out.print(f"best: trial {best.trial}, {result.objective} {score} over the folds")
    out.print(f"  {shown(best.params)}", highlight=False)
    if result.test:
        _show_test(out, result)
    out.print(f"model: {result.model}", highlight=False, soft_wrap=True)
    out.print(f"next:  hpsearch top {result.study} · hpsearch ui · hpsearch promote {result.study}")


def _show_test(out: Console, result: StudyResult) -> None:
    title = f"{result.n_test} locked rows, read once"
    name = str(result.baseline["name"]).replace("_", " ")
    grid = table("metric", "winner", "95% interval", name, title=title)
    for metric, value in result.test.items():
        low, high = result.intervals[metric]
        plain = result.baseline["metrics"][metric]
        grid.add_row(metric, f"{value:.4f}", f"{low:.4f} to {high:.4f}", f"{plain:.4f}")
    out.print(grid)
    if result.confusion and len(result.confusion) <= 12:
        grid = table("true", *(f"as {c}" for c in result.classes))
        for label, row in zip(result.classes, result.confusion, strict=True):
            grid.add_row(label, *map(str, row))
        out.print(grid)


def show_space(spec: StudySpec) -> None:
    """The search space as a table, with its size where it is finite."""
    out = console()
    size = spec.space.size
    points = "without end" if math.isinf(size) else f"{size:,.0f} points"
    title = f"{spec.study}: {len(spec.space)} hyperparameters, {points}"
    grid = table("hyperparameter", "values", "scale", "when", title=title)
    grid.columns[1].justify = grid.columns[3].justify = "left"
    for parameter in spec.space:
        grid.add_row(parameter.name, _values(parameter), _scale(parameter), _when(parameter))
    for name, value in spec.fixed.items():
        grid.add_row(name, f"{value}", "fixed", "")
    out.print(grid)
    minutes = f" or {spec.budget.minutes:g} minutes" if spec.budget.minutes else ""
    sampler = f"sampler {spec.sampler.kind}, model {spec.model}"
    out.print(f"{sampler}, {spec.budget.trials} trials{minutes}, {spec.training.epochs} epochs")


def _values(p: Parameter) -> str:
    if isinstance(p, Categorical):
        return ", ".join(map(str, p.choices))
    return f"{p.low:g} to {p.high:g}"


def _scale(p: Parameter) -> str:
    if isinstance(p, Categorical):
        return "choice"
    step = f" in steps of {p.step:g}" if p.step not in (None, 1) else ""
    return f"{type(p).__name__.lower()}{' log' if p.log else ''}{step}"


def _when(p: Parameter) -> str:
    return " and ".join(f"{k} is {' or '.join(map(str, v))}" for k, v in p.when.items())


def show_data(dataset: Dataset) -> None:
    """What was read and what was inferred."""
    out = console()
    grid = table("column", "kind", "values", title=f"{dataset.name}: {dataset.task}")
    grid.columns[1].justify = grid.columns[2].justify = "left"
    for column in dataset.schema.columns:
        values = ", ".join(column.vocabulary[:6]) + (" …" if len(column.vocabulary) > 6 else "")
        grid.add_row(column.name, column.kind, values)
    out.print(grid)
    locked = len(dataset.locked) if dataset.locked else 0
    rows = f"{dataset.n_rows:,} development rows in {len(dataset.folds)} folds ({dataset.kind})"
    out.print(f"{rows}, {locked:,} locked rows, {dataset.n_features} features")
    for note in dataset.notes:
        out.print(f"  note: {note}", highlight=False)


def show_plan(plan: Plan) -> None:
    """What was timed, and the estimate."""
    from .progress import duration, shown

    out = console()
    out.print(f"{plan.rows:,} development rows, {plan.features} features, {plan.folds} folds")
    out.print(f"trainer: {plan.trainer} ({plan.reason})", highlight=False)
    grid = table("timed", "first epoch", "each further epoch")
    for probe in plan.probes:
        grid.add_row(shown(probe.params), f"{probe.first:.2f} s", f"{1000 * probe.epoch:.1f} ms")
    out.print(grid)
    trial = f"a trial of {plan.epochs} epochs takes about {plan.trial:.1f} s"
    total = f"{plan.trials} trials at most {duration(plan.total)}"
    out.print(f"{trial}, {total}; early stopping and shared programs save some of it")
