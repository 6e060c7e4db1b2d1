"""Samplers, pruners, model families, metrics and executors of other packages, by entry points.

A package declares them in its pyproject.toml, as `[project.entry-points."hpsearch.samplers"]`. They
are looked for when a name is asked for that is not built in, so a study without them waits for no
look at what is installed. Knows none of the kinds; docs/extending.md says what each has to be.
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
    """One entry point that was loaded."""

    name: str
    package: str  # as it is installed
    version: str
    value: Any  # what the entry point names


@cache
def entry_points(kind: str) -> tuple[metadata.EntryPoint, ...]:
    """What is installed of one of `KINDS`."""
    return tuple(metadata.entry_points(group=f"hpsearch.{kind}"))


def installed_names(kind: str) -> tuple[str, ...]:
    """The names of what is installed, ascending."""
    return tuple(sorted({point.name for point in entry_points(kind)}))


@cache
def find_plugin(kind: str, name: str) -> Plugin | None:
    """What is installed under `name`; None where there is nothing.

    Raises:
        SpecError: If several packages have that name, or it cannot be imported.
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
    except Exception as error:  # whatever the package does when it is imported
        raise SpecError(
            f"{kind}: {name!r} of the package {package} {version} cannot be loaded from "
            f"{point.value}: {type(error).__name__}: {error}"
        ) from error
    return Plugin(name, package, version, value)


def find_object(kind: str, name: str, wanted: type[T], called: str) -> T | None:
    """The object installed under `name`; None where there is nothing.

    Args:
        kind: One of `KINDS`.
        name: Of the entry point.
        wanted: The class that it must be of.
        called: What an error calls that class.

    Raises:
        SpecError: If it is of another class; see `find_plugin` for others.
    """
    plugin = find_plugin(kind, name)
    if plugin is None or isinstance(plugin.value, wanted):
        return None if plugin is None else plugin.value
    raise SpecError(
        f"{kind}: {name!r} of the package {plugin.package} must be a {called}. "
        f"Received: {plugin.value!r}"
    )


def describe_known(kind: str, built_in: Iterable[str]) -> str:
    """The names that are built in and those that are installed, for an error."""
    known = f"Known: {', '.join(built_in)}."
    found = installed_names(kind)
    return f"{known} Installed: {', '.join(found)}." if found else known


def find_clashes(kind: str, built_in: Iterable[str]) -> list[str]:
    """What is installed under a name that is built in, and so never used; a sentence each."""
    taken = set(built_in)
    return [
        f"{kind}: {point.name!r} of the package {_owner(point)[0]} is not used: "
        "hpsearch has one of that name"
        for point in entry_points(kind)
        if point.name in taken
    ]


def _owner(point: metadata.EntryPoint) -> tuple[str, str]:
    """Name and version of the package that declares an entry point."""
    if point.dist is None:
        return point.value.partition(".")[0], "unknown"
    return point.dist.name, point.dist.version
