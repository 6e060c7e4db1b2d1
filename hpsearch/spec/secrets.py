"""Find secrets in a declaration; they are refused, because the declaration is recorded.

The journal needs the unredacted declaration to resume the study, and MLflow and the report show
it.
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
    """Return the dotted keys whose values look like a secret, by format or by the key's name."""
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
