"""The samplers by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...errors import SpecError
from ...spec.space import Space
from ..history import Direction
from ..sampler import Sampler


def _tpe(seed: int, space: Space) -> Any:
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed)


def _random(seed: int, space: Space) -> Any:
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


# name -> Optuna's sampler from (seed, space)
OPTUNA: dict[str, Callable[[int, Space], Any]] = {"tpe": _tpe, "random": _random}

SAMPLERS = tuple(sorted(OPTUNA))


def make_sampler(kind: str, space: Space, *, direction: Direction, seed: int) -> Sampler:
    """The sampler called `kind` over `space`.

    Raises:
        SpecError: If there is no such sampler.
    """
    if kind not in OPTUNA:
        raise SpecError(f"sampler {kind!r} does not exist. Known: {', '.join(SAMPLERS)}.")
    from .optuna_sampler import OptunaSampler  # half a second: only when searching

    make = OPTUNA[kind]
    return OptunaSampler(lambda s: make(s, space), space, direction=direction, seed=seed)
