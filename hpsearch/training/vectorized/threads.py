"""Lanes on threads: each core trains one lane at a time with a program of its own.

On a CPU a lane's products are small and its weights stay in a core's cache, so this beats one
batched program, and a stopped lane costs nothing. The lanes of the next epoch begin while the
last of this one finish and while the report of this one is answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from ..problem import Problem
from .course import Course, Outcome
from .library import Library
from .program import Epoch, Trained
from .table import Table

Step = tuple[Trained, Outcome]


class Threads:
    """Runs lanes on threads; the programs of `library` are for one lane."""

    lead = 1  # epochs begun before the report of the one before is answered

    def __init__(self, problem: Problem, table: Table, library: Library, *, cores: int) -> None:
        self._problem, self._table, self._library = problem, table, library
        self._pool = ThreadPoolExecutor(cores, thread_name_prefix="lane")
        self._compilers = ThreadPoolExecutor(2, thread_name_prefix="compiler")
        self._steps: dict[tuple[int, int, int], Future[Step]] = {}  # by course, fold and epoch

    def prepare(self, courses: Sequence[Course]) -> None:
        """Compile what the courses need.

        Raises:
            Exception: What the model raised while it was traced.
        """
        for program in [p for course in courses for p in self._compile(course)]:
            program.result()

    def begin(self, courses: Sequence[Course]) -> None:
        """Get ready for a population; a program that cannot be made fails its lanes."""
        for course in courses:
            self._compile(course)

    def _compile(self, course: Course) -> list[Future[Any]]:
        """The course's programs, each compiled by a thread of its own."""
        state, lane, rows = course.initial(0), course.lane(0, self._table), self._table.rows
        given = (state, lane, self._epoch(course, 0, 0), rows)
        programs = [self._compilers.submit(self._library.train, course.recipe, *given)]
        if course.judged:
            seen = (state.vector, state.others, lane, rows)
            programs.append(self._compilers.submit(self._library.evaluate, course.recipe, *seen))
            shape = (lane.fold.validation.size, self._problem.n_outputs)
            asked = (jax.ShapeDtypeStruct(shape, np.float32), lane.fold, rows)
            programs.append(self._compilers.submit(self._library.measure, *asked))
        return programs

    def submit(self, course: Course, epoch: int, folds: Sequence[int]) -> None:
        """Train an epoch of some lanes, after all that was submitted before."""
        for fold in folds:
            before = self._steps.get((id(course), fold, epoch - 1))
            task = self._pool.submit(self._run, course, fold, epoch, before)
            self._steps[id(course), fold, epoch] = task

    def collect(self, course: Course, epoch: int, folds: Sequence[int]) -> list[Outcome]:
        """What the lanes of `folds` measured in an epoch that was submitted.

        Raises:
            Exception: What a lane raised.
        """
        outcomes = [self._steps[id(course), fold, epoch].result()[1] for fold in folds]
        for fold in folds:  # with its predictions
            self._steps.pop((id(course), fold, epoch - 1), None)
        return outcomes

    def weights(self, course: Course, epoch: int, fold: int) -> tuple[Any, Any]:
        """The weights after an epoch, which no later one may have begun to change."""
        return self._steps[id(course), fold, epoch].result()[0].weights

    def end(self, course: Course) -> None:
        """Forget a course; what was submitted and has not begun is not trained."""
        for key in [k for k in self._steps if k[0] == id(course)]:
            self._steps.pop(key).cancel()

    def _epoch(self, course: Course, fold: int, number: int) -> Epoch:
        size = course.recipe.batch_size
        steps = -(-len(self._problem.folds[fold].train) // size)
        return course.epoch(self._problem, self._table, fold, number, steps=steps)

    def _run(self, course: Course, fold: int, number: int, before: Future[Step] | None) -> Step:
        """One epoch of one lane, and its evaluation."""
        state = course.initial(fold) if before is None else before.result()[0].state
        lane, rows, recipe = course.lane(fold, self._table), self._table.rows, course.recipe
        given = (state, lane, self._epoch(course, fold, number), rows)
        trained = self._library.train(recipe, *given)(*given)
        if not course.judged:
            return trained, Outcome(float(trained.loss))
        seen = (*trained.weights, lane, rows)
        judged = self._library.evaluate(recipe, *seen)(*seen)
        asked = (judged.predictions, lane.fold, rows)
        metrics = np.asarray(self._library.measure(*asked)(*asked))
        outcome = Outcome(float(trained.loss), float(judged.loss), metrics, judged.predictions)
        return trained, outcome
