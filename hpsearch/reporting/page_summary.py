"""Render a study's findings in sentences, at the top of the page."""

from __future__ import annotations

from collections.abc import Iterator

from ..history import History
from ..tracking.scores import describe_difference
from ..verdict import (
    describe_ensemble,
    describe_pending_comparison,
    describe_verdict,
    display_name,
    stronger_baselines,
)
from .study_status import StudyStatus
from .terminal_tables import format_seconds


def summarize_study(history: History, status: StudyStatus) -> str:
    """Describe winner, score, verdict and the study's state in one sentence each."""
    sentences = [*_describe_progress(history, status), *_describe_winner(history)]
    return " ".join(filter(None, sentences))


def _describe_progress(history: History, status: StudyStatus) -> Iterator[str]:
    if status.state == "finished":
        return
    of = "" if status.total is None else f" of {status.total}"
    where = f"{status.done}{of} trials have ended"
    if status.state == "stopped":
        yield f"Stopped: {where}; hpsearch tune continues it."
    else:
        left = ""
        if status.seconds_left is not None:
            left = f"; about {format_seconds(status.seconds_left)} of the search left"
        yield f"Running ({status.phase}): {where}{left}."


def _describe_winner(history: History) -> Iterator[str]:
    best, winner = history.winning_trial(), history.winner
    if best is None:
        yield "No trial has completed yet."
        return
    if best.score is not None:
        folds = f" over {len(best.fold_scores)} folds" if best.fold_scores else ""
        spread = "" if best.spread is None else f" ± {best.spread:.2g}"
        verb = "is the best so far"
        if winner is not None:
            verb = "is the best single trial" if winner.is_ensemble else "is the winner"
        score = f"{history.metric} {best.score:.4f}{spread}{folds}"
        yield f"Trial {best.number} {verb}: {score} in the search."
    yield describe_ensemble(winner, history.metric)
    if pending := describe_pending_comparison(history.study, history.final):
        yield pending
    final = history.final
    if final is None or history.metric not in final.test or history.asked_since_final:
        return
    interval = final.intervals.get(history.metric)
    between = f" (95% interval {interval[0]:.4f} to {interval[1]:.4f})" if interval else ""
    rows = "the locked rows" if final.test_rows is None else f"{final.test_rows:,} locked rows"
    yield f"On {rows}, which no trial saw, it scores {final.test[history.metric]:.4f}{between}."
    if verdict := describe_verdict(final.baselines):
        yield f"It is {verdict} (95% of a paired bootstrap)."
    if stronger := stronger_baselines(final.baselines):
        names = " or ".join(display_name(each) for each in stronger)
        yield f"Use {names}, or search on."
    yield describe_difference(history)
