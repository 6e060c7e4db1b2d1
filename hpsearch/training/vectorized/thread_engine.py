"""Train lanes on threads: each core trains one lane at a time with its own program.

On a CPU, a lane's products are small and its weights fit in a core's cache, so this is faster than
one batched program, and a stopped lane costs nothing. The next epoch's lanes start while the last
lanes of the current one finish and its report is being answered.

Rows on disk are trained part by part: all folds of a trial train on a part of the file before any
trains on the next one, so that each part is read from the disk once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from ..problem import Problem
from .device_data import DeviceData
from .program import EpochOutput, LaneEpoch
from .program_cache import ProgramCache
from .trial_run import LaneMeasures, TrialRun

LaneStep = tuple[EpochOutput, LaneMeasures]
PART_BYTES = 1 << 26  # of rows on disk, which all folds read before the next ones


class ThreadEngine:
    """Runs lanes on threads with programs for one lane."""

    lead = 1  # epochs started before the previous epoch's report is answered

    def __init__(
        self, problem: Problem, data: DeviceData, programs: ProgramCache, *, cores: int
    ) -> None:
        self._problem, self._data, self._programs = problem, data, programs
        self._pool = ThreadPoolExecutor(cores, thread_name_prefix="lane")
        self._compilers = ThreadPoolExecutor(2, thread_name_prefix="compiler")
        # The parts of an epoch, by trial, fold and epoch.
        self._steps: dict[tuple[int, int, int], list[Future[LaneStep]]] = {}

    def prepare(self, trial_runs: Sequence[TrialRun]) -> None:
        """Compile the programs of some trials.

        Raises:
            Exception: Any exception of the model while it is traced.
        """
        self.start_population(trial_runs)
        for program in [p for trial_run in trial_runs for p in trial_run.programs]:
            program.result()

    def start_population(self, trial_runs: Sequence[TrialRun]) -> None:
        """Compile a population's programs; a program that cannot be compiled fails its lanes."""
        for trial_run in trial_runs:
            if not trial_run.programs:
                trial_run.programs = self._compile(trial_run)

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
        programs = [self._compilers.submit(self._programs.train, trial_run.recipe, *given)]
        if trial_run.evaluates:
            seen = (state.vector, state.others, lane, rows)
            programs.append(
                self._compilers.submit(self._programs.evaluate, trial_run.recipe, *seen)
            )
            shape = (lane.fold.validation.size, self._problem.n_outputs)
            asked = (jax.ShapeDtypeStruct(shape, np.float32), lane.fold, rows)
            programs.append(self._compilers.submit(self._programs.measure, *asked))
        return programs

    def submit(self, trial_run: TrialRun, epoch: int, folds: Sequence[int]) -> None:
        """Train an epoch of some lanes after everything that was submitted before."""
        parts = [self._divide_epoch(trial_run, fold) for fold in folds]
        for index in range(max(map(len, parts))):
            for fold, own in zip(folds, parts, strict=True):
                if index < len(own):
                    self._submit_part(trial_run, epoch, fold, own[index])

    def _submit_part(self, trial_run: TrialRun, epoch: int, fold: int, steps: range) -> None:
        before = self._steps.get((id(trial_run), fold, epoch if steps.start else epoch - 1))
        last = None if before is None else before[-1]
        task = self._pool.submit(self._run_part, trial_run, fold, epoch, steps, last)
        self._steps.setdefault((id(trial_run), fold, epoch), []).append(task)

    def _divide_epoch(self, trial_run: TrialRun, fold: int) -> list[range]:
        """Divide the batches of an epoch into parts; rows in memory are one part."""
        features, size = self._problem.features, trial_run.recipe.batch_size
        n_steps = -(-len(self._problem.folds[fold].train) // size)
        if not self._problem.on_disk:
            return [range(n_steps)]
        row_bytes = features.nbytes // len(features)
        part = max(1, PART_BYTES // (size * row_bytes))
        return [range(i, min(i + part, n_steps)) for i in range(0, n_steps, part)]

    def collect(self, trial_run: TrialRun, epoch: int, folds: Sequence[int]) -> list[LaneMeasures]:
        """Return the measurements of the lanes of `folds` in a submitted epoch.

        Raises:
            Exception: Any exception of a lane.
        """
        outcomes = [self._steps[id(trial_run), fold, epoch][-1].result()[1] for fold in folds]
        for fold in folds:  # its predictions included
            self._steps.pop((id(trial_run), fold, epoch - 1), None)
        return outcomes

    def weights(self, trial_run: TrialRun, epoch: int, fold: int) -> tuple[Any, Any]:
        """Return the weights after an epoch; no later one may have been submitted."""
        return self._steps[id(trial_run), fold, epoch][-1].result()[0].weights

    def forget(self, trial_run: TrialRun) -> None:
        """Forget a trial; submitted epochs that have not started are dropped."""
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
        steps: range,
        before: Future[LaneStep] | None,
    ) -> LaneStep:
        """Train a part of an epoch of one lane; evaluate the lane after the last one."""
        last = None if before is None else before.result()
        state = trial_run.initial_state(fold) if last is None else last[0].state
        lane, rows = trial_run.make_lane(fold, self._data), self._data.rows
        train, *others = trial_run.programs
        epoch = self._make_epoch(trial_run, fold, number, steps)
        trained = train.result()(state, lane.without_validation(), epoch, rows)
        loss = float(trained.loss)
        if steps.start:
            assert last is not None
            loss += last[1].train_loss
        if steps.stop * trial_run.recipe.batch_size < len(self._problem.folds[fold].train):
            return trained, LaneMeasures(loss)
        if number in trial_run.planned:  # the next epoch overwrites the state
            leaves = jax.tree.leaves(trained.state)
            trial_run.frozen[number, fold] = [np.array(leaf) for leaf in leaves]
        if not trial_run.evaluates:
            return trained, LaneMeasures(loss)
        evaluate, measure = (program.result() for program in others)
        evaluated = evaluate(*trained.weights, lane, rows)
        metrics = np.asarray(measure(evaluated.predictions, lane.fold, rows))
        outcome = LaneMeasures(loss, float(evaluated.loss), metrics, evaluated.predictions)
        return trained, outcome
