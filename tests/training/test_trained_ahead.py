"""On threads, the next trial's first epochs fill the time in which one waits for its verdict."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from training.trainer_contract import run, same, separable, spec

from hpsearch.training.problem import EarlyStopping
from hpsearch.training.vectorized import VectorizedTrainer, thread_trainer
from hpsearch.training.vectorized.lane_pool import LanePool
from hpsearch.training.vectorized.thread_trainer import ThreadTrainer
from hpsearch.training.vectorized.trial_run import TrialRun
from hpsearch.trial import TrialResult, TrialSpec

N_FOLDS = len(separable().folds)


@cache
def compiled() -> VectorizedTrainer:
    """The trainer whose programs the others use."""
    return VectorizedTrainer(separable(), placement="threads")


def prepared_run(trainer: VectorizedTrainer, trial: TrialSpec) -> tuple[ThreadTrainer, TrialRun]:
    """The trial's run, when it is prepared."""
    engine = trainer._engine
    assert isinstance(engine, ThreadTrainer)
    [found] = engine._prepared[(trial.number, trial.attempt),].result()
    assert isinstance(found, TrialRun)
    return engine, found


def test_the_next_trial_trains_to_its_rung_while_one_waits_at_its_own() -> None:
    trainer, alone = (VectorizedTrainer(separable(), earlier=compiled()) for _ in range(2))
    first, following = (replace(spec(n, n, 5, dropout=0.2), rungs=(2, 3)) for n in range(2))
    expected = [run(alone, [trial])[1][trial.number] for trial in (first, following)]
    trainer.prepare([first])
    reports = trainer.train([first])
    next(reports)
    reports.send(set())  # of the epoch before its rung
    trainer.prepare([following])
    engine, waiting = prepared_run(trainer, following)
    steps = engine._engine._steps
    for fold in range(N_FOLDS):
        assert steps[id(waiting), fold, 1][-1].result(timeout=300).measures is not None
    assert (id(waiting), 0, 2) not in steps
    results = [word for word in reports if isinstance(word, TrialResult)]
    results += run(trainer, [following])[1].values()
    for found, same_alone in zip(results, expected, strict=True):
        assert same(found, same_alone)
    assert not steps


@pytest.mark.parametrize(
    ("params", "epochs"),
    [
        ({}, 2),  # patience 1: a fold may stop after its second epoch
        ({"schedule": "reduce_on_plateau"}, 1),  # its rates depend on losses
        ({"units": 9}, 0),  # too large
    ],
)
def test_only_epochs_that_are_needed_in_any_case_are_trained_ahead(
    params: dict[str, Any], epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        thread_trainer, "is_large", lambda problem, network: network.shapes[0][1] == 9
    )
    problem = replace(separable(), early_stopping=EarlyStopping(1, scope="fold"))
    trainer = VectorizedTrainer(problem, earlier=compiled())
    trial = spec(epochs=6, **params)
    trainer.prepare([trial])
    assert epochs == prepared_run(trainer, trial)[1].submitted
    monkeypatch.setattr(thread_trainer, "AHEAD_WEIGHTS", 100)
    trainer.prepare([replace(trial, number=1)])
    assert not prepared_run(trainer, replace(trial, number=1))[1].submitted


def test_none_trains_ahead_while_a_trial_that_lost_its_worker_is_there() -> None:
    """Its next loss would else be blamed on the running one, or that of another on it."""
    trainer = VectorizedTrainer(separable(), earlier=compiled())
    lost, *others = (replace(spec(n, n, 2), attempt=int(n == 0)) for n in range(3))
    trainer.prepare([lost])
    trainer.prepare(others[:1])
    for trial in (lost, others[0]):
        assert not prepared_run(trainer, trial)[1].submitted
    assert "COMPLETE" == run(trainer, [lost])[1][0].state
    trainer.prepare(others[1:])
    assert 2 == prepared_run(trainer, others[1])[1].submitted


def test_a_pool_runs_tasks_of_earlier_turns_first() -> None:
    pool, begun, done = LanePool(1), threading.Event(), []
    first = pool.submit(5, begun.wait)
    tasks = [pool.submit(turn, done.append, (turn, i)) for i, turn in enumerate((7, 6, 7, 5, 6))]
    assert tasks[2].cancel()
    failing = pool.submit(8, [].pop)
    begun.set()
    assert first.result(timeout=300)
    assert isinstance(failing.exception(timeout=300), IndexError)
    assert [(5, 3), (6, 1), (6, 4), (7, 0)] == done
