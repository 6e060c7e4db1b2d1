"""Synchronous successive halving: a bracket of trials is one population from rung to rung.

Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization",
2016. All trials of a bracket reach a rung before any continues, so the best are kept for
certain. The vectorized trainer trains the bracket as one program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...history import History
from ...trial import Trial
from .rungs import count_survivors, halving_rungs, rank_trials


class Halving:
    """Brackets of eta² trials by their numbers: rungs at 1/eta² and 1/eta of the epochs.

    With few epochs a bracket is eta trials with one rung. The last bracket of a budget may be
    smaller; its best 1/eta continue from each rung, too.

    Examples:
        >>> pruner = Halving(epochs=27, eta=3, min_epochs=3)
        >>> pruner.bracket, pruner.rungs(number=0, epochs=27)
        (9, (3, 9))
    """

    def __init__(self, *, epochs: int, eta: int = 3, min_epochs: int = 3) -> None:
        """Brackets for trials of at most `epochs`; no rung before `min_epochs`."""
        self._eta = eta
        self._rungs = halving_rungs(epochs, eta, min_epochs)
        self.bracket = eta ** len(self._rungs)

    def rungs(self, number: int, epochs: int) -> tuple[int, ...]:
        """See `Pruner`."""
        return tuple(rung for rung in self._rungs if rung < epochs)

    def verdicts(self, waiting: Sequence[Trial], history: History) -> Mapping[int, bool]:
        """See `Pruner`. Decides when the last trial of a bracket has reached the rung."""
        verdicts = {}
        for trial in waiting:
            own = trial.number // self.bracket
            members = [t for t in history.trials if t.number // self.bracket == own]
            if all(t.is_finished or t.n_epochs >= trial.n_epochs for t in members):
                verdicts[trial.number] = trial.number not in self._survivors(
                    members, trial.n_epochs, history
                )
        return verdicts

    def _survivors(self, members: Sequence[Trial], rung: int, history: History) -> list[int]:
        """Return the best trials at a rung."""
        halvings = self._rungs.index(rung) + 1
        n_survivors = count_survivors(len(members), self._eta**halvings)
        return rank_trials(members, rung, history)[:n_survivors]
