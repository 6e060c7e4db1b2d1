"""Draw the plots, pages and report of a study; a failure never prevents its end.

A failed plot is a warning, recorded in the journal's `plots` event; `hpsearch tune` and `hpsearch
sync` try it again. Plots of the search may be drawn while workers train the final model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import HpsearchError, JournalError
from ..events import CURVES, Event, PlotsDrawn
from ..gc_pause import pause_gc
from ..history import History, load_condensed_history, load_history
from ..journal import Journal

logger = logging.getLogger("hpsearch.study")

Record = Callable[[Event], object]


class Gallery:
    """Draws the plots of one study in this run."""

    def __init__(self, history: History, folder: Path) -> None:
        """Create the gallery without drawing.

        Args:
            history: The study's history, with curves; it may still grow.
            folder: The study's folder.
        """
        self.failed: dict[str, str] = {}  # file -> error
        self._history = history
        self._folder = folder
        self._done: set[str] = set()

    def draw_interactive(self) -> None:
        """Draw the interactive page of the search."""
        from ..tracking.plots.interactive import PAGE, write_interactive

        self._draw_safely(f"plots/{PAGE}", lambda: write_interactive(self._history, self._folder))

    def draw_search(self) -> None:
        """Draw the images of the search."""
        self._draw_safely("plots", lambda: self._draw_images("draw_search"))

    def draw_remaining(self, record: Record) -> None:
        """Draw the remaining plots if any are due, and record failures."""
        if not needs_drawing(self._history):
            return
        from ..reporting.html import REPORT, write_report
        from ..tracking.plots.winner_page import PAGE, write_winner_page

        if "plots" not in self._done:
            self.draw_search()
        if "plots/interactive.html" not in self._done:
            self.draw_interactive()
        self._draw_safely("plots of the locked rows", lambda: self._draw_images("draw_winner"))
        self._draw_safely(f"plots/{PAGE}", lambda: write_winner_page(self._history, self._folder))
        self._draw_safely(REPORT, lambda: write_report(self._folder / "journal.jsonl"))
        for name, reason in self.failed.items():
            logger.warning(
                "%s could not be drawn: %s. The study is not affected; hpsearch sync %s "
                "tries again",
                name,
                reason,
                self._history.name,
            )
        before = self._history.plots.failed if self._history.plots else None
        if before != self.failed or _is_outdated(self._history):
            try:
                record(PlotsDrawn(failed=self.failed))
            except (HpsearchError, OSError) as error:
                logger.warning("the event of the drawn plots could not be written: %s", error)

    def _draw_images(self, function: str) -> Mapping[str, str]:
        from ..tracking import plots  # seconds

        failed: Mapping[str, str] = getattr(plots, function)(self._history, self._folder)
        return failed

    def _draw_safely(self, name: str, draw: Callable[[], Any]) -> None:
        self._done.add(name)
        try:
            with pause_gc():  # plotting libraries are imported; what they leave is little
                drawn = draw()
        except Exception as error:  # plotting libraries may raise anything
            reason = error.strerror if isinstance(error, OSError) else None
            self.failed[name] = reason or f"{type(error).__name__}: {error}"
            if name.endswith(".html"):
                with suppress(OSError):
                    (self._folder / name).unlink()  # a plot of an earlier winner
            return
        if isinstance(drawn, Mapping):
            self.failed |= drawn


def needs_drawing(history: History) -> bool:
    """Whether plots of a finished study are missing or older than its winner."""
    if history.final is None:
        return False
    return _is_outdated(history) or bool(history.plots and history.plots.failed)


def _is_outdated(history: History) -> bool:
    if history.plots is None:
        return True
    newest = max(event.seq if event else 0 for event in (history.winner, history.final))
    return newest > history.plots.seq


def draw_missing(path: Path) -> dict[str, str]:
    """Draw the missing plots of a finished study; returns failures by file.

    A running study, or one whose folder is not writable, is skipped.
    """
    if not needs_drawing(load_history(path, without=CURVES)):
        return {}
    history = load_condensed_history(path)
    gallery = Gallery(history, path.parent)
    try:
        with Journal(path) as journal:

            def record(event: Event) -> None:
                history.apply(journal.append(event))

            gallery.draw_remaining(record)
    except (JournalError, OSError) as error:
        logger.warning("plots are not drawn now: %s", error)
    return gallery.failed
