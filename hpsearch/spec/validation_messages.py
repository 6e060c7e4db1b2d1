"""Format what is wrong with a declaration: where, what was received, what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from .study_spec import StudySpec
from .yaml_lines import Key, format_key

HYPERPARAMETER_TYPES = ("float", "int", "categorical", "fixed")  # of a hyperparameter
MAX_VALUE_CHARACTERS = 100  # characters of a value in a message


def format_validation_errors(
    errors: Sequence[Mapping[str, Any]], raw: Any, lines: Mapping[Key, str], origin: str
) -> str:
    """Format pydantic's errors, each as `FILE:LINE: key: what is wrong, what is allowed`.

    A value that fits none of several types has one line, which names them all.
    """
    by_key: dict[tuple[Key, int], list[Mapping[str, Any]]] = {}
    for error in errors:
        by_key.setdefault((_strip_union_tags(error["loc"], raw), id(error["input"])), []).append(
            error
        )
    listed = {key[:-1] for key, _ in by_key if key and isinstance(key[-1], int)}
    texts = []
    for (key, _), found in by_key.items():
        if key in listed and all(error["type"] in _KINDS for error in found):
            continue  # the mistake is in a value of the list
        kinds = list(dict.fromkeys(filter(None, map(_name_alternative, found))))
        if len(kinds) < 2:
            texts += [_format_error(error, key, lines, origin) for error in found]
        else:
            given = _shorten_value(found[0]["input"])
            message = f"{_join_alternatives(kinds)} is needed. Received: {given}"
            texts.append(f"{format_location(key, lines, origin)}: {message}")
    return "\n".join(dict.fromkeys(texts))


def _join_alternatives(kinds: Sequence[str]) -> str:
    """Join the types of a value; any plain value is named as in the documentation."""
    if set(kinds) >= _PLAIN:
        kinds = ["a text", "a number", "true", "false", *(k for k in kinds if k not in _PLAIN)]
    return f"{', '.join(kinds[:-1])} or {kinds[-1]}"


def _name_alternative(error: Mapping[str, Any]) -> str | None:
    """Name one of the types that a value may have; None if the error is of another kind."""
    context = error.get("ctx", {})
    match error["type"]:
        case "literal_error":
            return str(context["expected"]).replace(" or ", ", ")
        case "too_short":
            return f"a list of at least {context['min_length']} values"
        case "too_long":
            return f"a list of at most {context['max_length']} values"
        case "string_pattern_mismatch":
            return "a name of letters, digits, '.', '_' and '-'"
        case "int_parsing" | "int_from_float":
            return "a whole number"
        case "float_parsing":
            return "a number"
        case "greater_than_equal":
            return f"a number of at least {context['ge']:g}"
        case kind:
            return _KINDS.get(kind)


def _format_error(error: Mapping[str, Any], key: Key, lines: Mapping[Key, str], origin: str) -> str:
    """Format one error of pydantic."""
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "missing":
        key = (*key, error["loc"][-1]) if key[-1:] != error["loc"][-1:] else key
        message = "is required"
    elif error["type"] == "extra_forbidden":
        message = _unknown_key_message(str(key[-1]), _allowed_keys(key[:-1]))
    elif error["type"] == "union_tag_invalid":
        message = f"type {error['ctx']['tag']!r} does not exist. Known: {_known_types(error)}."
    elif error["type"] == "union_tag_not_found":
        message = f"type is missing. Known: {_known_types(error)}."
    elif error["type"] == "string_pattern_mismatch":
        given = _shorten_value(error["input"])
        message = f"{given} may hold letters, digits, '.', '_' and '-' only, at most 100 of them"
    elif error["type"] in ("model_type", "model_attributes_type", "dict_type"):
        fields = _allowed_keys(key)
        keys = f", with {', '.join(fields)}" if fields else ""
        message = f"is a section of keys{keys}. Received: {_shorten_value(error['input'])}"
    elif error["type"] in _SCALARS and isinstance(error["input"], dict | list):
        kind = _KINDS[error["type"]]
        message = f"{kind} is needed. Received: {_shorten_value(error['input'])}"
    elif error["type"] in ("too_short", "too_long"):
        given = _shorten_value(error["input"])
        message = f"{_name_alternative(error)} is needed. Received: {given}"
    elif error["type"] not in ("value_error",) and not isinstance(error["input"], dict | list):
        message = f"{message[0].lower()}{message[1:]}. Received: {_shorten_value(error['input'])}"
    if error["type"] == "value_error":
        return "\n".join(
            format_nested_error(key, part, lines, origin) for part in message.split("\n")
        )
    return f"{format_location(key, lines, origin)}: {message}"


def _shorten_value(value: Any) -> str:
    """Format a value, shortened if it is long."""
    text = repr(value)
    return (
        text
        if len(text) <= MAX_VALUE_CHARACTERS
        else f"{text[:MAX_VALUE_CHARACTERS]}… ({len(text):,} characters)"
    )


def _known_types(error: Mapping[str, Any]) -> str:
    """Return the allowed types of a hyperparameter, or of one of its ranges."""
    return ", ".join(
        t for t in HYPERPARAMETER_TYPES if t != "fixed" or "ranges" not in error["loc"]
    )


def format_nested_error(key: Key, message: str, lines: Mapping[Key, str], origin: str) -> str:
    """Format an error raised by a section, whose text begins with the rest of the key."""
    if nested := re.match(r"([\w.]+?): (.*)", message):
        inner = (*key, *parse_key(nested[1]))
        if inner[:-1] in lines or inner in lines or not (key or lines):  # a dict has no lines
            key, message = inner, nested[2]
    return f"{format_location(key, lines, origin)}: {message}"


def _strip_union_tags(loc: Sequence[str | int], raw: Any) -> Key:
    """Remove from `loc` the steps that pydantic's unions add."""
    key: list[str | int] = []
    for i, part in enumerate(loc):
        if _has_part(raw, part):
            raw = raw[part]
            key.append(part)
        elif i == len(loc) - 1 and isinstance(raw, dict) and _is_key(part):
            key.append(part)
    return tuple(key)


def _is_key(part: str | int) -> bool:
    """Whether a step that the value lacks is a key, not a type such as `list[float]`."""
    return part not in _UNION_TAGS and "[" not in str(part)


def _has_part(raw: Any, part: str | int) -> bool:
    if isinstance(raw, list):
        return isinstance(part, int) and part < len(raw)
    return isinstance(raw, dict) and part in raw


_KINDS = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "a text",
    "none_required": "null",
    "list_type": "a list",
    "tuple_type": "a list",
}
_PLAIN = {"a text", "a whole number", "a number", "true or false"}
_SCALARS = ("bool_type", "int_type", "float_type", "string_type", "none_required")
_UNION_TAGS = {
    "bool",
    "str",
    "float",
    "int",
    "categorical",
    "fixed",
    "[key]",
    "value",
    "values",
    "range",
    "family",
    "convention",
    "ranges",
    "query",
}


def _allowed_keys(key: Key) -> list[str]:
    """Return the keys that a section allows; empty if any key is allowed."""
    model: Any = StudySpec
    for part in key:
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return []
        info = model.model_fields.get(str(part))
        if info is None:
            return []
        model = next(
            (t for t in _union_members(info.annotation) if hasattr(t, "model_fields")), None
        )
    return list(model.model_fields) if model else []


def _union_members(annotation: Any) -> Iterable[Any]:
    arguments = getattr(annotation, "__args__", ())
    return [annotation, *(member for a in arguments for member in _union_members(a))]


def _unknown_key_message(name: str, allowed: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, allowed, 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    known = f" Allowed: {', '.join(allowed)}." if allowed else ""
    return f"unknown key.{hint}{known}"


def parse_key(text: str) -> Key:
    """Parse a key as it is written, `search_space.units.low`."""
    return tuple(int(part) if part.isdigit() else part for part in text.split("."))


def format_location(key: Key, lines: Mapping[Key, str], origin: str) -> str:
    """Format `FILE:LINE: key`, with the line of the nearest key present in the file."""
    for length in range(len(key), 0, -1):
        if (place := lines.get(key[:length])) is not None:
            named = format_key(key)  # an override names its key itself
            return place if place == f"--set {named}" else f"{place}: {named}"
    return f"{origin}: {format_key(key)}"
