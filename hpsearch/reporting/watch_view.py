"""Build the terminal view of `hpsearch watch`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .page_status import describe_epoch, describe_params
from .page_summary import summarize_study
from .study_follower import StudyFollower
from .study_status import StudyStatus
from .terminal_tables import STYLES, format_number, format_seconds, make_table

if TYPE_CHECKING:
    from rich.console import RenderableType

LAST_RESULTS = 8  # trials
MAX_ROWS = 8  # running trials, and likewise points of the queue


def build_watch_view(follower: StudyFollower, status: StudyStatus) -> RenderableType:
    """Build the view of a study: phase, best, running trials, results, queue, rungs and cost."""
    from rich.console import Group
    from rich.text import Text

    history = follower.history
    colour = {"running": "green", "stopped": "yellow", "finished": "bold"}[status.state]
    parts: list[RenderableType] = [
        Text.assemble((history.name, "bold"), "  ", (status.phase, colour)),
        Text(summarize_study(history, status)),
    ]
    if history.note:
        parts.append(Text(f"note: {history.note}", style="italic"))
    if status.total and status.state != "finished":
        from rich.padding import Padding
        from rich.progress_bar import ProgressBar

        bar = ProgressBar(total=status.total, completed=status.done, width=50)
        parts.append(Padding(bar, 0))  # on its own line
    best = history.winning_trial()
    if best is not None:
        parts.append(Text(f"best: {best.name} {describe_params(best)}", style="bold"))
    parts += _build_running(status)
    parts += _build_results(follower)
    parts += _build_queue(status)
    parts += [Text(line, style="dim") for line in _describe_search(follower, status)]
    return Group(*parts)


def _build_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> RenderableType:
    table = make_table()
    for i, head in enumerate(heads):
        table.add_column(head, justify="left" if i in (0, len(heads) - 1) else "right")
    for row in rows:
        table.add_row(*row)
    return table


def _build_running(status: StudyStatus) -> list[RenderableType]:
    rows = []
    for trial in status.running[:MAX_ROWS]:
        means = trial.mean_scores()
        score = format_number(means[-1], 5) if means else ""
        rows.append([trial.name, describe_epoch(trial), score, describe_params(trial)])
    heads = ["running", "epoch", "mean so far", "hyperparameters"]
    return [_build_table(heads, rows)] if rows else []


def _build_results(follower: StudyFollower) -> list[RenderableType]:
    from rich.text import Text

    history = follower.history
    table = make_table()
    for head in ("last results", "state", history.metric, "±", "time", "hyperparameters"):
        table.add_column(head, no_wrap=head != "hyperparameters")
    for trial in history.ended[-LAST_RESULTS:][::-1]:
        table.add_row(
            trial.name,
            Text(trial.state.lower(), style=STYLES[trial.state]),
            format_number(trial.score, 5),
            format_number(trial.spread, 2),
            format_seconds(trial.seconds),
            trial.error or describe_params(trial),
        )
    return [table] if history.ended else []


def _build_queue(status: StudyStatus) -> list[RenderableType]:
    rows = [[trial.name, describe_params(trial)] for trial in status.waiting]
    rows += [["enqueued", " ".join(f"{k}={v}" for k, v in p.items())] for p in status.enqueued]
    if len(rows) > MAX_ROWS:
        rows = [*rows[:MAX_ROWS], [f"and {len(rows) - MAX_ROWS} more", ""]]
    return [_build_table(["queue", "hyperparameters"], rows)] if rows else []


def _describe_search(follower: StudyFollower, status: StudyStatus) -> list[str]:
    lines = []
    if status.rungs:
        rungs = ", ".join(
            f"{r.pruned} of {r.reached} after {r.epochs} epochs" for r in status.rungs
        )
        lines.append(f"pruned: {rungs}")
    for number, again in follower.history.finalists.items():
        spread = format_number(again.spread, 2)
        score = f"{format_number(again.score, 5)} ± {spread}" if again.error is None else "failed"
        lines.append(f"finalist: trial {number}, {score} on fresh folds and seeds")
    cost = f"{format_seconds(status.seconds)} so far"
    cost += f", {format_seconds(status.training_seconds)} of training"
    if status.trials_per_minute is not None:
        cost += f", {status.trials_per_minute:.3g} trials a minute"
    if status.seconds_left is not None:
        cost += f", about {format_seconds(status.seconds_left)} of the search left"
    return [*lines, f"cost: {cost}"]
