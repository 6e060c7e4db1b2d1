"""The study loop: ask, dispatch, write down, tell.

Separation of concerns: this file alone decides what happens next. The journal is written before
anything is acted upon; the sampler proposes; the executor trains; listeners (MLflow's uploader,
the progress display) are only told. Knows the protocols of all of them and none of their libraries.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import TrainingError
from ..execution.executor import Executor, Lost, Report, Started
from ..history import History, Trial
from ..journal import Journal, Record
from ..trial import EpochReport, TrialResult, Value, derive_seed
from .sampler import Sampler

Listener = Callable[[Record], None]

ATTEMPTS = 3  # how often a trial may take its worker down before it is FAILED
FAILURES_IN_A_ROW = 5  # of a study without any success, or of its latest trials


@dataclass(frozen=True, slots=True)
class Limits:
    """When a study ends: totals, however often it is resumed."""

    trials: int  # finished trials
    seconds: float | None = None  # wall clock


class Search:
    """One run of the loop over a study that may have had earlier ones."""

    def __init__(
        self,
        *,
        journal: Journal,
        history: History,
        sampler: Sampler,
        executor: Executor,
        limits: Limits,
        seed: int,
        epochs: int,
        fixed: dict[str, Value],
        listeners: Sequence[Listener] = (),
        stop_requested: Callable[[], bool] = lambda: False,
    ) -> None:
        """A loop that goes on where `history`, which is the journal's, ends."""
        self.history = history
        self._journal = journal
        self._sampler = sampler
        self._executor = executor
        self._limits = limits
        self._seed = seed
        self._epochs = epochs
        self._fixed = fixed
        self._listeners = listeners
        self._submitted: set[int] = set()
        self._began = time.monotonic()
        self._spent = self.history.seconds  # by earlier runs
        self._stop_requested = stop_requested
        self._exhausted = False

    def run(self) -> History:
        """Go on until the limits are reached or someone says stop.

        Raises:
            TrainingError: If trial after trial fails, with the last reason.
        """
        for trial in self.history.trials:
            self._sampler.tell(trial)
        for trial in self.history.trials:
            if not trial.is_finished:
                self._again(trial)
        while True:
            self._fill()
            if not self._submitted:
                return self.history
            report = self._executor.wait(0.2)
            if report is not None:
                self._take(report)
            if self._is_over():
                self._submitted -= set(self._executor.recall())

    # ---- asking ----

    def _fill(self) -> None:
        while len(self._submitted) < self._executor.capacity and self._wants_more():
            number = len(self.history.last)
            params = self._sampler.ask(number)
            if params is None:
                self._exhausted = True
                return
            self._record(
                "asked",
                trial=number,
                attempt=0,
                params={**self._fixed, **params},
                seed=derive_seed(self._seed, "trial", number),
                epochs=int(params.get("epochs") or self._epochs),
            )
            self._submit(self.history.last[number])

    def _submit(self, trial: Trial) -> None:
        self._submitted.add(trial.number)
        self._executor.submit(trial.spec)

    def _again(self, trial: Trial) -> None:
        """Run a trial once more whose worker, or whose whole study, ended under it."""
        spec = trial.spec
        self._record(
            "asked",
            trial=trial.number,
            attempt=trial.attempt + 1,
            params=dict(spec.params),
            seed=spec.seed,
            epochs=spec.epochs,
        )
        self._submit(self.history.last[trial.number])

    def _wants_more(self) -> bool:
        asked = len(self.history.last)
        return not (self._exhausted or self._is_over() or asked >= self._limits.trials)

    def _is_over(self) -> bool:
        if self._stop_requested():
            return True
        seconds = self._spent + time.monotonic() - self._began
        return self._limits.seconds is not None and seconds >= self._limits.seconds

    # ---- answers ----

    def _take(self, report: Report) -> None:
        match report:
            case Started(number):
                attempt = self.history.last[number].attempt
                self._record("started", sync=False, trial=number, attempt=attempt)
            case EpochReport():
                self._take_epoch(report)
            case TrialResult():
                self._take_result(report)
            case Lost():
                self._take_loss(report)

    def _take_epoch(self, report: EpochReport) -> None:
        self._record(
            "epoch",
            sync=False,  # lost with the process, it is measured again
            trial=report.trial,
            attempt=self.history.last[report.trial].attempt,
            epoch=report.epoch,
            scores=_numbers(report.scores),
            metrics={name: _numbers(values) for name, values in report.metrics.items()},
        )

    def _take_result(self, result: TrialResult) -> None:
        self._submitted.discard(result.number)
        self._record(
            "result",
            trial=result.number,
            attempt=result.attempt,
            state=result.state,
            score=result.score,
            spread=result.spread,
            best_epoch=result.best_epoch,
            fold_scores=None if result.fold_scores is None else _numbers(result.fold_scores),
            seconds=result.seconds,
            n_parameters=result.n_parameters,
            trainer=result.trainer,
            error=result.error,
            traceback=result.traceback,
            predictions=self._keep_predictions(result),
        )
        self._sampler.tell(self.history.last[result.number])
        self._check_failures()

    def _take_loss(self, lost: Lost) -> None:
        trial = self.history.last[lost.trial]
        if trial.attempt + 1 < ATTEMPTS:
            self._again(trial)
            return
        reason = f"{lost.reason}; given up after {ATTEMPTS} attempts"
        self._take_result(
            TrialResult(lost.trial, "FAILED", 0.0, attempt=trial.attempt, error=reason)
        )

    def _keep_predictions(self, result: TrialResult) -> str | None:
        """Write the out-of-fold predictions beside the journal; give the file's name there."""
        if result.predictions is None:
            return None
        name = f"predictions/{result.number:06d}.npy"
        path: Path = self._journal.path.parent / name
        path.parent.mkdir(exist_ok=True)
        with path.with_suffix(".partial").open("wb") as file:
            np.save(file, result.predictions)
        path.with_suffix(".partial").replace(path)
        return name

    def _check_failures(self) -> None:
        latest = self.history.ended[-FAILURES_IN_A_ROW:]
        if len(latest) == FAILURES_IN_A_ROW and all(t.state == "FAILED" for t in latest):
            raise TrainingError(
                f"{FAILURES_IN_A_ROW} trials in a row failed, so the study stops. "
                f"The last one, trial {latest[-1].number}: {latest[-1].error} "
                "Nothing is lost: mend it and run the same command again."
            )

    def _record(self, event: str, *, sync: bool = True, **fields: Any) -> None:
        record = self._journal.append(event, sync=sync, **fields)
        self.history.apply(record)
        for listener in self._listeners:
            listener(record)


def _numbers(values: np.ndarray) -> list[float]:
    return [float(v) for v in values]
