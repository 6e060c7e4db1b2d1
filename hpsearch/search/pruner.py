"""The protocol of pruners, which stop unpromising trials.

A trial trains to its next rung and waits there for a verdict, so a verdict is never late. Verdicts
depend only on the study's history, so a resumed study decides as an uninterrupted one does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..history import History
from ..trial import Trial


class Pruner(Protocol):
    """Stops trials before their last epoch. Stateless: decisions depend on arguments only."""

    bracket: int  # number of consecutive trials that are created and trained together

    def rungs(self, number: int, epochs: int) -> tuple[int, ...]:
        """Return the numbers of finished epochs after which trial `number` waits, ascending.

        Each is less than `epochs`, the length of the trial.
        """
        ...

    def verdicts(self, waiting: Sequence[Trial], history: History) -> Mapping[int, bool]:
        """Decide by number whether trials are pruned; omitted trials keep waiting.

        Args:
            waiting: Trials of `history` that wait at a rung.
            history: The study's history, including these trials.
        """
        ...


class NoPruner:
    """Never prunes."""

    bracket = 1

    def rungs(self, number: int, epochs: int) -> tuple[int, ...]:
        """See `Pruner`."""
        return ()

    def verdicts(self, waiting: Sequence[Trial], history: History) -> Mapping[int, bool]:
        """See `Pruner`."""
        return {trial.number: False for trial in waiting}
