"""Ended trials that are trained further: journal, sampler, checkpoint, and the result in place."""

import logging

import numpy as np
import pytest

from hpsearch.events import TrialExtended, TrialStopRequested
from hpsearch.history import History, load_condensed_history, load_history, restore_curves
from hpsearch.journal import stream_records
from hpsearch.journal.inbox import post_request
from hpsearch.search.checkpoint_store import CheckpointStore
from tests import synthetic
from tests.search.test_checkpoint_store import EPOCHS, run, trainer
from tests.search.test_loop import Quadratic, StopError, kill_after, search
from tests.search.test_steering import after, stop_here

__all__ = ["trainer"]
LONGER = EPOCHS + 4


class Rising(Quadratic):
    """Its trials rise by the same steps, however many epochs are planned."""

    def advance(self):
        super().advance()
        for index, report in enumerate(self.reports):
            if hasattr(report, "scores"):
                scores = self.scores_of(self.running[report.trial], report.epoch)
                self.reports[index] = type(report)(
                    report.trial, report.epoch, scores, {"val/loss": -scores}
                )

    def scores_of(self, trial, epoch):
        return -(trial.params["x"] ** 2) - np.array([1.0, 2.0]) / (epoch + 2)

    def end(self, trial):
        super().end(trial)
        ended, scores = self.reports.pop(), self.scores_of(trial, self.epoch - 1)
        changes = {"score": float(scores.mean()), "best_epoch": self.epoch - 1}
        self.reports.append(
            type(ended)(
                ended.number, ended.state, 0.0, ended.attempt, fold_scores=scores, **changes
            )
        )


def extend(path, trial, epochs, request="e1"):
    return post_request(path, TrialExtended(trial=trial, epochs=epochs, request=request))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def epochs_of(path, trial=0):
    return [
        (e.epoch, e.scores, e.metrics)
        for e in stream_records(path)
        if e.kind == "epoch" and e.trial == trial
    ]


@pytest.mark.parametrize("has_checkpoint", [True, False])
def test_an_ended_trial_is_trained_on_bit_for_bit(tmp_path, trainer, has_checkpoint, caplog):
    caplog.set_level(logging.INFO, "hpsearch.search")
    whole, path = (tmp_path / name / "journal.jsonl" for name in ("whole", "extended"))
    expected = run(whole, trainer, epochs=LONGER)
    run(path, trainer)
    assert [EPOCHS] == [t.n_epochs for t in load_history(path).trials]
    assert not extend(path, 0, LONGER)
    if not has_checkpoint:
        CheckpointStore(path.parent).remove(0)
    found = run(path, trainer)
    line = "goes on from its checkpoint" if has_checkpoint else "it has no checkpoint"
    assert line in caplog.text
    assert epochs_of(whole) == epochs_of(path)  # none of them twice
    for history in (found, load_history(path), load_condensed_history(path)):
        (trial,) = history.trials
        assert [LONGER, LONGER, 0] == [trial.n_epochs, trial.epochs, trial.attempt]
        assert (expected.last[0].score, list(expected.last[0].fold_scores)) == (
            trial.score,
            list(trial.fold_scores),
        )
        assert [trial] == history.ended
    predictions = [p.parent.joinpath("predictions/000000.npy").read_bytes() for p in (whole, path)]
    assert predictions[0] == predictions[1]
    restore_curves(found, path, {0})
    assert found.last[0].curves == load_history(whole).last[0].curves


@pytest.mark.parametrize("sampler", ["tpe", pytest.param("gp", marks=pytest.mark.long)])
def test_a_sampler_learns_the_new_score_wherever_the_study_is_killed(tmp_path, sampler):
    def study(path, stop_after=None):
        kill = [] if stop_after is None else [kill_after(stop_after)]
        ask = after("result", 2, lambda: extend(path, 1, 6))
        return search(path, Rising(), listeners=[*kill, ask], sampler=sampler, trials=13, epochs=2)

    whole = study(tmp_path / "whole" / "journal.jsonl")
    assert (6, "COMPLETE") == (whole.last[1].n_epochs, whole.last[1].state)
    without = search(tmp_path / "x" / "journal.jsonl", Rising(), sampler=sampler, trials=13)
    params = [[t.params for t in history.trials] for history in (whole, without)]
    assert params[0][:3] == params[1][:3]
    assert sampler == "tpe" or params[0] != params[1]
    records = synthetic.read_records(tmp_path / "whole" / "journal.jsonl")
    asked = next(i for i, r in enumerate(records) if r["event"] == "extended")
    for stop_after in (asked + 8,):
        path = tmp_path / str(stop_after) / "journal.jsonl"
        with pytest.raises(StopError):
            study(path, stop_after)
        history = study(path)
        assert params[0] == [t.params for t in history.trials], stop_after
        assert [t.score for t in whole.trials] == [t.score for t in history.trials], stop_after


def test_the_earlier_result_counts_until_there_is_another_one(path):
    search(path, Rising(), trials=2)
    before = load_history(path)
    extend(path, 1, 9)
    with pytest.raises(StopError):
        search(path, Rising(), trials=2, listeners=[after("epoch", 1, stop_here)])
    history = load_history(path)
    assert before.last[1].score == history.last[1].score
    assert before.best.number == history.best.number
    assert 3 == history.extensions[1].n_epochs
    assert history.asked_since_final
    again = search(path, Rising(), trials=2)
    assert {} == again.extensions
    assert again.last[1].score > before.last[1].score
    assert [0, 1] == [t.number for t in again.ended]
    assert ["COMPLETE"] * 3 == [t.state for t in again.results]


def test_an_extension_that_fails_leaves_the_earlier_result(path):
    search(path, Rising(), trials=1)
    score = load_history(path).last[0].score
    extend(path, 0, 5)
    failing = Rising()
    failing.fails = lambda trial: True
    history = search(path, failing, trials=1)
    assert (score, "COMPLETE", {}) == (
        history.last[0].score,
        history.last[0].state,
        history.extensions,
    )


def test_an_extension_whose_worker_died_goes_on(path):
    search(path, Rising(), trials=1)
    extend(path, 0, 5)
    history = search(path, Rising(faults={0: 1}), trials=1)
    assert (5, 0) == (history.last[0].n_epochs, history.last[0].attempt)


def test_a_stopped_extension_keeps_the_epochs_that_it_has(path):
    search(path, Rising(), trials=1)
    extend(path, 0, 9)
    ask = after("epoch", 0, lambda: post_request(path, TrialStopRequested(trial=0, request="s")))
    history = search(path, Rising(), trials=1, listeners=[ask])
    trial = history.last[0]
    assert "COMPLETE" == trial.state
    assert trial.epochs == trial.n_epochs
    assert 2 < trial.n_epochs < 9


def test_an_extension_that_is_stopped_before_a_new_epoch_leaves_the_earlier_result(path):
    search(path, Rising(), trials=1, epochs=5)
    before = load_history(path).last[0]
    extend(path, 0, 9)
    post_request(path, TrialStopRequested(trial=0, request="s"))
    search(path, Rising(), trials=1, epochs=5)
    history = load_history(path)
    trial = history.last[0]
    assert (before.score, 5, 5) == (trial.score, trial.n_epochs, trial.epochs)
    assert {} == history.extensions
    failed = list(stream_records(path))[-2]
    assert "stopped before epoch 6, so its earlier result stays" in failed.error


def test_a_trial_that_has_not_ended_goes_on_with_raised_epochs(path):
    with pytest.raises(StopError):
        search(path, Rising(), trials=1, epochs=3, listeners=[after("epoch", 0, stop_here)])
    extend(path, 0, 6)
    history = search(path, Rising(), trials=1, epochs=6)
    trial = history.last[0]
    assert ("COMPLETE", 6, 6, 1) == (trial.state, trial.n_epochs, trial.epochs, trial.attempt)


def test_events_that_are_applied_twice_change_nothing(path):
    search(path, Rising(), trials=2)
    extend(path, 0, 4)
    search(path, Rising(), trials=2)
    events = list(stream_records(path))
    place = next(i for i, e in enumerate(events) if e.kind == "extended")
    once, twice = History(events), History([*events[: place + 1], *events[1:]])
    assert [t.score for t in once.trials] == [t.score for t in twice.trials]
    assert len(once.results) == len(twice.results) == 3


def test_a_finished_study_keeps_the_checkpoints_that_fit_and_the_best(tmp_path, trainer):
    path = tmp_path / "journal.jsonl"
    run(path, trainer, trials=2)
    assert 2 == len(list(tmp_path.glob("checkpoints/*.ckpt")))
    size = max(p.stat().st_size for p in tmp_path.glob("checkpoints/*.ckpt"))
    history = load_history(path)
    store = CheckpointStore(tmp_path, every=1, max_gib=(size + 9) / 2**30)
    best = history.best
    store.save(best, bytes(9), history)
    assert [f"{best.number:06d}"] == [p.stem for p in tmp_path.glob("checkpoints/*.ckpt")]
