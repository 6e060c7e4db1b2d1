"""A study's YAML file: read with the line of every key, so that every mistake can be shown.

All mistakes are reported at once, one line each: `FILE:LINE: key: what is wrong`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ..errors import SpecError
from .constraints import with_files
from .inheritance import complete
from .lines import Key, dotted, parse, yaml_reader
from .model import located
from .study import StudySpec
from .typed import type_declaration

TYPES = ("float", "int", "categorical", "fixed")  # of a hyperparameter
LONGEST = 100  # characters of a value in a message
PATHS = (["data", "source"], ["data", "test_source"])


@dataclass(frozen=True, slots=True)
class StudyFile:
    """A valid declaration, what it was written as, and where."""

    spec: StudySpec
    raw: Mapping[str, Any]  # as in the file, overrides applied
    origin: str  # the file's name, or "spec" where it was given as a dict
    folder: Path  # what relative paths in the file are relative to
    lines: Mapping[Key, str] = field(default_factory=dict)  # key -> "FILE:LINE"
    facts: Mapping[str, Any] = field(default_factory=dict)  # of a model that was asked

    def where(self, key: str) -> str:
        """`FILE:LINE: key`, with the line of the nearest key that the file holds."""
        return _where(_key(key), self.lines, self.origin)

    def with_space(self, declared: Mapping[str, Any], *, compiled: bool) -> StudyFile:
        """The declaration with the hyperparameters that its model asks for.

        What the file says of a hyperparameter stands; it keeps the model's condition where it
        gives none.

        Args:
            declared: A `search_space` section.
            compiled: Whether the model's function compiles it.

        Raises:
            SpecError: With every mistake on a line of its own.
        """
        own = self.raw.get("search_space") or {}
        merged = {
            **declared,
            **{name: _completed(d, declared.get(name)) for name, d in own.items()},
        }
        raw = {**self.raw, "search_space": merged}
        raw = type_declaration(raw, compiled=compiled)
        file = _validated(raw, dict(self.lines), self.origin, self.folder)
        try:
            file.spec.check_space()
        except ValueError as error:
            told = (_nested((), line, self.lines, self.origin) for line in str(error).split("\n"))
            raise SpecError("\n".join(told)) from None
        return file

    def problem(self, key: str, message: str) -> SpecError:
        """An error that shows its place."""
        return SpecError(f"{self.where(key)}: {message}")


def _completed(own: Any, found: Any) -> Any:
    """A hyperparameter as the file says it, with the condition that its model gave it."""
    when = found.get("when") if isinstance(found, Mapping) else None
    if not when or not isinstance(own, Mapping | list):
        return own
    if isinstance(own, list) and any(isinstance(d, Mapping) for d in own):
        return own  # every range has a condition of its own
    spelled = dict(own) if isinstance(own, Mapping) else {"type": "categorical", "choices": own}
    if spelled.get("type") == "fixed":
        return own
    return {"when": when, **spelled}


def load_file(path: Path, overrides: Sequence[str] = ()) -> StudyFile:
    """Read, check and complete a study's file.

    Args:
        path: The YAML file.
        overrides: `key.path=value` texts; the value is YAML.

    Raises:
        SpecError: With every mistake on a line of its own.
    """
    raw, lines = complete(*parse(path), folder=path.parent, chain=(path,))
    for text in overrides:
        _override(raw, lines, text)
    raw.setdefault("study", re.sub(r"[^A-Za-z0-9.-]+", "-", path.stem))
    return _validated(raw, lines, str(path), path.resolve().parent)


def load_dict(
    declared: Mapping[str, Any], overrides: Sequence[str] = (), *, folder: Path | None = None
) -> StudyFile:
    """The same for a declaration that is already a dict.

    Its paths are relative to `folder`, or to the working folder where that is None.

    Raises:
        SpecError: With every mistake on a line of its own.
    """
    raw, lines = complete(_copied(declared), {}, folder=folder or Path(), chain=())
    for text in overrides:
        _override(raw, lines, text)
    return _validated(raw, lines, "spec", folder or Path.cwd())


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _copied(v) for k, v in value.items()}
    return [_copied(v) for v in value] if isinstance(value, list | tuple) else value


# ---- overrides ----


def _override(raw: dict[str, Any], lines: dict[Key, str], text: str) -> None:
    name, equals, value = text.partition("=")
    path = name.split(".")
    if not equals or not all(path):
        raise SpecError(f"--set {text}: write key.path=value, for example data.source=file.csv")
    place = raw
    for part in path[:-1]:
        child = place.setdefault(part, {})
        if not isinstance(child, dict):
            raise SpecError(f"--set {text}: {part} is not a section")
        place = child
    from ruamel.yaml.error import YAMLError

    try:
        place[path[-1]] = yaml_reader().load(value)
    except YAMLError as error:
        raise SpecError(f"--set {text}: the value is not valid YAML: {error}") from None
    if path in PATHS and isinstance(place[path[-1]], str):
        place[path[-1]] = _from_here(place[path[-1]])
    stale = [k for k in lines if k[: len(path)] == tuple(path)]
    for key in stale:
        del lines[key]
    lines[tuple(path)] = f"--set {name}"


def _from_here(source: str) -> str:
    """A path given on the command line is relative to the working folder, not to the file."""
    path = Path(source)
    return str(path.resolve()) if path.exists() else source


# ---- validation ----


def _validated(raw: dict[str, Any], lines: dict[Key, str], origin: str, folder: Path) -> StudyFile:
    if not isinstance(raw.get("model"), Mapping):  # what else a function reads is known later
        raw = type_declaration(raw)
    try:
        spec = StudySpec.model_validate(raw)
    except ValidationError as error:
        problems = [_told(dict(e), raw, lines, origin) for e in error.errors()]
        raise SpecError("\n".join(dict.fromkeys(problems))) from None
    update = {
        "model": located(spec.model, folder),
        "constraints": with_files(spec.constraints, folder),
    }
    return StudyFile(spec.model_copy(update=update), raw, origin, folder, lines)


def _told(error: Mapping[str, Any], raw: Any, lines: Mapping[Key, str], origin: str) -> str:
    """One pydantic error as `FILE:LINE: key: what is wrong, what is allowed`."""
    key = tuple(_real_key(error["loc"], raw))
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "missing":
        key = (*key, error["loc"][-1]) if key[-1:] != error["loc"][-1:] else key
        message = "is required"
    elif error["type"] == "extra_forbidden":
        message = _unknown(str(key[-1]), _fields_at(key[:-1]))
    elif error["type"] == "union_tag_invalid":
        message = f"type {error['ctx']['tag']!r} does not exist. Known: {_types(error)}."
    elif error["type"] == "union_tag_not_found":
        message = f"type is missing. Known: {_types(error)}."
    elif error["type"] == "string_pattern_mismatch":
        given = _shortened(error["input"])
        message = f"{given} may hold letters, digits, '.', '_' and '-' only, at most 100 of them"
    elif error["type"] in ("model_type", "model_attributes_type", "dict_type"):
        fields = _fields_at(key)
        keys = f", with {', '.join(fields)}" if fields else ""
        message = f"is a section of keys{keys}. Received: {_shortened(error['input'])}"
    elif error["type"] in _SCALARS and isinstance(error["input"], dict | list):
        kinds = "a text, a number, true, false or null"
        message = f"a value is {kinds}. Received: {_shortened(error['input'])}"
    elif error["type"] not in ("value_error",) and not isinstance(error["input"], dict | list):
        message = f"{message[0].lower()}{message[1:]}. Received: {_shortened(error['input'])}"
    if error["type"] == "value_error":
        return "\n".join(_nested(key, part, lines, origin) for part in message.split("\n"))
    return f"{_where(key, lines, origin)}: {message}"


def _shortened(value: Any) -> str:
    """A value as it was written, if it is not long."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)"


def _types(error: Mapping[str, Any]) -> str:
    """The types of a hyperparameter, or those of one of its ranges."""
    return ", ".join(t for t in TYPES if t != "fixed" or "ranges" not in error["loc"])


def _nested(key: Key, message: str, lines: Mapping[Key, str], origin: str) -> str:
    """A mistake that a section found within itself, which begins with the rest of its key."""
    if nested := re.match(r"([\w.]+?): (.*)", message):
        inner = (*key, *_key(nested[1]))
        if inner[:-1] in lines or inner in lines:
            key, message = inner, nested[2]
    return f"{_where(key, lines, origin)}: {message}"


def _real_key(loc: Iterable[str | int], raw: Any) -> Iterable[str | int]:
    """`loc` without the steps that pydantic's unions add and the file does not hold."""
    parts = list(loc)
    for i, part in enumerate(parts):
        if _holds(raw, part):
            raw = raw[part]
            yield part
        elif i == len(parts) - 1 and isinstance(raw, dict) and part not in _TAGS:
            yield part


def _holds(raw: Any, part: str | int) -> bool:
    if isinstance(raw, list):
        return isinstance(part, int) and part < len(raw)
    return isinstance(raw, dict) and part in raw


_SCALARS = ("bool_type", "int_type", "float_type", "string_type", "none_required")
_TAGS = {
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
}


def _fields_at(key: Key) -> list[str]:
    """The keys that a section allows; none where they are the user's own."""
    model: Any = StudySpec
    for part in key:
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return []
        info = model.model_fields.get(str(part))
        if info is None:
            return []
        model = next((t for t in _members(info.annotation) if hasattr(t, "model_fields")), None)
    return list(model.model_fields) if model else []


def _members(annotation: Any) -> Iterable[Any]:
    arguments = getattr(annotation, "__args__", ())
    return [annotation, *arguments]


def _unknown(name: str, allowed: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, allowed, 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    known = f" Allowed: {', '.join(allowed)}." if allowed else ""
    return f"unknown key.{hint}{known}"


def _key(text: str) -> Key:
    return tuple(int(part) if part.isdigit() else part for part in text.split("."))


def _where(key: Key, lines: Mapping[Key, str], origin: str) -> str:
    for length in range(len(key), 0, -1):
        if key[:length] in lines:
            return f"{lines[key[:length]]}: {dotted(key)}"
    return f"{origin}: {dotted(key)}"
