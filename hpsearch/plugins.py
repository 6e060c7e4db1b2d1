"""Samplers, pruners, model families, metrics and executors from other packages' entry points.

A package declares them in its pyproject.toml, as `[project.entry-points."hpsearch.samplers"]`.
Installed packages are searched only for names that are not built in. docs/extending.md describes
the interface of each kind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any, TypeVar

from .errors import SpecError

T = TypeVar("T")
KINDS = ("samplers", "pruners", "families", "metrics", "executors")


@dataclass(frozen=True, slots=True)
class Plugin:
    """A loaded entry point."""

    name: str
    package: str  # installed version
    version: str
    value: Any  # the loaded object


@cache
def entry_points(kind: str) -> tuple[metadata.EntryPoint, ...]:
    """Return the installed entry points of one of `KINDS`."""
    return tuple(metadata.entry_points(group=f"hpsearch.{kind}"))


def installed_names(kind: str) -> tuple[str, ...]:
    """Return the installed names, sorted."""
    return tuple(sorted({point.name for point in entry_points(kind)}))


@cache
def find_plugin(kind: str, name: str) -> Plugin | None:
    """Find and load the plugin `name`; None if it is not installed.

    Raises:
        SpecError: If several packages use the name, or it cannot be imported.
    """
    found = [point for point in entry_points(kind) if point.name == name]
    if not found:
        return None
    owners = sorted({_owner(point)[0] for point in found})
    if len(owners) > 1:
        raise SpecError(
            f"{kind}: {name!r} is declared by several packages: {', '.join(owners)}. "
            "Uninstall all but one of them."
        )
    point = found[0]
    package, version = _owner(point)
    try:
        value = point.load()
    except Exception as error:  # importing a package may raise anything
        raise SpecError(
            f"{kind}: {name!r} of the package {package} {version} cannot be loaded from "
            f"{point.value}: {type(error).__name__}: {error}"
        ) from error
    return Plugin(name, package, version, value)


def find_object(kind: str, name: str, wanted: type[T], called: str) -> T | None:
    """Load the object of the plugin `name`; None if it is not installed.

    Args:
        kind: One of `KINDS`.
        name: The entry point's name.
        wanted: The required class.
        called: That class in error messages.

    Raises:
        SpecError: If it is of another class; also as `find_plugin`.
    """
    plugin = find_plugin(kind, name)
    if plugin is None or isinstance(plugin.value, wanted):
        return None if plugin is None else plugin.value
    raise SpecError(
        f"{kind}: {name!r} of the package {plugin.package} must be a {called}. "
        f"Received: {plugin.value!r}"
    )


def describe_known(kind: str, built_in: Iterable[str]) -> str:
    """List built-in and installed names, for an error message."""
    known = f"Known: {', '.join(built_in)}."
    found = installed_names(kind)
    return f"{known} Installed: {', '.join(found)}." if found else known


def find_clashes(kind: str, built_in: Iterable[str]) -> list[str]:
    """Describe plugins that are shadowed by built-in names, one sentence each."""
    taken = set(built_in)
    return [
        f"{kind}: {point.name!r} of the package {_owner(point)[0]} is not used: "
        "hpsearch has one of that name"
        for point in entry_points(kind)
        if point.name in taken
    ]


def _owner(point: metadata.EntryPoint) -> tuple[str, str]:
    """Return name and version of the package that declares an entry point."""
    if point.dist is None:
        return point.value.partition(".")[0], "unknown"
    return point.dist.name, point.dist.version
