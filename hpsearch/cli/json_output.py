"""`--json`: a command prints one JSON object on stdout instead of text.

`hpsearch.answers` defines the objects. Errors stay text on stderr, with the same exit codes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from .terminal import print_line

if TYPE_CHECKING:
    from ..answers.answer import Answer

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout."
)


def print_answer(answer: Answer) -> None:
    """Print an answer on one line of ASCII, which no terminal's encoding or escaping changes."""
    print_line(json.dumps(answer.model_dump(mode="json"), allow_nan=False))
