"""All output of the command line passes through this module.

It makes control characters and markup in texts harmless, replaces characters that the terminal's
encoding lacks, and ignores a closed stderr.
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

logger = logging.getLogger("hpsearch.cli")

WIDTH_WITHOUT_TERMINAL = 200  # characters
READER_GONE_EXIT_CODE = 141  # 128 + SIGPIPE, the usual exit code after a closed pipe
ASCII_SUBSTITUTES = {  # replacements for symbols that the terminal's encoding lacks
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
    """Prepare stdout and stderr for any text, and stderr for being closed."""
    codecs.register_error("hpsearch.plain", _replace_unencodable)
    streams: tuple[Any, Any] = (sys.stdout, sys.stderr)
    for stream in streams:
        with suppress(AttributeError, ValueError):  # not a text file, as in some notebooks
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
    """Print a bug's traceback to stderr, redacted: it may quote user code and data."""
    text = "".join(traceback.format_exception(kind, error, trace))
    print_line(shorten(text, MAX_TRACEBACK_LENGTH).rstrip(), err=True)


def _make_redacted_record(*arguments: Any, **options: Any) -> logging.LogRecord:
    """Make a redacted log record: MLflow's warnings contain URIs of failed requests."""
    record = logging.LogRecord(*arguments, **options)
    with suppress(TypeError, ValueError):  # arguments that do not fit the format
        record.msg, record.args = redact(record.getMessage()), None
    return record


def _replace_unencodable(error: UnicodeError) -> tuple[str, int]:
    """Codec error handler: replace unencodable characters by ASCII."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    texts = (
        ASCII_SUBSTITUTES.get(c) or c.encode("ascii", "backslashreplace").decode() for c in missing
    )
    return "".join(texts), error.end


class ResilientStream:
    """A text stream that discards output once its reader has closed it."""

    def __init__(self, stream: TextIO) -> None:
        """Wrap `stream`."""
        self._stream = stream

    def write(self, text: str) -> int:
        """Write `text`, or discard it if the stream is closed."""
        try:
            return self._stream.write(text)
        except OSError:
            self._detach()
            return len(text)

    def flush(self) -> None:
        """Flush the stream, unless it is closed."""
        try:
            self._stream.flush()
        except OSError:
            self._detach()

    def _detach(self) -> None:
        with suppress(OSError, ValueError):
            redirect_to_null(self._stream)
            self._stream.flush()  # flush what is buffered

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def redirect_to_null(stream: TextIO | Any) -> None:
    """Redirect the file descriptor of `stream` to null, for libraries and children too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)


@contextmanager
def ignore_closed_output() -> Iterator[None]:
    """Ignore a closed stdout in the block; the exit code is unaffected."""
    try:
        yield
    except BrokenPipeError:
        redirect_to_null(sys.stdout)


class WarningsHandler(logging.Handler):
    """Prints log messages to stderr, one per line."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            is_detail = record.levelno < logging.WARNING  # set by --verbose
            print_line(f"{record.name}: {text}" if is_detail else text, err=True)
        except Exception:  # the message cannot be formatted
            self.handleError(record)


def print_line(
    text: object = "", *, err: bool = False, style: dict[str, Any] | None = None
) -> None:
    """Print a line; `style` is passed to click on a terminal."""
    line = _discreet(text)
    stream = sys.stderr if err else sys.stdout  # click assumes UTF-8 on an ASCII terminal
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
    """Make a console for tables on standard output; without a terminal, lines are not wrapped.

    Markup is off: use `rich.text.Text`, or the style of a column or row.
    """
    from rich.console import Console
    from rich.text import Text

    class SafeConsole(Console):
        """A console that escapes control characters and hides secrets.

        Journals of older versions may contain secrets.
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
    return SafeConsole(file=stream, width=width, markup=False, emoji=False)
