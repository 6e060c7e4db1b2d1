"""The `keras_fit` trainer: any Keras model on any backend, its folds in lockstep.

One model serves all folds in turn (`network`), and the next trial of the same architecture too,
because building and tracing cost more than many epochs. Knows no sampler and no MLflow.
"""

from __future__ import annotations

import itertools
import time
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ...errors import TrainingError
from ...models import load_family
from ...trial import Direction, EpochReport, FoldReport, State, TrialResult, TrialSpec, Value
from ..batching import batch_size, derive_order_seed, draw_epoch_order
from ..class_weights import class_weights
from ..problem import Problem
from ..schedules import make_schedule
from ..trainer import ReportGenerator
from ..trial_result import (
    build_failed_result,
    build_result,
    find_stopped_folds,
    has_stopped,
    score_curve,
    why_diverged,
    why_output_unfit,
)
from .architecture import Architecture, make_architecture, make_architecture_key
from .sequential_folds import FoldRun, merge_fold_runs
from .shared_model import FoldState, to_backend_array

MAX_ARCHITECTURES = 4  # with their traced programs, some megabytes each


@dataclass(slots=True)
class _RunningTrial:
    """A trial under way: its folds and what they have shown."""

    trial: TrialSpec
    params: Mapping[str, Value]
    start_time: float  # time.perf_counter()
    architecture: Architecture | None = None
    fold_states: list[FoldState] = field(default_factory=list)
    history: dict[str, list[np.ndarray]] = field(
        default_factory=dict
    )  # name -> (n_folds,) an epoch
    predictions: list[np.ndarray] = field(default_factory=list)  # a fold each, of the last epoch
    best_predictions: list[np.ndarray] = field(
        default_factory=list
    )  # a fold each, of the best epoch

    def curves(self) -> dict[str, np.ndarray]:
        """Name -> (n_epochs, n_folds)."""
        return {name: np.stack(rows) for name, rows in self.history.items()}


class KerasFitTrainer:
    """Trains a population in turn, epoch by epoch, with Keras's training step; a `Trainer`."""

    name = "keras_fit"

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._objective_metric = problem.objective_metric
        self._metrics = [problem.get_metric(name) for name in problem.metrics]
        self._family = load_family(problem.model)
        self._architectures: OrderedDict[str, Architecture] = OrderedDict()

    def train(self, trials: Sequence[TrialSpec]) -> ReportGenerator:
        """See `trainer.Trainer.train`."""
        if self.problem.fold_schedule == "in_turn":
            for trial in trials:
                yield from self._train_sequentially(trial)
            return
        running = []
        for trial in trials:
            run = _RunningTrial(trial, {}, time.perf_counter())
            try:
                run.params = self._resolve_params(trial)
                self._start_folds(run)
            except Exception as error:
                yield self._build_failure(run, error)
            else:
                running.append(run)
        for epoch in itertools.count():
            if not running:
                return
            said = {run.trial.number: self._advance_or_fail(run, epoch) for run in running}
            reports = [word for word in said.values() if isinstance(word, EpochReport)]
            pruned: Collection[int] = ()
            if reports:
                pruned = (yield reports) or ()
            for run in list(running):
                word = said[run.trial.number]
                result = (
                    word if isinstance(word, TrialResult) else self._finish_if_done(run, pruned)
                )
                if result is not None:
                    running.remove(run)
                    yield result

    def prepare(self, trials: Sequence[TrialSpec]) -> None:
        """Nothing: a graph is traced when its first batch comes."""

    def fit(self, trial: TrialSpec) -> list[np.ndarray]:
        """See `trainer.Trainer.fit`.

        Raises:
            TrainingError: If the training diverges.
        """
        params = self._resolve_params(trial)
        architecture = self._get_architecture(params, trial.seed)
        network = architecture.shared_model
        network.set_state(architecture.make_fold_state(trial, 0, params))
        for epoch in range(trial.epochs):
            loss = self._train_epoch(architecture, trial, params, epoch, fold=0, losses=())
            if reason := why_diverged({"train/loss": np.array([loss])}):
                raise TrainingError(f"final fit, epoch {epoch}: {reason}")
        network.finalize_weights()
        weights: list[np.ndarray] = network.model.get_weights()
        return weights

    def _train_sequentially(self, trial: TrialSpec) -> ReportGenerator:
        """Train one fold after another to its end; after each the trial may be pruned.

        What is reported then equals what folds in lockstep would have measured, each stopping on
        its own curve; of a pruned trial there are the folds that were trained.
        """
        run = _RunningTrial(trial, {}, time.perf_counter())
        courses: list[FoldRun] = []
        pruned: Collection[int] = ()
        try:
            run.params = self._resolve_params(trial)
            if make_schedule(run.params).needs_losses:
                raise TrainingError(
                    "reduce_on_plateau watches the mean over the folds, which folds trained one "
                    "after another do not have: use another schedule or another pruner"
                )
            self._start_folds(run)
        except Exception as error:
            yield self._build_failure(run, error)
            return
        while len(courses) < len(run.fold_states) and trial.number not in pruned:
            try:
                course = self._run_fold(run, len(courses))
            except Exception as error:
                yield self._build_failure(run, error)
                return
            if isinstance(course, str):
                yield self._build_failure(run, course)
                return
            courses.append(course)
            if len(courses) < len(run.fold_states):
                pruned = (yield [FoldReport(trial.number, course.fold, course.scores)]) or ()
        for epoch, (measured, predictions) in enumerate(merge_fold_runs(courses)):
            for name, values in measured.items():
                run.history.setdefault(name, []).append(values)
            if score_curve(self._stack_objective_curve(run), self._direction).best_epoch == epoch:
                run.best_predictions = predictions
            scores = measured[f"val/{self.problem.objective}"]
            yield [EpochReport(trial.number, epoch, scores, measured)]
        dead = why_diverged({}, run.best_predictions)
        if dead and len(courses) == len(run.fold_states):
            yield self._build_failure(run, dead)
        else:
            yield self._build_result(run, "PRUNED" if trial.number in pruned else "COMPLETE")

    def _run_fold(self, run: _RunningTrial, fold: int) -> FoldRun | str:
        """One fold from its first epoch to its last, or why the trial has failed."""
        course = FoldRun(fold, f"val/{self.problem.objective}")
        for epoch in range(run.trial.epochs):
            figures, predictions = self._run_fold_epoch(run, epoch, fold)
            course.add_epoch(figures, predictions)
            if not epoch and (unfit := why_output_unfit(self.problem.task, [predictions])):
                return unfit
            if reason := why_diverged(course.get_vital_metrics()):
                return reason
            curve = course.scores[:, None]
            if has_stopped(curve, self.problem.early_stopping, self._direction):
                break
        return course

    def _advance_or_fail(self, run: _RunningTrial, epoch: int) -> EpochReport | TrialResult:
        """What a trial measured in an epoch, or that it has failed."""
        try:
            report = self._run_epoch(run, epoch)
        except Exception as error:
            return self._build_failure(run, error)
        return self._build_failure(run, report) if isinstance(report, str) else report

    def _finish_if_done(self, run: _RunningTrial, pruned: Collection[int]) -> TrialResult | None:
        """The result of a trial that ends with the epoch just reported."""
        if run.trial.number in pruned:
            return self._build_result(run, "PRUNED")
        curve = self._stack_objective_curve(run)
        if len(curve) < run.trial.epochs and not has_stopped(
            curve, self.problem.early_stopping, self._direction
        ):
            return None
        dead = why_diverged({}, run.best_predictions)
        return self._build_failure(run, dead) if dead else self._build_result(run, "COMPLETE")

    def _start_folds(self, run: _RunningTrial) -> None:
        run.architecture = self._get_architecture(run.params, run.trial.seed)
        n_folds = len(self.problem.folds)
        run.fold_states = [
            run.architecture.make_fold_state(run.trial, f, run.params) for f in range(n_folds)
        ]

    def _run_epoch(self, run: _RunningTrial, epoch: int) -> EpochReport | str:
        """Train every fold for one epoch and score it, or say why the trial has failed."""
        stopped = np.zeros(len(run.fold_states), bool)
        if epoch:
            early = self.problem.early_stopping
            stopped = find_stopped_folds(self._stack_objective_curve(run), early, self._direction)
        figures, predictions = [], []
        for fold in range(len(run.fold_states)):
            if stopped[fold]:
                figures.append({name: rows[-1][fold] for name, rows in run.history.items()})
                predictions.append(run.predictions[fold])
            else:
                figure, table = self._run_fold_epoch(run, epoch, fold)
                figures.append(figure)
                predictions.append(table)
        measured = {name: np.array([f[name] for f in figures]) for name in figures[0]}
        for name, values in measured.items():
            run.history.setdefault(name, []).append(values)
        run.predictions = predictions
        if not epoch and (unfit := why_output_unfit(self.problem.task, predictions)):
            return unfit
        score = measured[f"val/{self.problem.objective}"]
        vital = {name: measured[name] for name in ("train/loss", "val/loss")}
        if reason := why_diverged({**vital, self.problem.objective: score}):
            return reason
        if score_curve(self._stack_objective_curve(run), self._direction).best_epoch == epoch:
            run.best_predictions = predictions
        return EpochReport(run.trial.number, epoch, score, measured)

    def _run_fold_epoch(
        self, run: _RunningTrial, epoch: int, fold: int
    ) -> tuple[dict[str, float], np.ndarray]:
        """One fold's figures by name, and its predictions for its validation rows."""
        assert run.architecture is not None
        network = run.architecture.shared_model
        network.set_state(run.fold_states[fold])
        losses = [float(row.mean()) for row in run.history.get("val/loss", ())]
        loss = self._train_epoch(
            run.architecture, run.trial, run.params, epoch, fold=fold, losses=losses
        )
        run.fold_states[fold] = network.get_state()
        validation = self.problem.folds[fold].validation
        seen = network.evaluate(self.problem.get_statistics(run.params)[fold], validation)
        truth, weights = self.problem.target[validation], self.problem.weights
        weights = None if weights is None else weights[validation]
        figures = {"train/loss": loss, "val/loss": seen.loss}
        for metric in self._metrics:
            figures[f"val/{metric.name}"] = metric(truth, seen.predictions, weights)
        return figures, seen.predictions

    def _train_epoch(
        self,
        architecture: Architecture,
        trial: TrialSpec,
        params: Mapping[str, Value],
        epoch: int,
        *,
        fold: int,
        losses: Sequence[float],
    ) -> float:
        """One fold's training loss; `losses` are the mean validation losses of epochs before."""
        rows, size = self.problem.folds[fold].train, batch_size(params)
        order = draw_epoch_order(derive_order_seed(rows), epoch, len(rows))
        rates = None
        if not architecture.is_user_compiled:
            rates = make_schedule(params).rates(
                epoch,
                n_steps=-(-len(rows) // size),
                n_epochs=trial.planned or trial.epochs,
                losses=trial.watched or losses,
            )
        return architecture.shared_model.train_epoch(
            self.problem.get_statistics(params)[fold],
            rows[order],
            size,
            class_weights=class_weights(self.problem, params, fold),
            rates=rates,
        )

    def _resolve_params(self, trial: TrialSpec) -> dict[str, Value]:
        return self.problem.resolve(trial.params)

    def _get_architecture(self, params: Mapping[str, Value], seed: int) -> Architecture:
        """A network for `params`: one that was traced before, if there is one."""
        key = make_architecture_key(self._family, self.problem.task, params, seed)
        if key not in self._architectures:
            while len(self._architectures) >= MAX_ARCHITECTURES:
                self._architectures.popitem(last=False)
            self._architectures[key] = make_architecture(
                self.problem, self._backend_features, params, seed
            )
        self._architectures.move_to_end(key)
        return self._architectures[key]

    @cached_property
    def _backend_features(self) -> Any:
        return to_backend_array(self.problem.features)

    @property
    def _direction(self) -> Direction:
        return self._objective_metric.direction

    def _stack_objective_curve(self, run: _RunningTrial) -> np.ndarray:
        return np.stack(run.history[f"val/{self.problem.objective}"])

    def _build_result(self, run: _RunningTrial, state: State) -> TrialResult:
        assert run.architecture is not None
        return build_result(
            self.problem,
            run.trial,
            state,
            direction=self._direction,
            curves=run.curves(),
            predictions=run.best_predictions,
            seconds=time.perf_counter() - run.start_time,
            trainer=self.name,
            n_parameters=run.architecture.shared_model.model.count_params(),
        )

    def _build_failure(self, run: _RunningTrial, reason: str | BaseException) -> TrialResult:
        return build_failed_result(
            run.trial,
            reason,
            seconds=time.perf_counter() - run.start_time,
            trainer=self.name,
            curves=run.curves(),
        )
