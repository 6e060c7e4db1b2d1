"""Which networks there are, and which hyperparameters each of them reads."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SpecError
from ..trial import Value
from . import mlp

if TYPE_CHECKING:
    import keras

Build = Callable[..., "keras.Model"]  # (params, inputs, outputs) -> an uncompiled network


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of network."""

    name: str
    build: Build
    reads: Mapping[str, Value] | None  # hyperparameter -> default; None: whatever it is given


FAMILIES: dict[str, Family] = {"mlp": Family("mlp", mlp.build, mlp.DEFAULTS)}


def load_family(name: str) -> Family:
    """A family by name, or the user's function given as `FILE.py:FUNCTION` or `MODULE:FUNCTION`.

    Raises:
        SpecError: If there is no such family, file or function.
    """
    if name in FAMILIES:
        return FAMILIES[name]
    if ":" not in name:
        raise SpecError(
            f"model {name!r} does not exist. Known: {', '.join(sorted(FAMILIES))}, "
            "or your own function as FILE.py:FUNCTION."
        )
    return Family(name, load_function(name), None)


def load_function(reference: str) -> Build:
    """The function behind `FILE.py:FUNCTION` or `MODULE:FUNCTION`.

    Raises:
        SpecError: If the file, module or function does not exist.
    """
    place, _, attribute = reference.rpartition(":")
    if place.endswith(".py"):
        path = Path(place)
        if not path.is_file():
            raise SpecError(f"{reference}: there is no file {place}")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        try:
            module = importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise SpecError(f"{reference}: {error}") from error
    function = getattr(module, attribute, None)
    if not callable(function):
        raise SpecError(f"{reference}: {place} has no function {attribute!r}")
    return function  # type: ignore[no-any-return]
