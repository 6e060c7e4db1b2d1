"""Parse YAML, keeping the line of every key.

Returns plain values and a table of their locations. Tags, aliases and duplicate keys are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import SpecError

Key = tuple[str | int, ...]
MAX_BYTES = 1_000_000
MAX_DEPTH = 12


def make_yaml_reader() -> Any:
    """Make a reader of YAML 1.2: 1e-5 is a number, `on` and `no` are strings."""
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True)


def parse_yaml(path: Path) -> tuple[dict[str, Any], dict[Key, str]]:
    """Parse a file; returns its values and `FILE:LINE` of every key.

    Raises:
        SpecError: If the file cannot be read, or is not a mapping of plain values.
    """
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        content = path.read_bytes()
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise SpecError(f"{path}: {len(content):,} bytes; the maximum is {MAX_BYTES:,}")
    yaml = make_yaml_reader()
    try:
        node = yaml.compose(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpecError(f"{path}:{line}: not valid YAML: {error.problem}") from None
    except (YAMLError, RecursionError) as error:
        raise SpecError(f"{path}: not valid YAML: {type(error).__name__}: {error}") from None
    walker = _NodeReader(path, yaml.constructor)
    raw = walker.read_value(node, ())
    if walker.problems:
        raise SpecError("\n".join(walker.problems))
    if not isinstance(raw, dict):
        raise SpecError(f"{path}:1: a study is a mapping of keys, such as `data:`")
    return raw, walker.lines


class _NodeReader:
    """Converts YAML nodes to plain values and records each key's line."""

    def __init__(self, path: Path, constructor: Any) -> None:
        self.path = path
        self.constructor = constructor
        self.lines: dict[Key, str] = {}
        self.problems: list[str] = []
        self._seen_nodes: set[int] = set()

    def read_value(self, node: Any, key: Key) -> Any:
        if node is None:
            return None
        line = self.lines.setdefault(key, f"{self.path}:{node.start_mark.line + 1}")
        if id(node) in self._seen_nodes:
            return self._add_problem(
                line, key, "aliases (*name) are not allowed; write the value out"
            )
        self._seen_nodes.add(id(node))
        if len(key) > MAX_DEPTH:
            return self._add_problem(line, key[:3], f"nested deeper than {MAX_DEPTH} levels")
        if node.id == "mapping":
            return self._read_mapping(node, key)
        if node.id == "sequence":
            return [self.read_value(child, (*key, i)) for i, child in enumerate(node.value)]
        if str(node.tag).endswith(":timestamp"):
            return node.value
        try:
            return self.constructor.construct_object(node, deep=True)
        except Exception as error:  # a tag such as !!python/object, or a malformed number
            return self._add_problem(line, key, f"not a plain value: {str(error).splitlines()[0]}")

    def _read_mapping(self, node: Any, key: Key) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name_node, child in node.value:
            name = name_node.value
            line = f"{self.path}:{name_node.start_mark.line + 1}"
            if not isinstance(name, str):
                self._add_problem(line, key, "a key must be a plain word")
                continue
            if name in result:
                first = self.lines[(*key, name)].rpartition(":")[2]
                self._add_problem(line, (*key, name), f"stands twice; first in line {first}")
                continue
            self.lines[(*key, name)] = line
            result[name] = self.read_value(child, (*key, name))
        return result

    def _add_problem(self, line: str, key: Key, message: str) -> None:
        self.problems.append(f"{line}: {format_key(key)}: {message}")


def format_key(key: Key) -> str:
    """Join a path to a dotted key: `search_space.units.low`."""
    return ".".join(map(str, key)) or "the file"
