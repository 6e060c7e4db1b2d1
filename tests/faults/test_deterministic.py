"""`training.deterministic`: bit-identical studies with several workers."""

import random
from pathlib import Path

import pytest
import synthetic

from hpsearch import tune
from hpsearch.errors import SpecError
from hpsearch.history import History
from hpsearch.journal import read_page
from hpsearch.search.event_writer import EventWriter
from hpsearch.search.loop import Search, StoppingCriteria
from hpsearch.search.pruners import make_pruner
from hpsearch.search.samplers import make_sampler
from hpsearch.tracking.store import journal_path
from tests.search.test_loop import SPACE, Quadratic, StopError

SPEC = {
    "study": "twice",
    "data": {"source": "sklearn:wine"},
    "cross_validation": {"folds": 2},
    "training": {"epochs": 9, "deterministic": True},
    "search_space": {
        "units": {"type": "int", "low": 4, "high": 32},
        "learning_rate": {"type": "float", "low": 1e-3, "high": 1e-1, "log": True},
        "dropout": {"type": "float", "low": 0.0, "high": 0.5},
    },
    "sampler": {"kind": "tpe"},
    "pruner": {"kind": "asha"},
    "budget": {"trials": 6},
    "selection": {"finalists": 0},
}


def told(path: Path) -> dict:
    """Params, state and score of every fold, by trial."""
    history = History(read_page(path).events)
    return {t.number: (t.params, t.state, t.fold_scores, t.curves) for t in history.trials}


class Crowd(Quadratic):
    """Several workers, any of which may be the fastest, by turns of luck."""

    def __init__(self, workers: int, luck: int, population: int = 1) -> None:
        super().__init__(capacity=workers, population=population)
        self.workers = [Quadratic() for _ in range(workers)]
        self.luck = random.Random(luck)

    def submit(self, *trials):
        idle = [w for w in self.workers if not (w.running or w.waiting or w.reports)]
        idle[0].submit(*trials)

    def wait(self, timeout=None):
        for worker in self.luck.sample(self.workers, len(self.workers)):
            if worker.reports or (not worker.held and (worker.running or worker.waiting)):
                return worker.wait()
        held = [number for worker in self.workers for number in worker.held]
        assert not held, f"{held} wait for a verdict that nobody gives"
        return None

    def prune(self, trial):
        self._of(trial).prune(trial)

    def resume(self, trial):
        self._of(trial).resume(trial)

    def _of(self, trial):
        return next(w for w in self.workers if trial in w.running)


def search(
    path: Path,
    luck: int,
    *,
    kill_after: int | None = None,
    population: int = 1,
    pruner: str = "asha",
    epochs: int = 9,
) -> dict:
    seen: list[object] = []

    def kill(record):
        seen.append(record)
        if len(seen) == kill_after:
            raise StopError

    with EventWriter(path) as writer:
        if writer.journal.first is None:
            writer.write(synthetic.event("study", objective={"direction": "maximize"}))
        writer.listen(kill)
        Search(
            writer=writer,
            make_sampler=lambda: make_sampler("tpe", SPACE, direction="maximize", seed=3),
            executor=Crowd(3, luck, population),
            limits=StoppingCriteria(18),
            seed=3,
            epochs=epochs,
            fixed={},
            pruner=make_pruner(pruner, {}, epochs=epochs, seed=3),
            in_rounds=True,
        ).run()
    return told(path)


def test_in_rounds_no_workers_speed_changes_a_study(tmp_path):
    whole = search(tmp_path / "0" / "journal.jsonl", luck=0)
    assert {"COMPLETE", "PRUNED"} == {state for _, state, *_ in whole.values()}
    for luck in range(1, 6):
        assert whole == search(tmp_path / f"{luck}" / "journal.jsonl", luck)


def test_in_rounds_trials_that_train_together_may_come_to_rungs_at_different_epochs(tmp_path):
    more = {"population": 4, "pruner": "hyperband", "epochs": 27}
    whole = search(tmp_path / "0" / "journal.jsonl", luck=0, **more)
    lengths = {len(curves["val/loss"]) for _, state, _, curves in whole.values()}
    assert {3, 9, 27} <= lengths
    for luck in range(1, 4):
        assert whole == search(tmp_path / f"{luck}" / "journal.jsonl", luck, **more)


def test_in_rounds_killed_anywhere_and_resumed_it_is_the_same_study(tmp_path):
    whole = search(tmp_path / "whole" / "journal.jsonl", luck=0)
    for kill_after in range(5, 120, 9):
        path = tmp_path / f"{kill_after}" / "journal.jsonl"
        with pytest.raises(StopError):
            search(path, luck=kill_after, kill_after=kill_after)
        assert whole == search(path, luck=99), kill_after


@pytest.mark.long  # six processes; the order of results is what the tests above change
def test_two_real_workers_give_the_same_bits_again_though_it_was_stopped(tmp_path, figure):
    def run(name, *, stop_after=None):
        results = []

        def listen(record):
            results.extend(r for r in [record] if r.kind == "result")
            if stop_after is not None and len(results) == stop_after:
                raise StopError

        root = tmp_path / name
        tune(SPEC, workers=2, offline=True, root=root, listeners=[listen])
        return told(journal_path(root, "twice"))

    first = run("first")
    assert 6 == len(first)
    with pytest.raises(StopError):
        run("stopped", stop_after=3)
    assert first == run("stopped")
    with pytest.raises(SpecError, match="the workers of a deterministic study: 2 then, 1 now"):
        tune(SPEC, workers=1, offline=True, root=tmp_path / "first")
    figure(differing_bits=0)
