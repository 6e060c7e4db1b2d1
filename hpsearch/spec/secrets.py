"""Secrets in a declaration: they are refused, because all of it is recorded.

The journal needs the declaration as it is to go on with the study, and MLflow and the report show
it. Pure function of the declaration.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..redaction import redact_named, redact_patterns

SECRET_REMEDY = (
    "looks like a secret, and the whole declaration is recorded: take it out, give it by an "
    "environment variable and let your code read that"
)


def find_secrets(declared: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The dotted keys whose values hold a secret, by their own form or by their key's name."""
    if isinstance(declared, Mapping):
        for name, child in declared.items():
            yield from find_secrets(child, (*path, str(name)))
    elif isinstance(declared, list | tuple):
        for child in declared:
            yield from find_secrets(child, path)
    elif _is_secret(declared, path):
        yield ".".join(path)


def _is_secret(value: Any, path: tuple[str, ...]) -> bool:
    if not isinstance(value, str):
        return False
    if path[:1] == ("data",):  # keys there are names of columns
        return redact_patterns(value) != value
    return redact_named(path[-1], value) != value
