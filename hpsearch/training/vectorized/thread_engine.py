"""Train lanes on threads: each core trains one lane at a time with its own program.

On a CPU, a lane's products are small and its weights fit in a core's cache, so this is faster than
one batched program, and a stopped lane costs nothing. The next epoch's lanes start while the last
lanes of the current one finish and its report is being answered. Lanes of the next population fill
what time is left.

Rows on disk are trained and evaluated part by part: all lanes of a population use a part of the
file before any uses the next one, so that each part is read from the disk once for all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import jax
import numpy as np

from ..metrics import Metric
from ..problem import Problem
from .device_data import DeviceData, DeviceFold
from .lane_pool import LanePool
from .program import EpochOutput, EvalOutput, Lane, LaneEpoch
from .program_cache import ProgramCache
from .trial_run import LaneMeasures, TrialRun

PART_BYTES = 1 << 26  # of rows on disk, which all lanes use before the next ones


class LanePart(NamedTuple):
    """A part of a lane's epoch."""

    steps: range  # batches to train
    chunks: range = range(0)  # of validation rows to evaluate after them
    is_last: bool = False


class LaneStep(NamedTuple):
    """A lane after a part of an epoch."""

    trained: EpochOutput
    train_loss: float  # of the batches so far
    evaluated: tuple[EvalOutput, ...] = ()  # of the chunks so far
    measures: LaneMeasures | None = None  # of the epoch, after its last part


class LaneEpochs(NamedTuple):
    """Submitted lanes of a trial."""

    trial_run: TrialRun
    epoch: int
    folds: Sequence[int]


class ThreadEngine:
    """Runs lanes on threads with programs for one lane."""

    lead = 1  # epochs started before the previous epoch's report is answered

    def __init__(
        self,
        problem: Problem,
        data: DeviceData,
        programs: ProgramCache,
        metrics: Sequence[Metric],
        *,
        cores: int,
    ) -> None:
        """Start no threads yet; `metrics` are computed by the threads of the lanes."""
        self._problem, self._data, self._programs = problem, data, programs
        self._metrics = metrics
        self._pool = LanePool(cores)
        self._compilers = ThreadPoolExecutor(2, thread_name_prefix="compiler")
        # The parts of an epoch, by trial, fold and epoch.
        self._steps: dict[tuple[int, int, int], list[Future[LaneStep]]] = {}
        self._submitted: list[LaneEpochs] = []  # not started
        self._lock = threading.RLock()  # the next population is submitted from another thread

    def start_population(self, trial_runs: Sequence[TrialRun]) -> None:
        """Compile a population's programs; a program that cannot be compiled fails its lanes."""
        for trial_run in trial_runs:
            if not trial_run.programs:
                trial_run.programs = self._compile(trial_run)

    def wait_for_programs(self, trial_runs: Sequence[TrialRun]) -> None:
        """Wait until the programs of some trials are compiled.

        Raises:
            Exception: Any exception of the model while it is traced.
        """
        for program in [p for trial_run in trial_runs for p in trial_run.programs]:
            program.result()

    def _compile(self, trial_run: TrialRun) -> list[Future[Any]]:
        """Compile the programs of a trial, which fit all its lanes, each in its own thread."""
        state, lane, rows = (
            trial_run.example_state(),
            trial_run.make_lane(0, self._data),
            self._data.rows,
        )
        given = (
            state,
            lane.without_validation(),
            self._make_epoch(trial_run, 0, 0, range(1)),
            rows,
        )
        pool = self._compilers
        programs = [self._programs.train(pool, trial_run.recipe, *given)]
        if trial_run.evaluates:
            part = take_chunks(lane, range(self._count_chunks(lane.fold)))
            seen = (state.vector, state.others, part, rows)
            programs.append(self._programs.evaluate(pool, trial_run.recipe, *seen))
        return programs

    def submit(self, trial_run: TrialRun, epoch: int, folds: Sequence[int]) -> None:
        """Train an epoch of some lanes after everything that was submitted before.

        With rows on disk it starts when measurements are collected, together with the lanes that
        were submitted until then.
        """
        with self._lock:
            self._submitted.append(LaneEpochs(trial_run, epoch, folds))
            if not self._problem.on_disk:
                self._start_submitted()

    def _start_submitted(self) -> None:
        submitted = sorted(self._submitted, key=lambda lanes: lanes.epoch)
        self._submitted = []
        for epoch, together in groupby(submitted, key=lambda lanes: lanes.epoch):
            lanes = [(run, fold) for run, _, folds in together for fold in folds]
            lanes.sort(key=lambda lane: lane[1])  # trials evaluate a fold's rows together
            plans = [self._divide_epoch(run, fold) for run, fold in lanes]
            for index in range(max(map(len, plans))):
                for (run, fold), plan in zip(lanes, plans, strict=True):
                    if index < len(plan):
                        self._start_part(run, fold, epoch, plan[index])

    def _start_part(self, trial_run: TrialRun, fold: int, epoch: int, part: LanePart) -> None:
        key = id(trial_run), fold, epoch
        before = self._steps.get(key if key in self._steps else (id(trial_run), fold, epoch - 1))
        last = None if before is None else before[-1]
        given = (trial_run, fold, epoch, part, last)
        task = self._pool.submit(trial_run.turn, self._run_part, *given)
        self._steps.setdefault(key, []).append(task)

    def _divide_epoch(self, trial_run: TrialRun, fold: int) -> list[LanePart]:
        """Divide an epoch into parts, as many for every lane; rows in memory are one part."""
        problem = self._problem
        n_steps = -(-len(problem.folds[fold].train) // trial_run.recipe.batch_size)
        n_chunks = len(self._data.folds[fold].validation) if trial_run.evaluates else 0
        if not problem.on_disk:
            return [LanePart(range(n_steps), range(n_chunks), is_last=True)]
        n = max(1, -(-problem.features.nbytes // PART_BYTES))
        ends = [-(-n_steps * k // n) for k in range(n + 1)]
        parts = [LanePart(range(*pair)) for pair in pairwise(ends)]
        each = self._count_chunks(self._data.folds[fold])
        for first in range(0, n_chunks, max(1, each)):
            parts.append(LanePart(range(n_steps, n_steps), range(first, first + each)))
        parts[-1] = parts[-1]._replace(is_last=True)
        return parts

    def _count_chunks(self, fold: DeviceFold) -> int:
        """Count the chunks of validation rows that are evaluated together."""
        n_chunks, size = fold.validation.shape
        if not self._problem.on_disk or not n_chunks:
            return int(n_chunks)
        features = self._problem.features
        in_part = PART_BYTES * len(features) // (size * features.nbytes)
        return int(min(n_chunks, max(1, in_part)))

    def collect(self, trial_run: TrialRun, epoch: int, folds: Sequence[int]) -> list[LaneMeasures]:
        """Return the measurements of the lanes of `folds` in a submitted epoch.

        Raises:
            Exception: Any exception of a lane.
        """
        with self._lock:
            self._start_submitted()
        outcomes = [self._find_last(trial_run, epoch, fold).measures for fold in folds]
        with self._lock:
            for fold in folds:  # its predictions included
                self._steps.pop((id(trial_run), fold, epoch - 1), None)
        return [measures for measures in outcomes if measures is not None]

    def weights(self, trial_run: TrialRun, epoch: int, fold: int) -> tuple[Any, Any]:
        """Return the weights after an epoch; no later one may have been submitted."""
        return self._find_last(trial_run, epoch, fold).trained.weights

    def _find_last(self, trial_run: TrialRun, epoch: int, fold: int) -> LaneStep:
        return self._steps[id(trial_run), fold, epoch][-1].result()

    def forget(self, trial_run: TrialRun) -> None:
        """Forget a trial; submitted epochs that have not started are dropped."""
        with self._lock:
            self._submitted = [s for s in self._submitted if s.trial_run is not trial_run]
            for key in [k for k in self._steps if k[0] == id(trial_run)]:
                for part in self._steps.pop(key):
                    part.cancel()

    def _make_epoch(self, trial_run: TrialRun, fold: int, number: int, steps: range) -> LaneEpoch:
        return trial_run.make_epoch(self._problem, self._data, fold, number, steps=steps)

    def _run_part(
        self,
        trial_run: TrialRun,
        fold: int,
        number: int,
        part: LanePart,
        before: Future[LaneStep] | None,
    ) -> LaneStep:
        """Train and evaluate a part of an epoch of one lane."""
        last = None if before is None else before.result()
        if part.steps:
            last = self._train_part(trial_run, fold, number, part, last)
        assert last is not None
        if part.chunks:
            last = self._evaluate_part(trial_run, fold, part, last)
        return self._measure(trial_run, fold, last) if part.is_last else last

    def _train_part(
        self, trial_run: TrialRun, fold: int, number: int, part: LanePart, last: LaneStep | None
    ) -> LaneStep:
        state = trial_run.initial_state(fold) if last is None else last.trained.state
        lane = trial_run.make_lane(fold, self._data).without_validation()
        epoch = self._make_epoch(trial_run, fold, number, part.steps)
        trained = trial_run.programs[0].result()(state, lane, epoch, self._data.rows)
        loss = float(trained.loss)
        if part.steps.start:
            assert last is not None
            loss += last.train_loss
        n_train = len(self._problem.folds[fold].train)
        has_ended = part.steps.stop * trial_run.recipe.batch_size >= n_train
        if has_ended and number in trial_run.planned:  # the next epoch overwrites the state
            leaves = jax.tree.leaves(trained.state)
            trial_run.frozen[number, fold] = [np.array(leaf) for leaf in leaves]
        return LaneStep(trained, loss)

    def _evaluate_part(
        self, trial_run: TrialRun, fold: int, part: LanePart, last: LaneStep
    ) -> LaneStep:
        lane = take_chunks(trial_run.make_lane(fold, self._data), part.chunks)
        evaluate = trial_run.programs[1].result()
        found = evaluate(*last.trained.weights, lane, self._data.rows)
        return last._replace(evaluated=(*last.evaluated, found))

    def _measure(self, trial_run: TrialRun, fold: int, last: LaneStep) -> LaneStep:
        """Compute a lane's measurements after the last part of an epoch."""
        if not trial_run.evaluates:
            return last._replace(measures=LaneMeasures(last.train_loss))
        lane = trial_run.make_lane(fold, self._data)
        found = _join_chunks(last.evaluated, lane.fold)
        rows = self._problem.folds[fold].validation
        predictions = np.asarray(found.predictions)[: len(rows)]
        metrics = [
            self._problem.compute_metric(metric, rows, predictions) for metric in self._metrics
        ]
        measures = LaneMeasures(last.train_loss, float(found.loss), metrics, predictions)
        return last._replace(evaluated=(), measures=measures)


def take_chunks(lane: Lane, chunks: range) -> Lane:
    """Return a lane that has these chunks of its validation rows; all of them: the lane."""
    fold = lane.fold
    n_chunks, size = fold.validation.shape
    if len(chunks) == n_chunks:
        return lane
    rows = np.zeros((len(chunks), size), np.int32)  # as many in the last part
    some = np.asarray(fold.validation)[chunks.start : chunks.stop]
    rows[: len(some)] = some
    counted = np.clip(int(fold.n_validation) - chunks.start * size, 0, rows.size)
    return lane._replace(fold=fold._replace(validation=rows, n_validation=np.int32(counted)))


def _join_chunks(parts: Sequence[EvalOutput], fold: DeviceFold) -> EvalOutput:
    """Join the parts of an evaluation; the loss is the mean over the rows."""
    if len(parts) == 1:
        return parts[0]
    n_rows, size = int(fold.n_validation), len(parts[0].predictions)
    counts = [max(0, min(size, n_rows - i * size)) for i in range(len(parts))]
    pairs = zip(parts, counts, strict=True)
    loss = sum(float(part.loss) * count for part, count in pairs if count) / n_rows
    predictions = np.concatenate([np.asarray(part.predictions) for part in parts])
    return EvalOutput(predictions[: fold.validation.size], loss)
