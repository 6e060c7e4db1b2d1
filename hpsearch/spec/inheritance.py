"""`extends: other.yaml`, `hpsearch://NAME` or a list: inherit keys of other files, replace some.

Sections are merged key by key; lists and values are replaced. In the search space, a declaration
with a `type` replaces the inherited one, one without a `type` changes only its own keys, and `null`
removes the parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import SpecError
from .environment_references import expand_path, try_expand
from .function_reference import is_reference, resolve_reference
from .yaml_lines import Key, parse_yaml

EXTENDS = "extends"
SHIPPED = "hpsearch://"  # of a search space that ships with hpsearch
SHIPPED_FOLDER = Path(__file__).parents[1] / "search_spaces"
NOT_INHERITED = ("study",)  # not inherited: two studies must not share a name
PATH_KEYS = (("data", "source"), ("data", "test_source"))

Raw = dict[str, Any]
Lines = dict[Key, str]


def resolve_extends(
    raw: Raw, lines: Lines, *, folder: Path, chain: tuple[Path, ...]
) -> tuple[Raw, Lines]:
    """Merge a file with the files that it extends; returns the keys and their locations.

    Args:
        raw: The file's own values.
        lines: The file's own keys -> `FILE:LINE`.
        folder: Base of the paths in `extends`.
        chain: The files extended so far, this file last.

    Raises:
        SpecError: If the file does not exist, or the files extend each other.
    """
    if EXTENDS not in raw:
        return raw, lines
    where = lines.get((EXTENDS,), "spec")
    merged: Raw = {}
    merged_lines: Lines = {}
    for base in _list_bases(raw[EXTENDS], where):
        below, below_lines = _load_base(base, where, folder, chain)
        if merged:
            merged = _merge_sections(merged, below, (), merged_lines, below_lines)
        else:
            merged, merged_lines = below, below_lines
    own = {k: v for k, v in raw.items() if k != EXTENDS}
    merged = _merge_sections(merged, own, (), merged_lines, lines)
    _copy_line(merged_lines, lines, ())
    return merged, merged_lines


def _list_bases(bases: Any, where: str) -> list[str]:
    """List the files that `extends` names; later ones replace keys of earlier ones."""
    listed = bases if isinstance(bases, list) else [bases]
    if not listed or not all(isinstance(base, str) for base in listed):
        raise SpecError(f"{where}: {EXTENDS}: give a file, or a list of files. Received: {bases!r}")
    return listed


def _load_base(
    base: str, where: str, folder: Path, chain: tuple[Path, ...]
) -> tuple[Raw, dict[Key, str]]:
    """Load a file that another one extends, without the keys that are not inherited."""
    path = _find_base(base, folder, where)
    if not path.is_file():
        raise SpecError(f"{where}: {EXTENDS}: there is no file {path}")
    if path.resolve() in {p.resolve() for p in chain}:
        ring = " -> ".join(str(p) for p in (*chain, path))
        raise SpecError(f"{where}: {EXTENDS}: the files extend each other: {ring}")
    below, lines = resolve_extends(*parse_yaml(path), folder=path.parent, chain=(*chain, path))
    if path.parent.resolve() != folder.resolve():
        below = _make_paths_absolute(below, path.parent.resolve())
    for key in NOT_INHERITED:
        below.pop(key, None)
    return below, {k: v for k, v in lines.items() if k[:1] not in {(n,) for n in NOT_INHERITED}}


def _find_base(base: str, folder: Path, where: str) -> Path:
    """Return the path of the file that `extends` names; `hpsearch://NAME` ships with hpsearch."""
    if not base.startswith(SHIPPED):
        return folder / expand_path(base, f"{where}: {EXTENDS}")
    names = sorted(p.stem for p in SHIPPED_FOLDER.glob("*.yaml"))
    name = base.removeprefix(SHIPPED)
    if name not in names:
        known = ", ".join(f"{SHIPPED}{n}" for n in names)
        raise SpecError(f"{where}: {EXTENDS}: {base} does not exist. Known: {known}.")
    return SHIPPED_FOLDER / f"{name}.yaml"


def _merge_sections(
    below: Raw, own: Raw, key: Key, lines: Lines, own_lines: Mapping[Key, str]
) -> Raw:
    """Merge `own` over `below`, and update `lines`."""
    result = dict(below)
    for name, value in own.items():
        here = (*key, name)
        if _is_removal(here, value) and name in below:
            del result[name]
            _drop_lines(lines, here)
        elif _can_merge(here, below.get(name), value):
            result[name] = _merge_sections(below[name], value, here, lines, own_lines)
            _copy_line(lines, own_lines, here)
        else:
            result[name] = value
            _drop_lines(lines, here)
            for k in own_lines:
                if k[: len(here)] == here:
                    _copy_line(lines, own_lines, k)
    return result


def _can_merge(key: Key, below: Any, own: Any) -> bool:
    if not (isinstance(below, dict) and isinstance(own, dict)):
        return False
    return not (_is_parameter(key) and "type" in own)


def _is_removal(key: Key, own: Any) -> bool:
    return own is None and _is_parameter(key)


def _is_parameter(key: Key) -> bool:
    return len(key) == 2 and key[0] == "search_space"


def _copy_line(lines: Lines, own_lines: Mapping[Key, str], key: Key) -> None:
    if key in own_lines:
        lines[key] = own_lines[key]


def _drop_lines(lines: Lines, key: Key) -> None:
    for stale in [k for k in lines if k[: len(key)] == key]:
        del lines[stale]


def _make_paths_absolute(raw: Raw, folder: Path) -> Raw:
    """Make the paths in the values absolute, for a file in another folder."""

    def moved(value: Any, key: Key) -> Any:
        if isinstance(value, dict):
            return {k: moved(v, (*key, k)) for k, v in value.items()}
        if isinstance(value, list):
            return [moved(v, (*key, i)) for i, v in enumerate(value)]
        if not isinstance(value, str):
            return value
        here = try_expand(value)
        if here != value and Path(here).is_absolute():
            return value
        if key in PATH_KEYS and not is_reference(here) and (folder / here).exists():
            return str(folder / value)
        named = resolve_reference(here, folder)
        if named == here or not Path(named.rpartition(":")[0]).is_file():
            return value
        return named if here == value else str(folder / value)

    return {k: moved(v, (k,)) for k, v in raw.items()}
