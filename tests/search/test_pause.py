"""A study that the user has paused trains nothing until it is told to continue."""

import pytest

from hpsearch.events import (
    EpochFinished,
    StudyCreated,
    StudyPaused,
    StudyResumed,
    StudyUnpaused,
    TrialAsked,
)
from hpsearch.history import History, load_history
from hpsearch.journal.inbox import post_request
from hpsearch.trial import EpochReport
from tests import synthetic
from tests.search.test_extensions import Rising
from tests.search.test_loop import StopError, search
from tests.search.test_steering import after


class Pausing(Rising):
    """An executor that calls `act` once it is paused and has nothing left to report."""

    def __init__(self, act):
        super().__init__()
        self.act = act
        self.is_paused = False

    def wait(self, timeout=None):
        if not self.is_paused or self.reports:
            return super().wait(timeout)
        self.act()
        return None

    def pause(self):
        self.is_paused = True

    def unpause(self):
        self.is_paused = False


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def pause(path):
    post_request(path, StudyPaused(request="p"))


def unpause(path):
    post_request(path, StudyUnpaused(request="u"))


def stop_here():
    raise StopError


def scores_of(history):
    return [(t.params, t.score, t.n_epochs) for t in history.trials]


def test_a_running_study_waits_after_its_epoch_and_goes_on_as_if_it_had_not(tmp_path, path):
    whole = search(tmp_path / "whole" / "journal.jsonl", Rising(), trials=4, epochs=5)
    listener = after("epoch", 1, lambda: pause(path))
    executor = Pausing(lambda: unpause(path))
    history = search(path, executor, trials=4, epochs=5, listeners=[listener])
    kinds = [r["event"] for r in synthetic.read_records(path)]
    assert {"epoch"} >= set(kinds[kinds.index("paused") + 1 : kinds.index("unpaused")])
    assert "asked" in kinds[kinds.index("unpaused") :]
    assert not history.is_paused
    assert scores_of(whole) == scores_of(history)


def test_a_paused_study_that_was_killed_stays_paused_until_it_is_told(tmp_path, path):
    whole = search(tmp_path / "whole" / "journal.jsonl", Rising(), trials=4, epochs=5)
    listener = after("epoch", 1, lambda: pause(path))
    with pytest.raises(StopError):
        search(path, Pausing(stop_here), trials=4, epochs=5, listeners=[listener])
    before = synthetic.read_records(path)
    executor = Pausing(stop_here)
    with pytest.raises(StopError):
        search(path, executor, trials=4, epochs=5)
    assert [] == executor.trained
    assert before == synthetic.read_records(path)
    assert load_history(path).is_paused
    history = search(path, Pausing(lambda: unpause(path)), trials=4, epochs=5)
    assert scores_of(whole) == scores_of(history)


def test_a_paused_study_is_continued_between_runs(path):
    with pytest.raises(StopError):
        search(
            path, Pausing(stop_here), trials=2, listeners=[after("asked", 0, lambda: pause(path))]
        )
    unpause(path)
    executor = Rising()  # it cannot pause
    assert 2 == search(path, executor, trials=2).count("COMPLETE")


def test_a_search_that_has_ended_is_not_paused(path):
    search(path, Rising(), trials=2)
    pause(path)  # posted just before the end, and received after it
    history = search(path, Rising(), trials=2)  # it cannot pause
    assert not history.is_paused
    assert "trials" == history.end.cause


def test_the_time_of_a_pause_is_not_counted():
    def at(seconds, event, **fields):
        return event(time=seconds * 1000, **fields)

    asked = {"trial": 0, "attempt": 0, "params": {}, "seed": 1, "epochs": 9}
    epoch = {"trial": 0, "attempt": 0, "scores": [0.5], "metrics": {}}
    history = History(
        [
            at(100, StudyCreated),
            at(101, TrialAsked, **asked),
            at(110, StudyPaused, request="p"),
            at(112, EpochFinished, epoch=0, **epoch),
            at(1000, StudyUnpaused, request="u"),
            at(1003, EpochFinished, epoch=1, **epoch),
            at(1004, StudyPaused, request="q"),
            at(5000, StudyUnpaused, request="v"),  # no process ran
            at(7000, StudyResumed),
            at(7002, EpochFinished, epoch=2, **epoch),
        ]
    )
    assert 12 + 3 + 2 == history.seconds


def test_workers_wait_in_this_process_as_well(inline_executor):
    executor, submitted = inline_executor
    executor.submit(submitted)
    while not isinstance(executor.wait(), EpochReport):
        pass
    executor.pause()
    executor.drain()
    assert [None, None] == [executor.wait(0.0) for _ in range(2)]
    executor.unpause()
    assert executor.wait() is not None


@pytest.fixture
def inline_executor():
    from hpsearch.execution.inline_executor import InlineExecutor
    from hpsearch.testing.executors import small_trial

    class Counting:
        """A trainer without training."""

        def __init__(self, problem):
            self.problem = problem

        def train(self, trials):
            for epoch in range(trials[0].epochs):
                yield [EpochReport(trials[0].number, epoch, [0.5], {})]

    return InlineExecutor(Counting, object()), small_trial(epochs=3)
