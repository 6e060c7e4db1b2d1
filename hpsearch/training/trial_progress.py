"""The progress of a running trial: its recorded epochs and its result.

Both trainers, and both engines of the vectorized one, record epochs here, so trials stop, fail and
are scored identically.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, TypeVar

import numpy as np

from ..trial import Direction, EpochReport, State, TrialResult, TrialSpec, orient
from .checkpoint import MAX_SHARE, MIN_SECONDS, Checkpoint, estimate_seconds
from .problem import Problem
from .trial_result import (
    assemble_out_of_fold,
    build_failed_result,
    find_stopped_folds,
    score_curve,
    why_diverged,
    why_output_unfit,
)

# Measurements of an epoch: values by name, (n_folds,) each, and each fold's predictions.
EpochMeasures = tuple[Mapping[str, np.ndarray], Sequence[np.ndarray]]
# Copies of the state of each fold, and the predictions of its last epoch.
FrozenFolds = tuple[Sequence[Sequence[np.ndarray]], Sequence[np.ndarray]]


@dataclass(slots=True, eq=False)
class TrialProgress:
    """The epochs of one trial."""

    problem: Problem
    trial: TrialSpec
    trainer: str  # its name
    direction: Direction  # of the objective
    n_parameters: int | None = None  # set once the network is known
    started: float = field(default_factory=time.perf_counter)
    rows: dict[str, list[np.ndarray]] = field(default_factory=dict)  # (n_folds,) per epoch
    best_predictions: Sequence[np.ndarray] = ()  # of the best epoch, per fold
    ended_folds: set[int] = field(default_factory=set)  # folds that custom code has stopped
    restored: Checkpoint | None = None  # its epochs are reported again, without training
    _saved: float = field(default_factory=time.perf_counter)  # time of the last checkpoint
    _best: float = -math.inf  # the oriented mean of the best epoch
    _stopped: tuple[tuple[int, int], np.ndarray] | None = None  # see `find_stopped_folds`

    @property
    def n_epochs(self) -> int:
        """Number of recorded epochs."""
        return len(self.rows.get("val/loss", ()))

    def make_curves(self) -> dict[str, np.ndarray]:
        """Return the curves by name, (n_epochs, n_folds) each."""
        return {name: np.stack(rows) for name, rows in self.rows.items()}

    def mean_losses(self) -> list[float]:
        """Return the mean validation loss of each epoch, which learning rates may depend on."""
        return [float(losses.mean()) for losses in self.rows.get("val/loss", ())]

    def find_stopped_folds(self) -> np.ndarray:
        """Return which folds have stopped, shape (n_folds,), bool."""
        state = (self.n_epochs, len(self.ended_folds))  # both only grow
        if self._stopped is None or self._stopped[0] != state:
            stopped = np.zeros(len(self.problem.folds), bool)
            if self.rows:
                curve = np.stack(self.rows[self._objective])
                stopped = find_stopped_folds(curve, self.problem.early_stopping, self.direction)
            stopped[sorted(self.ended_folds)] = True
            stopped.flags.writeable = False
            self._stopped = state, stopped
        return self._stopped[1]

    @property
    def is_replaying(self) -> bool:
        """Whether the next epoch is one of the restored checkpoint."""
        return self.restored is not None and self.n_epochs < self.restored.n_epochs

    def plans_checkpoint(self, epoch: int) -> bool:
        """Decide whether there is a checkpoint after an epoch; called once for each.

        After the last epoch, and where the trial may be pruned, there is one as well, with which
        the trial can be trained further after its end.
        """
        every, finished = self.trial.checkpoint, epoch + 1
        if every == "off":
            return False
        may_end = finished >= self.trial.epochs or finished in self.trial.rungs
        if every != "auto":
            return may_end or finished % every == 0
        cost = estimate_seconds(self.n_parameters or 0, len(self.problem.folds))
        now = time.perf_counter()
        is_due = now - self._saved >= max(0.0 if may_end else MIN_SECONDS, cost / MAX_SHARE)
        if is_due:
            self._saved = now
        return is_due

    def make_checkpoint(self, frozen: FrozenFolds) -> bytes:
        """Make the checkpoint after the recorded epochs."""
        best = self.best_predictions
        states, predictions = frozen
        made = Checkpoint(self.make_curves(), states, predictions, best, self._seconds)
        return made.encode()

    def _replay_epoch(self, restored: Checkpoint) -> EpochReport:
        """Record the next epoch of a checkpoint, and return its report."""
        epoch = self.n_epochs
        measured = {name: values[epoch] for name, values in restored.rows.items()}
        for name, values in measured.items():
            self.rows.setdefault(name, []).append(values)
        scores = measured[self._objective]
        self._note_best(scores, restored.best_predictions)
        return EpochReport(self.trial.number, epoch, scores, measured, self._costs)

    def advance(self, measure: Callable[[], EpochMeasures]) -> EpochReport | TrialResult:
        """Record the result of `measure`; returns a result if the trial fails in this epoch."""
        if self.restored is not None and self.is_replaying:
            return self._replay_epoch(self.restored)
        try:
            recorded = self.record_epoch(*measure())
        except Exception as error:
            return self.fail(error)
        return self.fail(recorded) if isinstance(recorded, str) else recorded

    def record_epoch(
        self, measured: Mapping[str, np.ndarray], outputs: Sequence[np.ndarray]
    ) -> EpochReport | str:
        """Record an epoch; return its report, or the failed result.

        Args:
            measured: Losses and metrics by name, (n_folds,) each.
            outputs: Each fold's predictions of its validation rows; only the smallest and the
                largest if the predictions stay on a device.
        """
        epoch, scores = self.n_epochs, measured[self._objective]
        for name, values in measured.items():
            self.rows.setdefault(name, []).append(values)
        if not epoch and (unfit := why_output_unfit(self.problem.task, outputs)):
            return unfit
        vital = {name: measured[name] for name in ("train/loss", "val/loss")}
        if reason := why_diverged({**vital, self.problem.objective: scores}):
            return reason
        self._note_best(scores, outputs)
        return EpochReport(self.trial.number, epoch, scores, measured, self._costs)

    def _note_best(self, scores: np.ndarray, outputs: Sequence[np.ndarray]) -> None:
        mean = orient(float(np.asarray(scores, np.float64).mean()), self.direction)
        if mean > self._best:
            self._best, self.best_predictions = mean, outputs

    def end_if_done(self, *, pruned: bool) -> TrialResult | None:
        """Return the result if the trial ends with the recorded epoch; None if it continues."""
        if pruned:  # a checkpoint has the predictions of its best epoch alone
            return self.end("PRUNED", None if self.is_replaying else self.best_predictions)
        if self.n_epochs < self.trial.epochs and not self.find_stopped_folds().all():
            return None
        return self.complete(self.best_predictions)

    def complete(self, predictions: Sequence[np.ndarray]) -> TrialResult:
        """Return the result of a fully trained trial: FAILED if its network is dead."""
        dead = why_diverged({}, predictions)
        return self.fail(dead) if dead else self.end("COMPLETE", predictions)

    def end(self, state: State, predictions: Sequence[np.ndarray] | None) -> TrialResult:
        """Return a COMPLETE or PRUNED result.

        Args:
            state: COMPLETE or PRUNED.
            predictions: Predictions of the best epoch per fold; None: the recorded ones.
        """
        curves = self.make_curves()
        score = score_curve(curves[self._objective], self.direction)
        table = None
        if predictions is not None:
            folds = self.problem.first_folds(len(predictions))
            table = assemble_out_of_fold(folds, predictions)
        return TrialResult(
            self.trial.number,
            state,
            self._seconds,
            attempt=self.trial.attempt,
            score=score.mean,
            spread=score.spread,
            best_epoch=score.best_epoch,
            fold_scores=score.folds,
            curves=curves,
            predictions=table,
            n_parameters=self.n_parameters,
            trainer=self.trainer,
        )

    def fail(self, reason: str | BaseException) -> TrialResult:
        """Return a FAILED result; see `build_failed_result`."""
        return build_failed_result(
            self.trial,
            reason,
            seconds=self._seconds,
            trainer=self.trainer,
            curves=self.make_curves(),
            n_parameters=self.n_parameters,
        )

    @property
    def _objective(self) -> str:
        return f"val/{self.problem.objective}"

    @property
    def _costs(self) -> dict[str, float]:
        """The costs that the network has, if they are objectives."""
        if "parameters" not in self.problem.cost_objectives or self.n_parameters is None:
            return {}
        return {"parameters": self.n_parameters}

    @property
    def _seconds(self) -> float:
        earlier = 0.0 if self.restored is None else self.restored.seconds
        return earlier + time.perf_counter() - self.started


class TrainingRun(Protocol):
    """A trainer's state of a running trial."""

    @property
    def progress(self) -> TrialProgress:
        """The epochs so far."""
        ...


R = TypeVar("R", bound=TrainingRun)


def _advance(
    run: R, measure: Callable[[], EpochMeasures], freeze: Callable[[R], FrozenFolds | None]
) -> EpochReport | TrialResult:
    """Advance a trial by an epoch; its report has the checkpoint, if one is planned."""
    is_replayed = run.progress.is_replaying
    answer = run.progress.advance(measure)
    if is_replayed or isinstance(answer, TrialResult):
        return answer
    frozen = freeze(run)
    if frozen is None:
        return answer
    return replace(answer, checkpoint=run.progress.make_checkpoint(frozen))


def train_in_lockstep(
    runs: Iterable[R],
    measure: Callable[[R], EpochMeasures],
    *,
    go_on: Callable[[R], object] = lambda run: None,
    release: Callable[[R], object] = lambda run: None,
    freeze: Callable[[R], FrozenFolds | None] = lambda run: None,
) -> Generator[list[EpochReport] | TrialResult, Collection[int] | None, None]:
    """Train a population epoch by epoch; implements `trainer.Trainer.train`.

    Args:
        runs: The trials.
        measure: Trains the next epoch of a trial and evaluates it.
        go_on: Called before the first epoch, and when a trial continues after a report.
        release: Called when a trial has ended, or its population is abandoned.
        freeze: Copies the folds after a recorded epoch if a checkpoint is planned there.
    """
    running = list(runs)
    try:
        for run in running:
            go_on(run)
        while running:
            answers = [(run, _advance(run, partial(measure, run), freeze)) for run in running]
            for run, answer in answers:
                if isinstance(answer, TrialResult):  # before verdicts on other trials
                    release(run)
                    running.remove(run)
                    yield answer
            reports = [answer for _, answer in answers if isinstance(answer, EpochReport)]
            reported = time.perf_counter()
            pruned = ((yield reports) or ()) if reports else ()
            waited = time.perf_counter() - reported  # for verdicts, or the end of a pause
            for run in running:
                run.progress.started += waited
            ended: list[tuple[R, TrialResult]] = []
            for run in running:
                result = run.progress.end_if_done(pruned=run.progress.trial.number in pruned)
                if result is None:
                    go_on(run)
                else:
                    ended.append((run, result))
            for run, result in ended:
                release(run)
                running.remove(run)
                yield result
    finally:  # a closed generator wants no more epochs
        for run in running:
            release(run)
