"""The group of commands, and what becomes of a user's mistake."""

from __future__ import annotations

import errno
import sys
from typing import Any

import click

from ..errors import HpsearchError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a disk, a quota, a file's limit


class Commands(click.Group):
    """A group that prints a user's mistake in one line and exits with 2."""

    def invoke(self, context: click.Context) -> Any:
        """Run a command; a traceback is for our own bugs only."""
        try:
            return super().invoke(context)
        except HpsearchError as error:
            _tell(str(error))
            context.exit(getattr(error, "exit_code", 2))
        except OSError as error:
            if error.errno not in FULL:
                raise
            _tell(f"{error.strerror}. Nothing is lost: make room, and run the same command again.")
            context.exit(2)


def _tell(message: str) -> None:
    for line in message.splitlines():
        click.echo(click.style(line, fg="red") if sys.stderr.isatty() else line, err=True)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hpsearch")
def main() -> None:
    """Find the best Keras model, and keep the record of how it was found."""
