"""The protocol of a sampler: it is asked for points of a space and told their results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from ..trial import Trial, Value


class Sampler(Protocol):
    """What proposes trials.

    A suggestion depends on the study's seed, the trial's number and what was told before, and on
    nothing else: a sampler that was made anew and told the same, in the same order, goes on the
    same way.
    """

    def ask(self, number: int) -> Mapping[str, Value] | None:
        """The params of trial `number`, active ones only; None where the space is exhausted.

        A number is asked for again where its first point turned out to be known: that one is
        told as ended before.
        """
        ...

    def ask_many(self, number: int, count: int) -> list[Mapping[str, Value]]:
        """The params of `count` trials from `number` on: what as many calls of `ask` propose.

        Fewer where the space is exhausted. Nothing is told meanwhile, so a sampler may share work
        between them. One that inherits this class and has no other way asks one by one.
        """
        found: list[Mapping[str, Value]] = []
        for each in range(number, number + count):
            params = self.ask(each)
            if params is None:
                break
            found.append(params)
        return found

    def tell(self, trial: Trial) -> None:
        """Take in a trial: one that has ended, or one that is running and was asked for elsewhere.

        Of a trial of an earlier run there are the means over the folds, and no curve of a fold.
        With several objectives `trial.values` holds them, else `trial.score` does.
        """
        ...

    def epochs(self, number: int) -> int | None:
        """How long trial `number` is trained, where the sampler decides it; asked after `ask`."""
        ...


def ask_many(sampler: Sampler, number: int, count: int) -> list[Mapping[str, Value]]:
    """`sampler.ask_many`, or one by one where a sampler of another package has none."""
    if not hasattr(sampler, "ask_many"):
        return Sampler.ask_many(sampler, number, count)
    return sampler.ask_many(number, count)


def make_running_trial(number: int, params: Mapping[str, Value], *, epochs: int = 0) -> Trial:
    """A trial that has just begun."""
    return Trial(number, 0, params, seed=0, epochs=epochs, asked=0, state="RUNNING")


def copy_known_trial(known: Trial, number: int, *, had_ended: bool) -> Trial:
    """A trial whose params were known: it ends as the known one did, or says nothing so far."""
    if had_ended:
        return replace(known, number=number)
    return replace(make_running_trial(number, known.params, epochs=known.epochs), state="FAILED")
