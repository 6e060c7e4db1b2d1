"""Show the progress of a call: lines in a script, a redrawn block of HTML in a notebook."""

from __future__ import annotations

import sys
import time
from html import escape
from typing import Any, Self

from ..escaping import escape_terminal
from ..events import Event
from ..redaction import redact
from ..reporting.progress import (
    Display,
    LineDisplay,
    Progress,
    SilentDisplay,
    format_duration,
)

REDRAW_SECONDS = 0.5  # between two updates in a notebook


def make_display(study: str, total: int, progress: bool | None) -> Display:
    """Choose how the progress of a study is shown.

    Args:
        study: Its name.
        total: Its trials.
        progress: False: no output; True: lines; None: HTML in a notebook, lines elsewhere.
    """
    if progress is False:
        return SilentDisplay()
    if progress is None and is_notebook():
        return NotebookDisplay(study, Progress(total))
    return TextDisplay(study, Progress(total))


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = sys.modules.get("IPython")
    return shell is not None and hasattr(shell.get_ipython(), "kernel")


def print_progress(text: str) -> None:
    """Print a line on stderr, which a pipe's reader may have closed."""
    try:
        print(escape_terminal(redact(text)), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        return


class TextDisplay(LineDisplay):
    """Prints a line at the start, and one per finished trial and phase."""

    def __init__(self, study: str, progress: Progress) -> None:
        """Create a display of `progress`."""
        super().__init__(progress, print_progress)
        self._study = study

    def __enter__(self) -> Self:
        print_progress(f"{self._study}: reading the data and starting workers")
        return self


class NotebookDisplay(SilentDisplay):
    """Updates a block of HTML below the cell; the last state remains."""

    def __init__(self, study: str, progress: Progress) -> None:
        """Create a display of `progress`."""
        self._study = study
        self._progress = progress
        self._began_trials = False
        self._drawn = 0.0

    def listen(self, event: Event) -> None:
        """Apply one event, and redraw if the last update is old enough."""
        before = self._progress.phase
        self._progress.listen(event)
        self._began_trials = self._began_trials or event.kind == "asked"
        if self._progress.phase > before or time.monotonic() - self._drawn > REDRAW_SECONDS:
            self._redraw()

    def render_html(self) -> str:
        """Render the block."""
        progress = self._progress
        phase = progress.format_phase() if self._began_trials else "starting"
        seconds = format_duration(time.monotonic() - progress.began)
        lines = [progress.format_best(), progress.format_running(), progress.format_comparison()]
        lines.append(f"{phase} · {seconds} so far")
        shown = "<br>".join(escape(redact(line)) for line in lines if line)
        return (
            f"<div><b>{escape(redact(self._study))}</b> "
            f'<progress max="{progress.total}" value="{progress.done}"></progress> '
            f"{escape(redact(progress.format_headline()))}<br>"
            f'<span style="opacity: 0.7">{shown}</span></div>'
        )

    def _redraw(self) -> None:
        from IPython.display import HTML

        self._drawn = time.monotonic()
        self._handle.update(HTML(self.render_html()))

    def __enter__(self) -> Self:
        from IPython.display import HTML, display

        self._handle: Any = display(HTML(self.render_html()), display_id=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._redraw()
