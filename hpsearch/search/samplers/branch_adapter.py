"""A hyperparameter with several ranges, for samplers that know one range a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...spec.branches import join_point, split_point
from ...spec.search_space import SearchSpace
from ...trial import Trial, Value
from ..sampler import Sampler


class BranchAdapter:
    """A sampler over `branches.apart(space)` as one over `space`."""

    def __init__(self, sampler: Sampler, space: SearchSpace) -> None:
        """`space` is the one of the suggestions."""
        self._sampler = sampler
        self._space = space

    def ask(self, number: int) -> Mapping[str, Value] | None:
        """See `Sampler`."""
        params = self._sampler.ask(number)
        return None if params is None else join_point(params)

    def tell(self, trial: Trial) -> None:
        """See `Sampler`."""
        self._sampler.tell(replace(trial, params=split_point(self._space, trial.params)))

    def epochs(self, number: int) -> int | None:
        """See `Sampler`."""
        return self._sampler.epochs(number)
