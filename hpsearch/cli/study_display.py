"""Progress of a running study: a live block on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any, Self

from ..events import Event, TrialAsked, TrialFinished
from ..reporting.progress import (
    Display,
    LineDisplay,
    Progress,
    SilentDisplay,
    format_duration,
)
from .terminal import make_console, print_line


class LiveDisplay(SilentDisplay):
    """Prints a line per finished trial, and below them a block that is redrawn in place."""

    def __init__(self, progress: Progress) -> None:
        """Create a live display of `progress`."""
        from rich.live import Live as RichLive

        self._progress = progress
        self._began = time.time() * 1000  # events of an earlier run are not printed
        self._is_starting = True
        self._live = RichLive(
            get_renderable=self._render,
            console=make_console(stderr=True),
            refresh_per_second=5,
            transient=True,
        )

    def listen(self, event: Event) -> None:
        """Apply one event; the display refreshes periodically."""
        self._progress.listen(event)
        if isinstance(event, TrialAsked):
            self._is_starting = False
        if isinstance(event, TrialFinished) and event.time >= self._began:
            self._live.console.print(self._progress.format_result(event), highlight=False)

    def _render(self) -> Any:
        """Render the block; empty on an error, since Rich calls this from its own thread."""
        try:
            return self._build_block()
        except Exception:
            return ""

    def _build_block(self) -> Any:
        from rich.console import Group
        from rich.padding import Padding
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        p = self._progress
        bar = Padding(
            ProgressBar(total=p.total, completed=p.done, width=50), 0
        )  # on a separate line
        phase = "starting" if self._is_starting else p.format_phase()
        passed = format_duration(time.monotonic() - p.began)
        lines = [p.format_best(), p.format_running(), p.format_comparison()]
        lines.append(f"{phase} · {passed} so far")
        foot = [Text(line, style="dim", no_wrap=True) for line in lines if line]
        return Group(bar, Text(p.format_headline(), style="bold"), *foot)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()


def make_display(total: int, *, quiet: bool) -> Display:
    """Choose a live display on a terminal, and lines otherwise."""
    if quiet:
        return SilentDisplay()
    progress = Progress(total)
    if sys.stderr.isatty():
        return LiveDisplay(progress)
    return LineDisplay(progress, lambda line: print_line(line, err=True))
