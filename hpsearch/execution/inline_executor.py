"""The executor without processes: trials are trained in the calling thread, inside `wait`."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from ..training.final_model import (
    FinalFitDone,
    FinalFitRequest,
    LockedPredictionRequest,
    LockedPredictionResult,
    fit_final_model,
    predict_locked_rows,
)
from ..training.problem import Problem
from ..training.trainer import ReportGenerator, Trainer, TrainerMessage
from ..training.trainer_factory import make_trainer
from ..trial import TrialResult, TrialSpec
from .executor import Report, Started


def start_inline(trainer: str, *, population: int) -> InlineExecutor:
    """Start an executor whose trainers share compiled programs.

    Args:
        trainer: The trainer's name.
        population: Number of trials trained together.
    """
    latest: Trainer | None = None

    def make_next(problem: Problem) -> Trainer:
        nonlocal latest
        latest = make_trainer(trainer, problem, earlier=latest)
        return latest

    return InlineExecutor(make_next, population=population)


class InlineExecutor:
    """Trains one population at a time in this process; for notebooks and tests.

    Examples:
        >>> from hpsearch.testing.executors import small_problem, small_trial
        >>> from hpsearch.training.vectorized import VectorizedTrainer
        >>> executor = InlineExecutor(VectorizedTrainer, small_problem())
        >>> executor.submit(small_trial(epochs=2))
        >>> [type(executor.wait()).__name__ for _ in range(4)]
        ['Started', 'EpochReport', 'EpochReport', 'TrialResult']
    """

    def __init__(
        self,
        make: Callable[[Problem], Trainer],
        problem: Problem | None = None,
        *,
        population: int = 1,
    ) -> None:
        """Create an executor; `make` builds the trainer of a problem."""
        self.population = population
        self._make = make
        if problem is not None:
            self.set_up(problem)
        self._waiting: deque[tuple[TrialSpec, ...]] = deque()
        self._running: ReportGenerator | None = None
        self._rungs: dict[int, tuple[int, ...]] = {}  # verdicts on running trials
        self._held: set[int] = set()  # trials waiting for a verdict
        self._pruned: set[int] = set()
        self._answer: set[int] | None = None  # None: not requested by the trainer
        self._arrived: deque[Report] = deque()
        self._is_paused = False

    def set_up(self, problem: Problem) -> None:
        """See `Executor`."""
        self._trainer = self._make(problem)

    @property
    def capacity(self) -> int:
        """See `Executor`."""
        return self.population

    def submit(self, *trials: TrialSpec) -> None:
        """See `Executor`."""
        self._waiting.append(trials)

    def wait(self, timeout: float | None = None) -> Report | None:
        """See `Executor`."""
        if self._is_paused and not self._arrived:
            time.sleep(timeout or 0.0)
        elif not self._arrived and not self._held:
            self._advance()
        return self._arrived.popleft() if self._arrived else None

    def drain(self) -> Sequence[Report]:
        """See `Executor`."""
        arrived = list(self._arrived)
        self._arrived.clear()
        return arrived

    def _advance(self) -> None:
        """Read the trainer's next report; after the last one, start the next population."""
        if self._running is not None:
            try:
                message = self._running.send(self._answer)
            except StopIteration:
                self._running = None
            else:
                self._handle_report(message)
                return
        if self._waiting:
            trials = self._waiting.popleft()
            self._rungs = {t.number: t.rungs for t in trials}
            self._pruned, self._answer = set(), None
            self._running = self._trainer.train(trials)
            self._arrived.extend(Started(number) for number in self._rungs)

    def _handle_report(self, message: TrainerMessage) -> None:
        self._answer = self._pruned
        if isinstance(message, TrialResult):
            self._arrived.append(message)
            return
        self._held = {r.trial for r in message if r.epoch + 1 in self._rungs[r.trial]}
        self._arrived.extend(message)

    def prune(self, trial: int) -> None:
        """See `Executor`."""
        self._pruned.add(trial)
        self._held.discard(trial)

    def resume(self, trial: int) -> None:
        """See `Executor`."""
        self._held.discard(trial)

    def pause(self) -> None:
        """See `Executor`."""
        self._is_paused = True

    def unpause(self) -> None:
        """See `Executor`."""
        self._is_paused = False

    def recall(self) -> Sequence[int]:
        """See `Executor`."""
        numbers = [t.number for trials in self._waiting for t in trials]
        self._waiting.clear()
        return numbers

    def fit(self, final: FinalFitRequest) -> FinalFitDone:
        """See `Executor`."""
        return fit_final_model(self._make(final.problem), final)

    def predict(self, order: LockedPredictionRequest) -> LockedPredictionResult:
        """See `Executor`."""
        return predict_locked_rows(order)

    def close(self) -> None:
        """See `Executor`."""
        if self._running is not None:
            self._running.close()
