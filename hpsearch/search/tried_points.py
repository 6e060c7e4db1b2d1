"""Record the tried points of a finite space, so that none is trained twice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random

from ..spec.search_space import Categorical, Float, Parameter, SearchSpace
from ..trial import Trial, Value, derive_seed

PointKey = tuple[tuple[str, int | float | str], ...]  # key of a point

MAX_DRAWS = 100  # random draws before untried points are enumerated
MAX_ENUMERATED = 20_000  # largest size of a space that is counted


def point_key(space: SearchSpace, params: Mapping[str, Value]) -> PointKey:
    """Return a key that is equal for equal points; names outside the space are ignored."""
    return tuple((p.name, _value_key(p, params[p.name])) for p in space.iter_active(params))


def _value_key(p: Parameter, value: Value) -> int | float | str:
    """Return a rounded value with its type; 1 and True are different choices."""
    if isinstance(p, Categorical):
        return repr(value)
    assert isinstance(value, int | float)
    if isinstance(p, Float) and p.step is not None:
        return round((value - p.low) / p.step)
    return value


class TriedPoints:
    """The points of finished and running trials; empty for an infinite space."""

    def __init__(self, space: SearchSpace) -> None:
        """Create an empty record."""
        self._space = space
        self.is_finite = math.isfinite(space.size)
        self._tried: dict[PointKey, tuple[int, int]] = {}  # -> trial, maximum epochs
        self._total = math.inf  # size of the space, if small enough to count
        if space.size <= MAX_ENUMERATED:
            self._total = sum(1 for _ in space.points())

    def add(self, trial: Trial) -> None:
        """Add a trial's point."""
        if self.is_finite:
            key = point_key(self._space, trial.params)
            before = self._tried.get(key)
            if before is None or before[1] < trial.epochs:
                self._tried[key] = (trial.number, trial.epochs)

    def find(self, params: Mapping[str, Value], epochs: int) -> int | None:
        """Find a trial with the same point and at least as many epochs; None if there is none."""
        if not self.is_finite:
            return None
        number, trained = self._tried.get(point_key(self._space, params), (-1, -1))
        return number if number >= 0 and trained >= epochs else None

    @property
    def is_full(self) -> bool:
        """Whether all points were tried."""
        return len(self._tried) >= self._total

    def find_untried(self, *seed: int | str) -> dict[str, Value] | None:
        """Draw a random untried feasible point; None if there is none."""
        rng = Random(derive_seed(*seed))
        for _ in range(MAX_DRAWS):
            params = self._space.draw(rng)
            if self._is_new(params) and self._space.find_broken_constraint(params) is None:
                return params
        return next((point for point in self._space.points() if self._is_new(point)), None)

    def _is_new(self, params: Mapping[str, Value]) -> bool:
        return point_key(self._space, params) not in self._tried
