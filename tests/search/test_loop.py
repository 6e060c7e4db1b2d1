"""The study loop over an executor in this process: what it writes, retries, and resumes."""

from collections import deque
from pathlib import Path

import numpy as np
import pytest

from hpsearch.errors import TrainingError
from hpsearch.execution.executor import Lost, Started
from hpsearch.history import History
from hpsearch.journal import Journal, read
from hpsearch.search.loop import ATTEMPTS, Limits, Search
from hpsearch.search.samplers import make_sampler
from hpsearch.spec.space import Categorical, Float, Space
from hpsearch.trial import EpochReport, TrialResult

SPACE = Space(
    (
        Categorical("kind", ("a", "b")),
        Float("x", -1.0, 1.0),
        Float("y", 0.1, 10.0, log=True, when={"kind": ("b",)}),
    )
)


class Quadratic:
    """An executor whose trials cost nothing: score = -x² per fold, with a little of the seed."""

    def __init__(self, capacity: int = 1, faults: dict | None = None) -> None:
        self.capacity = capacity
        self.faults = dict(faults or {})  # trial -> how often it takes its worker down
        self.trained: list[tuple[int, int]] = []
        self.waiting: deque = deque()
        self.reports: deque = deque()
        self.fails = lambda trial: False

    def submit(self, trial):
        self.waiting.append(trial)

    def wait(self, timeout=None):
        if not self.reports:
            self.begin(self.waiting.popleft())
        return self.reports.popleft()

    def begin(self, trial):
        self.trained.append((trial.number, trial.attempt))
        self.reports.append(Started(trial.number))
        if self.faults.get(trial.number, 0) > 0:
            self.faults[trial.number] -= 1
            self.reports.append(Lost(trial.number, "the worker ended by signal 9"))
            return
        if self.fails(trial):
            error = TrialResult(trial.number, "FAILED", 0.0, trial.attempt, error="ValueError: no")
            self.reports.append(error)
            return
        scores = -(trial.params["x"] ** 2) + 1e-3 * np.array([trial.seed % 7, trial.seed % 5])
        for epoch in range(2):
            report = EpochReport(trial.number, epoch, scores - (1 - epoch), {"val/loss": -scores})
            self.reports.append(report)
        result = TrialResult(
            trial.number,
            "COMPLETE",
            0.0,
            trial.attempt,
            score=float(scores.mean()),
            spread=float(scores.std()),
            best_epoch=1,
            fold_scores=scores,
            predictions=np.full((3, 1), scores[0]),
        )
        self.reports.append(result)

    def recall(self):
        numbers = [t.number for t in self.waiting]
        self.waiting.clear()
        return numbers

    def prune(self, trial): ...

    def close(self): ...


def search(path: Path, executor=None, *, trials=12, sampler="tpe", listeners=(), **limits):
    with Journal(path) as journal:
        if not journal.records:
            journal.append("study", objective={"direction": "maximize"})
        loop = Search(
            journal=journal,
            history=History(read(path).records),
            sampler=make_sampler(sampler, SPACE, direction="maximize", seed=3),
            executor=executor or Quadratic(),
            limits=Limits(trials, **limits),
            seed=3,
            epochs=2,
            fixed={"units": 8},
            listeners=listeners,
        )
        return loop.run()


def told(path: Path) -> list:
    """What a journal says without its times and sequence numbers, the asked and the results."""
    kept = []
    for r in read(path).records:
        if r["event"] in ("asked", "result"):
            kept.append({k: v for k, v in r.items() if k not in ("seq", "time", "attempt")})
    return kept


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def test_a_study_asks_trains_and_tells_until_its_budget_is_spent(path):
    history = search(path)
    assert 12 == history.count("COMPLETE")
    events = [r["event"] for r in read(path).records]
    assert ["asked", "started", "epoch", "epoch", "result"] == events[1:6]
    assert 12 * 5 + 1 == len(events)


def test_every_point_lies_in_the_space_with_the_fixed_values_beside_it(path):
    for trial in search(path).trials:
        params = dict(trial.params)
        assert 8 == params.pop("units")
        assert SPACE.violation(params) is None


def test_the_best_is_the_earliest_of_the_highest_scores(path):
    history = search(path)
    scores = [t.score for t in history.trials]
    assert scores.index(max(scores)) == history.best.number


class StopError(Exception):
    """The study's process is killed, as far as the journal can tell."""


@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize("capacity", [1, 2])
def test_a_study_killed_at_any_record_and_resumed_equals_one_never_stopped(
    tmp_path, sampler, capacity
):
    whole = tmp_path / "whole" / "journal.jsonl"
    search(whole, Quadratic(capacity), sampler=sampler)
    n_records = len(read(whole).records)
    for stop_after in range(1, n_records - 1, 3):
        path = tmp_path / f"{stop_after}" / "journal.jsonl"
        seen = []

        def kill(record, seen=seen, stop_after=stop_after):
            seen.append(record)
            if len(seen) == stop_after:
                raise StopError

        with pytest.raises(StopError):
            search(path, Quadratic(capacity), sampler=sampler, listeners=[kill])
        search(path, Quadratic(capacity), sampler=sampler)
        by_trial = lambda r: (r["event"], r["trial"])  # noqa: E731  # a retry is written later
        first = {by_trial(r): r for r in told(path)}
        assert {by_trial(r): r for r in told(whole)} == first, stop_after
        results = [r["trial"] for r in told(path) if r["event"] == "result"]
        assert sorted(set(results)) == sorted(results), "a trial stands twice"


def test_a_budget_is_a_total(path):
    search(path, trials=5)
    executor = Quadratic()
    assert 5 == len(search(path, executor, trials=5).ended)
    assert [] == executor.trained
    assert 8 == len(search(path, trials=8).ended)


def test_a_trial_whose_worker_died_is_trained_again_with_the_same_params(path):
    calm = path.with_name("calm.jsonl")
    search(calm)
    executor = Quadratic(faults={3: 2})
    search(path, executor)
    assert [(3, 0), (3, 1), (3, 2)] == [t for t in executor.trained if t[0] == 3]
    once = {(r["event"], r["trial"]): r for r in told(path)}
    assert {(r["event"], r["trial"]): r for r in told(calm)} == once


def test_a_trial_that_always_kills_its_worker_fails_and_the_search_goes_on(path):
    history = search(path, Quadratic(faults={3: 99}))
    assert "FAILED" == history.last[3].state
    assert f"given up after {ATTEMPTS} attempts" in history.last[3].error
    assert 11 == history.count("COMPLETE")


def test_failed_trials_are_told_and_count(path):
    executor = Quadratic()
    executor.fails = lambda trial: trial.number % 3 == 0
    history = search(path, executor)
    assert (8, 4) == (history.count("COMPLETE"), history.count("FAILED"))


def test_failure_after_failure_stops_the_study_with_the_reason_and_it_can_go_on(path):
    executor = Quadratic()
    executor.fails = lambda trial: True
    with pytest.raises(TrainingError, match=r"5 trials in a row failed.*ValueError: no"):
        search(path, executor)
    assert 12 == len(search(path).ended)


def test_nothing_is_asked_once_the_time_is_over(path):
    executor = Quadratic()
    assert [] == search(path, executor, seconds=0).ended
    assert [] == executor.trained


def test_predictions_lie_beside_the_journal_before_the_result_is_written(path):
    found = []

    def look(record):
        if record["event"] == "result":
            found.append(np.load(path.parent / record["predictions"]).shape)

    search(path, trials=2, listeners=[look])
    assert [(3, 1), (3, 1)] == found


def test_the_history_of_a_journal_is_the_one_the_loop_had(path):
    history = search(path)
    again = History(read(path).records)
    assert history.trials == again.trials
