"""Which trials are tried again after their worker died: pure counting.

Trials that train together are lost together, and one of them may be what kills the others. So they
train together once more, and at last each alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

MAX_ATTEMPTS = 3  # how often a trial may take its worker down before it is FAILED


class Retries:
    """The deaths of workers in one run of a study; those of earlier runs are forgiven."""

    def __init__(self, *, in_brackets: bool) -> None:
        """`in_brackets`: trials wait for their companions at rungs, unless one trains alone."""
        self._in_brackets = in_brackets
        self._deaths: Counter[int] = Counter()  # of workers under a trial
        self._lost: set[int] = set()  # until the results of their companions are known
        self._alone: set[int] = set()  # trials that no longer wait for their companions

    def count_loss(self, number: int) -> bool:
        """Take in that a worker died under a trial; whether that was its last attempt."""
        self._deaths[number] += 1
        if self._deaths[number] >= MAX_ATTEMPTS:
            return True
        self._lost.add(number)
        return False

    def next_submissions(self, companions: Sequence[int]) -> list[tuple[int, ...]]:
        """Which trials to submit together now; none until all of `companions` are known to be lost.

        Args:
            companions: Those that trained together and have no result.
        """
        if not companions or not self._lost.issuperset(companions):
            return []
        self._lost.difference_update(companions)
        if max(self._deaths[number] for number in companions) + 1 < MAX_ATTEMPTS:
            return [tuple(companions)]
        if self._in_brackets:
            self._alone.update(companions)
        return [(number,) for number in companions]

    def runs_single(self, number: int) -> bool:
        """Whether a trial does not wait at its rungs."""
        return number in self._alone
