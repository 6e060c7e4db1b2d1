"""Select the trials that figures of a long study show; thousands of lines are unreadable and slow.

Pure functions. The selection is deterministic and evenly spaced, so that a figure of some trials
looks like a figure of all trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from ...history import History
from ...trial import Trial

MAX_LINES = 300  # trials drawn as lines in one figure
MAX_POINTS = 1000  # trials from which importance is computed
MAX_INTERACTIVE = 500  # trials on the interactive page; Optuna copies them for every figure

T = TypeVar("T")


def thin_out(items: Sequence[T], most: int) -> list[T]:
    """Return at most `most` of the items, evenly spaced, including the first.

    Examples:
        >>> thin_out(range(10), 4)
        [0, 3, 6, 9]
    """
    return list(items[:: max(1, -(-len(items) // most))])


def representative_trials(history: History, most: int) -> list[Trial]:
    """Return about `most` finished trials, by number, evenly spaced by rank within each state.

    Includes every trial that was the best when it finished.
    """
    ended = [t for t in history.trials if t.is_finished]
    if len(ended) <= most:
        return ended
    share = most / len(ended)
    kinds = [history.ranked_trials()]
    kinds += [[t for t in ended if t.state == state] for state in ("PRUNED", "FAILED")]
    chosen = _record_trials(history)
    for kind in kinds:
        chosen += thin_out(kind, max(1, round(share * len(kind))))
    return sorted({t.number: t for t in chosen}.values(), key=_trial_number)


def trials_with_shown_curves(history: History) -> list[Trial]:
    """Return the trials whose curves are drawn, including the winner or the best."""
    chosen = representative_trials(history, MAX_LINES)
    winner = history.winning_trial()
    if winner is not None and winner not in chosen:
        chosen.append(winner)
    return chosen


def describe_part(shown: int, total: int) -> str:
    """Describe omitted trials for a figure's title; empty if there are none."""
    return f"; {shown:,} of {total:,} trials are drawn" if shown < total else ""


def _record_trials(history: History) -> list[Trial]:
    """Return the trials that were the best when they finished."""
    found: list[Trial] = []
    before: float | None = None
    for trial, best in history.improvements():
        if best != before:
            found.append(trial)
        before = best
    return found


def _trial_number(trial: Trial) -> int:
    return trial.number
