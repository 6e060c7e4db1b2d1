"""The samplers by name."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import SpecError
from ...spec.space import Categorical, Space
from ...trial import Direction, derive_seed
from ..sampler import Sampler
from .optuna_sampler import MakeSampler, OptunaSampler, distribution, stored


def _tpe(seed: int, space: Space) -> MakeSampler:
    from optuna.samplers import TPESampler

    return lambda number: TPESampler(seed=derive_seed(seed, "sampler", number))


def _random(seed: int, space: Space) -> MakeSampler:
    from optuna.samplers import RandomSampler

    return lambda number: RandomSampler(seed=derive_seed(seed, "sampler", number))


def _gp(seed: int, space: Space) -> MakeSampler:
    from ..gp import GaussianProcessSampler, Parameter

    parents = {p.name: p for p in space}
    declared = [
        Parameter(
            p.name,
            distribution(p),
            {
                name: tuple(stored(parents[name], value) for value in values)
                for name, values in p.when.items()
            },
            meaning=p.choices if isinstance(p, Categorical) else None,
        )
        for p in space
    ]
    sampler = GaussianProcessSampler(seed=derive_seed(seed, "sampler"), space=declared)
    return lambda number: sampler  # its draws depend on the trial's number by themselves


OPTUNA: dict[str, Callable[[int, Space], MakeSampler]] = {
    "gp": _gp,
    "random": _random,
    "tpe": _tpe,
}

SAMPLERS = tuple(sorted(OPTUNA))


def make_sampler(kind: str, space: Space, *, direction: Direction, seed: int) -> Sampler:
    """The sampler called `kind` over `space`.

    Raises:
        SpecError: If there is no such sampler.
    """
    if kind not in OPTUNA:
        raise SpecError(f"sampler {kind!r} does not exist. Known: {', '.join(SAMPLERS)}.")
    return OptunaSampler(OPTUNA[kind](seed, space), space, direction=direction)
