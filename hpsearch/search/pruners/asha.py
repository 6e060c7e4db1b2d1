"""Asynchronous successive halving (ASHA), and Hyperband with ASHA brackets.

Li et al., "A System for Massively Parallel Hyperparameter Tuning" (ASHA), 2020, in the variant that
decides when a trial reaches a rung, as Optuna's `SuccessiveHalvingPruner` does; Li et al.,
"Hyperband", 2018. Implemented here because Optuna stores the state of rungs, while here it must
follow from the curves. Two differences: a trial is ranked by its best epoch so far, which is how it
is scored, and a trial that stopped early is still ranked at later rungs.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence

from ...history import History
from ...trial import Trial, derive_seed
from .rungs import (
    count_better,
    count_survivors,
    dominated_share,
    geometric_rungs,
    other_trials,
    score_after,
)

logger = logging.getLogger("hpsearch.search")

MAX_DOMINATING = 0.03  # share of the trials at a rung; chosen on the tasks of benchmarks/objectives


class Asha:
    """Continues the best 1/eta of the trials that have reached a rung so far.

    Examples:
        >>> from hpsearch.testing.pruners import Replay, rising_curves
        >>> pruner = Asha(eta=3, min_epochs=3)
        >>> pruner.rungs(number=0, epochs=50)
        (3, 9, 27)
        >>> Replay(pruner, rising_curves(6)).lengths  # epochs of six trials of at most 27
        [27, 3, 3, 3, 27, 3]
    """

    bracket = 1

    def __init__(self, *, eta: int = 3, min_epochs: int = 3) -> None:
        """Rungs after `min_epochs`, `min_epochs * eta`, … epochs."""
        self._eta = eta
        self._min_epochs = min_epochs

    def rungs(self, number: int, epochs: int) -> tuple[int, ...]:
        """See `Pruner`."""
        return geometric_rungs(self._min_epochs, self._eta, epochs)

    def verdicts(self, waiting: Sequence[Trial], history: History) -> Mapping[int, bool]:
        """See `Pruner`."""
        return {
            trial.number: is_behind_peers(
                trial, other_trials(trial, history.trials), history, eta=self._eta
            )
            for trial in waiting
        }


class Hyperband:
    """Several `Asha` brackets with increasing first rungs; each trial belongs to one.

    Bracket sizes follow Hyperband; trials are assigned by a hash of their number, as in Optuna.

    Examples:
        >>> pruner = Hyperband(epochs=27, eta=3, min_epochs=3)
        >>> sorted({pruner.rungs(number, epochs=27) for number in range(20)})
        [(), (3, 9), (9,)]
    """

    bracket = 1

    def __init__(self, *, epochs: int, eta: int = 3, min_epochs: int = 3, seed: int = 0) -> None:
        """Brackets for trials of at most `epochs`."""
        self._eta = eta
        self._seed = seed
        self._firsts = [min_epochs, *geometric_rungs(min_epochs * eta, eta, epochs + 1)]
        n = len(self._firsts)
        self._shares = [math.ceil(n * eta**s / (s + 1)) for s in reversed(range(n))]
        self._brackets: dict[int, int] = {}  # by number: each verdict asks for those of all trials

    def bracket_of(self, number: int) -> int:
        """Return the bracket of trial `number`; bracket 0 prunes earliest."""
        if number not in self._brackets:
            self._brackets[number] = self._draw_bracket(number)
        return self._brackets[number]

    def _draw_bracket(self, number: int) -> int:
        offset = derive_seed(self._seed, "bracket", number) % sum(self._shares)
        for bracket, share in enumerate(self._shares):
            offset -= share
            if offset < 0:
                return bracket
        raise AssertionError

    def rungs(self, number: int, epochs: int) -> tuple[int, ...]:
        """See `Pruner`."""
        return geometric_rungs(self._firsts[self.bracket_of(number)], self._eta, epochs)

    def verdicts(self, waiting: Sequence[Trial], history: History) -> Mapping[int, bool]:
        """See `Pruner`."""
        verdicts = {}
        for trial in waiting:
            own = self.bracket_of(trial.number)
            peers = [
                t for t in other_trials(trial, history.trials) if self.bracket_of(t.number) == own
            ]
            verdicts[trial.number] = is_behind_peers(trial, peers, history, eta=self._eta)
        return verdicts


def is_behind_peers(trial: Trial, peers: Sequence[Trial], history: History, *, eta: int) -> bool:
    """Whether `trial` is not among the best 1/eta of the trials at its rung, itself included.

    With fewer than eta trials, the best one continues. With several objectives, whether more than
    `MAX_DOMINATING` of these trials dominate it: a front has no fixed share of the trials.
    """
    direction = history.direction
    if len(history.objectives) > 1:
        share = dominated_share(trial, peers, trial.n_epochs, history)
        return share is None or share > MAX_DOMINATING
    score = score_after(trial, trial.n_epochs, direction)
    if score is None:
        return True
    scores = [score_after(peer, trial.n_epochs, direction) for peer in peers]
    seen = [s for s in scores if s is not None]
    rank, n_survivors = count_better(score, seen, direction), count_survivors(len(seen) + 1, eta)
    logger.debug(
        "trial %d: number %d of %d after %d epochs; the best %d go on",
        *(trial.number, rank + 1, len(seen) + 1, trial.n_epochs, n_survivors),
    )
    return rank >= n_survivors
