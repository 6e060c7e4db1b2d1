"""Find the files of user code that a study runs, and compute their digests.

Files are found by parsing, without importing: those that the declaration names, and modules that
these import from the same folders. Libraries below `site-packages` are identified by version
instead. Modules imported by a computed name, and files opened by the code, are not found.
"""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

from ..models import strip_convention
from ..platforms.paths import relative_to
from ..spec.data_spec import CATALOG_SCHEME
from ..spec.function_reference import (
    find_module_of_file,
    is_reference,
    read_file,
    resolve_reference,
)
from ..spec.study_file import StudyFile

PACKAGE_FOLDER = Path(__file__).resolve().parents[1]  # this package, identified by its version
LIBRARIES = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))
INSTALLED = ("site-packages", "dist-packages")  # names of folders of libraries


def find_references(file: StudyFile) -> list[str]:
    """Find the custom functions in a declaration, with absolute paths."""
    spec, data = file.spec, file.spec.data
    objectives = [spec.objective] if spec.objective else spec.objectives or []
    named = [
        strip_convention(spec.model_name),
        *(objective.metric for objective in objectives),
        *spec.constraints,
        *spec.training.callbacks,
        *map(str, spec.possible_values("loss")),
        *(
            source
            for source in (data.source, data.test_source)
            if isinstance(source, str) and source and not _is_source(source, file.folder)
        ),
    ]
    return [resolve_reference(name, file.folder) for name in named if is_reference(name)]


def _is_source(name: str, folder: Path) -> bool:
    """Whether a source is a file, a scikit-learn data set or a catalog's table, not a function."""
    return name.startswith(("sklearn:", f"{CATALOG_SCHEME}:")) or (folder / name).exists()


def compute_digests(references: Iterable[str], folder: Path) -> dict[str, str]:
    """Compute the SHA-256 of each file of the functions, by path relative to `folder`.

    Args:
        references: `FILE.py:NAME`, absolute, or `MODULE:NAME`.
        folder: The folder of the study file.
    """
    found = list_code_paths(references, folder)
    return {_relative_name(p, folder): read_file(p).digest for p in found}


def list_code_paths(references: Iterable[str], folder: Path) -> list[Path]:
    """List the files of some functions, and those that they import from the same folders."""
    return sorted(_walk_files(references, folder))


def list_code_files(reference: str, folder: Path) -> dict[str, Path]:
    """List the files of a function, by names under which they can import each other.

    Args:
        reference: `FILE.py:NAME`, absolute, or `MODULE:NAME`.
        folder: The folder of the study file.
    """
    location = reference.rpartition(":")[0]
    own = [find_module_of_file(Path(location))[0]] if location.endswith(".py") else []
    roots = [root.resolve() for root in (*own, folder, Path.cwd(), *map(Path, sys.path))]
    files = {}
    for path in _walk_files([reference], folder):
        root = next((root for root in roots if path.is_relative_to(root)), path.parent)
        files[path.relative_to(root).as_posix()] = path
    return files


def _walk_files(references: Iterable[str], folder: Path) -> Iterable[Path]:
    """Find the files of some functions, and the files that these import from the same folders."""
    found: dict[Path, None] = {}
    todo = [path for reference in references for path in _find_files(reference)]
    roots = [folder, *(path.parent for path in todo)]
    while todo:
        path = todo.pop().resolve()
        if path in found:
            continue
        found[path] = None
        if path.suffix == ".py" and not _is_library(path):
            todo += [
                p for n in imported_modules(path) for p in _locate_module(n, [path.parent, *roots])
            ]
    return found


def imported_modules(path: Path) -> Iterator[str]:
    """Return the modules that a file imports; relative names start with dots."""
    tree = read_file(path).tree
    if tree is None:
        return  # reported when it is run
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            joint = "" if origin.endswith(".") or not origin else "."
            yield from (f"{origin}{joint}{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _is_import_call(node.func):
            texts = (a.value for a in node.args[:1] if isinstance(a, ast.Constant))
            yield from (text for text in texts if isinstance(text, str))


def _is_import_call(function: ast.expr) -> bool:
    name = getattr(function, "attr", getattr(function, "id", ""))
    return name in ("import_module", "__import__")


def _find_files(reference: str) -> list[Path]:
    location = reference.rpartition(":")[0]
    if location.endswith(".py"):
        return [Path(location)] if Path(location).is_file() else []
    own = list(_locate_module(location, []))
    return own or [
        p for base in _find_base_folders(location) for p in _files_along(base, location.split("."))
    ]


def _locate_module(name: str, beside: Sequence[Path]) -> Iterator[Path]:
    """Locate the files of a module and its packages, unless it belongs to a library.

    Args:
        name: The dotted, possibly relative name; its last part may be an attribute.
        beside: The folder of the importing file, then other folders to search.
    """
    plain = name.lstrip(".")
    parts = [part for part in plain.split(".") if part]
    if level := len(name) - len(plain):
        package = beside[0].joinpath(*[".."] * (level - 1))
        yield from (init for init in [package / "__init__.py"] if init.is_file())
        bases = [package]
    else:
        bases = [*beside, Path.cwd(), *map(Path, sys.path)]
        if not any(list(_files_along(base, parts)) for base in bases):
            bases = _find_base_folders(name)  # an editable install
    for base in dict.fromkeys(base.resolve() for base in bases):
        yield from (path for path in _files_along(base, parts) if not _is_library(path))


def _files_along(base: Path, parts: list[str]) -> Iterator[Path]:
    """Return the files along a dotted name below a folder."""
    for part in parts:
        package, suffixes = base / part, (".py", *EXTENSION_SUFFIXES)
        module = next((m for s in suffixes if (m := base / f"{part}{s}").is_file()), None)
        init = package / "__init__.py"
        if init.is_file():
            yield init
        elif module is not None:
            yield module
            return
        elif not package.is_dir():
            return
        base = package


def _find_base_folders(name: str) -> list[Path]:
    """Find the folders of an installed module's top-level package without importing it."""
    try:
        spec = find_spec(name.partition(".")[0])
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    packages = [Path(folder).parent for folder in spec.submodule_search_locations or ()]
    return packages or ([Path(spec.origin).parent] if spec.has_location and spec.origin else [])


def _is_library(path: Path) -> bool:
    if any(name in path.parts for name in INSTALLED) or path.is_relative_to(PACKAGE_FOLDER):
        return True
    return any(path.is_relative_to(folder) for folder in LIBRARIES)


def _relative_name(path: Path, folder: Path) -> str:
    for name in INSTALLED:
        if name in path.parts:
            return Path(*path.parts[path.parts.index(name) + 1 :]).as_posix()
    return relative_to(path, folder.resolve())
