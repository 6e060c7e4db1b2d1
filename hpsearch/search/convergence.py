"""Stop a search when more trials are not expected to find a better score than noise allows.

The criterion compares the expected gain with the error of the cross-validated score, as in
Makarova et al., "Automatic termination for hyperparameter optimization", 2022, who bound the gain
instead of estimating it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..history import History
from ..spec.branches import merge_ranges
from ..spec.search_space import SearchSpace
from ..trial import Direction, Trial, is_score, orient

logger = logging.getLogger("hpsearch.search")

CONVERGED = "converged"  # the cause in `SearchEnded`
PATIENCE = 10  # finished trials since the best one, before which a search never converges
INTERVAL = 5  # finished trials between two checks, each of which fits the process


@dataclass
class Convergence:
    """Decides whether a search has converged; depends only on the seed and the ended trials.

    A search converges if no trial has been better for `PATIENCE` finished ones, and the expected
    gain of the best point of the space over the best one tried is at most the standard error of
    its score. The gain is that of the Gaussian process of the sampler `gp`, whatever the sampler.
    It also converges with a score that no other can exceed. This is checked after every `INTERVAL`
    finished trials; trials that were running then do not change the outcome, unless one of them is
    the best.

    Args:
        space: The search space.
        seed: The study's seed.
        optimum: The best possible score; None: unknown.
    """

    space: SearchSpace
    seed: int
    optimum: float | None = None
    _n_checked: int = field(default=0, init=False)  # finished trials at the last check
    _converged: tuple[int, str] | None = field(default=None, init=False)  # best trial, reason

    def describe(self, history: History) -> str | None:
        """Describe in one line why the search has converged; None if it has not."""
        if history.end is not None and history.end.cause == CONVERGED:
            return history.end.reason
        best = history.best
        if best is None:
            return None
        if self._converged is not None and self._converged[0] == best.number:
            return self._converged[1]
        ended = [t for t in history.ended if t.number not in history.outside]
        n_finished = len(ended) // INTERVAL * INTERVAL
        if n_finished == self._n_checked:
            return None
        self._n_checked = n_finished
        reason = self._check(ended[:n_finished], history.direction)
        self._converged = None if reason is None else (best.number, reason)
        return reason

    def _check(self, ended: Sequence[Trial], direction: Direction) -> str | None:
        """Describe why a search has converged with these finished trials; None if it has not."""
        ranked = [i for i, t in enumerate(ended) if t.state == "COMPLETE" and is_score(t.score)]
        if not ranked:
            return None
        index = max(ranked, key=lambda i: (orient(ended[i].score or 0.0, direction), -i))
        best = ended[index]
        if best.score == self.optimum:
            return f"no score is better than {best.score:g}, that of trial {best.number}"
        if len(ended) - 1 - index < PATIENCE or best.spread is None or not best.fold_scores:
            return None
        from .samplers.gp_beliefs import fit_ended_trials

        model = fit_ended_trials(merge_ranges(self.space), ended, direction)
        if model is None:
            return None
        gain = model.expected_gain(np.random.default_rng([self.seed, len(ended)]))
        error = best.spread / math.sqrt(len(best.fold_scores))
        logger.info("expected gain %.3g, standard error of the best score %.3g", gain, error)
        if gain > error:
            return None
        return (
            f"the best score is expected to improve by {gain:.2g} at most, which is within its "
            f"standard error of {error:.2g}"
        )
