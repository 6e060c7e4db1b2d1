"""Suggest every point of a finite space once, in a random order.

Optuna's grid sampler supports neither conditions nor constraints, and repeats points under them.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from ...errors import SpecError
from ...spec.search_space import SearchSpace
from ...trial import Trial, Value, derive_seed
from ..sampler import Sampler
from ..tried_points import PointKey, point_key

MAX_POINTS = 100_000  # largest grid


class GridSampler(Sampler):
    """Suggests every point of a space once, in random order.

    Examples:
        >>> from hpsearch.spec.search_space import Categorical, Int, SearchSpace
        >>> space = SearchSpace((Categorical("optimizer", ("sgd", "adam")), Int("layers", 1, 2)))
        >>> sampler = GridSampler(space, seed=0)
        >>> points = [sampler.ask(number) for number in range(5)]
        >>> [point is None for point in points]
        [False, False, False, False, True]
    """

    def __init__(self, space: SearchSpace, *, seed: int) -> None:
        """Shuffle all feasible points of `space`, so that a small budget covers all values.

        Raises:
            SpecError: If the space is not finite, or larger than `MAX_POINTS`.
        """
        if (reason := explain_no_grid(space)) is not None:
            raise SpecError(reason)
        self._space = space
        self._points = list(space.points())
        Random(derive_seed(seed, "sampler")).shuffle(self._points)
        self._known: set[PointKey] = set()
        self._next = 0

    def ask(self, number: int) -> Mapping[str, Value] | None:
        """See `Sampler`."""
        while self._next < len(self._points):
            point = self._points[self._next]
            self._next += 1
            key = point_key(self._space, point)
            if key not in self._known:
                self._known.add(key)
                return point
        return None

    def tell(self, trial: Trial) -> None:
        """See `Sampler`."""
        self._known.add(point_key(self._space, trial.params))

    def epochs(self, number: int) -> int | None:
        """See `Sampler`."""
        return None


def explain_no_grid(space: SearchSpace) -> str | None:
    """Explain why the space has no grid; None if it has one."""
    endless = list(dict.fromkeys(p.name for p in space if p.size == float("inf")))
    if endless:
        return f"a grid needs listed values: give {', '.join(endless)} a step, or list choices"
    if space.size > MAX_POINTS:
        return f"a grid of {space.size:,.0f} points is too large: at most {MAX_POINTS:,}"
    return None
