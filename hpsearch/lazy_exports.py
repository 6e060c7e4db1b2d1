"""Import the public names of a package when they are first used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def export_lazily(package: str, modules: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package, so that importing one of its modules stays cheap.

    Args:
        package: Name of the package.
        modules: Public names by the module that defines them, relative to the package.

    Examples:
        >>> __getattr__ = export_lazily("os", {"path": ["basename"]})
        >>> __getattr__("basename")("a/b")
        'b'
    """
    homes = {name: module for module, names in modules.items() for name in names}

    def find_name(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return find_name
