"""The protocol of a sampler: it is asked for points of a space and told what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..history import Trial
from ..trial import Value


class Sampler(Protocol):
    """What proposes trials.

    A suggestion depends on the study's seed, the trial's number and what was told before, and on
    nothing else: a sampler that was made anew and told the same trials goes on the same way.
    """

    def ask(self, number: int) -> Mapping[str, Value] | None:
        """The params of trial `number`, active ones only; None where the space is exhausted."""
        ...

    def tell(self, trial: Trial) -> None:
        """Take in a trial: a finished one, or a running one that was asked in an earlier life."""
        ...
