"""The Markdown description of a study's run in MLflow, made from a `History`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from ..escaping import escape_markdown, format_code_span
from ..history import History
from ..trial import Trial
from ..verdict import describe_ensemble, describe_fold_scores, describe_verdict, display_name
from .scores import describe_difference, winner_scores

logger = logging.getLogger("hpsearch.tracking")

SHOWN = 10  # trials in the table


def render_study_note(history: History) -> str:
    """Render best trial, top ten, test scores and links.

    A part that fails is omitted with a warning.
    """
    parts = [
        _render_or_warn(make, history)
        for make in (
            _render_summary,
            _render_scores,
            _render_holdout,
            _render_front,
            _render_table,
            _render_hints,
        )
    ]
    return "\n\n".join(part for part in parts if part)


def _render_or_warn(make: Callable[[History], str], history: History) -> str:
    try:
        return make(history)
    except Exception as error:
        logger.warning(
            "a part of the study's note is left out: %s: %s", type(error).__name__, error
        )
        return ""


def _render_summary(history: History) -> str:
    """Render the verdict first, since MLflow only shows three lines initially."""
    states = Counter(trial.state.lower() for trial in history.trials)
    counts = ", ".join(f"{n} {state}" for state, n in sorted(states.items())) or "no trial yet"
    goal = "highest" if history.maximize else "lowest"
    lines = []
    best = history.winning_trial()
    if best is not None:
        verb = "Chosen" if history.winner else "Best so far"
        metric = format_code_span(history.metric)
        line = f"{verb}: **{best.name}** with {metric} {_format_score(best)} over the folds"
        lines.append(f"{line}{_describe_locked_rows(history)}.")
    if told := describe_ensemble(history.winner, history.metric):
        lines.append(escape_markdown(told))
    ended = f" Search finished: {escape_markdown(history.end.reason)}." if history.end else ""
    lines.append(
        f"**{escape_markdown(history.name)}**: the {goal} {format_code_span(history.metric)}, "
        f"{counts}.{ended}"
    )
    if history.note:
        lines.append(f"Note: {escape_markdown(history.note)}")
    lines += [f"Changed: {escape_markdown(note)}." for note in history.notes_of_changes()]
    return "\n\n".join(lines)


def _describe_locked_rows(history: History) -> str:
    """Render the winner's locked scores and the comparison; "" before the rows are read."""
    if history.final is None or history.metric not in history.final.test:
        return ""
    line = f"; {history.final.test[history.metric]:.5g} on the locked rows"
    verdict = describe_verdict(history.final.baselines)
    return f"{line}: {escape_markdown(verdict)}" if verdict else line


def _render_scores(history: History) -> str:
    """Render the winner's scores, and the bias of the search's score."""
    scores = winner_scores(history)
    if len(scores) < 2:
        return ""
    lines = [f"| {escape_markdown(history.metric)} on | score | 95% interval |", "|:--|--:|--:|"]
    for score in scores:
        between = f"{score.interval[0]:.4g} to {score.interval[1]:.4g}" if score.interval else ""
        lines.append(f"| {escape_markdown(score.where)} | {score.value:.5g} | {between} |")
    return "\n".join([*lines, "", escape_markdown(describe_difference(history))])


def _format_score(trial: Trial) -> str:
    spread = "" if trial.spread is None else f" ± {trial.spread:.2g}"
    return f"{trial.score:.5g}{spread}"


def _render_holdout(history: History) -> str:
    if history.final is None:
        return ""
    intervals, baselines = history.final.intervals, history.final.baselines
    titles = "".join(f" {escape_markdown(display_name(each))} |" for each in baselines)
    lines = [
        f"| locked test rows | {escape_markdown(history.name)} | 95% interval |{titles}",
        "|:--|--:|--:|" + "--:|" * len(baselines),
    ]
    for name, value in history.final.test.items():
        low, high = intervals.get(name, (None, None))
        between = "" if low is None or high is None else f"{low:.4g} to {high:.4g}"
        others = "".join(
            f" {each.metrics[name]:.4g} |" if name in each.metrics else " |" for each in baselines
        )
        lines.append(f"| {escape_markdown(name)} | {value:.4g} | {between} |{others}")
    if verdict := describe_verdict(baselines):
        lines += ["", f"By {escape_markdown(history.metric)}, it is {escape_markdown(verdict)}."]
    score = history.winner.score if history.winner else None
    if told := describe_fold_scores(baselines, history.metric, score):
        lines += ["", escape_markdown(told)]
    return "\n".join(lines)


def _render_front(history: History) -> str:
    """Render the Pareto front."""
    front = history.pareto_front()
    if not front:
        return ""
    head = ["Pareto front", *(escape_markdown(name) for name, _ in history.objectives)]
    lines = ["| " + " | ".join(head) + " |", "|:--|" + "--:|" * (len(head) - 1)]
    for trial in front:
        values = (f"{value:.5g}" for value in trial.values or ())
        lines.append("| " + " | ".join([trial.name, *values]) + " |")
    return "\n".join(lines)


def _render_table(history: History) -> str:
    best = history.ranked_trials()[:SHOWN]
    if not best:
        return ""
    names = list(dict.fromkeys(name for trial in best for name in trial.params))
    head = ["trial", *map(escape_markdown, (history.metric, "best epoch", *names))]
    lines = ["| " + " | ".join(head) + " |", "|:--|" + "--:|" * (len(head) - 1)]
    for trial in best:
        epoch = "" if trial.best_epoch is None else str(trial.best_epoch + 1)
        cells = [
            trial.name,
            _format_score(trial),
            epoch,
            *(_format_param(trial, name) for name in names),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _format_param(trial: Trial, name: str) -> str:
    value = trial.params.get(name, "")
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return escape_markdown(text)


def _render_hints(history: History) -> str:
    epochs = "" if history.study.first_epoch else "Epochs count from 1 here, from 0 in the curves. "
    return (
        f"{epochs}Look at `best_score` (has the search "
        "settled?), at the trials below with `score` and "
        f"{format_code_span(f'val/{history.metric}')}, "
        "and under Artifacts at `plots/` once the study is over. `spec.yaml` and "
        "`journal.jsonl` are sufficient to continue the study elsewhere."
    )
