"""Confine a client's study files: they read files below a folder, and nothing else.

Refused are paths that leave the folder, also by links, addresses and databases, references to
environment variables, clusters, and code of the study's author unless it is allowed.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path

from ..errors import SpecError
from ..spec.data_spec import CATALOG_SCHEME, QuerySpec
from ..spec.inheritance import EXTENDS, SHIPPED
from ..spec.study_file import StudyFile, load_file
from ..spec.yaml_lines import parse_yaml
from ..study.user_code import find_references

EXECUTORS = ("processes", "inline")  # on this machine
CATALOG_TABLE = f"{CATALOG_SCHEME}:"  # the beginning of a source


def load_confined(spec: str, root: Path, *, allow_code: bool) -> StudyFile:
    """Load a study file for a client.

    Args:
        spec: Its path, relative to `root`, which is the working folder.
        root: The folder that it may read.
        allow_code: Whether it may name functions.

    Raises:
        SpecError: If it is not valid, or not allowed.
    """
    path = Path(spec)
    _check_path(root / path, root, spec)
    _check_extended(path, root)
    file = load_file(path)
    if file.references:
        names = ", ".join(file.references.values())
        raise SpecError(f"{spec}: {names}: a client's study file names no environment variables")
    code = find_references(file)
    if code and not allow_code:
        raise SpecError(
            f"{spec}: runs {', '.join(code)}. This server runs no code of study files: a person "
            "can start it with --allow-code."
        )
    for reference in code:
        location = reference.rpartition(":")[0]
        if location.endswith(".py"):
            _check_path(Path(location), root, spec)
    _check_sources(file, root, spec, code)
    if file.spec.execution.executor not in EXECUTORS:
        raise SpecError(f"{spec}: execution: a client's study runs on this machine")
    return file


def _check_extended(path: Path, root: Path) -> None:
    """Check the chain of `extends` before it is read."""
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        path = waiting.pop()
        if not path.is_file() or path.resolve() in seen:
            continue
        seen.add(path.resolve())
        bases = parse_yaml(path)[0].get(EXTENDS)
        for base in bases if isinstance(bases, list) else [bases]:
            if isinstance(base, str) and not base.startswith(SHIPPED):
                waiting.append(_check_base(path, base, root))


def _check_base(path: Path, base: str, root: Path) -> Path:
    """Check the file `base` that the file at `path` extends; returns its path."""
    if "${" in base:
        raise SpecError(f"{path}: {EXTENDS}: a client's study file names no environment variables")
    _check_path(path.parent / base, root, f"{EXTENDS}: {base}")
    return path.parent / base


def _check_sources(file: StudyFile, root: Path, spec: str, code: list[str]) -> None:
    data = file.spec.data
    for source in (data.source, data.test_source):
        if source is None or source in code:
            continue
        if isinstance(source, QuerySpec) or "://" in source or source.startswith(CATALOG_TABLE):
            raise SpecError(f"{spec}: data.source: a client's study reads files below {root}")
        if source.startswith("sklearn:"):
            continue
        for found in _list_files(file.folder / source):
            _check_path(found, root, source)


def _list_files(path: Path) -> Iterator[Path]:
    """List a source, the files that match it as a pattern, and those in its folders."""
    yield path
    for name in glob.glob(str(path)):
        yield Path(name)
        yield from Path(name).rglob("*")


def _check_path(path: Path, root: Path, name: str) -> None:
    if not path.resolve().is_relative_to(root.resolve()):
        raise SpecError(f"{name}: is outside {root}, the only folder that this server reads")
