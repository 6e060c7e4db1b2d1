"""The executor without processes: trials train in the calling thread, inside `wait`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from ..training.final import FinalFit, final_fit
from ..training.problem import Problem
from ..training.trainer import Reports, Trainer
from ..trial import TrialResult, TrialSpec
from .executor import Report, Started


class InlineExecutor:
    """One trial at a time, here; for notebooks and tests."""

    capacity = 1

    def __init__(self, problem: Problem, make: Callable[[Problem], Trainer]) -> None:
        """An executor whose trainers `make` builds."""
        self._make = make
        self._trainer = make(problem)
        self._waiting: deque[TrialSpec] = deque()
        self._running: Reports | None = None
        self._answer: bool | None = None

    def submit(self, trial: TrialSpec) -> None:
        """See `Executor`."""
        self._waiting.append(trial)

    def wait(self, timeout: float | None = None) -> Report | None:
        """See `Executor`."""
        if self._running is None:
            if not self._waiting:
                return None
            trial = self._waiting.popleft()
            self._running = self._trainer.train([trial])
            return Started(trial.number)
        answer, self._answer = self._answer, None
        report = self._running.send(answer)
        if isinstance(report, TrialResult):
            self._running.close()
            self._running = self._answer = None
        else:
            self._answer = False
        return report

    def prune(self, trial: int) -> None:
        """See `Executor`."""
        self._answer = True

    def recall(self) -> Sequence[int]:
        """See `Executor`."""
        numbers = [t.number for t in self._waiting]
        self._waiting.clear()
        return numbers

    def finish(self, final: FinalFit) -> np.ndarray:
        """See `Executor`."""
        return final_fit(self._make(final.problem), final)

    def close(self) -> None:
        """See `Executor`."""
        if self._running is not None:
            self._running.close()
