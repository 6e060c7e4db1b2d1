"""The protocol of samplers: `ask` suggests points, `tell` receives results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from ..trial import Trial, Value


class Sampler(Protocol):
    """Suggests the hyperparameters of trials.

    A suggestion depends only on the study's seed, the trial's number and the earlier calls of
    `tell`: a new sampler that receives the same calls in the same order continues identically.
    """

    def ask(self, number: int) -> Mapping[str, Value] | None:
        """Suggest the active params of trial `number`; None if the space is exhausted.

        The same number is asked for again if its first point was tried before; `tell` is then
        called with that trial first.
        """
        ...

    def ask_many(self, number: int, count: int) -> list[Mapping[str, Value]]:
        """Suggest the params of `count` trials from `number` on, as repeated calls of `ask` would.

        Returns fewer if the space is exhausted. No trial is told in between, so a sampler may share
        work between them; the default calls `ask` repeatedly.
        """
        found: list[Mapping[str, Value]] = []
        for each in range(number, number + count):
            params = self.ask(each)
            if params is None:
                break
            found.append(params)
        return found

    def tell(self, trial: Trial) -> None:
        """Receive an ended trial, or one that is running and was created elsewhere.

        Trials of earlier runs only have means over the folds, no curves per fold. The result is
        in `trial.score`, or in `trial.values` for several objectives.
        """
        ...

    def epochs(self, number: int) -> int | None:
        """Return the epochs of trial `number` if the sampler decides them; called after `ask`."""
        ...


def ask_many(sampler: Sampler, number: int, count: int) -> list[Mapping[str, Value]]:
    """Call `sampler.ask_many`, or `ask` repeatedly if a plugin has no such method."""
    if not hasattr(sampler, "ask_many"):
        return Sampler.ask_many(sampler, number, count)
    return sampler.ask_many(number, count)


def make_running_trial(number: int, params: Mapping[str, Value], *, epochs: int = 0) -> Trial:
    """Make a running trial."""
    return Trial(number, 0, params, seed=0, epochs=epochs, asked=0, state="RUNNING")


def copy_known_trial(known: Trial, number: int, *, had_ended: bool) -> Trial:
    """Copy the result of an earlier trial with the same params, if it has one."""
    if had_ended:
        return replace(known, number=number)
    return replace(make_running_trial(number, known.params, epochs=known.epochs), state="FAILED")
