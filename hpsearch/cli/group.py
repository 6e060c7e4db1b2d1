"""The group of commands, and what becomes of a user's mistake."""

from __future__ import annotations

import sys
from typing import Any

import click

from ..errors import HpsearchError


class Commands(click.Group):
    """A group that prints a user's mistake in one line and exits with 2."""

    def invoke(self, context: click.Context) -> Any:
        """Run a command; a traceback is for our own bugs only."""
        try:
            return super().invoke(context)
        except HpsearchError as error:
            for line in str(error).splitlines():
                click.echo(click.style(line, fg="red") if sys.stderr.isatty() else line, err=True)
            context.exit(getattr(error, "exit_code", 2))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hpsearch")
def main() -> None:
    """Find the best Keras model, and keep the record of how it was found."""
