"""Rephrase errors of the command line for Python: options become arguments.

Error messages are written for the command line. This module replaces each option in a message by
the argument of the called function.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from .errors import HpsearchError

P = ParamSpec("P")
R = TypeVar("R")

_VALUE = r"((?:[\w.]+=)?[^\s,;:.]+(?:\.[^\s,;:.]+)*)"  # value of an option
# Commands of messages that have a function.
_COMMANDS: tuple[tuple[str, str], ...] = (
    (
        r"`hpsearch enqueue (\S+) --like (\d+) --epochs (\d+)`",
        r'hpsearch.load("\1").enqueue({}, like=\2, epochs=\3)',
    ),
    (
        r"`hpsearch enqueue (\S+) --like (\d+) epochs=(\d+)`",
        r'hpsearch.load("\1").enqueue({"epochs": \3}, like=\2)',
    ),
)
# Texts of messages, and their replacements in Python. Other commands in backquotes are unchanged.
_REPLACEMENTS: tuple[tuple[str, str], ...] = (
    (r"^--set ([^\s=:]+)(=\S*)?: ", r"overrides: \1\2: "),  # location of the mistake
    (rf"--set {_VALUE}", r'overrides=["\1"]'),
    (r"--tracking-uri\b", "tracking_uri"),
    (r"hpsearch tune SPEC --fresh", "hpsearch.tune(spec, fresh=True)"),
    (r"hpsearch promote STUDY --as (\S+)", r'hpsearch.promote(study, "\1")'),
    (r"--(fresh|offline|force)\b", r"\1=True"),
    (r"--accept-changes\b", "accept_changes=True"),
    (rf"--study {_VALUE}", r'overrides=["study=\1"]'),
    (r"--study\b", 'overrides=["study=NAME"]'),
    (r"--key KEY\b", "key=KEY"),
    (r"--key\b", "key="),
    (r"the same command\b", "the same call"),
    (r"repeat the command with --upgrade-store", "run `hpsearch models --upgrade-store`"),
)
_COMMAND = re.compile(r"(`hpsearch [^`]*`)")


def to_python(message: str) -> str:
    """Replace the options that a message names by arguments.

    Examples:
        >>> to_python("Continue with --accept-changes, or begin anew with --fresh.")
        'Continue with accept_changes=True, or begin anew with fresh=True.'
        >>> to_python("--set budget.trials=x: not a whole number")
        'overrides: budget.trials=x: not a whole number'
    """
    return "\n".join(_convert_line(line) for line in message.split("\n"))


def _convert_line(line: str) -> str:
    for found, instead in _COMMANDS:
        line = re.sub(found, instead, line)
    parts = _COMMAND.split(line)  # every second one is a command
    for index in range(0, len(parts), 2):
        for found, instead in _REPLACEMENTS:
            parts[index] = re.sub(found, instead, parts[index])
    return "".join(parts)


def speaks_python(function: Callable[P, R]) -> Callable[P, R]:
    """Let the errors of a function name arguments instead of options."""

    @wraps(function)
    def called(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return function(*arguments, **named)
        except HpsearchError as error:
            error.args = (to_python(str(error)), *error.args[1:])
            raise

    return called
