"""Print a search space on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .results import make_table
from .terminal import make_console

if TYPE_CHECKING:
    from ..study.resolved_study import CheckedStudy


def show_space(study: CheckedStudy) -> None:
    """Print the search space as a table, with its constraints and its size if finite."""
    from ..study.check import COLUMNS, describe_settings, describe_space

    out = make_console()
    title, rows = describe_space(study)
    grid = make_table(*COLUMNS, title=title)
    for column in grid.columns:
        column.justify = "left"
    for row in rows:
        grid.add_row(*row)
    out.print(grid)
    for line in describe_settings(study):
        out.print(line, highlight=False, soft_wrap=True)
