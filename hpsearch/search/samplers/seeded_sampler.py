"""Try given points first, and use trials of another study from the start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...trial import Trial, Value
from ..sampler import Sampler, ask_many, make_running_trial


class SeededSampler:
    """Wraps a sampler: its first trials are given, and it knows trials of another study.

    Examples:
        >>> from hpsearch.search.samplers import make_sampler
        >>> from hpsearch.spec.search_space import Int, SearchSpace
        >>> space = SearchSpace((Int("layers", 1, 3),))
        >>> inner = make_sampler("random", space, direction="minimize", seed=0, epochs=5)
        >>> sampler = SeededSampler(inner, [{"layers": 2}])
        >>> sampler.ask(0)
        {'layers': 2}
        >>> sampler.ask(1)["layers"] in (1, 2, 3)
        True
    """

    def __init__(
        self,
        sampler: Sampler,
        points: Sequence[Mapping[str, Value]],
        elsewhere: Sequence[Trial] = (),
    ) -> None:
        """Make `points` the trials 0, 1, ...; trials from `elsewhere` get negative numbers."""
        self._sampler = sampler
        self._points = points
        for place, trial in enumerate(elsewhere):
            sampler.tell(replace(trial, number=place - len(elsewhere)))

    def ask(self, number: int) -> Mapping[str, Value] | None:
        """See `Sampler`."""
        if number >= len(self._points):
            return self._sampler.ask(number)
        point = self._points[number]
        self._sampler.tell(make_running_trial(number, point))
        return point

    def ask_many(self, number: int, count: int) -> list[Mapping[str, Value]]:
        """See `Sampler`."""
        end = number + count
        given = range(number, min(end, len(self._points)))
        points = [point for each in given if (point := self.ask(each)) is not None]
        return points + ask_many(self._sampler, number + len(given), count - len(given))

    def tell(self, trial: Trial) -> None:
        """See `Sampler`."""
        self._sampler.tell(trial)

    def epochs(self, number: int) -> int | None:
        """See `Sampler`."""
        return None if number < len(self._points) else self._sampler.epochs(number)
