"""Read a study's YAML file with the line of every key, for error messages.

All errors are reported together, one line each: `FILE:LINE: key: what is wrong`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import SpecError
from .constraints import resolve_constraint_paths
from .environment_references import list_variables, resolve_references, restore_references
from .function_reference import forget_files
from .inheritance import resolve_extends
from .model_reference import resolve_model_path
from .plain_values import to_plain
from .study_spec import StudySpec
from .type_coercion import coerce_declaration
from .validation_messages import (
    format_location,
    format_nested_error,
    format_validation_errors,
    parse_key,
)
from .yaml_lines import Key, make_yaml_reader, parse_yaml

PATH_OVERRIDES = (["data", "source"], ["data", "test_source"])


@dataclass(frozen=True, slots=True)
class StudyFile:
    """A valid declaration with its source text and locations."""

    spec: StudySpec
    written: StudySpec  # the same with the paths of custom functions as written
    raw: Mapping[str, Any]  # as in the file, overrides applied, references unresolved
    origin: str  # the file's name, or "spec" for a dict
    folder: Path  # base of relative paths in the file
    lines: Mapping[Key, str] = field(default_factory=dict)  # key -> "FILE:LINE"
    model_facts: Mapping[str, Any] = field(default_factory=dict)  # of the model's function
    references: Mapping[Key, str] = field(default_factory=dict)  # texts with `${NAME}`, as written

    def format_location(self, key: str) -> str:
        """Format `FILE:LINE: key`, with the line of the nearest key present in the file."""
        return format_location(parse_key(key), self.lines, self.origin)

    def dump_written(self) -> dict[str, Any]:
        """Return all keys with their defaults; paths and references are as written."""
        dumped = self.written.model_dump(mode="json")
        return dict(restore_references(dumped, self.references))

    @property
    def written_sources(self) -> dict[str, str]:
        """The resolved sources that were written with a reference -> as written."""
        data = self.spec.data
        return {
            str(value): self.references["data", name]
            for name, value in (("source", data.source), ("test_source", data.test_source))
            if ("data", name) in self.references
        }

    def name_source(self, name: str) -> str:
        """Return the name of a table, or the variable that it was taken from."""
        text = self.references.get(("data", "source"), name)
        return name if name in text else list_variables(text)[0]

    def with_model_space(self, declared: Mapping[str, Any], *, compiled: bool) -> StudyFile:
        """Return the declaration completed by the hyperparameters that its model defines.

        The file's declaration of a hyperparameter takes precedence; without a `when`, it keeps
        the model's condition.

        Args:
            declared: A `search_space` section.
            compiled: Whether the model's function compiles it.

        Raises:
            SpecError: With every mistake on a line of its own.
        """
        own = self.raw.get("search_space") or {}
        merged = {
            **declared,
            **{name: _inherit_condition(d, declared.get(name)) for name, d in own.items()},
        }
        raw = {**self.raw, "search_space": merged}
        raw = coerce_declaration(raw, compiled=compiled)
        file = _validate_study(raw, dict(self.lines), self.origin, self.folder)
        try:
            file.spec.check_space()
        except ValueError as error:
            message = (
                format_nested_error((), line, self.lines, self.origin)
                for line in str(error).split("\n")
            )
            raise SpecError("\n".join(message)) from None
        return file

    def with_overrides(self, overrides: Sequence[str]) -> StudyFile:
        """Return the declaration with some keys replaced; see `load_file`.

        Raises:
            SpecError: With every mistake on a line of its own.
        """
        raw, lines = to_plain(self.raw), dict(self.lines)
        for text in overrides:
            _apply_override(raw, lines, text)
        return _validate_study(raw, lines, self.origin, self.folder)

    def make_error(self, key: str, message: str) -> SpecError:
        """Build an error with its location."""
        return SpecError(f"{self.format_location(key)}: {message}")


def _inherit_condition(own: Any, found: Any) -> Any:
    """Return the file's declaration, with the model's condition if it has none."""
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
    """Read, validate and complete a study file.

    Args:
        path: The YAML file.
        overrides: `key.path=value` texts; the value is YAML.

    Raises:
        SpecError: With every mistake on a line of its own.
    """
    raw, lines = resolve_extends(*parse_yaml(path), folder=path.parent, chain=(path,))
    for text in overrides:
        _apply_override(raw, lines, text)
    raw.setdefault("study", re.sub(r"[^A-Za-z0-9.-]+", "-", path.stem))
    return _validate_study(raw, lines, str(path), path.resolve().parent)


def load_dict(
    declared: Mapping[str, Any], overrides: Sequence[str] = (), *, folder: Path | None = None
) -> StudyFile:
    """Validate and complete a declaration given as a dict.

    Paths are relative to `folder`, or to the working folder if `folder` is None.

    Raises:
        SpecError: With every mistake on a line of its own.
    """
    raw, lines = resolve_extends(to_plain(declared), {}, folder=folder or Path(), chain=())
    for text in overrides:
        _apply_override(raw, lines, text)
    return _validate_study(raw, lines, "spec", folder or Path.cwd())


# ---- overrides ----


def parse_assignment(text: str) -> tuple[str, Any]:
    """Parse `NAME=VALUE` with a YAML value.

    Raises:
        SpecError: If it is not of this form.

    Examples:
        >>> parse_assignment("learning_rate=1e-3")
        ('learning_rate', 0.001)
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise SpecError(f"{text}: write NAME=VALUE, for example learning_rate=0.01")
    from ruamel.yaml.error import YAMLError

    try:
        return name, make_yaml_reader().load(value)
    except YAMLError as error:
        raise SpecError(f"{text}: the value is not valid YAML: {error}") from None


def parse_assignments(texts: Sequence[str]) -> dict[str, Any]:
    """Parse several `NAME=VALUE`.

    Raises:
        SpecError: If one is not of this form, or a name stands twice.
    """
    values: dict[str, Any] = {}
    for name, value in map(parse_assignment, texts):
        if name in values:
            raise SpecError(f"{name}: stands twice, {values[name]!r} and {value!r}: give one value")
        values[name] = value
    return values


def _apply_override(raw: dict[str, Any], lines: dict[Key, str], text: str) -> None:
    name = text.partition("=")[0]
    path = name.split(".")
    if "=" not in text or not all(path):
        raise SpecError(f"--set {text}: write key.path=value, for example data.source=file.csv")
    section = raw
    for part in path[:-1]:
        child = section.setdefault(part, {})
        if not isinstance(child, dict):
            raise SpecError(f"--set {text}: {part} is not a section")
        section = child
    try:
        section[path[-1]] = parse_assignment(text)[1]
    except SpecError as error:
        raise SpecError(f"--set {error}") from None
    if path in PATH_OVERRIDES and isinstance(section[path[-1]], str):
        section[path[-1]] = _resolve_cli_path(section[path[-1]])
    stale = [k for k in lines if k[: len(path)] == tuple(path)]
    for key in stale:
        del lines[key]
    lines[tuple(path)] = f"--set {name}"


def _resolve_cli_path(source: str) -> str:
    """A path given on the command line is relative to the working folder, not to the file."""
    path = Path(source)
    return str(path.resolve()) if path.exists() else source


# ---- validation ----


def _validate_study(
    raw: dict[str, Any], lines: dict[Key, str], origin: str, folder: Path
) -> StudyFile:
    forget_files()
    resolution = resolve_references(raw)
    if resolution.problems:
        found = (f"{format_location(k, lines, origin)}: {m}" for k, m in resolution.problems)
        raise SpecError("\n".join(found))
    values = resolution.values
    if not isinstance(values.get("model"), Mapping):  # a function adds its own later
        values = coerce_declaration(values)
    try:
        spec = StudySpec.model_validate(values)
    except ValidationError as error:
        raise SpecError(format_validation_errors(error.errors(), values, lines, origin)) from None
    update = {
        "model": resolve_model_path(spec.model, folder),
        "constraints": resolve_constraint_paths(spec.constraints, folder),
    }
    return StudyFile(
        spec=spec.model_copy(update=update),
        written=spec,
        raw=restore_references(values, resolution.written),
        origin=origin,
        folder=folder,
        lines=lines,
        references=resolution.written,
    )
