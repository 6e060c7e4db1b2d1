"""The coordinator's record of a worker's trials, common to both executors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import Any

from ..trial import EpochReport, FoldReport, TrialResult, TrialSpec
from .executor import Started
from .messages import Pause, Population, Prune, Resume, Unpause


class TrialHolder(ABC):
    """A worker's populations, the running one first, and its progress."""

    def __init__(self, *, one_at_a_time: bool = False) -> None:
        """Create the record of a worker without trials.

        Args:
            one_at_a_time: Do not let it prepare the next population: its predecessor ran out of
                memory, and the trial that caused it must be identifiable.
        """
        self.one_at_a_time = one_at_a_time
        self.populations: deque[tuple[TrialSpec, ...]] = deque()
        self.is_paused = False
        self.size = 0  # start of the running population
        self._training = 0  # trials of the running population without a result
        self._held: set[int] = set()  # of these, the ones waiting for a verdict

    @abstractmethod
    def send(self, order: Any) -> None:
        """Send an order to the worker; its death is detected when reports are read."""

    @abstractmethod
    def start_clock(self) -> None:
        """Start to measure the time of the running population."""

    def record_report(self, report: Any) -> None:
        """Update the state with a report, or with several that came together."""
        match report:
            case list():
                for each in report:
                    self.record_report(each)
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
        """Running and waiting trials."""
        return [trial for population in self.populations for trial in population]

    @property
    def unsent_trials(self) -> list[TrialSpec]:
        """Trials that were not sent to the worker."""
        later = list(self.populations)[1:] if self.one_at_a_time else []
        return [trial for population in later for trial in population]

    @property
    def is_busy(self) -> bool:
        """Whether a population is running or waiting for a verdict."""
        return self._training > 0

    @property
    def is_training(self) -> bool:
        """Whether a trial is running, and waits neither at a rung nor for the end of a pause."""
        return self._training > len(self._held) and not self.is_paused

    @property
    def runs_single_trial(self) -> bool:
        """Whether a single trial accounts for everything in the worker."""
        alone = self.one_at_a_time or len(self.populations) == 1
        return self.size == 1 and self.is_busy and alone

    def enqueue(self, trials: tuple[TrialSpec, ...]) -> None:
        """Queue a population after the earlier ones."""
        self.populations.append(trials)
        if not self.one_at_a_time or len(self.populations) == 1:
            self.send(Population(trials))

    def forget_trials(self, numbers: set[int]) -> None:
        """Remove these trials."""
        left = (tuple(t for t in p if t.number not in numbers) for p in self.populations)
        self.populations = deque(population for population in left if population)

    def set_paused(self, *, paused: bool) -> None:
        """Let the worker wait after its current epoch, or continue."""
        if paused != self.is_paused:
            self.is_paused = paused
            self.send(Pause() if paused else Unpause())

    def send_verdict(self, verdict: Prune | Resume) -> None:
        """Send a verdict if the worker holds its trial."""
        if any(trial.number == verdict.trial for trial in self.trials):
            self._held.discard(verdict.trial)
            self.send(verdict)
