"""Requests to a running or later study: points to train, trials to stop."""

import json
from dataclasses import replace

import pytest

from hpsearch.errors import JournalError
from hpsearch.events import PointEnqueued, TrialStopRequested
from hpsearch.journal import Journal
from hpsearch.journal.inbox import Inbox, post_request, post_stop
from hpsearch.search.pruners import make_pruner
from hpsearch.spec.search_space import Categorical, Int, SearchSpace
from tests import synthetic
from tests.search.test_loop import Quadratic, StopError, kill_after, search

POINT = {"kind": "a", "x": 0.5}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def enqueue(path, request="r1", epochs=None, **params):
    return post_request(path, PointEnqueued(request=request, params=params or POINT, epochs=epochs))


def after(kind: str, trial: int, act):
    """A listener that acts once a trial has such an event."""
    done = []

    def listen(event):
        if (event.kind, getattr(event, "trial", None)) == (kind, trial) and not done:
            done.append(event)
            act()

    return listen


@pytest.mark.filterwarnings("ignore:(currentThread|getName):DeprecationWarning")  # Keras Tuner
@pytest.mark.parametrize("sampler", ["gp", "keras_tuner_hyperband"])
def test_a_point_enqueued_while_the_study_runs_is_the_next_trial(path, sampler):
    listener = after("result", 3, lambda: enqueue(path, epochs=7))
    history = search(path, listeners=[listener], sampler=sampler, trials=8)
    (trial,) = (t for t in history.trials if t.params == {**POINT, "units": 8})
    assert trial.number in (4, 5)  # one may have been asked for already
    assert ("COMPLETE", 7) == (trial.state, trial.epochs)
    assert 8 == len(history.trials)
    assert [] == Inbox(path.parent).receive()


def test_a_point_enqueued_after_the_end_is_trained_beyond_the_budget(path):
    search(path, trials=3)
    assert not enqueue(path)
    executor = Quadratic()
    history = search(path, executor, trials=3)
    assert [(3, 0)] == executor.trained
    assert 0.5 == history.last[3].params["x"]
    executor = Quadratic()
    assert "trials" == search(path, executor, trials=3).end.cause
    assert [] == executor.trained


def test_a_point_that_the_time_limit_keeps_waiting_is_named(path, caplog):
    search(path, trials=1)
    enqueue(path)
    history = search(path, trials=1, seconds=0.0)
    assert 1 == len(history.enqueued)
    assert "requested trials that wait: 1, as the time limit of 0 minutes is reached" in caplog.text


def test_a_point_of_a_finite_space_is_trained_again_if_the_user_asks(path):
    space = SearchSpace((Categorical("kind", ("a", "b")), Int("x", 0, 1)))
    search(path, space=space, sampler="grid", trials=9)
    enqueue(path, kind="b", x=1)
    history = search(path, space=space, sampler="grid", trials=9)
    assert 5 == len(history.trials)
    assert {"kind": "b", "x": 1, "units": 8} == history.last[4].params


def test_points_are_trained_once_each_in_order_wherever_the_study_is_killed(tmp_path):
    n_records, random = 0, {"trials": 5, "sampler": "random"}
    for stop_after in range(9, 35, 5):
        journal = tmp_path / str(stop_after) / "journal.jsonl"
        ask = after("result", 1, lambda j=journal: [enqueue(j, f"r{x}", x=x / 9) for x in (1, 2)])
        try:
            search(journal, listeners=[kill_after(stop_after), ask], **random)
        except StopError:
            pass
        else:
            n_records = stop_after
        if not any(r["event"] == "enqueued" for r in synthetic.read_records(journal)):
            continue  # killed before
        history = search(journal, **random)
        found = [t.params["x"] for t in history.trials if t.params["x"] in (1 / 9, 2 / 9)]
        assert [1 / 9, 2 / 9] == found, stop_after
        assert all(trial.is_finished for trial in history.trials)
    assert n_records, "no run came to its end"


def test_a_request_that_was_recorded_before_a_kill_is_not_recorded_again(path):
    search(path, trials=2)
    with Journal(path) as opened:
        assert enqueue(path)
        ((file, request),) = Inbox(path.parent).receive()
        opened.append(replace(request))
    assert file.exists()
    history = search(path, trials=2)
    assert 3 == len(history.trials)
    assert not file.exists()


def stop(path, trial, request="s1"):
    return post_request(path, TrialStopRequested(trial=trial, request=request))


def test_a_running_trial_is_stopped_after_its_epoch(path):
    listener = after("started", 2, lambda: stop(path, 2))
    history = search(path, listeners=[listener], trials=4, epochs=9)
    assert ["COMPLETE", "COMPLETE", "PRUNED", "COMPLETE"] == [t.state for t in history.trials]
    assert history.last[2].n_epochs < 9


def test_a_trial_whose_run_was_killed_is_stopped_by_the_next_one(path):
    with pytest.raises(StopError):
        search(path, listeners=[after("epoch", 1, stop_here)], trials=3, epochs=9)
    assert not stop(path, 1)
    history = search(path, trials=3, epochs=9)
    assert ["COMPLETE", "PRUNED", "COMPLETE"] == [t.state for t in history.trials]


def stop_here():
    raise StopError


def test_companions_at_a_rung_go_on_without_the_stopped_trial(path):
    pruner = make_pruner("halving", {}, epochs=27, seed=3)
    executor = Quadratic(capacity=1, population=9)
    listener = after("epoch", 8, lambda: stop(path, 4))
    history = search(path, executor, listeners=[listener], trials=9, epochs=27, pruner=pruner)
    assert ("PRUNED", True) == (history.last[4].state, history.last[4].n_epochs < 9)
    assert 1 == history.count("COMPLETE")


def test_a_stop_of_a_trial_that_has_ended_meanwhile_changes_nothing(path):
    history = search(path, listeners=[after("result", 0, lambda: stop(path, 0))], trials=2)
    assert 2 == history.count("COMPLETE")


def test_a_file_that_is_no_request_is_removed_with_a_warning(path, caplog):
    inbox = path.parent / "inbox"
    inbox.mkdir()
    other = json.dumps({"seq": 0, "time": 0, "event": "ended", "reason": "done"})
    incomplete = json.dumps({"event": "stop"})
    for name, text in (("a", "{"), ("b", incomplete), ("c", "[]"), ("d", other)):
        (inbox / f"{name}.json").write_text(text)
    search(path, trials=1)
    assert 4 == sum("is not a request" in r.message for r in caplog.records)
    assert [] == list(inbox.iterdir())


def test_a_process_is_asked_to_stop_only_where_one_runs(path):
    search(path, trials=1)
    with pytest.raises(JournalError, match="no process runs the study"):
        post_stop(path)
    with Journal(path):
        assert "process" in post_stop(path)
    assert Inbox(path.parent).is_stop_requested()
    Inbox(path.parent).forget_stop()
    assert not Inbox(path.parent).is_stop_requested()
