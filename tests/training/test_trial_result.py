"""A trial's result from its curves and predictions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from training.trainer_contract import first_fold, problem_of, separable, spec

from hpsearch.data.split import Split
from hpsearch.training import trial_progress
from hpsearch.training.metrics import Direction
from hpsearch.training.problem import EarlyStopping
from hpsearch.training.trial_progress import EpochMeasures, TrialProgress, train_in_lockstep
from hpsearch.training.trial_result import (
    assemble_out_of_fold,
    best_epoch,
    build_failed_result,
    find_stopped_folds,
    score_curve,
    why_diverged,
)
from hpsearch.trial import TrialResult, TrialSpec

RISING_THEN_FALLING = np.array(
    [[0.5, 0.7], [0.8, 0.6], [0.7, 0.7], [0.9, 0.1]]
)  # means .6 .7 .7 .5


@pytest.mark.parametrize(("direction", "expected"), [("maximize", 1), ("minimize", 3)])
def test_the_best_epoch_is_that_of_the_mean(direction: Direction, expected: int) -> None:
    assert expected == best_epoch(RISING_THEN_FALLING, direction)


def test_the_earliest_of_equal_epochs_is_best() -> None:
    assert 0 == best_epoch(np.ones((3, 2)), "maximize")


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_an_epoch_that_is_not_finite_is_never_best(direction: Direction) -> None:
    curve = np.array([[np.nan, 1], [-np.inf, 1], [np.inf, 1], [0.5, 0.5]])
    assert 3 == best_epoch(curve, direction)


def test_a_curve_without_an_epoch_has_no_best() -> None:
    with pytest.raises(ValueError, match=r"got \(0, 3\)"):
        best_epoch(np.empty((0, 3)), "maximize")


def test_the_score_is_mean_and_spread_of_the_best_epoch() -> None:
    score = score_curve(RISING_THEN_FALLING, "maximize")
    assert 1 == score.best_epoch
    np.testing.assert_allclose((0.7, 0.1), (score.mean, score.spread))
    np.testing.assert_array_equal([0.8, 0.6], score.folds)


def stops(curve: list[float], direction: Direction = "maximize", **how: Any) -> int | None:
    """After how many epochs a one-fold trial stops."""
    for n in range(1, len(curve) + 1):
        if find_stopped_folds(np.array(curve[:n])[:, None], EarlyStopping(**how), direction).all():
            return n
    return None


def test_patience_counts_epochs_since_the_last_improvement() -> None:
    assert 5 == stops([0.1, 0.2, 0.3, 0.3, 0.2, 0.9], patience=2)
    assert stops([0.1, 0.2, 0.15, 0.3, 0.2, 0.4], patience=2) is None
    assert 4 == stops([3, 2, 2.5, 2.6, 0], "minimize", patience=2)


def test_an_improvement_of_min_delta_or_less_is_none() -> None:
    assert 3 == stops([0.5, 0.625, 0.75, 1.0], patience=2, min_delta=0.25)
    assert stops([0.5, 0.75, 1.0], patience=1, min_delta=0.125) is None


def test_nothing_stops_without_early_stopping() -> None:
    assert not find_stopped_folds(np.zeros((50, 3)), None, "maximize").any()


def test_with_scope_fold_each_fold_stops_alone_and_the_trial_with_the_last() -> None:
    curve = np.array([[0.5, 0.5], [0.4, 0.6], [0.4, 0.5]])
    early = EarlyStopping(patience=1, scope="fold")
    assert [[False, False], [True, False], [True, True]] == [
        find_stopped_folds(curve[:n], early, "maximize").tolist() for n in (1, 2, 3)
    ]


def test_with_scope_mean_all_folds_stop_together() -> None:
    curve = np.array([[0.5, 0.5], [0.4, 0.5]])
    stopped = find_stopped_folds(curve, EarlyStopping(patience=1), "maximize")
    assert [True, True] == stopped.tolist()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_figure_that_is_not_finite_is_a_divergence(value: float) -> None:
    reason = why_diverged({"train/loss": np.array([0.1, value])})
    assert f"train/loss is {value} in fold 1: the training diverged" == reason


def test_predictions_that_are_not_finite_are_a_divergence() -> None:
    tables = [np.array([[0.1], [0.2]]), np.array([[np.nan], [0.2]])]
    assert "predictions of fold 1 are not finite: the training diverged" == why_diverged({}, tables)


def test_constant_predictions_in_every_fold_are_a_dead_network() -> None:
    constant, alive = np.full((3, 2), 0.5), np.array([[0.5, 0.5], [0.4, 0.6]])
    assert "every fold predicts a constant: the network is dead" == why_diverged({}, [constant] * 2)
    assert why_diverged({}, [constant, alive]) is None
    assert why_diverged({}, [np.array([[0.5]])]) is None  # one row says nothing


def test_out_of_fold_predictions_lie_in_their_rows() -> None:
    features, target = np.arange(6.0)[:, None], np.arange(6)[:, None] % 2
    folds = (
        Split(np.array([0]), np.array([1, 4])),
        Split(np.array([0]), np.array([2])),
        Split(np.array([0]), np.array([4])),
    )
    problem = replace(problem_of("binary", "roc_auc", features, target), folds=folds)
    tables = [np.array([[0.1], [0.4]]), np.array([[0.2]]), np.array([[0.8]])]
    found = assemble_out_of_fold(problem, tables)
    np.testing.assert_allclose([np.nan, 0.1, 0.2, np.nan, 0.6, np.nan], found[:, 0], rtol=1e-6)


def test_a_failure_keeps_the_traceback_of_its_exception() -> None:
    trial = TrialSpec(4, {}, seed=0, epochs=1, attempt=2)
    try:
        raise RuntimeError("first line\nsecond line")
    except RuntimeError as error:
        result = build_failed_result(trial, error, seconds=1.5, trainer="keras_fit")
    assert (4, 2, "FAILED", None) == (result.number, result.attempt, result.state, result.score)
    assert "RuntimeError: first line" == result.error
    assert "second line" in (result.traceback or "")


def test_a_failure_without_an_exception_has_no_traceback() -> None:
    trial = TrialSpec(0, {}, seed=0, epochs=1)
    result = build_failed_result(trial, "the network is dead", seconds=1.5, trainer="keras_fit")
    assert ("the network is dead", None) == (result.error, result.traceback)


@dataclass(frozen=True)
class Run:
    """A trial that measures nothing but a loss."""

    progress: TrialProgress
    loss: float


def measure_loss(run: Run) -> EpochMeasures:
    scores = {name: np.array([run.loss]) for name in ("train/loss", "val/loss", "val/roc_auc")}
    return scores, [np.linspace(0.1, 0.9, 40)[:, None]]  # of each validation row


def test_the_wait_for_a_verdict_is_no_training_time(monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr(trial_progress, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    problem = first_fold(separable())
    progress = TrialProgress(problem, spec(epochs=1), "none", "maximize", started=98.0)
    training = train_in_lockstep([Run(progress, 0.5)], measure_loss)
    next(training)
    now[0] += 60
    assert 2.0 == next(training).seconds


def test_a_failure_is_told_before_the_epoch_at_which_others_wait_for_a_verdict() -> None:
    problem = first_fold(separable())
    losses = (0.5, np.nan, 0.7)
    runs = [
        Run(TrialProgress(problem, spec(n, n, epochs=1), "none", "maximize"), loss)
        for n, loss in enumerate(losses)
    ]
    words = list(train_in_lockstep(runs, measure_loss))
    told = [w.number if isinstance(w, TrialResult) else [r.trial for r in w] for w in words]
    assert [1, [0, 2], 0, 2] == told
