"""The door to the terminal: everything that the command line prints goes through here.

Texts from data, declarations and errors move no cursor and change no style; a terminal that is
not UTF-8 gets plain characters in place of others; a reader of stderr that has gone is no error.
"""

from __future__ import annotations

import codecs
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

import click

from ..escaping import escape_terminal
from ..redaction import MAX_TRACEBACK_LENGTH, redact, shorten

if TYPE_CHECKING:
    from rich.console import Console

    from ..events import Event

logger = logging.getLogger("hpsearch.cli")

WIDTH_WITHOUT_TERMINAL = 200  # characters
READER_GONE_EXIT_CODE = (
    141  # the exit code: 128 + SIGPIPE, as of any program whose reader ends first
)
ASCII_SUBSTITUTES = {  # symbols of ours where the terminal does not have them
    "±": "+-",
    "·": "-",
    "–": "-",  # noqa: RUF001
    "…": "...",
    "★": "*",
    "◆": "+",
    "↑": "(max)",
    "↓": "(min)",
    "×": "x",  # noqa: RUF001
    "¦": "|",
}


def prepare_streams() -> None:
    """Make stdout and stderr fit for any text, and stderr for the loss of its reader."""
    codecs.register_error("hpsearch.plain", _replace_unencodable)
    streams: tuple[Any, Any] = (sys.stdout, sys.stderr)
    for stream in streams:
        with suppress(AttributeError, ValueError):  # no text file, as under some notebooks
            stream.reconfigure(errors="hpsearch.plain")
    sys.excepthook = _print_traceback
    threading.excepthook = lambda bug: _print_traceback(
        bug.exc_type, bug.exc_value, bug.exc_traceback
    )
    logging.setLogRecordFactory(_make_redacted_record)
    if not isinstance(sys.stderr, ResilientStream):
        lasting: Any = ResilientStream(sys.stderr)
        sys.stderr = lasting
    logger = logging.getLogger("hpsearch")
    if not any(isinstance(handler, WarningsHandler) for handler in logger.handlers):
        logger.addHandler(WarningsHandler())


def _print_traceback(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    """A bug's traceback on stderr, which may quote what the user's code and data hold."""
    text = "".join(traceback.format_exception(kind, error, trace))
    print_line(shorten(text, MAX_TRACEBACK_LENGTH).rstrip(), err=True)


def _make_redacted_record(*arguments: Any, **options: Any) -> logging.LogRecord:
    """What any library logs: MLflow's warnings name the URI of a request that failed."""
    record = logging.LogRecord(*arguments, **options)
    with suppress(TypeError, ValueError):  # a message that its arguments do not fit
        record.msg, record.args = redact(record.getMessage()), None
    return record


def _replace_unencodable(error: UnicodeError) -> tuple[str, int]:
    """The codec error handler: what the encoding lacks, in ASCII."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    texts = (
        ASCII_SUBSTITUTES.get(c) or c.encode("ascii", "backslashreplace").decode() for c in missing
    )
    return "".join(texts), error.end


class ResilientStream:
    """A text stream that can lose its reader: what is written after that goes nowhere."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream` while somebody reads it."""
        self._stream = stream

    def write(self, text: str) -> int:
        """Write `text`; whatever becomes of it."""
        try:
            return self._stream.write(text)
        except OSError:
            self._detach()
            return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        try:
            self._stream.flush()
        except OSError:
            self._detach()

    def _detach(self) -> None:
        with suppress(OSError, ValueError):
            redirect_to_null(self._stream)
            self._stream.flush()  # what is still in its buffer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def redirect_to_null(stream: TextIO | Any) -> None:
    """Let the file of `stream` lead nowhere from now on, for libraries and children too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)


@contextmanager
def ignore_closed_output() -> Iterator[None]:
    """Print what a command can do without: its exit code stays when stdout is closed."""
    try:
        yield
    except BrokenPipeError:
        redirect_to_null(sys.stdout)


def guard_listener(
    what: str, listen: Callable[[Event], None], *, skips_past_curves: bool
) -> Callable[[Event], None]:
    """`listen`, whose first error is a warning and its last call: a study goes on without it.

    Args:
        what: Its name for the warning.
        listen: Takes the events of a journal.
        skips_past_curves: Whether it can do without the epochs of a study's earlier runs.
    """
    is_over = False

    def guarded(event: Event) -> None:
        nonlocal is_over
        if is_over:
            return
        try:
            listen(event)
        except Exception as error:  # whatever a display or a disk raises
            is_over = True
            logger.warning("%s failed and stops, the study continues: %s", what, error)

    vars(guarded)["skips_past_curves"] = skips_past_curves
    return guarded


class WarningsHandler(logging.Handler):
    """What the product logs, on stderr, a message a line."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            is_detail = record.levelno < logging.WARNING  # of --verbose
            print_line(f"{record.name}: {text}" if is_detail else text, err=True)
        except Exception:  # a message that cannot be formatted
            self.handleError(record)


def print_line(
    text: object = "", *, err: bool = False, style: dict[str, Any] | None = None
) -> None:
    """Print a line; `style` is click's, for terminals."""
    line = _discreet(text)
    stream = sys.stderr if err else sys.stdout  # click would take an ASCII terminal for UTF-8
    click.echo(click.style(line, **style) if style and stream.isatty() else line, file=stream)


def _discreet(text: object) -> str:
    return escape_terminal(redact(str(text)))


@contextmanager
def waiting_line(first: str) -> Iterator[Callable[[str], None]]:
    """Show on a terminal what a command does, beginning with `first`; call it with what is next."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with make_console(stderr=True).status(first) as status:
        yield status.update


def make_console(*, stderr: bool = False) -> Console:
    """Standard output for tables; what is no terminal gets lines as long as they need to be.

    Texts are no markup: use `rich.text.Text`, or the style of a column or row.
    """
    from rich.console import Console
    from rich.text import Text

    class Door(Console):
        """Texts are printed as they are, control characters spelled out and secrets hidden.

        A journal of an older version may hold some.
        """

        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(_discreet(text), **options)

        def render(self, renderable: Any, options: Any = None) -> Any:
            if isinstance(renderable, Text):
                shown = _discreet(renderable.plain)
                if shown != renderable.plain:
                    renderable = Text(shown, style=renderable.style)
            return super().render(renderable, options)

        def on_broken_pipe(self) -> None:
            raise  # `Commands.invoke` ends the command

    stream: Any = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDTH_WITHOUT_TERMINAL
    return Door(file=stream, width=width, markup=False, emoji=False)
