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
from .study import StudySpec

Key = tuple[str | int, ...]
MAX_BYTES = 1_000_000
MAX_DEPTH = 12
PATHS = (["data", "source"], ["data", "test_source"])


@dataclass(frozen=True, slots=True)
class StudyFile:
    """A valid declaration, what it was written as, and where."""

    spec: StudySpec
    raw: Mapping[str, Any]  # as in the file, overrides applied
    origin: str  # the file's name, or "spec" where it was given as a dict
    folder: Path  # what relative paths in the file are relative to
    lines: Mapping[Key, str] = field(default_factory=dict)  # key -> "FILE:LINE"

    def where(self, key: str) -> str:
        """`FILE:LINE: key`, with the line of the nearest key that the file holds."""
        return _where(tuple(key.split(".")), self.lines, self.origin)

    def problem(self, key: str, message: str) -> SpecError:
        """An error that shows its place."""
        return SpecError(f"{self.where(key)}: {message}")


def load_file(path: Path, overrides: Sequence[str] = ()) -> StudyFile:
    """Read, check and complete a study's file.

    Args:
        path: The YAML file.
        overrides: `key.path=value` texts; the value is YAML.

    Raises:
        SpecError: With every mistake on a line of its own.
    """
    raw, lines = _parse(path)
    for text in overrides:
        _override(raw, lines, text)
    raw.setdefault("study", re.sub(r"[^A-Za-z0-9.-]+", "-", path.stem))
    return _validated(raw, lines, str(path), path.resolve().parent)


def load_dict(declared: Mapping[str, Any], overrides: Sequence[str] = ()) -> StudyFile:
    """The same for a declaration that is already a dict; paths are relative to the working folder.

    Raises:
        SpecError: With every mistake on a line of its own.
    """
    raw = _copied(declared)
    lines: dict[Key, str] = {}
    for text in overrides:
        _override(raw, lines, text)
    return _validated(raw, lines, "spec", Path.cwd())


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _copied(v) for k, v in value.items()}
    return [_copied(v) for v in value] if isinstance(value, list | tuple) else value


# ---- YAML ----


def _yaml() -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True)  # YAML 1.2: 1e-5 is a number, `on` and `no` are texts


def _parse(path: Path) -> tuple[dict[str, Any], dict[Key, str]]:
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        content = path.read_bytes()
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise SpecError(f"{path}: {len(content):,} bytes are too many; at most {MAX_BYTES:,}")
    yaml = _yaml()
    try:
        node = yaml.compose(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpecError(f"{path}:{line}: not valid YAML: {error.problem}") from None
    except (YAMLError, RecursionError) as error:
        raise SpecError(f"{path}: not valid YAML: {type(error).__name__}: {error}") from None
    walker = _Walker(path, yaml.constructor)
    raw = walker.value(node, ())
    if walker.problems:
        raise SpecError("\n".join(walker.problems))
    if not isinstance(raw, dict):
        raise SpecError(f"{path}:1: a study is a mapping of keys, such as `data:`")
    return raw, walker.lines


class _Walker:
    """From YAML nodes to plain values, noting each key's line."""

    def __init__(self, path: Path, constructor: Any) -> None:
        self.path = path
        self.constructor = constructor
        self.lines: dict[Key, str] = {}
        self.problems: list[str] = []
        self._seen: set[int] = set()

    def value(self, node: Any, key: Key) -> Any:
        if node is None:
            return None
        line = self.lines.setdefault(key, f"{self.path}:{node.start_mark.line + 1}")
        if id(node) in self._seen:
            return self._problem(line, key, "aliases (*name) are not allowed; write the value out")
        self._seen.add(id(node))
        if len(key) > MAX_DEPTH:
            return self._problem(line, key[:3], f"nested deeper than {MAX_DEPTH} levels")
        if node.id == "mapping":
            return self._mapping(node, key)
        if node.id == "sequence":
            return [self.value(child, (*key, i)) for i, child in enumerate(node.value)]
        if str(node.tag).endswith(":timestamp"):
            return node.value
        try:
            return self.constructor.construct_object(node, deep=True)
        except Exception as error:  # a tag such as !!python/object, or a malformed number
            return self._problem(line, key, f"not a plain value: {str(error).splitlines()[0]}")

    def _mapping(self, node: Any, key: Key) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name_node, child in node.value:
            name = name_node.value
            line = f"{self.path}:{name_node.start_mark.line + 1}"
            if not isinstance(name, str):
                self._problem(line, key, "a key must be a plain word")
                continue
            if name in result:
                first = self.lines[(*key, name)].rpartition(":")[2]
                self._problem(line, (*key, name), f"stands twice; first in line {first}")
                continue
            self.lines[(*key, name)] = line
            result[name] = self.value(child, (*key, name))
        return result

    def _problem(self, line: str, key: Key, message: str) -> None:
        self.problems.append(f"{line}: {_dotted(key)}: {message}")


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
        place[path[-1]] = _yaml().load(value)
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
    try:
        spec = StudySpec.model_validate(raw)
    except ValidationError as error:
        problems = [_told(dict(e), raw, lines, origin) for e in error.errors()]
        raise SpecError("\n".join(dict.fromkeys(problems))) from None
    model = _model_from(folder, spec.model)
    return StudyFile(spec.model_copy(update={"model": model}), raw, origin, folder, lines)


def _model_from(folder: Path, model: str) -> str:
    """A model's file is relative to the file that names it."""
    place, colon, name = model.rpartition(":")
    return f"{(folder / place).resolve()}:{name}" if colon and place.endswith(".py") else model


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
        message = (
            f"type {error['ctx']['tag']!r} does not exist. Known: float, int, categorical, fixed."
        )
    elif error["type"] == "union_tag_not_found":
        message = "type is missing. Known: float, int, categorical, fixed."
    elif error["type"] == "string_pattern_mismatch":
        message = f"{error['input']!r} may hold letters, digits, '.', '_' and '-' only"
    elif error["type"] not in ("value_error",) and not isinstance(error["input"], dict | list):
        message = f"{message[0].lower()}{message[1:]}. Received: {error['input']!r}"
    if error["type"] == "value_error" and (nested := re.match(r"([\w.]+?): (.*)", message, re.S)):
        inner = (*key, *nested[1].split("."))
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


_TAGS = {"float", "int", "categorical", "fixed", "[key]"}


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


def _dotted(key: Key) -> str:
    return ".".join(map(str, key)) or "the file"


def _where(key: Key, lines: Mapping[Key, str], origin: str) -> str:
    for length in range(len(key), 0, -1):
        if key[:length] in lines:
            return f"{lines[key[:length]]}: {_dotted(key)}"
    return f"{origin}: {_dotted(key)}"
