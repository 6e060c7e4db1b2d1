"""Select the trials that figures of a long study show; thousands of lines are unreadable and slow.

Pure functions. Every choice is deterministic and spread evenly, so that a figure of a part of the
trials looks like one of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from ...history import History
from ...trial import Trial

MAX_LINES = 300  # that one figure draws through its trials
MAX_POINTS = 1000  # trials that an importance is computed from
MAX_INTERACTIVE = 500  # trials of the interactive page; Optuna copies them for every figure

T = TypeVar("T")


def thin_out(items: Sequence[T], most: int) -> list[T]:
    """At most `most` of the items, evenly spaced; the first is among them.

    Examples:
        >>> thin_out(range(10), 4)
        [0, 3, 6, 9]
    """
    return list(items[:: max(1, -(-len(items) // most))])


def representative_trials(history: History, most: int) -> list[Trial]:
    """At most about `most` ended trials, by number: evenly spaced by rank, and by state.

    The best one and all that were the best so far are among them.
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
    """The trials whose curves a figure of all curves draws, and the winner or best."""
    chosen = representative_trials(history, MAX_LINES)
    winner = history.winning_trial()
    if winner is not None and winner not in chosen:
        chosen.append(winner)
    return chosen


def describe_part(shown: int, total: int) -> str:
    """Describe omitted trials for a figure's title; empty if there are none."""
    return f"; {shown:,} of {total:,} trials are drawn" if shown < total else ""


def _record_trials(history: History) -> list[Trial]:
    """The trials that were the best when they ended."""
    found: list[Trial] = []
    before: float | None = None
    for trial, best in history.improvements():
        if best != before:
            found.append(trial)
        before = best
    return found


def _trial_number(trial: Trial) -> int:
    return trial.number
