"""Describe a function passed from Python by its source and all that it uses.

The digest of the description names the file of the function, so it must be equal in every process,
and differ if any value differs: an array in a closure, or an argument of a `functools.partial`.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import pickle
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

# Packages whose objects have the same pickle in every process.
PICKLED = ("datetime", "decimal", "fractions", "numpy", "pandas", "pathlib", "polars", "pyarrow")
PLAIN = (bool, int, float, complex, str, bytes, type(None))


def describe_function(function: Any) -> Iterator[str]:
    """Collect the source of a function, and what it uses of its module."""
    yield from _Description(find_module_name(function)).describe(function)


def find_module_name(function: Any) -> str:
    """Return the module of a function, of a partial one or a method, or of an instance's class."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, types.MethodType):
            function = function.__func__
        else:
            return getattr(function, "__module__", "") or ""


class _Description:
    def __init__(self, module: str) -> None:
        self._module = module  # whose functions and classes are described by their source
        self._seen: set[int] = set()

    def describe(self, found: Any) -> Iterator[str]:
        if _is_plain(found):
            yield repr(found)
            return
        if id(found) in self._seen or isinstance(found, types.ModuleType):
            return
        self._seen.add(id(found))
        if isinstance(found, functools.partial):
            yield from self._describe_parts("partial", [found.func, found.args, found.keywords])
        elif isinstance(found, types.MethodType):
            yield from self._describe_parts("method", [found.__func__, found.__self__])
        elif isinstance(found, type | types.FunctionType):
            if found.__module__ == self._module:
                yield from self._describe_source(found)
        elif isinstance(found, Mapping):
            for key, value in sorted(found.items(), key=lambda item: repr(item[0])):
                yield from self._describe_parts(f"key {key!r}", [value])
        elif isinstance(found, list | tuple | set | frozenset):
            ordered = found if isinstance(found, list | tuple) else sorted(found, key=repr)
            yield from self._describe_parts(type(found).__name__, list(ordered))
        elif type(found).__module__.startswith("keras.") and hasattr(found, "get_config"):
            config = json.dumps(found.get_config(), sort_keys=True, default=str)
            yield f"{type(found).__qualname__} {config}"
        elif type(found).__module__ == self._module:
            yield from self._describe_instance(found)
        else:
            yield _compute_digest(found)

    def _describe_parts(self, what: str, parts: list[Any]) -> Iterator[str]:
        yield f"{what} of {len(parts)}"
        for part in parts:
            yield from self.describe(part)

    def _describe_instance(self, found: Any) -> Iterator[str]:
        yield from self.describe(type(found))
        own = sorted(getattr(found, "__dict__", {}).items())
        yield repr({name: value for name, value in own if _is_plain(value)})
        for name, value in own:
            if not _is_plain(value):
                yield from self._describe_parts(f".{name}", [value])

    def _describe_source(self, found: Any) -> Iterator[str]:
        yield get_source(found)
        if isinstance(found, type):
            for part in vars(found).values():
                yield from self._describe_used(getattr(part, "__func__", part))
        else:
            yield from self._describe_used(found)

    def _describe_used(self, function: Any) -> Iterator[str]:
        """Describe the defaults, globals and closure variables of a function."""
        if not isinstance(function, types.FunctionType):
            return
        if defaults := (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).items()):
            yield f"{function.__name__}: defaults {defaults!r}"
        closure = inspect.getclosurevars(function)
        for name, value in sorted({**closure.globals, **closure.nonlocals}.items()):
            if _is_plain(value):
                yield f"{name} = {value!r}"
            else:
                yield from self.describe(value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | frozenset):
        return all(map(_is_plain, value))
    return isinstance(value, PLAIN)


def _compute_digest(value: Any) -> str:
    """Describe an array or another object by the digest of its contents."""
    import numpy as np

    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    content = b""
    if hasattr(value, "__array__") and not (array := np.asarray(value)).dtype.hasobject:
        content = f"{array.shape} {array.dtype}".encode() + np.ascontiguousarray(array).tobytes()
    elif kind.partition(".")[0] in PICKLED:
        content = pickle.dumps(value, protocol=4)
    return f"{kind} {hashlib.sha256(content).hexdigest()[:16]}" if content else kind


def get_source(found: Callable[..., Any] | type) -> str:
    """Return the source of a function or class, or what tells it apart without one."""
    try:
        return textwrap.dedent(inspect.getsource(found))
    except (OSError, TypeError):  # typed at a prompt that keeps no lines
        code = getattr(found, "__code__", None)
        return repr((found.__name__, code and (code.co_code, code.co_consts, code.co_names)))
