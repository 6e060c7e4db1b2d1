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
from .device_data import DeviceData
from .program import Epoch, Lane, State, Trained
from .program_cache import ProgramCache
from .trial_run import Outcome, TrialRun


@dataclass(slots=True)
class _Group:
    """Trials of one program, and their lanes: a trial's folds stand side by side."""

    trial_runs: list[TrialRun]
    lanes: Lane  # stacked
    state: State  # stacked
    asked: set[tuple[int, int, int]] = field(default_factory=set)  # by trial, fold, epoch
    trained: Trained | None = None  # of the last epoch
    outcomes: dict[tuple[int, int, int], Outcome] = field(default_factory=dict)


class BatchEngine:
    """Runs the lanes of trials together; the programs of `programs` are mapped over lanes."""

    lead = 0  # the next epoch waits for the answers, which decide who takes part

    def __init__(self, problem: Problem, data: DeviceData, programs: ProgramCache) -> None:
        self._problem, self._data, self._programs = problem, data, programs
        self._groups: dict[int, _Group] = {}  # by trial

    def prepare(self, trial_runs: Sequence[TrialRun]) -> None:
        """Compile what the trials need when they train together."""
        for group in map(self._made, _by_program(trial_runs)):
            recipe = group.trial_runs[0].recipe
            given = (group.state, group.lanes, self._epoch(group, 0), self._data.rows)
            self._programs.train(recipe, *given)
            seen = (group.state.vector, group.state.others, group.lanes, self._data.rows)
            self._programs.evaluate(recipe, *seen)

    def begin(self, trial_runs: Sequence[TrialRun]) -> None:
        """Bring a population to the device."""
        for group in map(self._made, _by_program(trial_runs)):
            for trial_run in group.trial_runs:
                self._groups[id(trial_run)] = group

    def submit(self, trial_run: TrialRun, epoch: int, folds: Sequence[int]) -> None:
        """Have some lanes take part in an epoch."""
        self._groups[id(trial_run)].asked |= {(id(trial_run), fold, epoch) for fold in folds}

    def collect(self, trial_run: TrialRun, epoch: int, folds: Sequence[int]) -> list[Outcome]:
        """What the lanes of `folds` measured; the first who asks starts the epoch for all."""
        group = self._groups[id(trial_run)]
        if (id(trial_run), folds[0], epoch) not in group.outcomes:
            group.outcomes = self._run(group, epoch)
        return [group.outcomes[id(trial_run), fold, epoch] for fold in folds]

    def weights(self, trial_run: TrialRun, epoch: int, fold: int) -> tuple[Any, Any]:
        """The weights after the last epoch that was trained."""
        group = self._groups[id(trial_run)]
        assert group.trained is not None
        lane = self._places(group).index((id(trial_run), fold))
        vector, others = group.trained.weights
        return vector[lane], [other[lane] for other in others]

    def end(self, trial_run: TrialRun) -> None:
        """Forget a trial."""
        self._groups.pop(id(trial_run), None)

    def _folds(self, trial_run: TrialRun) -> range:
        return range(len(self._problem.folds) if trial_run.judged else 1)

    def _places(self, group: _Group) -> list[tuple[int, int]]:
        return [(id(c), fold) for c in group.trial_runs for fold in self._folds(c)]

    def _made(self, trial_runs: list[TrialRun]) -> _Group:
        lanes = [c.lane(f, self._data) for c in trial_runs for f in self._folds(c)]
        states = [c.initial(f) for c in trial_runs for f in self._folds(c)]
        return _Group(trial_runs, _stacked(lanes), _stacked(states))

    def _epoch(self, group: _Group, number: int) -> Epoch:
        steps = self._data.steps(group.trial_runs[0].recipe.batch_size)
        epochs = [
            trial_run.epoch(
                self._problem,
                self._data,
                fold,
                number,
                steps=steps,
                active=(id(trial_run), fold, number) in group.asked,
            )
            for trial_run in group.trial_runs
            for fold in self._folds(trial_run)
        ]
        stacked: Epoch = _stacked(epochs)
        return stacked._replace(steps=epochs[0].steps)

    def _run(self, group: _Group, epoch: int) -> dict[tuple[int, int, int], Outcome]:
        recipe, rows = group.trial_runs[0].recipe, self._data.rows
        given = (group.state, group.lanes, self._epoch(group, epoch), rows)
        trained = self._programs.train(recipe, *given)(*given)
        group.state, group.trained = trained.state, trained
        losses = np.asarray(trained.loss)
        places = enumerate(self._places(group))
        if not group.trial_runs[0].judged:
            return {(c, f, epoch): Outcome(float(losses[i])) for i, (c, f) in places}
        seen = (*trained.weights, group.lanes, rows)
        judged = self._programs.evaluate(recipe, *seen)(*seen)
        asked = (judged.predictions, group.lanes.fold, rows)
        metrics = np.asarray(self._programs.measure(*asked)(*asked))
        validation = np.asarray(judged.loss)
        return {
            (c, f, epoch): Outcome(
                float(losses[i]), float(validation[i]), metrics[i], judged.predictions[i]
            )
            for i, (c, f) in places
        }


def _by_program(trial_runs: Sequence[TrialRun]) -> list[list[TrialRun]]:
    """The trials that share a program, side by side."""
    groups: dict[str, list[TrialRun]] = {}
    for trial_run in trial_runs:
        groups.setdefault(trial_run.recipe.train_key, []).append(trial_run)
    return list(groups.values())


def _stacked(trees: list[Any]) -> Any:
    """One tree whose arrays have the given ones along a new first axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
