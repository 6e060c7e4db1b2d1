"""The protocol of a pruner: it says which trials are not worth their next epochs.

A trial trains to its next rung and waits there for a verdict, so a verdict never comes an epoch
late. It rests on the study's history and on nothing else: a study that was resumed decides as one
that never stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..history import History
from ..trial import Trial


class Pruner(Protocol):
    """What ends trials before their last epoch. Pure: it remembers nothing that matters."""

    bracket: int  # trials that are asked and trained together, as numbers 0 to bracket - 1 and on

    def rungs(self, number: int, epochs: int) -> tuple[int, ...]:
        """After how many finished epochs trial `number` waits for a verdict: ascending.

        Each lies below `epochs`, the trial's last one, after which there is nothing to decide.
        """
        ...

    def verdicts(self, waiting: Sequence[Trial], history: History) -> Mapping[int, bool]:
        """Whether each trial is pruned, by its number; one that is left out goes on waiting.

        Args:
            waiting: Trials of `history` that stand at a rung, after their last epoch so far.
            history: The study, these trials included.
        """
        ...


class NoPruner:
    """Every trial trains to its own end."""

    bracket = 1

    def rungs(self, number: int, epochs: int) -> tuple[int, ...]:
        """See `Pruner`."""
        return ()

    def verdicts(self, waiting: Sequence[Trial], history: History) -> Mapping[int, bool]:
        """See `Pruner`."""
        return {trial.number: False for trial in waiting}
