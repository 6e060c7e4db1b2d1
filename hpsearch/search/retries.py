"""Decide which trials are retried after their worker died.

Trials that train together are lost together, and one of them may be the cause. So they are first
retried together, and finally one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

MAX_ATTEMPTS = 3  # worker deaths after which a trial is FAILED


class Retries:
    """Counts the deaths of workers in one run of a study; earlier runs are not counted."""

    def __init__(self, *, in_brackets: bool) -> None:
        """`in_brackets`: trials wait for their companions at rungs, unless one trains alone."""
        self._in_brackets = in_brackets
        self._deaths: Counter[int] = Counter()  # worker deaths per trial
        self._lost: set[int] = set()  # waiting for the results of their companions
        self._alone: set[int] = set()  # trials that no longer wait for their companions

    def count_loss(self, number: int) -> bool:
        """Count a worker's death during a trial; returns whether it was the last attempt."""
        self._deaths[number] += 1
        if self._deaths[number] >= MAX_ATTEMPTS:
            return True
        self._lost.add(number)
        return False

    def next_submissions(self, companions: Sequence[int]) -> list[tuple[int, ...]]:
        """Return trials to submit together; empty until all `companions` are known to be lost.

        Args:
            companions: Trials of the same population without a result.
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
