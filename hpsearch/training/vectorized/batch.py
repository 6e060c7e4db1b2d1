"""Lanes as one batch: one program trains all lanes of all trials that share it.

What an accelerator wants. A lane that has stopped stands still, masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..problem import Problem
from .course import Course, Outcome
from .library import Library
from .program import Epoch, Lane, State, Trained
from .table import Table


@dataclass(slots=True)
class _Group:
    """Trials of one program, and their lanes: a trial's folds stand side by side."""

    courses: list[Course]
    lanes: Lane  # stacked
    state: State  # stacked
    asked: set[tuple[int, int, int]] = field(default_factory=set)  # by course, fold, epoch
    trained: Trained | None = None  # of the last epoch
    outcomes: dict[tuple[int, int, int], Outcome] = field(default_factory=dict)


class Batch:
    """Runs the lanes of trials together; the programs of `library` are mapped over lanes."""

    lead = 0  # the next epoch waits for the answers, which decide who takes part

    def __init__(self, problem: Problem, table: Table, library: Library) -> None:
        self._problem, self._table, self._library = problem, table, library
        self._groups: dict[int, _Group] = {}  # by course

    def prepare(self, courses: Sequence[Course]) -> None:
        """Compile what the courses need when they train together."""
        for group in map(self._made, _by_program(courses)):
            recipe = group.courses[0].recipe
            given = (group.state, group.lanes, self._epoch(group, 0), self._table.rows)
            self._library.train(recipe, *given)
            seen = (group.state.vector, group.state.others, group.lanes, self._table.rows)
            self._library.evaluate(recipe, *seen)

    def begin(self, courses: Sequence[Course]) -> None:
        """Bring a population to the device."""
        for group in map(self._made, _by_program(courses)):
            for course in group.courses:
                self._groups[id(course)] = group

    def submit(self, course: Course, epoch: int, folds: Sequence[int]) -> None:
        """Have some lanes take part in an epoch."""
        self._groups[id(course)].asked |= {(id(course), fold, epoch) for fold in folds}

    def collect(self, course: Course, epoch: int, folds: Sequence[int]) -> list[Outcome]:
        """What the lanes of `folds` measured; the first who asks starts the epoch for all."""
        group = self._groups[id(course)]
        if (id(course), folds[0], epoch) not in group.outcomes:
            group.outcomes = self._run(group, epoch)
        return [group.outcomes[id(course), fold, epoch] for fold in folds]

    def weights(self, course: Course, epoch: int, fold: int) -> tuple[Any, Any]:
        """The weights after the last epoch that was trained."""
        group = self._groups[id(course)]
        assert group.trained is not None
        lane = self._places(group).index((id(course), fold))
        vector, others = group.trained.weights
        return vector[lane], [other[lane] for other in others]

    def end(self, course: Course) -> None:
        """Forget a course."""
        self._groups.pop(id(course), None)

    def _folds(self, course: Course) -> range:
        return range(len(self._problem.folds) if course.judged else 1)

    def _places(self, group: _Group) -> list[tuple[int, int]]:
        return [(id(c), fold) for c in group.courses for fold in self._folds(c)]

    def _made(self, courses: list[Course]) -> _Group:
        lanes = [c.lane(f, self._table) for c in courses for f in self._folds(c)]
        states = [c.initial(f) for c in courses for f in self._folds(c)]
        return _Group(courses, _stacked(lanes), _stacked(states))

    def _epoch(self, group: _Group, number: int) -> Epoch:
        steps = self._table.steps(group.courses[0].recipe.batch_size)
        epochs = [
            course.epoch(
                self._problem,
                self._table,
                fold,
                number,
                steps=steps,
                active=(id(course), fold, number) in group.asked,
            )
            for course in group.courses
            for fold in self._folds(course)
        ]
        stacked: Epoch = _stacked(epochs)
        return stacked._replace(steps=epochs[0].steps)

    def _run(self, group: _Group, epoch: int) -> dict[tuple[int, int, int], Outcome]:
        recipe, rows = group.courses[0].recipe, self._table.rows
        given = (group.state, group.lanes, self._epoch(group, epoch), rows)
        trained = self._library.train(recipe, *given)(*given)
        group.state, group.trained = trained.state, trained
        losses = np.asarray(trained.loss)
        places = enumerate(self._places(group))
        if not group.courses[0].judged:
            return {(c, f, epoch): Outcome(float(losses[i])) for i, (c, f) in places}
        seen = (*trained.weights, group.lanes, rows)
        judged = self._library.evaluate(recipe, *seen)(*seen)
        asked = (judged.predictions, group.lanes.fold, rows)
        metrics = np.asarray(self._library.measure(*asked)(*asked))
        validation = np.asarray(judged.loss)
        return {
            (c, f, epoch): Outcome(
                float(losses[i]), float(validation[i]), metrics[i], judged.predictions[i]
            )
            for i, (c, f) in places
        }


def _by_program(courses: Sequence[Course]) -> list[list[Course]]:
    """The trials that share a program, side by side."""
    groups: dict[str, list[Course]] = {}
    for course in courses:
        groups.setdefault(course.recipe.train_key, []).append(course)
    return list(groups.values())


def _stacked(trees: list[Any]) -> Any:
    """One tree whose arrays have the given ones along a new first axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
