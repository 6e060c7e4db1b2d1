"""Train trials whose lanes run on threads; see `thread_engine`."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property

import jax
import numpy as np

from ...errors import TrainingError, UnsuitableError
from ...trial import TrialResult, TrialSpec
from ..checkpoint import Checkpoint, decode_fitting
from ..class_weights import class_weights
from ..fold_weights import get_step_factors
from ..problem import Problem
from ..trainer import ReportGenerator
from ..trial_progress import EpochMeasures, FrozenFolds, TrialProgress, train_in_lockstep
from ..trial_result import require_finite_loss
from . import session
from .device_data import DeviceData
from .lane_recipe import make_lane_recipe
from .program import LaneState
from .program_cache import ProgramCache
from .recipe import is_large
from .templates import Templates
from .thread_engine import ThreadEngine
from .trial_run import LaneMeasures, TrialRun

Key = tuple[tuple[int, int], ...]  # of a population: number and attempt of each trial
AHEAD_EPOCHS = 4  # of a trial, at most, before its turn
AHEAD_WEIGHTS = 1 << 22  # of all lanes trained ahead, which are in memory beside the running ones


class ThreadTrainer:
    """Trains all folds of all trials in parallel on threads; a `trainer.Trainer`.

    Examples:
        >>> from hpsearch.testing.executors import small_problem, small_trial
        >>> from hpsearch.training.vectorized import VectorizedTrainer
        >>> trainer = VectorizedTrainer(small_problem(), placement="threads")
        >>> [weights.shape for weights in trainer.fit(small_trial(epochs=1))]
        [(4, 8), (8,), (8, 1), (1,)]
    """

    name = "vectorized"

    def __init__(self, problem: Problem, data: DeviceData, programs: ProgramCache) -> None:
        self.problem = problem
        metrics = [problem.get_metric(name) for name in problem.metrics]
        self._metrics = [metric for metric in metrics if not metric.needs_numpy]
        self._on_host = [metric for metric in metrics if metric.needs_numpy]
        self._objective = problem.objective_metric
        self._data, self._programs = data, programs
        self._engine = self._make_engine(programs, session.count_cores())
        self.templates = Templates(problem, batched=False)
        self._making = threading.Lock()  # `prepare` and `train` make trials at the same time
        # Later trials are compiled one after another, and train as soon as they are compiled.
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._starting = ThreadPoolExecutor(1, thread_name_prefix="start")
        self._prepared: dict[Key, Future[list[TrialRun | TrialResult]]] = {}
        self._turns = itertools.count()  # of populations
        # Populations with a trial that lost its worker. Until they end, none is trained ahead, so
        # that another loss is that of the running one.
        self._retried: set[Key] = set()

    def prepare(self, trials: Sequence[TrialSpec]) -> None:
        """Compile the programs of later trials, and train these ahead; returns immediately."""
        key = _population_key(trials)
        if any(trial.attempt for trial in trials):
            self._retried.add(key)
        if key not in self._prepared:
            made = self._ahead.submit(self._compile_ahead, tuple(trials))
            self._prepared[key] = self._starting.submit(self._start_ahead, made)

    def train(self, trials: Sequence[TrialSpec]) -> ReportGenerator:
        """See `trainer.Trainer.train`."""
        try:
            yield from self._train_population(trials)
        finally:
            self._retried.discard(_population_key(trials))

    def _train_population(self, trials: Sequence[TrialSpec]) -> ReportGenerator:
        made = self._trial_runs(trials)
        yield from (m for m in made if isinstance(m, TrialResult))
        running = _only_runs(made)
        try:
            self._engine.start_population(running)
        except Exception as error:
            yield from (trial_run.progress.fail(error) for trial_run in running)
            return
        yield from train_in_lockstep(
            running,
            self._measure_epoch,
            go_on=self._submit_epochs,
            release=self._engine.forget,
            freeze=self._freeze_lanes,
        )

    def fit(self, trial: TrialSpec) -> list[np.ndarray]:
        """See `trainer.Trainer.fit`.

        Raises:
            TrainingError: If the training diverges.
        """
        trial_run = self._make_trial_run(self._begin(trial))
        trial_run.evaluates = False
        large = is_large(self.problem, trial_run.recipe.network)
        engine = self._engine_on_all_cores if large else self._engine
        engine.start_population([trial_run])
        for epoch in range(trial.epochs):
            engine.submit(trial_run, epoch, [0])
            [outcome] = engine.collect(trial_run, epoch, [0])
            try:
                require_finite_loss(np.array([outcome.train_loss]), epoch)
            except TrainingError:
                engine.forget(trial_run)
                raise
        vector, others = engine.weights(trial_run, trial.epochs - 1, 0)
        engine.forget(trial_run)
        return trial_run.recipe.network.weights(vector, others)

    @cached_property
    def _engine_on_all_cores(self) -> ThreadEngine:
        """The engine for a lane that trains alone and is worth a program of its own."""
        return self._make_engine(self._programs.on_all_cores(), 1)

    def _make_engine(self, programs: ProgramCache, cores: int) -> ThreadEngine:
        return ThreadEngine(self.problem, self._data, programs, self._metrics, cores=cores)

    def _trial_runs(self, trials: Sequence[TrialSpec]) -> list[TrialRun | TrialResult]:
        """Return the prepared trials; prepare and compile those that are not."""
        ahead = self._prepared.pop(_population_key(trials), None)
        trial_runs = self._make_trial_runs(trials) if ahead is None else ahead.result()
        for trial_run in trial_runs:
            if not isinstance(trial_run, TrialResult):
                trial_run.progress.started = time.perf_counter()
        return trial_runs

    def _compile_ahead(self, trials: Sequence[TrialSpec]) -> list[TrialRun | TrialResult]:
        """Make the run of each trial, and start to compile its programs."""
        trial_runs = self._make_trial_runs(trials)
        with suppress(Exception):  # the error is reported when the trial is trained
            self._engine.start_population(_only_runs(trial_runs))
        return trial_runs

    def _start_ahead(
        self, made: Future[list[TrialRun | TrialResult]]
    ) -> list[TrialRun | TrialResult]:
        """Train the first epochs of trials whose programs have been compiled."""
        trial_runs = made.result()
        ready = _only_runs(trial_runs)
        with suppress(Exception):  # see `_compile_ahead`
            self._engine.wait_for_programs(ready)
            n_weights = sum(trial_run.recipe.network.size for trial_run in ready)
            if not self._retried and n_weights * len(self.problem.folds) <= AHEAD_WEIGHTS:
                for trial_run in ready:
                    self._train_ahead(trial_run)
        return trial_runs

    def _train_ahead(self, trial_run: TrialRun) -> None:
        """Submit first epochs that are needed in any case, for cores that have nothing to do.

        An epoch that takes long keeps the cores busy, and verdicts would wait for it.
        """
        recipe, stopping = trial_run.recipe, self.problem.early_stopping
        if self.problem.on_disk or trial_run.restored or is_large(self.problem, recipe.network):
            return
        limit = AHEAD_EPOCHS if stopping is None else min(AHEAD_EPOCHS, stopping.patience + 1)
        self._submit_until(trial_run, limit)

    def _make_trial_runs(self, trials: Sequence[TrialSpec]) -> list[TrialRun | TrialResult]:
        """Make the run of each trial; a model that cannot be built fails its trial."""
        trial_runs: list[TrialRun | TrialResult] = []
        turn = next(self._turns)
        for trial in trials:
            progress = self._begin(trial)
            try:
                trial_run = self._make_trial_run(progress)
                trial_run.turn = turn
                trial_runs.append(trial_run)
            except UnsuitableError:
                raise
            except Exception as error:
                trial_runs.append(progress.fail(error))
        return trial_runs

    def _begin(self, trial: TrialSpec) -> TrialProgress:
        return TrialProgress(self.problem, trial, self.name, self._objective.direction)

    def _make_trial_run(self, progress: TrialProgress) -> TrialRun:
        params = self.problem.resolve(progress.trial.params)
        weights = [class_weights(self.problem, params, fold) for fold in self._fold_range]
        complete = self.templates.resolve(progress.trial)
        with self._making:
            template = self.templates.get(progress.trial)
        recipe = make_lane_recipe(self.problem, template, params, complete)
        progress.n_parameters = recipe.network.n_parameters

        def draw(fold: int) -> LaneState:
            return template.draw_lane(self.problem, progress.trial, complete, recipe, fold)

        factors = get_step_factors(self.problem, params, recipe.network.plan)
        trial_run = TrialRun(progress, params, recipe, tuple(weights), draw, factors)
        if progress.trial.resume_from is not None:
            self._restore_lanes(trial_run)
        return trial_run

    def _freeze_lanes(self, trial_run: TrialRun) -> FrozenFolds | None:
        """Return the lanes' copies if a checkpoint was planned; stopped lanes have none."""
        epoch = trial_run.progress.n_epochs - 1
        if epoch not in trial_run.planned:
            return None
        states = [trial_run.frozen.pop((epoch, fold), []) for fold in self._fold_range]
        return states, self._predictions(trial_run.last)

    def _restore_lanes(self, trial_run: TrialRun) -> None:
        """Continue from the trial's checkpoint, if it fits."""
        trial, example = trial_run.trial, trial_run.example_state()
        leaves, structure = jax.tree.flatten(example)
        fresh = [[np.asarray(leaf) for leaf in leaves]] * len(self.problem.folds)
        found = decode_fitting(trial.resume_from, lambda _: fresh, trial.number)
        if found is None:
            return
        trial_run.progress.restored, trial_run.submitted = found, found.n_epochs
        trial_run.restored = [
            jax.tree.unflatten(structure, [jax.numpy.array(leaf) for leaf in state])
            if state
            else None
            for state in found.states
        ]
        trial_run.last = [self._last_measures(found, fold) for fold in self._fold_range]

    def _last_measures(self, found: Checkpoint, fold: int) -> LaneMeasures:
        """Return a lane's measurements in the last epoch of a checkpoint."""
        last = {name: float(values[-1, fold]) for name, values in found.rows.items()}
        metrics = [last[f"val/{metric.name}"] for metric in self._metrics]
        loss = last["train/loss"], last["val/loss"]
        return LaneMeasures(*loss, metrics, found.predictions[fold])

    def _submit_epochs(self, trial_run: TrialRun) -> None:
        """Submit the epochs that do not depend on answers to later reports."""
        if not trial_run.progress.is_replaying:
            self._submit_until(trial_run, trial_run.progress.n_epochs + 1 + self._engine.lead)

    def _submit_until(self, trial_run: TrialRun, limit: int) -> None:
        """Submit at most the first `limit` epochs, and none beyond the next rung."""
        trial, finished = trial_run.trial, trial_run.progress.n_epochs
        folds = np.flatnonzero(~trial_run.progress.find_stopped_folds()).tolist()
        if trial_run.recipe.schedule.needs_losses and not trial.watched:
            limit = min(limit, finished + 1)  # rates depend on the previous epoch's losses
        limit = min([limit, trial.epochs, *(r for r in trial.rungs if r > finished)])
        while trial_run.submitted < limit:
            if trial_run.progress.plans_checkpoint(trial_run.submitted):
                trial_run.planned.add(trial_run.submitted)
            self._engine.submit(trial_run, trial_run.submitted, folds)
            trial_run.submitted += 1

    def _measure_epoch(self, trial_run: TrialRun) -> EpochMeasures:
        """Return all folds' measurements of an epoch; a stopped fold repeats its last."""
        epoch = trial_run.progress.n_epochs
        going = np.flatnonzero(~trial_run.progress.find_stopped_folds()).tolist()
        moved = dict(zip(going, self._engine.collect(trial_run, epoch, going), strict=True))
        outcomes = [moved[f] if f in moved else trial_run.last[f] for f in self._fold_range]
        trial_run.last = outcomes
        predictions = self._predictions(outcomes)
        measured = {
            "train/loss": np.array([o.train_loss for o in outcomes]),
            "val/loss": np.array([o.validation_loss for o in outcomes]),
        }
        for index, metric in enumerate(self._metrics):
            values = np.array([o.metrics[index] for o in outcomes], np.float64)
            measured[f"val/{metric.name}"] = values
        for metric in self._on_host:
            pairs = zip(self.problem.folds, predictions, strict=True)
            own = [self.problem.compute_metric(metric, fold.validation, p) for fold, p in pairs]
            measured[f"val/{metric.name}"] = np.array(own)
        return measured, predictions

    def _predictions(self, outcomes: Sequence[LaneMeasures]) -> list[np.ndarray]:
        """Return each fold's predictions of its validation rows."""
        return [outcome.predictions for outcome in outcomes]

    @property
    def _fold_range(self) -> range:
        return range(len(self.problem.folds))


def _only_runs(made: Sequence[TrialRun | TrialResult]) -> list[TrialRun]:
    """Return the trials that have not failed yet."""
    return [run for run in made if not isinstance(run, TrialResult)]


def _population_key(trials: Sequence[TrialSpec]) -> Key:
    return tuple((trial.number, trial.attempt) for trial in trials)
