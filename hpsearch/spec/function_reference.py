"""Custom functions, named as `FILE.py:FUNCTION` or `MODULE:FUNCTION`.

Finds, reads and imports functions; callers know their signatures. A file is parsed once until
`forget_files`.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.machinery
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import SpecError

REFERENCE_PATTERN = re.compile(
    r"(?P<location>(?:[A-Za-z]:[\\/])?[^'\"<>=:]+\.py|[A-Za-z_][\w.]*):(?P<name>[A-Za-z_]\w*)"
)


def is_reference(text: str) -> bool:
    """Whether a text has the form of a function reference."""
    return REFERENCE_PATTERN.fullmatch(text) is not None


def resolve_reference(reference: str, folder: Path) -> str:
    """Resolve the file of a reference, if it names one, relative to `folder`."""
    found = REFERENCE_PATTERN.fullmatch(reference)
    if found is None or not found["location"].endswith(".py"):
        return reference
    return f"{(folder / found['location']).resolve()}:{found['name']}"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of user code as it was read."""

    content: bytes  # empty if it is not Python
    digest: str  # SHA-256
    tree: ast.Module | None  # None: not Python
    error: SyntaxError | None = None

    @property
    def text(self) -> str:
        """The decoded content; bytes that are not UTF-8 are replaced."""
        return self.content.decode("utf-8", "replace")


def read_file(path: Path) -> SourceFile:
    """Read and parse a file of user code; the result is cached.

    Raises:
        OSError: If the file cannot be read.
    """
    found = path.stat()
    return _parse_file(path.resolve(), (found.st_mtime_ns, found.st_size, found.st_ino))


@cache
def _parse_file(path: Path, state: tuple[int, ...]) -> SourceFile:
    """Parse the file; cached by its modification time and size."""
    content = path.read_bytes()
    digest, tree, error = hashlib.sha256(content).hexdigest(), None, None
    if path.suffix == ".py":
        try:
            tree = ast.parse(content)
        except (SyntaxError, ValueError) as wrong:  # ValueError: a NUL byte
            error = wrong if isinstance(wrong, SyntaxError) else SyntaxError(str(wrong))
    return SourceFile(content if path.suffix == ".py" else b"", digest, tree, error)


def forget_files() -> None:
    """Clear the caches of user files, which may have changed since the last study."""
    _parse_file.cache_clear()
    _import_file_once.cache_clear()
    load_function_once.cache_clear()


def load_function(reference: str) -> Callable[..., Any]:
    """Load a function, running its file again.

    Raises:
        SpecError: If there is no such file, module or function, or importing it fails.
    """
    return _require_function(reference, load_object(reference))


@cache
def load_function_once(reference: str) -> Callable[..., Any]:
    """Load a function, running its file once for all references to it.

    Not for a model's function: state kept in its file would make one trial depend on another.

    Raises:
        SpecError: If there is no such file, module or function, or importing it fails.
    """
    return _require_function(reference, _find_object(reference, _import_file_once))


def _require_function(reference: str, found: Any) -> Callable[..., Any]:
    if not callable(found):
        location, _, name = reference.rpartition(":")
        raise SpecError(f"{location} has no function {name!r}")
    return found  # type: ignore[no-any-return]


def load_object(reference: str) -> Any:
    """Load the object that a reference names, running its file again.

    Raises:
        SpecError: If there is no such file, module or name, or importing it fails.
    """
    return _find_object(reference, _import_file)


def _find_object(reference: str, import_file: Callable[[Path], Any]) -> Any:
    location, _, name = reference.rpartition(":")
    try:
        module = (
            import_file(Path(location))
            if location.endswith(".py")
            else importlib.import_module(location)
        )
    except SpecError:
        raise
    except Exception as error:  # the user's code: whatever it raises at import
        raise SpecError(
            f"{location} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not hasattr(module, name):
        raise SpecError(f"{location} has no function {name!r}")
    return getattr(module, name)


@contextmanager
def _sibling_imports(folder: Path) -> Iterator[None]:
    """Let a file import modules from its own folder; installed libraries take precedence.

    They are removed from `sys.modules` afterwards: another study may use the same names.
    """
    before, location = set(sys.modules), str(folder)
    sys.path.append(location)
    try:
        yield
    finally:
        index = len(sys.path) - 1 - sys.path[::-1].index(location)
        del sys.path[index]
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            is_beside = file is not None and Path(file).is_relative_to(folder)
            if is_beside and "site-packages" not in Path(str(file)).parts:
                del sys.modules[name]


def find_module_of_file(path: Path) -> tuple[Path, str]:
    """Return the folder to import a file from, and the name of its module.

    Examples:
        `lib/nets/blocks.py` is the module `nets.blocks` of `lib` if `lib/nets/__init__.py` exists.
    """
    folder, name = path.resolve().parent, path.stem
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        folder, name = folder.parent, f"{folder.name}.{name}"
    return folder, name


def _import_file(path: Path) -> Any:
    if not path.is_file():
        raise SpecError(f"there is no file {path}")
    root, name = find_module_of_file(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks up its module while it is created. If the module stayed in sys.modules, a
    # class that no server has would seem servable, and it could shadow a library of the same name.
    library = None if "." in name else importlib.machinery.PathFinder.find_spec(name)
    own_name = library is None or Path(str(library.origin)).resolve() == path.resolve()
    is_ours = own_name and sys.modules.setdefault(name, module) is module
    try:
        with _sibling_imports(root), _sibling_imports(path.resolve().parent):
            spec.loader.exec_module(module)
    finally:
        if is_ours:
            sys.modules.pop(name, None)
    return module


@cache
def _import_file_once(path: Path) -> Any:
    return _import_file(path)
