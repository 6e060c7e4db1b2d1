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

from ..errors import TrainingError
from ..models import load_family
from ..trial import Direction, EpochReport, FoldReport, State, TrialResult, TrialSpec, Value
from .architecture import Architecture, architecture_key, make_architecture
from .class_weights import class_weights
from .in_turn import Course, side_by_side
from .network import Values, resident
from .order import batch_size, epoch_order, order_seed
from .outcome import (
    divergence,
    ended,
    failed,
    has_stopped,
    score_of,
    stopped_folds,
    unfit_output,
)
from .problem import Problem
from .schedules import make_schedule
from .trainer import Reports

ARCHITECTURES_KEPT = 4  # with their traced programs, some megabytes each


@dataclass(slots=True)
class _Run:
    """A trial under way: its folds and what they have shown."""

    trial: TrialSpec
    params: Mapping[str, Value]
    started: float  # time.perf_counter()
    architecture: Architecture | None = None
    folds: list[Values] = field(default_factory=list)
    rows: dict[str, list[np.ndarray]] = field(default_factory=dict)  # name -> (n_folds,) an epoch
    predictions: list[np.ndarray] = field(default_factory=list)  # a fold each, of the last epoch
    best: list[np.ndarray] = field(default_factory=list)  # a fold each, of the best epoch

    def curves(self) -> dict[str, np.ndarray]:
        """Name -> (n_epochs, n_folds)."""
        return {name: np.stack(rows) for name, rows in self.rows.items()}


class KerasFitTrainer:
    """Trains a population in turn, epoch by epoch, with Keras's training step; a `Trainer`."""

    name = "keras_fit"

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._objective = problem.goal
        self._metrics = [problem.metric(name) for name in problem.metrics]
        self._family = load_family(problem.model)
        self._architectures: OrderedDict[str, Architecture] = OrderedDict()

    def train(self, trials: Sequence[TrialSpec]) -> Reports:
        """See `trainer.Trainer.train`."""
        if self.problem.folds_advance == "in_turn":
            for trial in trials:
                yield from self._train_in_turn(trial)
            return
        running = []
        for trial in trials:
            run = _Run(trial, {}, time.perf_counter())
            try:
                run.params = self._params(trial)
                self._start(run)
            except Exception as error:
                yield self._failed(run, error)
            else:
                running.append(run)
        for epoch in itertools.count():
            if not running:
                return
            said = {run.trial.number: self._said(run, epoch) for run in running}
            reports = [word for word in said.values() if isinstance(word, EpochReport)]
            pruned: Collection[int] = ()
            if reports:
                pruned = (yield reports) or ()
            for run in list(running):
                word = said[run.trial.number]
                result = word if isinstance(word, TrialResult) else self._ended(run, pruned)
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
        params = self._params(trial)
        architecture = self._architecture(params, trial.seed)
        network = architecture.network
        network.load(architecture.begin(trial, 0, params))
        for epoch in range(trial.epochs):
            loss = self._train_epoch(architecture, trial, params, epoch, fold=0, losses=())
            if reason := divergence({"train/loss": np.array([loss])}):
                raise TrainingError(f"final fit, epoch {epoch}: {reason}")
        network.finish()
        weights: list[np.ndarray] = network.model.get_weights()
        return weights

    def _train_in_turn(self, trial: TrialSpec) -> Reports:
        """Train one fold after another to its end; after each the trial may be pruned.

        What is reported then equals what folds in lockstep would have measured, each stopping on
        its own curve; of a pruned trial there are the folds that were trained.
        """
        run = _Run(trial, {}, time.perf_counter())
        courses: list[Course] = []
        pruned: Collection[int] = ()
        try:
            run.params = self._params(trial)
            if make_schedule(run.params).watches:
                raise TrainingError(
                    "reduce_on_plateau watches the mean over the folds, which folds trained one "
                    "after another do not have: use another schedule or another pruner"
                )
            self._start(run)
        except Exception as error:
            yield self._failed(run, error)
            return
        while len(courses) < len(run.folds) and trial.number not in pruned:
            try:
                course = self._run_fold(run, len(courses))
            except Exception as error:
                yield self._failed(run, error)
                return
            if isinstance(course, str):
                yield self._failed(run, course)
                return
            courses.append(course)
            if len(courses) < len(run.folds):
                pruned = (yield [FoldReport(trial.number, course.fold, course.scores)]) or ()
        for epoch, (measured, predictions) in enumerate(side_by_side(courses)):
            for name, values in measured.items():
                run.rows.setdefault(name, []).append(values)
            if score_of(self._curve(run), self._direction).best_epoch == epoch:
                run.best = predictions
            scores = measured[f"val/{self.problem.objective}"]
            yield [EpochReport(trial.number, epoch, scores, measured)]
        dead = divergence({}, run.best)
        if dead and len(courses) == len(run.folds):
            yield self._failed(run, dead)
        else:
            yield self._result(run, "PRUNED" if trial.number in pruned else "COMPLETE")

    def _run_fold(self, run: _Run, fold: int) -> Course | str:
        """One fold from its first epoch to its last, or why the trial has failed."""
        course = Course(fold, f"val/{self.problem.objective}")
        for epoch in range(run.trial.epochs):
            figures, predictions = self._advance_fold(run, epoch, fold)
            course.add(figures, predictions)
            if not epoch and (unfit := unfit_output(self.problem.task, [predictions])):
                return unfit
            if reason := divergence(course.vital()):
                return reason
            curve = course.scores[:, None]
            if has_stopped(curve, self.problem.early_stopping, self._direction):
                break
        return course

    def _said(self, run: _Run, epoch: int) -> EpochReport | TrialResult:
        """What a trial measured in an epoch, or that it has failed."""
        try:
            report = self._advance(run, epoch)
        except Exception as error:
            return self._failed(run, error)
        return self._failed(run, report) if isinstance(report, str) else report

    def _ended(self, run: _Run, pruned: Collection[int]) -> TrialResult | None:
        """The result of a trial that ends with the epoch just reported."""
        if run.trial.number in pruned:
            return self._result(run, "PRUNED")
        curve = self._curve(run)
        if len(curve) < run.trial.epochs and not has_stopped(
            curve, self.problem.early_stopping, self._direction
        ):
            return None
        dead = divergence({}, run.best)
        return self._failed(run, dead) if dead else self._result(run, "COMPLETE")

    def _start(self, run: _Run) -> None:
        run.architecture = self._architecture(run.params, run.trial.seed)
        n_folds = len(self.problem.folds)
        run.folds = [run.architecture.begin(run.trial, f, run.params) for f in range(n_folds)]

    def _advance(self, run: _Run, epoch: int) -> EpochReport | str:
        """Train every fold for one epoch and score it, or say why the trial has failed."""
        stopped = np.zeros(len(run.folds), bool)
        if epoch:
            early = self.problem.early_stopping
            stopped = stopped_folds(self._curve(run), early, self._direction)
        figures, predictions = [], []
        for fold in range(len(run.folds)):
            if stopped[fold]:
                figures.append({name: rows[-1][fold] for name, rows in run.rows.items()})
                predictions.append(run.predictions[fold])
            else:
                figure, table = self._advance_fold(run, epoch, fold)
                figures.append(figure)
                predictions.append(table)
        measured = {name: np.array([f[name] for f in figures]) for name in figures[0]}
        for name, values in measured.items():
            run.rows.setdefault(name, []).append(values)
        run.predictions = predictions
        if not epoch and (unfit := unfit_output(self.problem.task, predictions)):
            return unfit
        score = measured[f"val/{self.problem.objective}"]
        vital = {name: measured[name] for name in ("train/loss", "val/loss")}
        if reason := divergence({**vital, self.problem.objective: score}):
            return reason
        if score_of(self._curve(run), self._direction).best_epoch == epoch:
            run.best = predictions
        return EpochReport(run.trial.number, epoch, score, measured)

    def _advance_fold(
        self, run: _Run, epoch: int, fold: int
    ) -> tuple[dict[str, float], np.ndarray]:
        """One fold's figures by name, and its predictions for its validation rows."""
        assert run.architecture is not None
        network = run.architecture.network
        network.load(run.folds[fold])
        losses = [float(row.mean()) for row in run.rows.get("val/loss", ())]
        loss = self._train_epoch(
            run.architecture, run.trial, run.params, epoch, fold=fold, losses=losses
        )
        run.folds[fold] = network.values()
        validation = self.problem.folds[fold].validation
        seen = network.evaluate(self.problem.statistics_of(run.params)[fold], validation)
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
        order = epoch_order(order_seed(rows), epoch, len(rows))
        rates = None
        if not architecture.compiled:
            rates = make_schedule(params).rates(
                epoch,
                n_steps=-(-len(rows) // size),
                n_epochs=trial.planned or trial.epochs,
                losses=trial.watched or losses,
            )
        return architecture.network.train_epoch(
            self.problem.statistics_of(params)[fold],
            rows[order],
            size,
            class_weights=class_weights(self.problem, params, fold),
            rates=rates,
        )

    def _params(self, trial: TrialSpec) -> dict[str, Value]:
        return self.problem.resolve(trial.params)

    def _architecture(self, params: Mapping[str, Value], seed: int) -> Architecture:
        """A network for `params`: one that was traced before, if there is one."""
        key = architecture_key(self._family, self.problem.task, params, seed)
        if key not in self._architectures:
            while len(self._architectures) >= ARCHITECTURES_KEPT:
                self._architectures.popitem(last=False)
            self._architectures[key] = make_architecture(self.problem, self._features, params, seed)
        self._architectures.move_to_end(key)
        return self._architectures[key]

    @cached_property
    def _features(self) -> Any:
        return resident(self.problem.features)

    @property
    def _direction(self) -> Direction:
        return self._objective.direction

    def _curve(self, run: _Run) -> np.ndarray:
        return np.stack(run.rows[f"val/{self.problem.objective}"])

    def _result(self, run: _Run, state: State) -> TrialResult:
        assert run.architecture is not None
        return ended(
            self.problem,
            run.trial,
            state,
            direction=self._direction,
            curves=run.curves(),
            predictions=run.best,
            seconds=time.perf_counter() - run.started,
            trainer=self.name,
            n_parameters=run.architecture.network.model.count_params(),
        )

    def _failed(self, run: _Run, reason: str | BaseException) -> TrialResult:
        return failed(
            run.trial,
            reason,
            seconds=time.perf_counter() - run.started,
            trainer=self.name,
            curves=run.curves(),
        )
