"""The trainer `keras_fit`: any Keras model on any backend, with folds in lockstep.

One model serves all folds in turn (`shared_model`), and later trials of the same architecture,
since building and tracing cost more than many epochs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from ...errors import TrainingError
from ...models import load_family
from ...trial import EpochReport, FoldReport, TrialResult, TrialSpec, Value
from ..batching import batch_size, order_training_rows
from ..class_weights import class_weights
from ..phases import compute_rates, find_phase
from ..problem import Precision, Problem
from ..schedules import make_schedule, strength_shares
from ..trainer import ReportGenerator
from ..trainer_selection import NO_BFLOAT16
from ..trial_progress import EpochMeasures, TrialProgress, train_in_lockstep
from ..trial_result import (
    find_stopped_folds,
    require_finite_loss,
    why_diverged,
    why_output_unfit,
)
from .architecture import Architecture, make_architecture, make_architecture_key
from .fold_fit import FoldFit
from .own_training import find_own_training
from .sequential_folds import FoldRun, merge_fold_runs
from .shared_model import Evaluation, FoldState, to_backend_array
from .trial_folds import TrialFolds

MAX_ARCHITECTURES = 4  # cached ones; their traced programs take some MB each


def set_product_precision(declared: Precision | None) -> None:
    """Set the precision of TensorFlow's products; its default is TensorFloat-32 if available.

    Raises:
        TrainingError: If TensorFlow does not support it with float32 variables.
    """
    import keras

    if declared == "bfloat16":
        raise TrainingError(NO_BFLOAT16)
    if declared is not None and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(declared == "tensorfloat32")


class KerasFitTrainer:
    """Trains the trials of a population alternately, epoch by epoch; a `Trainer`.

    Examples:
        >>> from hpsearch.testing.executors import small_problem, small_trial
        >>> trainer = KerasFitTrainer(small_problem())
        >>> *reports, result = trainer.train([small_trial(epochs=2)])
        >>> len(reports), result.state
        (2, 'COMPLETE')
    """

    name = "keras_fit"

    def __init__(self, problem: Problem) -> None:
        set_product_precision(problem.precision)
        self.problem = problem
        self._objective_metric = problem.objective_metric
        self._metrics = [problem.get_metric(name) for name in problem.metrics]
        self._family = load_family(problem.model)
        self._architectures: OrderedDict[tuple[str, int], Architecture] = OrderedDict()

    def train(self, trials: Sequence[TrialSpec]) -> ReportGenerator:
        """See `trainer.Trainer.train`."""
        if self.problem.fold_schedule == "in_turn":
            for trial in trials:
                yield from self._train_sequentially(trial)
            return
        running = []
        for trial in trials:
            started = self._start(trial)
            if isinstance(started, TrialResult):
                yield started
            else:
                running.append(started)
        yield from train_in_lockstep(
            running,
            self._measure_epoch,
            release=TrialFolds.close,
            freeze=TrialFolds.freeze_folds,
        )

    def prepare(self, trials: Sequence[TrialSpec]) -> None:
        """Do nothing: graphs are traced by their first batch."""

    def fit(self, trial: TrialSpec) -> list[np.ndarray]:
        """See `trainer.Trainer.fit`.

        Raises:
            TrainingError: If the training diverges.
        """
        params = self._resolve_params(trial)
        if self._find_own_training(params, trial.seed):
            return self._fit_itself(trial, params)
        architecture = self._get_architecture(params, trial.seed)
        architecture.make_fold_state(trial, 0, params)  # which the model holds then
        for epoch in range(trial.epochs):
            architecture = self._enter_phase(architecture, trial, params, epoch)
            loss = self._train_epoch(architecture, trial, params, epoch, fold=0, losses=())
            require_finite_loss(np.array([loss]), epoch)
        network = architecture.shared_model
        network.finalize_weights()
        return network.get_weights()

    def _fit_itself(self, trial: TrialSpec, params: Mapping[str, Value]) -> list[np.ndarray]:
        """Run the final fit of a model with its own `fit`."""
        run = FoldFit(self.problem, trial, params, 0)
        try:
            for epoch in range(trial.epochs):
                loss = run.train_epoch()
                if loss is None:
                    break
                require_finite_loss(np.array([loss]), epoch)
            return run.finish()
        finally:
            run.close()

    def _find_own_training(self, params: Mapping[str, Value], seed: int) -> str | None:
        """Explain why the model of `params` is trained by its own `fit`; else None."""
        if self._family.defaults is not None and not self.problem.callbacks:
            return None
        model = self.problem.make_own_builder(params, seed)()
        return find_own_training(model, self.problem)

    def _train_sequentially(self, trial: TrialSpec) -> ReportGenerator:
        """Train one fold after another to its end; after each the trial may be pruned.

        The final result equals that of folds in lockstep, each with its own early stopping; a
        pruned trial has only the folds that were trained.
        """
        run = self._start(trial)
        if isinstance(run, TrialResult):
            yield run
            return
        try:
            yield from self._train_folds(run)
        finally:
            run.close()

    def _train_folds(self, run: TrialFolds) -> ReportGenerator:
        progress, n_folds = run.progress, len(run.fold_states)
        trial = progress.trial
        fold_runs: list[FoldRun] = []
        pruned: Collection[int] = ()
        while len(fold_runs) < n_folds and trial.number not in pruned:
            try:
                fold_run = self._run_fold(run, len(fold_runs))
            except Exception as error:
                yield progress.fail(error)
                return
            if isinstance(fold_run, str):
                yield progress.fail(fold_run)
                return
            fold_runs.append(fold_run)
            if len(fold_runs) < n_folds:
                pruned = (yield [FoldReport(trial.number, fold_run.fold, fold_run.scores)]) or ()
        for measured, predictions in merge_fold_runs(fold_runs):
            report = progress.record_epoch(measured, predictions)
            assert isinstance(report, EpochReport)  # a failed fold ends the trial
            yield [report]
        if trial.number in pruned:
            yield progress.end("PRUNED", progress.best_predictions)
        else:
            yield progress.complete(progress.best_predictions)

    def _run_fold(self, run: TrialFolds, fold: int) -> FoldRun | str:
        """Train one fold to its end; return it, or the failure of the trial."""
        fold_run = FoldRun(fold, f"val/{self.problem.objective}")
        early, direction = self.problem.early_stopping, self._objective_metric.direction
        for epoch in range(run.progress.trial.epochs):
            figures, predictions = self._run_fold_epoch(run, epoch, fold)
            fold_run.add_epoch(figures, predictions)
            if not epoch and (unfit := why_output_unfit(self.problem.task, [predictions])):
                return unfit
            if reason := why_diverged(fold_run.get_vital_metrics()):
                return reason
            if find_stopped_folds(fold_run.scores[:, None], early, direction).all():
                break
        return fold_run

    def _start(self, trial: TrialSpec) -> TrialFolds | TrialResult:
        """Start a trial with untrained folds, or return its failure."""
        direction = self._objective_metric.direction
        progress = TrialProgress(self.problem, trial, self.name, direction)
        try:
            params = self._resolve_params(trial)
            if self.problem.fold_schedule == "in_turn" and make_schedule(params).needs_losses:
                raise TrainingError(
                    "reduce_on_plateau watches the mean over the folds, which folds trained one "
                    "after another do not have: use another schedule or another pruner"
                )
            folds = range(len(self.problem.folds))
            if self._find_own_training(params, trial.seed):
                fits = [FoldFit(self.problem, trial, params, fold) for fold in folds]
                progress.n_parameters = fits[0].model.count_params()
                return TrialFolds(progress, params, [], [*fits])
            architecture = self._get_architecture(params, trial.seed)
            progress.n_parameters = architecture.shared_model.model.count_params()
            states: list[FoldState | FoldFit] = [
                architecture.make_fold_state(trial, fold, params) for fold in folds
            ]
            run = TrialFolds(progress, params, [architecture] * len(states), states)
            if self.problem.fold_schedule == "together":
                run.restore_folds(partial(self._get_architecture, params, trial.seed))
        except Exception as error:
            return progress.fail(error)
        return run

    def _measure_epoch(self, run: TrialFolds) -> EpochMeasures:
        """Train every fold for one epoch and evaluate it; a stopped fold repeats its last."""
        progress = run.progress
        epoch, stopped = progress.n_epochs, progress.find_stopped_folds()
        figures, predictions = [], []
        for fold in range(len(run.fold_states)):
            if stopped[fold]:
                figures.append({name: rows[-1][fold] for name, rows in progress.rows.items()})
                predictions.append(run.predictions[fold])
            else:
                figure, table = self._run_fold_epoch(run, epoch, fold)
                figures.append(figure)
                predictions.append(table)
        run.predictions = predictions
        return {name: np.array([f[name] for f in figures]) for name in figures[0]}, predictions

    def _run_fold_epoch(
        self, run: TrialFolds, epoch: int, fold: int
    ) -> tuple[dict[str, float], np.ndarray]:
        """Train a fold for one epoch; return its figures by name and validation predictions."""
        state = run.fold_states[fold]
        validation = self.problem.folds[fold].validation
        if isinstance(state, FoldFit):
            loss, seen = self._advance_fold_fit(run, state, fold)
        else:
            trial, architecture = run.progress.trial, run.architectures[fold]
            architecture.shared_model.set_state(state)
            architecture = self._enter_phase(architecture, trial, run.params, epoch)
            run.architectures[fold], network = architecture, architecture.shared_model
            losses = run.progress.mean_losses()
            loss = self._train_epoch(
                architecture, trial, run.params, epoch, fold=fold, losses=losses
            )
            run.fold_states[fold] = network.get_state()
            seen = network.evaluate(self.problem.get_statistics(run.params)[fold], validation)
        figures = {"train/loss": loss, "val/loss": seen.loss}
        for metric in self._metrics:
            figures[f"val/{metric.name}"] = self.problem.compute_metric(
                metric, validation, seen.predictions
            )
        return figures, seen.predictions

    def _advance_fold_fit(
        self, run: TrialFolds, state: FoldFit, fold: int
    ) -> tuple[float, Evaluation]:
        """Train a fold's own `fit` for one epoch; return the training loss and the evaluation.

        If the training has ended, those of the last epoch are returned.
        """
        loss = state.train_epoch()
        if loss is None:
            loss = run.progress.rows["train/loss"][-1][fold]
        if state.has_ended:
            run.progress.ended_folds.add(fold)
        assert state.evaluation is not None
        return loss, state.evaluation

    def _enter_phase(
        self, held: Architecture, trial: TrialSpec, params: Mapping[str, Value], epoch: int
    ) -> Architecture:
        """Return the network of an epoch's phase, with the fold that `held` holds."""
        phase = find_phase(self.problem.phases, epoch)
        if phase == held.phase:
            return held
        entered = self._get_architecture(params, trial.seed, phase)
        entered.shared_model.take_over(held.shared_model)
        return entered

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
        """Return a fold's training loss; `losses` are earlier mean validation losses."""
        rows, size = self.problem.folds[fold].train, batch_size(params)
        features, on_disk = self.problem.features, self.problem.on_disk
        rates = shares = None
        if not architecture.is_user_compiled:
            steps = {"n_steps": -(-len(rows) // size), "n_epochs": trial.planned or trial.epochs}
            watched = trial.watched or losses
            rates = compute_rates(self.problem.phases, params, epoch, losses=watched, **steps)
            shares = strength_shares(params, epoch, **steps)
        return architecture.shared_model.train_epoch(
            self.problem.get_statistics(params)[fold],
            order_training_rows(rows, epoch, features, on_disk=on_disk),
            size,
            class_weights=class_weights(self.problem, params, fold),
            rates=rates,
            shares=shares,
        )

    def _resolve_params(self, trial: TrialSpec) -> dict[str, Value]:
        return self.problem.resolve(trial.params)

    def _get_architecture(
        self, params: Mapping[str, Value], seed: int, phase: int = 0
    ) -> Architecture:
        """Return a network for `params`, a cached one if possible."""
        key = make_architecture_key(self._family, self.problem.task, params, seed), phase
        if key not in self._architectures:
            while len(self._architectures) >= MAX_ARCHITECTURES:
                self._architectures.popitem(last=False)
            self._architectures[key] = make_architecture(
                self.problem, self._backend_features, params, seed, phase
            )
        self._architectures.move_to_end(key)
        return self._architectures[key]

    @cached_property
    def _backend_features(self) -> Any:
        features = self.problem.features
        return features if self.problem.on_disk else to_backend_array(features)
