"""Print results on a terminal."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from ..verdict import (
    describe_calibration,
    describe_fold_scores,
    describe_verdict,
    display_name,
    stronger_baselines,
)
from .terminal import make_console

if TYPE_CHECKING:
    from rich.console import Console

    from ..data import Dataset
    from ..events import BaselineScores
    from ..study.maintenance.plan import Plan
    from ..study.nested_cv import NestedResult
    from ..study.result import StudyResult


def make_table(*columns: str, title: str | None = None) -> Any:
    """Make an empty table; the first column is text, the others are numbers."""
    from rich import box
    from rich.table import Table

    made = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for i, column in enumerate(columns):
        made.add_column(column, justify="left" if i == 0 else "right")
    return made


def show_result(result: StudyResult, uri_option: str = "") -> None:
    """Print the winner, its locked scores and the next commands; `uri_option` names the store."""
    from rich.text import Text

    from ..reporting.progress import format_params

    out = make_console()
    best, counts = result.best, result.counts
    states = ", ".join(f"{n} {state}" for state, n in counts.items() if n)
    out.print(Text.assemble((result.study, "bold"), f": {states} in {result.seconds:.0f} s"))
    if result.ended:
        out.print(f"search finished: {result.ended}", highlight=False)
    if result.front:
        _show_front(out, result)
    score = f"{best.score:.4f} ± {best.score_std:.4f}"
    out.print(f"best: trial {best.trial}, {result.objective} {score} over the folds")
    if best.finalist_score is not None and best.finalist_std is not None:
        again = f"{best.finalist_score:.4f} ± {best.finalist_std:.4f}"
        out.print(f"re-scored on fresh folds and seeds: {again}")
    out.print(f"  {format_params(best.params)}", highlight=False)
    if result.ensemble:
        out.print(result.ensemble, highlight=False)
    if result.test:
        _show_holdout(out, result)
    networks = f", the mean of {len(result.members)} networks" if len(result.members) > 1 else ""
    speed = "" if result.ms_per_row is None else f", {result.ms_per_row:.2g} ms a row"
    out.print(f"model: {result.model_path}{networks}{speed}", highlight=False, soft_wrap=True)
    name = result.study
    commands = [f"hpsearch top {name}", f"hpsearch ui {name}{uri_option}"]
    promote = f"hpsearch promote {name} --as {name}@champion{uri_option}"
    stronger = stronger_baselines(result.baselines)
    if not stronger:
        commands.append(promote)
    if result.run_id is None:  # --offline, or an unreachable store
        commands.insert(1, f"hpsearch sync {name}{uri_option}")
    out.print(f"next:  {' · '.join(commands)}", highlight=False, soft_wrap=True)
    if "$MLFLOW_TRACKING_URI" in uri_option:
        out.print("  with MLFLOW_TRACKING_URI set to the store's address; it holds a password")
    if stronger:
        out.print(_describe_loss(result, stronger, promote), highlight=False, soft_wrap=True)


def _describe_loss(result: StudyResult, stronger: Iterable[BaselineScores], promote: str) -> str:
    """Describe the baselines that beat the winner, with their scores."""
    metric = result.objective
    scores = " and ".join(
        f"{display_name(each)} ({metric} {each.metrics[metric]:.4f})" for each in stronger
    )
    return (
        f"worse than {scores} on the locked rows, with {result.test[metric]:.4f}: search on, or "
        f"use that model. To promote it anyway: {promote}"
    )


def describe_unsent(result: StudyResult, uri_option: str) -> str:
    """Describe what MLflow lacks of a finished study, and the command that sends it."""
    what = "nothing" if result.run_id is None else f"not all ({result.unsent:,} bytes are missing)"
    return (
        f"MLflow has {what} of {result.study}, which is whole on this disk. Later: hpsearch sync "
        f"{result.study}{uri_option}"
    )


def show_nested(result: NestedResult) -> None:
    """Print the winner and score of each outer fold, and the mean over the folds."""
    from ..reporting.progress import format_params

    out = make_console()
    heads = ("search", *result.metrics, "hyperparameters")
    grid = make_table("outer fold", *heads, title="nested cross-validation")
    grid.columns[-1].justify = "left"
    for number, study in enumerate(result.studies, start=1):
        values = [study.search_score, *(study.test[metric] for metric in result.metrics)]
        grid.add_row(str(number), *(f"{v:.4f}" for v in values), format_params(study.best.params))
    measured = [result.search_scores, *(result.scores(metric) for metric in result.metrics)]
    grid.add_section()
    grid.add_row("mean", *(f"{v.mean():.4f}" for v in measured), "")
    grid.add_row("deviation", *(f"{v.std():.4f}" for v in measured), "")
    out.print(grid)
    scores = result.scores(result.objective)
    out.print(
        f"nested score: {result.objective} {scores.mean():.4f} ± {scores.std():.4f} on "
        f"outer folds; the inner searches reported {result.search_scores.mean():.4f}",
        soft_wrap=True,
    )


def _show_holdout(out: Console, result: StudyResult) -> None:
    times = "once" if result.reads == 1 else f"{result.reads} times in the study's life"
    title = f"{result.n_test} locked rows, read {times}"
    if result.threshold != 0.5:
        title += f"; labels count above {result.threshold:.3g}"
    others = {}
    for baseline in result.baselines:
        others[display_name(baseline)] = baseline.metrics
    if result.single:
        others = {f"trial {result.single['trial']} alone": result.single["metrics"], **others}
    first = "ensemble" if result.single else "winner"
    grid = make_table("metric", first, "95% interval", *others, title=title)
    for metric, value in result.test.items():
        interval = result.intervals.get(metric)
        between = f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else ""
        baseline_scores = (measured.get(metric) for measured in others.values())
        cells = ("" if other is None else f"{other:.4f}" for other in baseline_scores)
        grid.add_row(metric, f"{value:.4f}", between, *cells)
    out.print(grid)
    if calibration := describe_calibration(
        result.calibration, result.coverage, bool(result.confusion)
    ):
        out.print(calibration)
    if verdict := describe_verdict(result.baselines):
        out.print(f"{first}, by {result.objective}: {verdict} (95% of a paired bootstrap)")
    if told := describe_fold_scores(result.baselines, result.objective, result.search_score):
        out.print(told)
    if result.confusion and len(result.confusion) <= 12:
        grid = make_table("true", *(f"as {c}" for c in result.classes))
        for label, row in zip(result.classes, result.confusion, strict=True):
            grid.add_row(label, *map(str, row))
        out.print(grid)


def _show_front(out: Console, result: StudyResult) -> None:
    """Print the Pareto front, the winner first."""
    from ..reporting.progress import format_params

    grid = make_table("trial", *result.objectives, "hyperparameters", title="Pareto front")
    grid.columns[-1].justify = "left"
    for member in result.front:
        values = (f"{value:.5g}" for value in member.values)
        grid.add_row(str(member.trial), *values, format_params(member.params))
    out.print(grid)


MAX_COLUMNS = 40  # a table with more columns is summarized
FIRST_COLUMNS = 10  # columns then shown
MOST_ALIKE, FIRST_ALIKE = 5, 3  # likewise for notes
QUOTED = re.compile(r"'[^']*'")  # examples, which differ between columns


def show_data(dataset: Dataset) -> None:
    """Print what was read and inferred."""
    from ..study.check import describe_rows

    out = make_console()
    grid = make_table("column", "kind", "values", title=f"{dataset.name}: {dataset.task}")
    grid.columns[1].justify = grid.columns[2].justify = "left"
    columns = dataset.schema.columns
    for column in columns if len(columns) <= MAX_COLUMNS else columns[:FIRST_COLUMNS]:
        values = ", ".join(column.vocabulary[:6]) + (" …" if len(column.vocabulary) > 6 else "")
        if column.kind == "text":
            values = f"up to {column.n_cleaned} tokens"
        if column.kind == "image":
            values = " x ".join(map(str, column.shape))
        grid.add_row(column.name, column.kind, values or column.format)
    if len(columns) > MAX_COLUMNS:
        kinds = Counter(column.kind for column in columns)
        counted = ", ".join(f"{n:,} {kind}" for kind, n in kinds.items())
        grid.add_row(f"… {len(columns):,} columns", "", counted)
    out.print(grid)
    out.print(describe_rows(dataset))
    for note in summarize_notes(dataset.notes, set(dataset.schema.raw_columns)):
        out.print(f"  note: {note}", highlight=False)


def summarize_notes(notes: Iterable[str], columns: Collection[str]) -> list[str]:
    """Return the notes; of similar notes on many columns, only the first few."""
    groups: dict[str, list[str]] = {}
    for note in notes:
        name, _, rest = note.partition(": ")
        kind = QUOTED.sub("", rest.replace(name, "")) if name in columns else note
        groups.setdefault(kind, []).append(note)
    lines = []
    for alike in groups.values():
        shown = alike if len(alike) <= MOST_ALIKE else alike[:FIRST_ALIKE]
        lines += shown
        if more := alike[len(shown) :]:
            last = more[-1].partition(": ")[0]
            lines.append(f"… and the same of {len(more):,} more columns, the last of them {last}")
    return lines


def show_plan(plan: Plan) -> None:
    """Print the timings and the estimate."""
    from ..reporting.progress import format_duration, format_params

    out = make_console()
    out.print(f"{plan.rows:,} development rows, {plan.features} features, {plan.folds} folds")
    out.print(f"trainer: {plan.trainer} ({plan.reason})", highlight=False)
    if plan.memory is not None:
        out.print(f"memory: {plan.memory}", highlight=False)
    grid = make_table("timed", "first epoch", "each further epoch", "epochs")
    for probe in plan.probes:
        first, further = (
            f"{probe.first_epoch_seconds:.2f} s",
            f"{1000 * probe.epoch_seconds:.1f} ms",
        )
        grid.add_row(format_params(probe.params), first, further, str(probe.epochs))
    out.print(grid)
    trial = f"a trial takes about {plan.trial_seconds:.1f} s"
    total = f"{plan.trials} trials about {format_duration(plan.total_seconds)}"
    out.print(f"{trial}, {total}; pruning and shared programs save some of it")
