"""The protocol of `training.trainer`, and what makes a trial's end of its curves.

Knows neither programs nor devices: `course` describes a trial, `threads` or `batch` runs it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ...errors import TrainingError, UnsuitableError
from ...trial import EpochReport, State, TrialResult, TrialSpec, Value
from ..class_weights import class_weights
from ..outcome import divergence, ended, failed, score_of, stopped_folds, unfit_output
from ..problem import Problem
from ..trainer import Reports
from . import session

if TYPE_CHECKING:
    from ..metrics import Metric
    from .batch import Batch
    from .course import Course, Outcome
    from .threads import Threads

Placement = Literal["threads", "batch"]
Key = tuple[tuple[int, int], ...]  # of a population: each trial's number and attempt


class VectorizedTrainer:
    """Trains all folds of all trials side by side; a `trainer.Trainer`."""

    name = "vectorized"

    def __init__(self, problem: Problem, *, placement: Placement | None = None) -> None:
        """Bring `problem` to the device.

        Args:
            problem: Rows, folds and goal.
            placement: Lanes on threads, or as one batch; None: what suits the device.

        Raises:
            TrainingError: If this process has started Keras with another backend than JAX.
        """
        session.start()
        from .library import Library
        from .table import make_table

        self.problem = problem
        metrics = [problem.metric(name) for name in problem.metrics]
        self._metrics = [metric for metric in metrics if not metric.on_host]
        self._on_host = [metric for metric in metrics if metric.on_host]
        self._objective = problem.goal
        self._placement = placement or ("threads" if session.on_cpu() else "batch")
        batched = self._placement == "batch"
        # One lane alone may use all cores; several use one each.
        alone = len(problem.folds) == 1
        self._library = Library(self._metrics, batched=batched, threads=batched or alone)
        self._engine = self._make_engine(make_table(problem))
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._prepared: dict[Key, Future[list[Course | TrialResult]]] = {}

    @property
    def compilations(self) -> int:
        """How many programs were compiled or taken from the cache so far."""
        return self._library.compilations

    def prepare(self, trials: Sequence[TrialSpec]) -> None:
        """Begin to compile the programs of trials that will be trained later; returns at once."""
        key = _key(trials)
        if key not in self._prepared:
            self._prepared[key] = self._ahead.submit(self._ready, tuple(trials))

    def train(self, trials: Sequence[TrialSpec]) -> Reports:
        """See `trainer.Trainer.train`."""
        made = self._courses(trials)
        running = [m for m in made if not isinstance(m, TrialResult)]
        yield from (m for m in made if isinstance(m, TrialResult))
        try:
            self._engine.begin(running)
        except Exception as error:
            yield from (self._failed(course, error) for course in running)
            return
        try:
            for course in running:
                self._submit(course, finished=0, folds=self._folds)
            for epoch in itertools.count():
                if not running:
                    return
                for result in (yield from self._advance(running, epoch)):
                    [course] = [c for c in running if c.trial.number == result.number]
                    self._engine.end(course)
                    running.remove(course)
                    yield result
        finally:  # whoever closes the generator wants no more epochs
            for course in running:
                self._engine.end(course)

    def fit(self, trial: TrialSpec) -> list[np.ndarray]:
        """See `trainer.Trainer.fit`.

        Raises:
            TrainingError: If the training diverges.
        """
        course = self._made(trial)
        course.judged = False
        self._engine.begin([course])
        for epoch in range(trial.epochs):
            self._engine.submit(course, epoch, [0])
            [outcome] = self._engine.collect(course, epoch, [0])
            if reason := divergence({"train/loss": np.array([outcome.train_loss])}):
                self._engine.end(course)
                raise TrainingError(f"final fit, epoch {epoch}: {reason}")
        vector, others = self._engine.weights(course, trial.epochs - 1, 0)
        self._engine.end(course)
        return course.recipe.network.weights(vector, others)

    def _make_engine(self, table: Any) -> Threads | Batch:
        if self._placement == "batch":
            from .batch import Batch

            return Batch(self.problem, table, self._library)
        from .threads import Threads

        return Threads(self.problem, table, self._library, cores=session.cores())

    def _courses(self, trials: Sequence[TrialSpec]) -> list[Course | TrialResult]:
        """The trials, ready to train: made and compiled ahead, or here and now."""
        ahead = self._prepared.pop(_key(trials), None)
        courses = self._made_all(trials) if ahead is None else ahead.result()
        for course in courses:
            if not isinstance(course, TrialResult):
                course.started = time.perf_counter()
        return courses

    def _ready(self, trials: Sequence[TrialSpec]) -> list[Course | TrialResult]:
        courses = self._made_all(trials)
        with suppress(Exception):  # a program that cannot be made fails its trial in training
            self._engine.prepare([c for c in courses if not isinstance(c, TrialResult)])
        return courses

    def _made_all(self, trials: Sequence[TrialSpec]) -> list[Course | TrialResult]:
        """Each trial's course; a model that cannot be made has failed its trial."""
        courses: list[Course | TrialResult] = []
        for trial in trials:
            started = time.perf_counter()
            try:
                courses.append(self._made(trial))
            except UnsuitableError:
                raise
            except Exception as error:
                seconds = time.perf_counter() - started
                courses.append(failed(trial, error, seconds=seconds, trainer=self.name))
        return courses

    def _made(self, trial: TrialSpec) -> Course:
        from .course import Course
        from .recipe import make_recipe

        params = self.problem.resolve(trial.params)
        weights = [class_weights(self.problem, params, fold) for fold in self._folds]
        shares = self._placement == "threads"
        recipe = make_recipe(self.problem, params, trial.seed, shares=shares)
        return Course(trial, params, recipe, tuple(weights))

    def _submit(self, course: Course, *, finished: int, folds: Sequence[int]) -> None:
        """Begin the epochs that need no answer but those to the `finished` ones."""
        lead = self._engine.lead
        if course.recipe.schedule.watches and not course.trial.watched:
            lead = 0  # an epoch's rates depend on the losses of the one before
        limit = min(finished + 1 + lead, course.trial.epochs)
        limit = min([limit, *(r for r in course.trial.rungs if r > finished)])
        while course.submitted < limit:
            self._engine.submit(course, course.submitted, folds)
            course.submitted += 1

    def _advance(
        self, running: list[Course], epoch: int
    ) -> Generator[list[EpochReport] | TrialResult, Collection[int] | None, list[TrialResult]]:
        """Report one epoch of a population; the results of the trials that end with it."""
        said = {course.trial.number: self._said(course, epoch) for course in running}
        reports = [word for word in said.values() if isinstance(word, EpochReport)]
        stopped: Collection[int] = ()
        if reports:
            stopped = (yield reports) or ()
        results = [word for word in said.values() if isinstance(word, TrialResult)]
        going = [c for c in running if isinstance(said[c.trial.number], EpochReport)]
        ended = [self._ended(c, epoch, pruned=c.trial.number in stopped) for c in going]
        return results + [result for result in ended if result is not None]

    def _said(self, course: Course, epoch: int) -> EpochReport | TrialResult:
        """What a trial measured in an epoch, or that it has failed."""
        try:
            report = self._report(course, epoch)
        except Exception as error:
            return self._failed(course, error)
        return self._failed(course, report) if isinstance(report, str) else report

    def _ended(self, course: Course, epoch: int, *, pruned: bool) -> TrialResult | None:
        """The result of a trial that ends with this epoch; else its next epochs begin."""
        if pruned:
            return self._result(course, "PRUNED")
        stopped = self._stopped(course)
        if stopped.all() or epoch + 1 == course.trial.epochs:
            predictions = [self._predictions(course, fold) for fold in self._folds]
            dead = divergence({}, predictions)
            return self._failed(course, dead) if dead else self._result(course, "COMPLETE")
        self._submit(course, finished=epoch + 1, folds=np.flatnonzero(~stopped).tolist())
        return None

    def _report(self, course: Course, epoch: int) -> EpochReport | str:
        """What all folds measured in an epoch, or why the trial has failed."""
        going = [f for f in self._folds if epoch == 0 or not self._stopped(course)[f]]
        moved = dict(zip(going, self._engine.collect(course, epoch, going), strict=True))
        outcomes = [moved[f] if f in moved else course.last[f] for f in self._folds]
        course.last = outcomes
        measured = {
            "train/loss": np.array([o.train_loss for o in outcomes]),
            "val/loss": np.array([o.validation_loss for o in outcomes]),
        }
        vital = dict(measured)
        for place, metric in enumerate(self._metrics):
            values = np.array([o.metrics[place] for o in outcomes], np.float64)
            measured[f"val/{metric.name}"] = values
        for metric in self._on_host:
            values = np.array([self._own(metric, fold, outcomes[fold]) for fold in self._folds])
            measured[f"val/{metric.name}"] = values
        for name, values in measured.items():
            course.rows.setdefault(name, []).append(values)
        scores = measured[f"val/{self.problem.objective}"]
        if not epoch:
            seen = [self._predictions_of(outcomes, fold) for fold in self._folds]
            if unfit := unfit_output(self.problem.task, seen):
                return unfit
        if reason := divergence({**vital, self.problem.objective: scores}):
            return reason
        if score_of(self._curve(course), self._objective.direction).best_epoch == epoch:
            course.best = outcomes
        return EpochReport(course.trial.number, epoch, scores, measured)

    def _own(self, metric: Metric, fold: int, outcome: Outcome) -> float:
        """A metric of the user's own on a fold's validation rows."""
        rows, weights = self.problem.folds[fold].validation, self.problem.weights
        seen = np.asarray(outcome.predictions)[: len(rows)]
        return metric(self.problem.target[rows], seen, None if weights is None else weights[rows])

    def _failed(self, course: Course, reason: str | BaseException) -> TrialResult:
        return failed(
            course.trial,
            reason,
            seconds=time.perf_counter() - course.started,
            trainer=self.name,
            curves=course.curves(),
            n_parameters=course.recipe.network.n_parameters,
        )

    def _result(self, course: Course, state: State) -> TrialResult:
        return ended(
            self.problem,
            course.trial,
            state,
            direction=self._objective.direction,
            curves=course.curves(),
            predictions=[self._predictions(course, fold) for fold in self._folds],
            seconds=time.perf_counter() - course.started,
            trainer=self.name,
            n_parameters=course.recipe.network.n_parameters,
        )

    @property
    def _folds(self) -> range:
        return range(len(self.problem.folds))

    def _curve(self, course: Course) -> np.ndarray:
        return np.stack(course.rows[f"val/{self.problem.objective}"])

    def _stopped(self, course: Course) -> np.ndarray:
        early, direction = self.problem.early_stopping, self._objective.direction
        return stopped_folds(self._curve(course), early, direction)

    def _predictions(self, course: Course, fold: int) -> np.ndarray:
        """Of the best epoch, (n_validation, n_outputs), in the order of the split."""
        return self._predictions_of(course.best, fold)

    def _predictions_of(self, outcomes: Sequence[Outcome], fold: int) -> np.ndarray:
        n = len(self.problem.folds[fold].validation)
        return np.asarray(outcomes[fold].predictions)[:n]


def _key(trials: Sequence[TrialSpec]) -> Key:
    return tuple((trial.number, trial.attempt) for trial in trials)


def why_not(problem: Problem, params: Mapping[str, Value], seed: int = 0) -> str | None:
    """Why a trial of `params` cannot be vectorised on this device, or None where it can.

    An exception of the user's own model is no reason: it is a failed trial in either trainer.
    """
    session.start()
    from .recipe import make_recipe

    try:
        make_recipe(problem, {**(problem.fixed or {}), **params}, seed)
    except TrainingError as error:
        return str(error)
    except Exception:
        return None
    return None
