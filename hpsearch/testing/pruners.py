"""The contract of pruners; see `hpsearch.search.pruner.Pruner`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..events import EpochFinished, Event, Objective, StudyCreated, TrialAsked, TrialFinished
from ..history import History
from ..search.pruner import Pruner
from ..trial import Direction, State, Trial, orient

EPOCHS = 27


def rising_curves(n: int, seed: int = 0) -> np.ndarray:
    """Make rising curves, (n, EPOCHS): some learn fast, some end high."""
    random = np.random.default_rng(seed)
    ends, rates = random.uniform(-1, 0, n), random.uniform(0.05, 0.5, n)
    curves: np.ndarray = ends[:, None] - np.exp(-rates[:, None] * np.arange(1, EPOCHS + 1))
    return curves


class Replay:
    """Feeds trials with given curves, one bracket after another, to a pruner."""

    def __init__(
        self, pruner: Pruner, curves: Sequence[Any] | np.ndarray, direction: Direction = "maximize"
    ) -> None:
        self.pruner, self.curves = pruner, curves
        self.events: list[Event] = getattr(pruner, "events", [])
        self.history = History()
        self.add(StudyCreated(objective=Objective("score", direction)))
        for first in range(0, len(curves), pruner.bracket):
            self.train(range(first, min(first + pruner.bracket, len(curves))))

    def add(self, event: Event) -> None:
        """Add an event to the history."""
        self.events.append(replace(event, time=len(self.events)))
        self.history.apply(self.events[-1])

    def train(self, numbers: Sequence[int]) -> None:
        """Train a bracket epoch by epoch until each trial is pruned or complete."""
        for n in numbers:
            self.add(TrialAsked(trial=n, attempt=0, params={}, seed=n, epochs=EPOCHS))
        going = list(numbers)
        for epoch in range(EPOCHS):
            waiting = []
            for n in going:
                scores = [float(self.curves[n][epoch])] * 2
                self.add(EpochFinished(trial=n, attempt=0, epoch=epoch, scores=scores, metrics={}))
                if epoch + 1 in self.pruner.rungs(n, EPOCHS):
                    waiting.append(self.history.last[n])
            pruned = self.pruner.verdicts(waiting, self.history)
            assert {t.number for t in waiting} == pruned.keys()
            for n in list(going):
                curve = self.curves[n]
                if pruned.get(n) or epoch + 1 == len(curve):
                    going.remove(n)
                    state: State = "PRUNED" if pruned.get(n) else "COMPLETE"
                    score = float(max(curve[: epoch + 1], key=self._rank))
                    self.add(TrialFinished(trial=n, attempt=0, state=state, score=score))

    def _rank(self, score: float) -> float:
        return orient(score, self.history.direction)

    @property
    def lengths(self) -> list[int]:
        """Return the trained epochs of each trial."""
        return [t.n_epochs for t in self.history.trials]


MakePruner = Callable[[], Pruner]  # for trials of `EPOCHS` epochs, with a fixed seed


class PrunerContract:
    """Inherit from it and provide a fixture `make_pruner` that returns a `MakePruner`."""

    def test_rungs_rise_and_end_before_the_last_epoch(self, make_pruner: MakePruner) -> None:
        for number in range(20):
            for epochs in (1, 3, 10, EPOCHS):
                rungs = make_pruner().rungs(number, epochs)
                assert sorted(set(rungs)) == list(rungs)
                assert all(0 < rung < epochs for rung in rungs)

    def test_the_same_curves_are_pruned_at_the_same_epochs(self, make_pruner: MakePruner) -> None:
        curves = rising_curves(30)
        assert Replay(make_pruner(), curves).lengths == Replay(make_pruner(), curves).lengths

    def test_one_made_anew_for_every_verdict_decides_the_same(
        self, make_pruner: MakePruner
    ) -> None:
        """A pruner has no state besides the history, so a study can be stopped anywhere."""

        class Anew:
            bracket = make_pruner().bracket

            def __init__(self) -> None:
                self.events: list[Event] = []  # `Replay` appends to them

            def rungs(self, number: int, epochs: int) -> tuple[int, ...]:
                return make_pruner().rungs(number, epochs)

            def verdicts(self, waiting: Sequence[Trial], history: History) -> Mapping[int, bool]:
                read = History(self.events)
                return make_pruner().verdicts([read.last[t.number] for t in waiting], read)

        curves = rising_curves(30)
        assert Replay(make_pruner(), curves).lengths == Replay(Anew(), curves).lengths
