"""Successive halving beside the latest trials instead of a bracket, so that no trial waits.

Asynchronous halving (`asha`) compares a trial with all earlier ones. While the sampler improves,
most new trials are among the best third of these, and go on. Here, as in a bracket of `halving`, a
trial competes with those that were proposed at about the same time; but it need not wait for the
last of them. Figures are in benchmarks/pruners.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from ...history import History
from ...trial import Trial
from .rungs import count_survivors, halving_rungs, is_at_rung, rank_trials


class RollingHalving:
    """Continues the best 1/eta of the latest eta² trials at a rung; rungs as in `Halving`.

    Examples:
        >>> pruner = RollingHalving(epochs=27, eta=3, min_epochs=3)
        >>> pruner.bracket, pruner.rungs(number=0, epochs=27)
        (1, (3, 9))
    """

    bracket = 1

    def __init__(self, *, epochs: int, eta: int = 3, min_epochs: int = 3) -> None:
        """Rungs for trials of at most `epochs`; none before `min_epochs`."""
        self._eta = eta
        self._rungs = halving_rungs(epochs, eta, min_epochs)

    def rungs(self, number: int, epochs: int) -> tuple[int, ...]:
        """See `Pruner`."""
        return tuple(rung for rung in self._rungs if rung < epochs)

    def verdicts(self, waiting: Sequence[Trial], history: History) -> Mapping[int, bool]:
        """See `Pruner`."""
        return {trial.number: not self._survives(trial, history) for trial in waiting}

    def _survives(self, trial: Trial, history: History) -> bool:
        rung = trial.n_epochs
        others = (t for t in reversed(history.trials) if t is not trial)
        at_rung = (t for t in others if is_at_rung(t, rung, history))
        members = [trial, *islice(at_rung, self._eta**2 - 1)]
        ranked = rank_trials(members, rung, history)
        return trial.number in ranked[: count_survivors(len(ranked), self._eta)]
