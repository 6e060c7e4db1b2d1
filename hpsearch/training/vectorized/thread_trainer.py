"""Trials whose lanes run on threads: the protocol of `training.trainer`, epoch by epoch.

Knows neither programs nor devices: `trial_run` describes a trial, `thread_engine` runs it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import numpy as np

from ...errors import TrainingError, UnsuitableError
from ...trial import EpochReport, State, TrialResult, TrialSpec
from ..class_weights import class_weights
from ..metrics import Metric
from ..problem import Problem
from ..trainer import ReportGenerator
from ..trial_result import (
    build_failed_result,
    build_result,
    find_stopped_folds,
    score_curve,
    why_diverged,
    why_output_unfit,
)
from . import session
from .device_data import DeviceData
from .program_cache import ProgramCache
from .recipe import make_recipe
from .thread_engine import ThreadEngine
from .trial_run import EpochMeasures, TrialRun

Key = tuple[tuple[int, int], ...]  # of a population: each trial's number and attempt


class ThreadTrainer:
    """Trains all folds of all trials side by side on threads; a `trainer.Trainer`."""

    name = "vectorized"

    def __init__(self, problem: Problem, data: DeviceData, programs: ProgramCache) -> None:
        self.problem = problem
        metrics = [problem.get_metric(name) for name in problem.metrics]
        self._metrics = [metric for metric in metrics if not metric.needs_numpy]
        self._on_host = [metric for metric in metrics if metric.needs_numpy]
        self._objective = problem.objective_metric
        self._engine = ThreadEngine(problem, data, programs, cores=session.count_cores())
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._prepared: dict[Key, Future[list[TrialRun | TrialResult]]] = {}

    def prepare(self, trials: Sequence[TrialSpec]) -> None:
        """Begin to compile the programs of trials that will be trained later; returns at once."""
        key = _population_key(trials)
        if key not in self._prepared:
            self._prepared[key] = self._ahead.submit(self._get_trial_runs, tuple(trials))

    def train(self, trials: Sequence[TrialSpec]) -> ReportGenerator:
        """See `trainer.Trainer.train`."""
        made = self._trial_runs(trials)
        running = [m for m in made if not isinstance(m, TrialResult)]
        yield from (m for m in made if isinstance(m, TrialResult))
        try:
            self._engine.start_population(running)
        except Exception as error:
            yield from (self._failed_result(trial_run, error) for trial_run in running)
            return
        try:
            for trial_run in running:
                self._submit_epochs(trial_run, finished=0, folds=self._fold_range)
            for epoch in itertools.count():
                if not running:
                    return
                for result in (yield from self._report_epoch(running, epoch)):
                    [trial_run] = [c for c in running if c.trial.number == result.number]
                    self._engine.forget(trial_run)
                    running.remove(trial_run)
                    yield result
        finally:  # whoever closes the generator wants no more epochs
            for trial_run in running:
                self._engine.forget(trial_run)

    def fit(self, trial: TrialSpec) -> list[np.ndarray]:
        """See `trainer.Trainer.fit`.

        Raises:
            TrainingError: If the training diverges.
        """
        trial_run = self._make_trial_run(trial)
        trial_run.judged = False
        self._engine.start_population([trial_run])
        for epoch in range(trial.epochs):
            self._engine.submit(trial_run, epoch, [0])
            [outcome] = self._engine.collect(trial_run, epoch, [0])
            if reason := why_diverged({"train/loss": np.array([outcome.train_loss])}):
                self._engine.forget(trial_run)
                raise TrainingError(f"final fit, epoch {epoch}: {reason}")
        vector, others = self._engine.weights(trial_run, trial.epochs - 1, 0)
        self._engine.forget(trial_run)
        return trial_run.recipe.network.weights(vector, others)

    def _trial_runs(self, trials: Sequence[TrialSpec]) -> list[TrialRun | TrialResult]:
        """The trials, ready to train: made and compiled ahead, or here and now."""
        ahead = self._prepared.pop(_population_key(trials), None)
        trial_runs = self._make_trial_runs(trials) if ahead is None else ahead.result()
        for trial_run in trial_runs:
            if not isinstance(trial_run, TrialResult):
                trial_run.started = time.perf_counter()
        return trial_runs

    def _get_trial_runs(self, trials: Sequence[TrialSpec]) -> list[TrialRun | TrialResult]:
        trial_runs = self._make_trial_runs(trials)
        with suppress(Exception):  # a program that cannot be made fails its trial in training
            self._engine.prepare([c for c in trial_runs if not isinstance(c, TrialResult)])
        return trial_runs

    def _make_trial_runs(self, trials: Sequence[TrialSpec]) -> list[TrialRun | TrialResult]:
        """The run of each trial; a model that cannot be made has failed its trial."""
        trial_runs: list[TrialRun | TrialResult] = []
        for trial in trials:
            started = time.perf_counter()
            try:
                trial_runs.append(self._make_trial_run(trial))
            except UnsuitableError:
                raise
            except Exception as error:
                seconds = time.perf_counter() - started
                trial_runs.append(
                    build_failed_result(trial, error, seconds=seconds, trainer=self.name)
                )
        return trial_runs

    def _make_trial_run(self, trial: TrialSpec) -> TrialRun:
        params = self.problem.resolve(trial.params)
        weights = [class_weights(self.problem, params, fold) for fold in self._fold_range]
        recipe = make_recipe(self.problem, params, trial.seed, shares=True)
        return TrialRun(trial, params, recipe, tuple(weights))

    def _submit_epochs(self, trial_run: TrialRun, *, finished: int, folds: Sequence[int]) -> None:
        """Begin the epochs that need no answer but those to the `finished` ones."""
        lead = self._engine.lead
        if trial_run.recipe.schedule.needs_losses and not trial_run.trial.watched:
            lead = 0  # an epoch's rates depend on the losses of the one before
        limit = min(finished + 1 + lead, trial_run.trial.epochs)
        limit = min([limit, *(r for r in trial_run.trial.rungs if r > finished)])
        while trial_run.submitted < limit:
            self._engine.submit(trial_run, trial_run.submitted, folds)
            trial_run.submitted += 1

    def _report_epoch(
        self, running: list[TrialRun], epoch: int
    ) -> Generator[list[EpochReport] | TrialResult, Collection[int] | None, list[TrialResult]]:
        """Report one epoch of a population; the results of the trials that end with it."""
        said = {
            trial_run.trial.number: self._report_or_failure(trial_run, epoch)
            for trial_run in running
        }
        reports = [word for word in said.values() if isinstance(word, EpochReport)]
        stopped: Collection[int] = ()
        if reports:
            stopped = (yield reports) or ()
        results = [word for word in said.values() if isinstance(word, TrialResult)]
        going = [c for c in running if isinstance(said[c.trial.number], EpochReport)]
        ended = [self._result_if_ended(c, epoch, pruned=c.trial.number in stopped) for c in going]
        return results + [result for result in ended if result is not None]

    def _report_or_failure(self, trial_run: TrialRun, epoch: int) -> EpochReport | TrialResult:
        """What a trial measured in an epoch, or that it has failed."""
        try:
            report = self._make_report(trial_run, epoch)
        except Exception as error:
            return self._failed_result(trial_run, error)
        return self._failed_result(trial_run, report) if isinstance(report, str) else report

    def _result_if_ended(
        self, trial_run: TrialRun, epoch: int, *, pruned: bool
    ) -> TrialResult | None:
        """The result of a trial that ends with this epoch; else its next epochs begin."""
        if pruned:
            return self._make_result(trial_run, "PRUNED")
        stopped = self._stopped_folds(trial_run)
        if stopped.all() or epoch + 1 == trial_run.trial.epochs:
            predictions = [self._best_predictions(trial_run, fold) for fold in self._fold_range]
            dead = why_diverged({}, predictions)
            return (
                self._failed_result(trial_run, dead)
                if dead
                else self._make_result(trial_run, "COMPLETE")
            )
        self._submit_epochs(trial_run, finished=epoch + 1, folds=np.flatnonzero(~stopped).tolist())
        return None

    def _make_report(self, trial_run: TrialRun, epoch: int) -> EpochReport | str:
        """What all folds measured in an epoch, or why the trial has failed."""
        going = [f for f in self._fold_range if epoch == 0 or not self._stopped_folds(trial_run)[f]]
        moved = dict(zip(going, self._engine.collect(trial_run, epoch, going), strict=True))
        outcomes = [moved[f] if f in moved else trial_run.last[f] for f in self._fold_range]
        trial_run.last = outcomes
        measured = {
            "train/loss": np.array([o.train_loss for o in outcomes]),
            "val/loss": np.array([o.validation_loss for o in outcomes]),
        }
        vital = dict(measured)
        for place, metric in enumerate(self._metrics):
            values = np.array([o.metrics[place] for o in outcomes], np.float64)
            measured[f"val/{metric.name}"] = values
        for metric in self._on_host:
            values = np.array(
                [self._custom_metric(metric, fold, outcomes[fold]) for fold in self._fold_range]
            )
            measured[f"val/{metric.name}"] = values
        for name, values in measured.items():
            trial_run.rows.setdefault(name, []).append(values)
        scores = measured[f"val/{self.problem.objective}"]
        if not epoch:
            seen = [self._predictions_of(outcomes, fold) for fold in self._fold_range]
            if unfit := why_output_unfit(self.problem.task, seen):
                return unfit
        if reason := why_diverged({**vital, self.problem.objective: scores}):
            return reason
        if (
            score_curve(self._objective_curve(trial_run), self._objective.direction).best_epoch
            == epoch
        ):
            trial_run.best = outcomes
        return EpochReport(trial_run.trial.number, epoch, scores, measured)

    def _custom_metric(self, metric: Metric, fold: int, outcome: EpochMeasures) -> float:
        """A metric of the user's own on a fold's validation rows."""
        rows, weights = self.problem.folds[fold].validation, self.problem.weights
        seen = np.asarray(outcome.predictions)[: len(rows)]
        return metric(self.problem.target[rows], seen, None if weights is None else weights[rows])

    def _failed_result(self, trial_run: TrialRun, reason: str | BaseException) -> TrialResult:
        return build_failed_result(
            trial_run.trial,
            reason,
            seconds=time.perf_counter() - trial_run.started,
            trainer=self.name,
            curves=trial_run.make_curves(),
            n_parameters=trial_run.recipe.network.n_parameters,
        )

    def _make_result(self, trial_run: TrialRun, state: State) -> TrialResult:
        return build_result(
            self.problem,
            trial_run.trial,
            state,
            direction=self._objective.direction,
            curves=trial_run.make_curves(),
            predictions=[self._best_predictions(trial_run, fold) for fold in self._fold_range],
            seconds=time.perf_counter() - trial_run.started,
            trainer=self.name,
            n_parameters=trial_run.recipe.network.n_parameters,
        )

    @property
    def _fold_range(self) -> range:
        return range(len(self.problem.folds))

    def _objective_curve(self, trial_run: TrialRun) -> np.ndarray:
        return np.stack(trial_run.rows[f"val/{self.problem.objective}"])

    def _stopped_folds(self, trial_run: TrialRun) -> np.ndarray:
        early, direction = self.problem.early_stopping, self._objective.direction
        return find_stopped_folds(self._objective_curve(trial_run), early, direction)

    def _best_predictions(self, trial_run: TrialRun, fold: int) -> np.ndarray:
        """Of the best epoch, (n_validation, n_outputs), in the order of the split."""
        return self._predictions_of(trial_run.best, fold)

    def _predictions_of(self, outcomes: Sequence[EpochMeasures], fold: int) -> np.ndarray:
        n = len(self.problem.folds[fold].validation)
        return np.asarray(outcomes[fold].predictions)[:n]


def _population_key(trials: Sequence[TrialSpec]) -> Key:
    return tuple((trial.number, trial.attempt) for trial in trials)
