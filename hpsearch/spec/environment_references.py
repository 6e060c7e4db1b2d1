"""References to environment variables in a study file: `${NAME}` and `${NAME:default}`.

Only paths and addresses may contain them. The journal and everything derived from it keep the text
as written, and so do messages, since a resolved address may contain a secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import SpecError
from ..redaction import hide_address
from .function_reference import is_reference
from .yaml_lines import Key, format_key

FUNCTION_KEYS = (
    *(("model",), ("model", "keras_tuner"), ("model", "optuna")),
    *(("objective", "metric"), ("objectives", "*", "metric")),
    *(("training", "callbacks", "*"), ("constraints", "*")),
)
LOCATION_KEYS = (("data", "source"), ("data", "test_source"), ("execution", "address"))
FORMS = "${NAME}, ${NAME:default} or ${oc.env:NAME,default}"
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_FOUND = re.compile(r"\$\$\{|\$\{(?P<inner>[^{}]*)\}|\$\{")
_INNER = re.compile(
    rf"oc\.env:(?P<oc_name>{_NAME})(?:,(?P<oc_default>.*))?"
    rf"|(?P<name>{_NAME})(?::(?P<default>[^-].*)?)?"
)


@dataclass(slots=True)
class Resolution:
    """A declaration with resolved references, and the texts as written."""

    values: Any = None
    written: dict[Key, str] = field(default_factory=dict)  # texts with a reference
    problems: list[tuple[Key, str]] = field(default_factory=list)


def resolve_references(raw: Mapping[str, Any]) -> Resolution:
    """Replace the references of a declaration by the values of the variables."""
    resolution = Resolution()
    resolution.values = _resolve(raw, (), resolution)
    return resolution


def _resolve(value: Any, key: Key, resolution: Resolution) -> Any:
    if isinstance(value, Mapping):
        return {k: _resolve(v, (*key, k), resolution) for k, v in value.items()}
    if isinstance(value, list):
        return [_resolve(v, (*key, i), resolution) for i, v in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    try:
        return _resolve_at(value, key, resolution)
    except ValueError as error:
        resolution.problems.append((key, str(error)))
        return value


def _resolve_at(text: str, key: Key, resolution: Resolution) -> str:
    holds_reference = any(found[0] != "$${" for found in _FOUND.finditer(text))
    is_function = _is_among(key, FUNCTION_KEYS)
    if holds_reference and not is_function and not _is_among(key, LOCATION_KEYS):
        allowed = ", ".join(format_key(k) for k in (*LOCATION_KEYS, *FUNCTION_KEYS))
        raise ValueError(
            f"{text!r}: only paths and addresses may name an environment variable: {allowed} "
            "(functions as FILE.py:FUNCTION). Write the value here, or $${ for the text ${"
        )
    value = expand_references(text)
    if not holds_reference:
        return value
    resolution.written[key] = text
    if is_function and not is_reference(value):
        raise ValueError(f"{text} names no function: it must become FILE.py:FUNCTION")
    if "://" in value:
        hide_address(value, text)
    return value


def _is_among(key: Key, patterns: tuple[tuple[str, ...], ...]) -> bool:
    return any(
        len(key) == len(p) and all(b in ("*", a) for a, b in zip(key, p, strict=True))
        for p in patterns
    )


def expand_references(text: str) -> str:
    """Replace the references of one text by the values of the variables.

    Raises:
        ValueError: If a variable without a default is not set, or the text is malformed.
    """
    return _FOUND.sub(_get_value, text)


def _get_value(found: re.Match[str]) -> str:
    if found[0] == "$${":
        return "${"
    parts = _INNER.fullmatch(found["inner"] or "")
    if parts is None:
        raise ValueError(
            f"{found[0]} is not a reference to an environment variable. Allowed: {FORMS}; write "
            "$${ for the text ${"
        )
    name = parts["name"] or parts["oc_name"]
    default = parts["default"] if parts["name"] else parts["oc_default"]
    value = os.environ.get(name) or default
    if not value:
        raise ValueError(
            f"the environment variable {name} is not set, or empty: set it, or give a default as "
            f"${{{name}:default}}"
        )
    return value


def try_expand(text: str) -> str:
    """Replace the references of one text; return it as it is if a variable is not set."""
    try:
        return expand_references(text)
    except ValueError:
        return text


def expand_path(text: str, where: str) -> str:
    """Replace the references of a path.

    Raises:
        SpecError: If a variable is not set; the message begins with `where`.
    """
    try:
        return expand_references(text)
    except ValueError as error:
        raise SpecError(f"{where}: {error}") from None


def restore_references(value: Any, written: Mapping[Key, str], key: Key = ()) -> Any:
    """Return a resolved declaration as it was written; the inverse of `resolve_references`."""
    if isinstance(value, Mapping):
        return {k: restore_references(v, written, (*key, k)) for k, v in value.items()}
    if isinstance(value, list):
        return [restore_references(v, written, (*key, i)) for i, v in enumerate(value)]
    if key in written:
        return written[key]
    return value.replace("${", "$${") if isinstance(value, str) else value


def list_variables(text: str) -> list[str]:
    """List the names of the variables that a text refers to."""
    inner = (_INNER.fullmatch(found["inner"] or "") for found in _FOUND.finditer(text))
    return [parts["name"] or parts["oc_name"] for parts in inner if parts]
