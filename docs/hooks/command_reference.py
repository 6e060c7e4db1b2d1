"""The page of all commands: arguments, options and defaults, from the code of the commands."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import click
from mkdocs.structure.files import File

from hpsearch.cli import main

PAGE = "commands.md"
INTRODUCTION = """\
# Commands

This page is generated from the commands, which print the same with `--help`.
[The table in the introduction](index.md#commands) describes each command in a sentence.

Every command also accepts `-v` (log decisions to stderr; `-vv`: suggestions and requests, too) and
`--log-file FILE`, before or after its name: [logging.md](logging.md).
"""
SHARED = {"verbose", "log_file"}
NO_DEFAULT = "\N{EN DASH}"


def on_files(files: Any, config: Any) -> Any:
    """Add the page."""
    files.append(File.generated(config, PAGE, content=write_page()))
    return files


def write_page() -> str:
    """Return the page."""
    commands = sorted(main.commands.items())
    return "\n".join([INTRODUCTION, *(describe(name, command) for name, command in commands)])


def describe(name: str, command: click.Command) -> str:
    """Return the section of a command."""
    context = click.Context(command, info_name=f"hpsearch {name}")
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"## {name}", "", f"    hpsearch {name} {usage}", "", clean(command.help or ""), ""]
    rows = list(option_rows(command, context))
    if rows:
        lines += ["| option | default | meaning |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def clean(text: str) -> str:
    """Return a help text without its indentation, and without click's marks."""
    return inspect.cleandoc(text.replace("\b", ""))


def option_rows(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield a row of the table for each option that not every command has."""
    for option in command.params:
        if isinstance(option, click.Option) and option.name not in SHARED and not option.hidden:
            names = ", ".join(option.opts + option.secondary_opts)
            takes = "" if option.is_flag or option.count else f" {option.make_metavar(context)}"
            cells = (f"`{escape(names + takes)}`", default_of(option), escape(meaning(option)))
            yield f"| {' | '.join(cells)} |"


def default_of(option: click.Option) -> str:
    """Return the default as it is typed; a dash if there is none."""
    value = option.to_info_dict()["default"]
    if option.secondary_opts:
        value = (option.opts if value else option.secondary_opts)[0]
    elif option.is_flag:
        return NO_DEFAULT
    if value is None or value == () or callable(value):
        return NO_DEFAULT
    return f"`{escape(str(value))}`"


def meaning(option: click.Option) -> str:
    """Return what the option does, and the variable that it can be read from."""
    variable = f" Also read from `{option.envvar}`." if option.envvar else ""
    required = " Required." if option.required else ""
    repeated = " May be repeated." if option.multiple else ""
    return f"{clean(option.help or '')}{required}{repeated}{variable}"


def escape(text: str) -> str:
    """Return a text that a cell of a table can hold."""
    return " ".join(text.split()).replace("|", "\\|")
