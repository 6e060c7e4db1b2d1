"""The options `--verbose` and `--log-file` of every command and of the group."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import click

from ..errors import HpsearchError
from ..log_file import lower_level, redact_lines
from .terminal import WarningsHandler

LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


def logging_options() -> list[click.Option]:
    """Return both options; they are processed before the command runs."""
    return [
        click.Option(
            ["-v", "--verbose"],
            count=True,
            expose_value=False,
            callback=_set_verbosity,
            help="Log decisions to stderr; -vv: every question and request too.",
        ),
        click.Option(
            ["--log-file"],
            type=click.Path(dir_okay=False, path_type=Path),
            expose_value=False,
            callback=_log_to_file,
            help="Add all of -vv to this file.",
        ),
    ]


class Command(click.Command):
    """A command with the logging options."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params += logging_options()


def _set_verbosity(context: click.Context, parameter: click.Parameter, count: int) -> None:
    if not count or context.resilient_parsing:  # a shell completes the line
        return
    level = LEVELS[min(count, len(LEVELS) - 1)]
    lower_level(level)
    handlers = logging.getLogger("hpsearch").handlers
    shown = [handler for handler in handlers if isinstance(handler, WarningsHandler)]
    for handler in shown:
        handler.setLevel(min(level, handler.level))
        context.find_root().call_on_close(partial(handler.setLevel, logging.WARNING))
    _restore_level(context)


def _log_to_file(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    if path is None or context.resilient_parsing:
        return
    try:
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise HpsearchError(
            f"--log-file {path}: cannot be written: {error.strerror}. Name a file in an existing "
            "folder in which you may write."
        ) from None
    redact_lines(handler)
    logger = logging.getLogger("hpsearch")
    logger.addHandler(handler)
    lower_level(logging.DEBUG)
    context.find_root().call_on_close(handler.close)
    context.find_root().call_on_close(lambda: logger.removeHandler(handler))
    _restore_level(context)


def _restore_level(context: click.Context) -> None:
    """Restore the level: a program such as a test may run several commands in one process."""
    context.find_root().call_on_close(
        lambda: logging.getLogger("hpsearch").setLevel(logging.NOTSET)
    )
