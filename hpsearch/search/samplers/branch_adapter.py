"""Support hyperparameters with several ranges in samplers that allow one range per name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...spec.branches import join_point, split_point
from ...spec.search_space import SearchSpace
from ...trial import Trial, Value
from ..sampler import Sampler, ask_many


class BranchAdapter:
    """Presents a sampler over `branches.split_branches(space)` as a sampler over `space`.

    Examples:
        >>> from hpsearch.search.samplers import GridSampler
        >>> from hpsearch.spec.branches import split_branches
        >>> from hpsearch.spec.search_space import Categorical, Int, SearchSpace
        >>> kinds = Categorical("kind", ("small", "large"))
        >>> small = Int("units", 1, 2, when={"kind": ("small",)})
        >>> large = Int("units", 8, 9, when={"kind": ("large",)})
        >>> space = SearchSpace((kinds, small, large))
        >>> sampler = BranchAdapter(GridSampler(split_branches(space), seed=0), space)
        >>> sorted(sampler.ask(number)["units"] for number in range(4))
        [1, 2, 8, 9]
    """

    def __init__(self, sampler: Sampler, space: SearchSpace) -> None:
        """Wrap a sampler; suggestions are points of `space`."""
        self._sampler = sampler
        self._space = space

    def ask(self, number: int) -> Mapping[str, Value] | None:
        """See `Sampler`."""
        params = self._sampler.ask(number)
        return None if params is None else join_point(params)

    def ask_many(self, number: int, count: int) -> list[Mapping[str, Value]]:
        """See `Sampler`."""
        return [join_point(params) for params in ask_many(self._sampler, number, count)]

    def tell(self, trial: Trial) -> None:
        """See `Sampler`."""
        self._sampler.tell(replace(trial, params=split_point(self._space, trial.params)))

    def epochs(self, number: int) -> int | None:
        """See `Sampler`."""
        return self._sampler.epochs(number)
