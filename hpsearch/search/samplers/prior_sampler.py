"""Draw some trials from the priors of the search space."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from ...param_encoding import encode_value
from ...spec.priors import draw_from_prior
from ...spec.search_space import SearchSpace
from ...trial import Direction, Trial, Value, derive_seed
from ..sampler import Sampler, make_running_trial
from .optuna_kinds import make_model_parameters

if TYPE_CHECKING:
    from ..gp.axes import Array

TRUST = 5  # trials after which half of the new ones are drawn from the priors


class PriorSampler(Sampler):
    """Wraps a sampler: a share `TRUST / (TRUST + n)` of its trials is drawn from the priors.

    It is 0 while the scores contradict the priors. The sampler learns of these trials as of any
    others (as in PriorBand: Mallik et al., 2023).

    Examples:
        >>> from hpsearch.search.samplers import make_sampler
        >>> from hpsearch.spec.search_space import Float, SearchSpace
        >>> space = SearchSpace((Float("rate", 1e-5, 1e-1, log=True, prior=1e-3),))
        >>> sampler = make_sampler("random", space, direction="minimize", seed=0)
        >>> type(sampler).__name__, 1e-4 < sampler.ask(0)["rate"] < 1e-2
        ('PriorSampler', True)
    """

    def __init__(
        self, sampler: Sampler, space: SearchSpace, *, direction: Direction, seed: int
    ) -> None:
        """Wrap a sampler over `space`; `direction` is that of the score."""
        from ..gp import ModelSpace

        self._sampler = sampler
        self._space = space
        self._model = ModelSpace(make_model_parameters(space))
        self._sign = -1.0 if direction == "maximize" else 1.0
        self._seed = seed
        self._told: set[int] = set()  # numbers whose first point was known
        self._points: list[Array] = []  # of ended trials, shape (n_parameters,) each
        self._scores: list[float] = []  # theirs; smaller is better, infinite without one

    def ask(self, number: int) -> Mapping[str, Value] | None:
        """See `Sampler`."""
        rng = Random(derive_seed(self._seed, "prior", number))
        is_due = number not in self._told and rng.random() < TRUST / (TRUST + number)
        point = draw_from_prior(self._space, rng) if is_due and self._trusts_priors() else None
        if point is None:
            return self._sampler.ask(number)
        self._sampler.tell(make_running_trial(number, point))
        return point

    def tell(self, trial: Trial) -> None:
        """See `Sampler`."""
        self._told.add(trial.number)
        if trial.is_finished:
            known = [(p, trial.params[p.name]) for p in self._space if p.name in trial.params]
            self._points.append(self._model.encode({p.name: encode_value(p, v) for p, v in known}))
            score = math.inf if trial.score is None else self._sign * trial.score
            self._scores.append(score if math.isfinite(score) else math.inf)
        self._sampler.tell(trial)

    def epochs(self, number: int) -> int | None:
        """See `Sampler`."""
        return self._sampler.epochs(number)

    def _trusts_priors(self) -> bool:
        points = np.array(self._points).reshape(-1, len(self._model))
        return not self._model.contradicts_priors(points, self._scores)
