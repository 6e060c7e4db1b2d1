"""Draw some trials from the priors of the search space."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from ...spec.priors import draw_from_prior
from ...spec.search_space import SearchSpace
from ...trial import Trial, Value, derive_seed
from ..sampler import Sampler, make_running_trial

TRUST = 5  # trials after which half of the new ones are drawn from the priors


class PriorSampler(Sampler):
    """Wraps a sampler: a share `TRUST / (TRUST + n)` of its trials is drawn from the priors.

    The sampler learns of these trials as of any others (as in PriorBand: Mallik et al., 2023).

    Examples:
        >>> from hpsearch.search.samplers import make_sampler
        >>> from hpsearch.spec.search_space import Float, SearchSpace
        >>> space = SearchSpace((Float("rate", 1e-5, 1e-1, log=True, prior=1e-3),))
        >>> sampler = make_sampler("random", space, direction="minimize", seed=0)
        >>> type(sampler).__name__, 1e-4 < sampler.ask(0)["rate"] < 1e-2
        ('PriorSampler', True)
    """

    def __init__(self, sampler: Sampler, space: SearchSpace, *, seed: int) -> None:
        """Wrap a sampler over `space`."""
        self._sampler = sampler
        self._space = space
        self._seed = seed
        self._told: set[int] = set()  # numbers whose first point was known

    def ask(self, number: int) -> Mapping[str, Value] | None:
        """See `Sampler`."""
        rng = Random(derive_seed(self._seed, "prior", number))
        if number in self._told or rng.random() >= TRUST / (TRUST + number):
            return self._sampler.ask(number)
        point = draw_from_prior(self._space, rng)
        if point is None:
            return self._sampler.ask(number)
        self._sampler.tell(make_running_trial(number, point))
        return point

    def tell(self, trial: Trial) -> None:
        """See `Sampler`."""
        self._told.add(trial.number)
        self._sampler.tell(trial)

    def epochs(self, number: int) -> int | None:
        """See `Sampler`."""
        return self._sampler.epochs(number)
