"""Which points of a finite space were tried, so that none is trained twice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random

from ..spec.search_space import Categorical, Float, Parameter, SearchSpace
from ..trial import Trial, Value, derive_seed

PointKey = tuple[tuple[str, int | float | str], ...]  # equal for equal points

MAX_DRAWS = 100  # random points, before the untried ones are looked for one by one
MAX_ENUMERATED = 20_000  # points of a space that are counted


def point_key(space: SearchSpace, params: Mapping[str, Value]) -> PointKey:
    """One key a point: equal where all its parameters are. What the space lacks is ignored."""
    return tuple((p.name, _value_key(p, params[p.name])) for p in space.iter_active(params))


def _value_key(p: Parameter, value: Value) -> int | float | str:
    """A value without its rounding error, and with its type: 1 and True are different choices."""
    if isinstance(p, Categorical):
        return repr(value)
    assert isinstance(value, int | float)
    if isinstance(p, Float) and p.step is not None:
        return round((value - p.low) / p.step)
    return value


class TriedPoints:
    """The points that were tried or are being tried. Of an infinite space it keeps none."""

    def __init__(self, space: SearchSpace) -> None:
        """Nothing was tried yet."""
        self._space = space
        self.is_finite = math.isfinite(space.size)
        self._tried: dict[PointKey, tuple[int, int]] = {}  # -> trial, its epochs at most
        self._total = math.inf  # points that there are, where they are few enough to count
        if space.size <= MAX_ENUMERATED:
            self._total = sum(1 for _ in space.points())

    def add(self, trial: Trial) -> None:
        """Keep a trial's point in mind."""
        if self.is_finite:
            key = point_key(self._space, trial.params)
            before = self._tried.get(key)
            if before is None or before[1] < trial.epochs:
                self._tried[key] = (trial.number, trial.epochs)

    def find(self, params: Mapping[str, Value], epochs: int) -> int | None:
        """The trial that had the same point, and as many epochs; None where there is none."""
        if not self.is_finite:
            return None
        number, trained = self._tried.get(point_key(self._space, params), (-1, -1))
        return number if number >= 0 and trained >= epochs else None

    @property
    def is_full(self) -> bool:
        """Whether every point is known."""
        return len(self._tried) >= self._total

    def find_untried(self, *seed: int | str) -> dict[str, Value] | None:
        """A feasible point that was not tried, at random; None where there is none."""
        rng = Random(derive_seed(*seed))
        for _ in range(MAX_DRAWS):
            params = self._space.draw(rng)
            if self._is_new(params) and self._space.find_broken_constraint(params) is None:
                return params
        return next((point for point in self._space.points() if self._is_new(point)), None)

    def _is_new(self, params: Mapping[str, Value]) -> bool:
        return point_key(self._space, params) not in self._tried
