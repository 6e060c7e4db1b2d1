"""Build the table of a folder's studies for the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import JournalError
from ..events import CURVES
from ..history import History, load_history
from ..platforms.locks import find_holder
from .terminal_tables import format_number, make_table

if TYPE_CHECKING:
    from rich.table import Table


def studies_table(journals: Iterable[Path]) -> Table:
    """Build a table with one row per study: state, trials, best score, time of the last event."""
    table = make_table(title="studies")
    table.add_column("study")
    table.add_column("state")
    for head in ("trials", "best", "±"):
        table.add_column(head, justify="right")
    table.add_column("metric")
    table.add_column("last event", no_wrap=True)
    table.add_column("note")
    for journal in journals:
        name = journal.parent.name
        try:
            history = load_history(journal, without=CURVES)
        except JournalError:
            row = ["damaged: hpsearch doctor", "", "", "", "", "", ""]
        else:
            row = _study_row(journal, history)
        table.add_row(name, *row)
    return table


def _study_row(journal: Path, history: History) -> list[str]:
    best = history.winning_trial()
    arrow = "↑" if history.maximize else "↓"
    when = datetime.fromtimestamp(history.last_time / 1000).strftime("%Y-%m-%d %H:%M")
    return [
        _study_state(journal, history),
        str(len(history.trials)),
        format_number(best.score if best else None, 5),
        format_number(best.spread if best else None, 2),
        f"{history.metric} {arrow}",
        when,
        history.note,
    ]


def _study_state(journal: Path, history: History) -> str:
    with suppress(OSError):
        if find_holder(journal.with_suffix(".lock")):
            return "paused" if history.is_paused else "running"
    if history.is_paused:
        return "paused: hpsearch unpause, then tune"
    return "finished" if history.is_concluded else "stopped: hpsearch tune continues it"
