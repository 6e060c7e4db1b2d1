"""The trials that a worker holds, as its coordinator sees them, wherever the worker is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import Any

from ..trial import EpochReport, FoldReport, TrialResult, TrialSpec
from .executor import Started
from .messages import Population, Prune, Resume


class TrialHolder(ABC):
    """A worker's populations, the running one first, and how far that one has come."""

    def __init__(self, *, one_at_a_time: bool = False) -> None:
        """A worker without a trial.

        Args:
            one_at_a_time: Let it prepare nothing while it trains: its predecessor ran out of
                memory, and the next time it shall be known which trial was the cause.
        """
        self.one_at_a_time = one_at_a_time
        self.populations: deque[tuple[TrialSpec, ...]] = deque()
        self.size = 0  # of the running population, when it began
        self._training = 0  # trials of the running population that have no result
        self._held: set[int] = set()  # those of them that wait for a verdict

    @abstractmethod
    def send(self, order: Any) -> None:
        """Give the worker an order; a dead one is noticed by its reports."""

    @abstractmethod
    def start_clock(self) -> None:
        """Count the time of the running population from now on."""

    def record_report(self, report: Any) -> None:
        """Update the state with a report."""
        match report:
            case Started(number) if number == self.populations[0][0].number:
                self.start_clock()
                self._training = self.size = len(self.populations[0])
            case EpochReport() | FoldReport() if report.epoch + 1 in self._rungs_of(report.trial):
                self._held.add(report.trial)
            case TrialResult():
                self._training -= 1
                self._held.discard(report.number)
                self.forget_trials({report.number})
                if self.one_at_a_time and not self._training and self.populations:
                    self.send(Population(self.populations[0]))

    def _rungs_of(self, number: int) -> tuple[int, ...]:
        return next((t.rungs for t in self.trials if t.number == number), ())

    @property
    def trials(self) -> list[TrialSpec]:
        """Those that train and those that wait."""
        return [trial for population in self.populations for trial in population]

    @property
    def unsent_trials(self) -> list[TrialSpec]:
        """The trials that it has not been told of."""
        later = list(self.populations)[1:] if self.one_at_a_time else []
        return [trial for population in later for trial in population]

    @property
    def is_busy(self) -> bool:
        """Whether it trains a population, or waits for a verdict on it."""
        return self._training > 0

    @property
    def is_training(self) -> bool:
        """Whether a trial trains, and does not wait at a rung for a verdict."""
        return self._training > len(self._held)

    @property
    def runs_single_trial(self) -> bool:
        """Whether all that happens in the worker is caused by a single trial."""
        alone = self.one_at_a_time or len(self.populations) == 1
        return self.size == 1 and self.is_busy and alone

    def enqueue(self, trials: tuple[TrialSpec, ...]) -> None:
        """Train these together after what was given before."""
        self.populations.append(trials)
        if not self.one_at_a_time or len(self.populations) == 1:
            self.send(Population(trials))

    def forget_trials(self, numbers: set[int]) -> None:
        """Drop these trials."""
        left = (tuple(t for t in p if t.number not in numbers) for p in self.populations)
        self.populations = deque(population for population in left if population)

    def send_verdict(self, verdict: Prune | Resume) -> None:
        """Send a verdict, if it is on a trial that is held here."""
        if any(trial.number == verdict.trial for trial in self.trials):
            self._held.discard(verdict.trial)
            self.send(verdict)
