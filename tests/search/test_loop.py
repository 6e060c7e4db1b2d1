"""The study loop with an executor in this process: events, retries, resuming."""

from collections import Counter, deque
from pathlib import Path

import numpy as np
import pytest
from long_cases import long_unless

from hpsearch.errors import TrainingError
from hpsearch.execution.executor import Lost, Started
from hpsearch.history import History
from hpsearch.journal import read_page, writer
from hpsearch.search.checkpoint_store import CheckpointStore
from hpsearch.search.event_writer import EventWriter
from hpsearch.search.loop import Search
from hpsearch.search.pruners import make_pruner
from hpsearch.search.pruners.asha import Hyperband
from hpsearch.search.retries import MAX_ATTEMPTS
from hpsearch.search.samplers import make_sampler
from hpsearch.search.stopping_criteria import StoppingCriteria
from hpsearch.search.tried_points import TriedPoints
from hpsearch.spec.search_space import Categorical, Float, SearchSpace
from hpsearch.trial import EpochReport, TrialResult
from tests import synthetic

SPACE = SearchSpace(
    (
        Categorical("kind", ("a", "b")),
        Float("x", -1.0, 1.0),
        Float("y", 0.1, 10.0, log=True, when={"kind": ("b",)}),
    )
)


class Quadratic:
    """An executor whose trials cost nothing: the score per fold ends at -x², and a little of the
    seed. A population advances epoch by epoch and waits at its rungs, as in a worker.
    """

    def __init__(self, capacity: int = 1, faults: dict | None = None, population: int = 1) -> None:
        self.capacity = capacity * population
        self.population = population
        self.faults = dict(faults or {})  # trial -> how often it takes its worker down
        self.trained: list[tuple[int, int]] = []
        self.n_epochs = 0  # of all trials together
        self.waiting: deque = deque()
        self.reports: deque = deque()
        self.running: dict = {}  # number -> trial
        self.held: set[int] = set()
        self.pruned: set[int] = set()
        self.epoch = 0  # finished ones of the running population
        self.fails = lambda trial: False

    def submit(self, *trials):
        self.waiting.append(trials)

    def wait(self, timeout=None):
        while not self.reports and not self.held:
            if self.running:
                self.advance()
            elif self.waiting:
                self.begin(self.waiting.popleft())
            else:
                return None
        assert self.reports, f"{self.held} wait for a verdict that nobody gives"
        return self.reports.popleft()

    def begin(self, trials):
        self.trained += [(t.number, t.attempt) for t in trials]
        self.reports.extend(Started(t.number) for t in trials)
        deadly = [t.number for t in trials if self.faults.get(t.number, 0) > 0]
        if deadly:
            self.faults[deadly[0]] -= 1
            self.reports.extend(Lost(t.number, "the worker ended by signal 9") for t in trials)
            return
        for t in trials:
            if self.fails(t):
                failed = TrialResult(t.number, "FAILED", 0.0, t.attempt, error="ValueError: no")
                self.reports.append(failed)
        self.running = {t.number: t for t in trials if not self.fails(t)}
        self.epoch, self.pruned = 0, set()

    def advance(self):
        for trial in list(self.running.values()) if self.epoch else ():
            if trial.number in self.pruned or self.epoch == trial.epochs:
                self.end(trial)
        self.epoch += 1
        self.n_epochs += len(self.running)
        for trial in self.running.values():
            scores = curve(trial)[self.epoch - 1]
            metrics = {"val/loss": -scores}
            self.reports.append(EpochReport(trial.number, self.epoch - 1, scores, metrics))
            if self.epoch in trial.rungs:
                self.held.add(trial.number)

    def end(self, trial):
        del self.running[trial.number]
        scores = curve(trial)[: self.epoch]
        best = int(np.argmax(scores.mean(axis=1)))
        result = TrialResult(
            trial.number,
            "PRUNED" if trial.number in self.pruned else "COMPLETE",
            0.0,
            trial.attempt,
            score=float(scores[best].mean()),
            spread=float(scores[best].std()),
            best_epoch=best,
            fold_scores=scores[best],
            predictions=np.full((3, 1), scores[best][0]),
        )
        self.reports.append(result)

    def recall(self):
        numbers = [t.number for trials in self.waiting for t in trials]
        self.waiting.clear()
        return numbers

    def prune(self, trial):
        self.pruned.add(trial)
        self.held.discard(trial)

    def resume(self, trial):
        self.held.discard(trial)

    def close(self): ...


def curve(trial) -> np.ndarray:
    """Shape (n_epochs, n_folds): it rises to its end, some faster than others."""
    last = -(trial.params["x"] ** 2) + 1e-3 * np.array([trial.seed % 7, trial.seed % 5])
    left = 1 - np.arange(1, trial.epochs + 1)[:, None] / trial.epochs
    return last - left ** (1 + trial.seed % 3)


def search(
    path: Path,
    executor=None,
    *,
    trials=12,
    epochs=2,
    sampler="tpe",
    pruner=None,
    listeners=(),
    space=SPACE,
    options=None,
    fixed=None,
    checkpoint="off",
    **limits,
):
    with EventWriter(path) as writer:
        if writer.journal.first is None:
            writer.write(synthetic.event("study", objective={"direction": "maximize"}))
        for listener in listeners:
            writer.listen(listener)
        loop = Search(
            writer=writer,
            make_sampler=lambda: make_sampler(
                sampler,
                space,
                direction="maximize",
                seed=3,
                options=options,
                epochs=epochs,
                limits=writer.history.limits,
            ),
            executor=executor or Quadratic(),
            limits=StoppingCriteria(trials, **limits),
            seed=3,
            epochs=epochs,
            fixed={"units": 8, **(fixed or {})},
            memory=TriedPoints(space),
            checkpoints=CheckpointStore(path.parent, every=checkpoint),
            pruner=pruner,
        )
        return loop.run()


def told(path: Path) -> list:
    """What a journal says without its times and sequence numbers, the asked and the results."""
    kept = []
    for r in synthetic.read_records(path):
        if r["event"] in ("asked", "result"):
            kept.append({k: v for k, v in r.items() if k not in ("seq", "time", "attempt")})
    return kept


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def test_a_study_asks_trains_and_tells_until_its_budget_is_spent(path):
    history = search(path)
    assert 12 == history.count("COMPLETE")
    events = [r["event"] for r in synthetic.read_records(path)]
    assert ["asked", "started", "epoch", "epoch", "result"] == events[1:6]
    assert 12 * 5 + 2 == len(events)


def test_every_point_lies_in_the_space_with_the_fixed_values_beside_it(path):
    for trial in search(path).trials:
        params = dict(trial.params)
        assert 8 == params.pop("units")
        assert SPACE.why_invalid(params) is None


def test_the_best_is_the_earliest_of_the_highest_scores(path):
    history = search(path)
    scores = [t.score for t in history.trials]
    assert scores.index(max(scores)) == history.best.number


class StopError(Exception):
    """The study's process is killed, as far as the journal can tell."""


def kill_after(n_records: int):
    """A listener that kills the study once it has heard so many records."""
    seen = []

    def kill(record):
        seen.append(record)
        if len(seen) == n_records:
            raise StopError

    return kill


def by_trial(path: Path) -> dict:
    """What `told` tells, by event and trial: a retry is written later."""
    return {(r["event"], r["trial"]): r for r in told(path)}


@pytest.mark.parametrize(
    ("sampler", "capacity"),
    long_unless(
        (("tpe", 2), ("random", 1)).__contains__,
        [("tpe", 1), ("tpe", 2), ("random", 1), ("random", 2)],
    ),
)
def test_a_study_killed_at_any_record_and_resumed_equals_one_never_stopped(
    tmp_path, sampler, capacity
):
    whole = tmp_path / "whole" / "journal.jsonl"
    search(whole, Quadratic(capacity), sampler=sampler)
    n_records = len(synthetic.read_records(whole))
    for stop_after in range(1, n_records - 1, 3):
        path = tmp_path / f"{stop_after}" / "journal.jsonl"
        with pytest.raises(StopError):
            search(path, Quadratic(capacity), sampler=sampler, listeners=[kill_after(stop_after)])
        search(path, Quadratic(capacity), sampler=sampler)
        assert by_trial(whole) == by_trial(path), stop_after
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
    assert by_trial(calm) == by_trial(path)


def test_a_trial_that_always_kills_its_worker_fails_and_the_search_goes_on(path):
    history = search(path, Quadratic(faults={3: 99}))
    assert "FAILED" == history.last[3].state
    assert f"given up after {MAX_ATTEMPTS} attempts" in history.last[3].error
    assert 11 == history.count("COMPLETE")


def test_a_trial_that_was_resumed_again_and_again_has_all_its_attempts_left(path):
    def kill(record):
        if record.kind == "started" and record.trial == 3:
            raise StopError

    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(StopError):
            search(path, listeners=[kill])
    history = search(path, Quadratic(faults={3: 1}))
    assert ("COMPLETE", MAX_ATTEMPTS + 1) == (history.last[3].state, history.last[3].attempt)


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


def test_a_study_that_was_stopped_by_failures_has_all_its_tries_again(path):
    executor = Quadratic()
    executor.fails = lambda trial: True
    for run in (1, 2):
        with pytest.raises(TrainingError, match="5 trials in a row failed"):
            search(path, executor)
        assert [*range(5 * run)] == [number for number, _ in executor.trained]


def test_epochs_that_the_space_fixes_are_those_that_are_trained(path):
    history = search(path, trials=2, epochs=2, fixed={"epochs": 5})
    assert [(5, 5)] * 2 == [(t.params["epochs"], t.epochs) for t in history.trials]


def test_nothing_is_asked_once_the_time_is_over(path):
    executor = Quadratic()
    assert [] == search(path, executor, seconds=0).ended
    assert [] == executor.trained


class Slow(Quadratic):
    """Two workers, one of which trains the first trial for as long as there are others."""

    def wait(self, timeout=None):
        if len(self.waiting) > 1 and self.waiting[0][0].number == 0:
            self.waiting.rotate(-1)
        return super().wait(timeout)


def test_a_free_worker_does_not_wait_for_a_slow_one(path):
    executor = Slow(capacity=2)
    search(path, executor, trials=6)
    assert [1, 2, 3, 4, 5, 0] == [number for number, _ in executor.trained]


def test_a_population_is_filled_by_one_batch_of_asks(path):
    sizes = []

    class Counting(Quadratic):
        def submit(self, *trials):
            sizes.append([t.number for t in trials])
            super().submit(*trials)

    search(path, Counting(population=3), trials=6)
    assert [[0, 1, 2], [3, 4, 5]] == sizes


def test_predictions_lie_beside_the_journal_before_the_result_is_written(path):
    found = []

    def look(record):
        if record.kind == "result":
            found.append(np.load(path.parent / record.predictions).shape)

    search(path, trials=2, listeners=[look])
    assert [(3, 1), (3, 1)] == found


def test_the_history_of_a_journal_is_the_one_the_loop_had(path):
    history = search(path)
    again = History(read_page(path).events)
    for trial in again.ended:
        trial.drop_curves()
    assert history.trials == again.trials


def test_an_ended_trial_keeps_its_mean_scores_and_no_curve_however_long_it_trained(path):
    short, long = (search(path.with_name(f"{n}.jsonl"), epochs=n) for n in (2, 40))
    whole = History(read_page(path.with_name("40.jsonl")).events)
    expected = [t.mean_scores() for t in whole.trials]
    assert expected == [list(t.mean_scores()) for t in long.trials]
    assert {40} == {t.n_epochs for t in long.trials}
    for history in (short, long):
        assert {()} == {tuple(t.curves) for t in history.trials}
        assert not any(t.scores or t.times for t in history.trials)


# ---- pruning ----


def pruner(kind: str):
    return make_pruner(kind, {}, epochs=27, seed=3)


@pytest.mark.parametrize("capacity", [1, 2])
def test_a_trial_trains_to_its_rungs_and_no_epoch_beyond_a_verdict(path, capacity):
    executor = Quadratic(capacity)
    history = search(path, executor, trials=30, epochs=27, pruner=pruner("asha"))
    lengths = {t.n_epochs for t in history.trials if t.state == "PRUNED"}
    assert {3, 9} <= lengths <= {3, 9}
    assert executor.n_epochs == sum(t.n_epochs for t in history.trials)
    assert history.count("COMPLETE") + history.count("PRUNED") == 30
    assert all(t.score is not None for t in history.trials)


def test_a_pruned_trial_is_told_to_the_sampler_and_is_never_the_best(path):
    history = search(path, trials=20, epochs=27, pruner=pruner("asha"), sampler="random")
    pruned = [t for t in history.trials if t.state == "PRUNED"]
    pruned[0].score = 1e9
    assert "COMPLETE" == history.best.state


def test_halving_trains_a_bracket_as_one_population_and_the_epochs_it_should(path):
    executor = Quadratic(population=9)
    history = search(path, executor, trials=22, epochs=27, pruner=pruner("halving"))
    assert 2 * (9 * 3 + 3 * 6 + 18) + (4 * 3 + 6 + 18) == executor.n_epochs
    assert executor.n_epochs == sum(t.n_epochs for t in history.trials)
    assert 3 == history.count("COMPLETE")


@pytest.mark.parametrize(
    ("kind", "capacity", "population"),
    long_unless(
        (("asha", 2, 1), ("halving", 1, 9)).__contains__,
        [("asha", 1, 1), ("asha", 2, 1), ("asha", 1, 4), ("hyperband", 1, 1), ("halving", 1, 9)],
    ),
)
def test_a_pruned_study_killed_anywhere_and_resumed_equals_one_never_stopped(
    tmp_path, kind, capacity, population
):
    def run(path, **more):
        executor = Quadratic(capacity, population=population)
        return search(path, executor, trials=22, epochs=27, pruner=pruner(kind), **more)

    whole = tmp_path / "whole" / "journal.jsonl"
    run(whole)
    expected = by_trial(whole)
    n_records = len(synthetic.read_records(whole))
    for stop_after in range(1, n_records - 1, 23):
        path = tmp_path / f"{stop_after}" / "journal.jsonl"
        with pytest.raises(StopError):
            run(path, listeners=[kill_after(stop_after)])
        run(path)
        assert expected == by_trial(path), stop_after


def test_a_bracket_whose_worker_died_is_trained_again_as_one(path):
    calm = path.with_name("calm.jsonl")
    search(calm, Quadratic(population=9), trials=18, epochs=27, pruner=pruner("halving"))
    executor = Quadratic(population=9, faults={10: 1})
    search(path, executor, trials=18, epochs=27, pruner=pruner("halving"))
    assert [(n, 1) for n in range(9, 18)] == executor.trained[-9:]
    assert by_trial(calm) == by_trial(path)


@pytest.mark.parametrize("kind", ["halving", "asha"])
def test_one_of_a_population_that_always_kills_its_worker_fails_alone(path, kind):
    executor = Quadratic(population=9, faults={4: 99})
    history = search(path, executor, trials=18, epochs=27, pruner=pruner(kind))
    assert [4] == [t.number for t in history.trials if t.state == "FAILED"]
    assert 18 == len(history.ended)


# ---- the end ----


def why(path: Path) -> list[tuple[str, str]]:
    return [
        (r["cause"], r["reason"]) for r in synthetic.read_records(path) if r["event"] == "ended"
    ]


def test_a_study_says_why_it_has_ended_and_says_it_again_when_it_is_resumed(path):
    search(path, trials=4)
    search(path, trials=4)
    assert [("trials", "4 of 4 trials")] * 2 == why(path)
    assert "4 of 4 trials" == History(read_page(path).events).end.reason


def test_nothing_more_is_asked_once_nothing_gets_better(path):
    history = search(path, trials=200, sampler="random", stagnation=10)
    assert [("stagnation", "10 finished trials were no better")] == why(path)
    assert history.best.number == len(history.ended) - 11
    assert 10 == history.since_improvement


@pytest.mark.parametrize("capacity", [1, 2])
def test_nothing_more_is_asked_once_the_target_is_reached(path, capacity):
    history = search(path, Quadratic(capacity), trials=200, target=-0.01)
    [(cause, reason)] = why(path)
    assert "target" == cause
    assert f"trial {history.best.number} has score" in reason
    assert history.best.score >= -0.01
    first = next(t.number for t in history.trials if t.score >= -0.01)
    assert first + capacity == len(history.ended)  # what was asked before is trained
    search(path, trials=200, target=-0.01)
    assert first + capacity == len(History(read_page(path).events).ended)


def test_a_study_that_was_stopped_has_not_ended(path):
    search(path, trials=4)
    assert History(read_page(path).events).end is not None
    search(path, trials=6)
    history = History(e for e in read_page(path).events if e.kind != "ended")
    assert history.end is None


FINITE = SearchSpace((Categorical("c", ("a", "b", "d")), Float("x", -1.0, 1.0, step=0.5)))


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "grid", "nsga2"])
@pytest.mark.parametrize("capacity", [1, 3])
def test_no_point_of_a_finite_space_is_trained_twice_and_the_study_ends(path, sampler, capacity):
    history = search(path, Quadratic(capacity), trials=99, sampler=sampler, space=FINITE)
    assert 15 == len(history.trials)
    assert 15 == len({repr(t.params) for t in history.trials})
    assert [("space", "every point of the search space has been tried")] == why(path)


def test_a_repeated_point_is_answered_from_memory_and_counts_for_nothing(path):
    history = search(path, trials=12, sampler="random", space=FINITE)
    repeats = [r for r in synthetic.read_records(path) if r["event"] == "remembered"]
    assert repeats
    assert 12 == len(history.trials)
    for r in repeats:
        assert history.last[r["of"]].score == r["score"]


@pytest.mark.parametrize("capacity", [1, 2])
@pytest.mark.parametrize(
    ("sampler", "options", "space"),
    [("random", {}, FINITE), ("tpe", {"startup": 4}, FINITE), ("nsga2", {"population": 3}, SPACE)],
)
def test_what_was_remembered_and_noted_is_the_same_after_a_stop(
    tmp_path, sampler, options, space, capacity
):
    arguments = {"sampler": sampler, "options": options, "space": space, "trials": 14}
    whole = tmp_path / "whole" / "journal.jsonl"
    search(whole, Quadratic(capacity), **arguments)
    for stop_after in (9, 30, 47, 58):
        path = tmp_path / f"{stop_after}" / "journal.jsonl"
        with pytest.raises(StopError):
            search(path, Quadratic(capacity), **arguments, listeners=[kill_after(stop_after)])
        search(path, Quadratic(capacity), **arguments)
        expected, found = (
            {r["trial"]: r["params"] for r in told(p) if r["event"] == "asked"}
            for p in (whole, path)
        )
        assert expected == found, stop_after


def test_time_is_a_reason_too(path):
    search(path, seconds=0)
    assert [("minutes", "the time limit of 0 minutes is reached")] == why(path)


class Grouped(Quadratic):
    """Gives what came together at once, as workers do: an epoch of a whole population."""

    def drain(self):
        together = list(self.reports)
        self.reports.clear()
        return together


@pytest.fixture
def disk(monkeypatch):
    """How often the journal was written to, and waited for."""
    calls = Counter()
    write, sync = writer.Journal._write, writer.sync_data

    def count_write(self, *args, **options):
        calls["writes"] += 1
        return write(self, *args, **options)

    def count_sync(*args):
        calls["syncs"] += 1
        return sync(*args)

    monkeypatch.setattr(writer.Journal, "_write", count_write)
    monkeypatch.setattr(writer, "sync_data", count_sync)
    return calls


def test_a_population_is_journalled_in_groups_whatever_its_size(tmp_path, disk):
    counts = {}
    for size in (8, 64):
        disk.clear()
        study = tmp_path / str(size) / "journal.jsonl"
        search(study, Grouped(population=size), trials=2 * size, epochs=5, sampler="random")
        counts[size] = (disk["syncs"], disk["writes"] - 2 * size)  # results come one by one
    assert counts[8] == counts[64]
    # The asked of two populations, the last results, the end; the results of the first are synced
    # with what is asked next.
    assert 4 == counts[8][0]


def test_results_that_come_one_after_another_share_a_sync(path, disk):
    """Also where each comes alone: of sixteen workers that end at the same time."""
    search(path, Quadratic(population=16), trials=16, epochs=1, sampler="random")
    assert 3 == disk["syncs"]  # asked, results, end


@pytest.mark.parametrize("sampler", ["gp", "tpe"])
def test_a_batch_that_was_cut_short_is_asked_for_again_as_it_was(tmp_path, sampler):
    """The machine stopped while a population was written down: some of its lines are there."""
    study = tmp_path / "whole" / "journal.jsonl"
    search(study, Grouped(population=24), trials=48, sampler=sampler)
    lines = study.read_bytes().splitlines(keepends=True)
    asked = [i for i, r in enumerate(synthetic.read_records(study)) if r["event"] == "asked"]
    for kept in (25, 31):  # of the second population
        cut = tmp_path / str(kept) / "journal.jsonl"
        cut.parent.mkdir()
        cut.write_bytes(b"".join(lines[: asked[kept]]))
        search(cut, Grouped(population=24), trials=48, sampler=sampler)
        assert by_trial(study) == by_trial(cut)


def test_what_is_submitted_is_on_the_disk_before(path):
    owed = []

    class Careful(Quadratic):
        def submit(self, *trials):
            owed.append(writer._owes_sync)
            super().submit(*trials)

    with EventWriter(path) as writer:
        writer.write(synthetic.event("study", objective={"direction": "maximize"}))
        Search(
            writer=writer,
            make_sampler=lambda: make_sampler("random", SPACE, direction="maximize", seed=3),
            executor=Careful(population=4),
            limits=StoppingCriteria(12),
            seed=3,
            epochs=1,
            fixed={},
        ).run()
    assert [False] * 3 == owed


def test_a_trial_ranks_and_draws_for_no_other(path, monkeypatch):
    """Work that grows with the trials so far would make the last of a thousand slow."""
    ranked, drawn = [], []
    rank, draw = History.ranked_trials, Hyperband._draw_bracket
    monkeypatch.setattr(History, "ranked_trials", lambda self: ranked.append(1) or rank(self))
    monkeypatch.setattr(
        Hyperband, "_draw_bracket", lambda self, number: drawn.append(number) or draw(self, number)
    )
    pruner = Hyperband(epochs=9, min_epochs=1)
    history = search(path, trials=30, epochs=9, sampler="random", pruner=pruner)
    assert 0 < history.count("PRUNED")
    assert [] == ranked
    assert list(range(30)) == sorted(drawn)
