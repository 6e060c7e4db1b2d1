"""The command group, and how it reports errors."""

from __future__ import annotations

import sys
from typing import Any

import click

from ..errors import HpsearchError, describe_os_error, redact_text
from .logging_options import Command, logging_options
from .terminal import READER_GONE_EXIT_CODE, prepare_streams, print_line, redirect_to_null


class Commands(click.Group):
    """A group that prints a user's error in one line and exits with code 2."""

    command_class = Command

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run with the output streams prepared for any text."""
        prepare_streams()
        return super().main(*arguments, **options)

    def invoke(self, context: click.Context) -> Any:
        """Run a command; only a bug in hpsearch prints a traceback."""
        try:
            return super().invoke(context)
        except HpsearchError as error:
            _print_error(str(error))
            context.exit(getattr(error, "exit_code", 2))
        except BrokenPipeError:  # stdout was closed by its reader
            redirect_to_null(sys.stdout)
            context.exit(READER_GONE_EXIT_CODE)
        except OSError as error:
            if error.errno is None:  # raised by a library, not by the operating system
                raise
            _print_error(redact_text(describe_os_error(error)))
            context.exit(2)


def _print_error(message: str) -> None:
    for line in message.splitlines():
        print_line(line, err=True, style={"fg": "red"})


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hpsearch")
def main() -> None:
    """Search hyperparameters of Keras models, and record every trial."""


main.params += logging_options()
