"""Render the state of the search: running trials, queue, rungs, cost."""

from __future__ import annotations

from collections.abc import Iterator

from ..trial import Trial
from .page_parts import html, render_box, render_columns, render_note, render_table
from .study_follower import StudyFollower
from .study_status import StudyStatus
from .terminal_tables import format_number, format_seconds, format_value

LAST_RESULTS = 6  # trials
MAX_ROWS = 20  # rows of the tables of running trials and of the queue


def render_status(follower: StudyFollower, status: StudyStatus) -> str:
    """Render the current state of a running study; "" for a finished one."""
    if status.state == "finished":
        return ""
    bar = ""
    if status.total:
        bar = f'<progress value="{status.done}" max="{max(status.total, status.done)}"></progress>'
    boxes = [*_render_queue(status), _render_results(follower)]
    return (
        f'<section class="live {status.state}"><b>{html(status.phase)}</b>{bar}</section>'
        f"{''.join(_render_running(status))}{render_columns(boxes)}"
    )


def _render_running(status: StudyStatus) -> Iterator[str]:
    if not status.running:
        return
    head = ["running", "epoch", "mean so far", "folds", "hyperparameters"]
    rows = [_running_row(trial) for trial in status.running[:MAX_ROWS]]
    yield render_box(render_table(head, rows, kind="described"), padded="")


def _running_row(trial: Trial) -> list[str]:
    means = trial.mean_scores()
    folds = trial.scores[-1] if trial.scores else ()
    between = f"{min(folds):.4g} to {max(folds):.4g}" if folds else ""
    return [
        trial.name,
        describe_epoch(trial),
        format_number(means[-1], 5) if means else "",
        between,
        describe_params(trial),
    ]


def describe_epoch(trial: Trial) -> str:
    """Render the progress of a running trial, by folds if these are trained sequentially."""
    if trial.folds and not trial.scores:
        return f"{len(trial.folds)} folds"
    return f"{trial.n_epochs} of {trial.epochs}"


def describe_params(trial: Trial) -> str:
    """Describe hyperparameters on one line."""
    return " ".join(f"{name}={format_value(v)}" for name, v in trial.params.items())


def _render_queue(status: StudyStatus) -> Iterator[str]:
    rows = [[trial.name, describe_params(trial)] for trial in status.waiting]
    rows += [
        ["enqueued", " ".join(f"{k}={format_value(v)}" for k, v in point.items())]
        for point in status.enqueued
    ]
    if rows:
        more = len(rows) - MAX_ROWS
        shown = rows[:MAX_ROWS] + ([[f"and {more} more", ""]] if more > 0 else [])
        table = render_table(["queue", "hyperparameters"], shown, kind="described")
        yield render_box(table, padded="")


def _render_results(follower: StudyFollower) -> str:
    ended = follower.history.ended[-LAST_RESULTS:][::-1]
    rows = [
        [
            *(t.name, t.state.lower(), format_number(t.score, 5), format_number(t.spread, 2)),
            format_seconds(t.seconds),
        ]
        for t in ended
    ]
    table = render_table(["last results", "state", follower.history.metric, "±", "time"], rows)
    return render_box(table, padded="") if rows else ""


def render_search(follower: StudyFollower, status: StudyStatus) -> str:
    """Render the cost of the search, pruning by rung, and the finalists' second scores."""
    cost = [
        ["wall clock", format_seconds(status.seconds)],
        ["training, all workers together", format_seconds(status.training_seconds)],
    ]
    if status.trials_per_minute is not None:
        cost.append(["trials a minute, latest run", f"{status.trials_per_minute:.3g}"])
    if status.done:
        cost.append(["training of a trial, mean", format_seconds(_mean_seconds(status))])
    boxes = [render_box(render_table(["cost", ""], cost), padded="")]
    if status.rungs:
        rows = [[str(r.epochs), str(r.reached), str(r.pruned)] for r in status.rungs]
        table = render_table(["rung (epochs)", "trials", "pruned"], rows)
        boxes.append(render_box(table, padded=""))
    if finalists := follower.history.finalists:
        boxes.append(render_box(_finalists_table(follower), padded=""))
    note = "Finalists were trained again on fresh folds and seeds." if finalists else ""
    return f"<h2>The search</h2>{render_columns(boxes)}{render_note(note)}"


def _mean_seconds(status: StudyStatus) -> float:
    return status.training_seconds / status.done


def _finalists_table(follower: StudyFollower) -> str:
    history = follower.history
    rows = []
    for number, again in history.finalists.items():
        trial = history.last.get(number)
        first = format_number(trial.score if trial else None, 5)
        spread = format_number(again.spread, 2)
        score = f"{format_number(again.score, 5)} ± {spread}" if again.error is None else "failed"
        rows.append([f"trial {number}", first, score])
    return render_table(["finalist", "in the search", "again"], rows)
