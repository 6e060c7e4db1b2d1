"""Checkpoints beside the journal: a killed study takes its running trial up where it stood."""

import logging
from types import SimpleNamespace

import pytest

from hpsearch.execution.inline_executor import InlineExecutor
from hpsearch.search.checkpoint_store import CheckpointStore
from hpsearch.testing.executors import small_problem
from hpsearch.training.vectorized import VectorizedTrainer
from hpsearch.trial import Trial
from tests import synthetic
from tests.search.test_loop import StopError, search

EPOCHS = 6
FIXED = {"layers": 1, "learning_rate": 0.01, "batch_size": 16}


def trial(number, **fields):
    known = {"params": {"x": 1}, "seed": 3, "epochs": 9, "asked": 0, "attempt": 1}
    return Trial(number, **{**known, **fields})


def history_of(*trials):
    last = {t.number: t for t in trials}
    return SimpleNamespace(last=last, extensions={}, direction="maximize")


def test_a_checkpoint_is_read_as_it_was_written_and_removed_with_its_trial(tmp_path):
    store, own = CheckpointStore(tmp_path), trial(4)
    store.save(own, b"state", history_of(own))
    assert b"state" == store.load(own)
    store.remove(4)
    assert store.load(own) is None


@pytest.mark.parametrize("place", [0, 40, -1])
def test_a_damaged_checkpoint_is_not_used_and_the_log_says_so(tmp_path, place, caplog):
    store, own = CheckpointStore(tmp_path), trial(4)
    store.save(own, b"state", history_of(own))
    (file,) = tmp_path.glob("checkpoints/*")
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    assert store.load(own) is None
    assert "trial 4 is trained from the first epoch" in caplog.text


@pytest.mark.parametrize("change", [{"training_revision": 1}, {"seed": 4}, {"params": {"x": 2}}])
def test_a_checkpoint_of_another_declaration_is_not_used(tmp_path, change, caplog):
    store = CheckpointStore(tmp_path)
    store.save(trial(4), b"state", history_of())
    assert store.load(trial(4, **change)) is None
    assert "earlier declaration" in caplog.text


def test_the_least_promising_trials_lose_theirs_where_there_is_no_room(tmp_path):
    trials = [trial(n, scores=[[score]]) for n, score in enumerate([0.5, 0.1, 0.9, 0.3])]
    store = CheckpointStore(tmp_path, max_gib=3.5 * 164 / 2**30)
    for each in trials:
        store.save(each, bytes(100), history_of(*trials))
    assert [True, False, True, True] == [store.load(t) is not None for t in trials]
    store.save(trials[1], bytes(1000), history_of(*trials))  # larger than all the room
    assert [True, False, True, True] == [store.load(t) is not None for t in trials]


@pytest.fixture(scope="module")
def trainer():
    """One trainer, whose programs all studies share."""
    return VectorizedTrainer(small_problem(), placement="threads")


def run(path, trainer, listeners=(), **changes):
    executor = InlineExecutor(lambda problem: trainer, small_problem())
    settings = {"trials": 1, "epochs": EPOCHS, "fixed": FIXED, "sampler": "random", **changes}
    return search(path, executor, listeners=listeners, checkpoint=2, **settings)


def epochs_of(path, attempt):
    records = synthetic.read_records(path)
    return [
        (r["epoch"], r["scores"], r["metrics"])
        for r in records
        if r["event"] == "epoch" and r["attempt"] == attempt
    ]


def test_a_killed_study_takes_its_trial_up_at_the_checkpoint(tmp_path, trainer, caplog):
    caplog.set_level(logging.INFO, "hpsearch.search")
    whole = run(tmp_path / "whole" / "journal.jsonl", trainer)
    path = tmp_path / "killed" / "journal.jsonl"

    def kill(event):
        if event.kind == "epoch" and event.epoch == 4:
            raise StopError

    with pytest.raises(StopError):
        run(path, trainer, [kill])
    assert 1 == len(list(path.parent.glob("checkpoints/*")))
    history = run(path, trainer)
    assert "trial 0 goes on from its checkpoint" in caplog.text
    assert epochs_of(tmp_path / "whole" / "journal.jsonl", 0) == epochs_of(path, 1)
    ended = [(t.score, list(t.fold_scores), t.best_epoch) for t in (whole.last[0], history.last[0])]
    assert ended[0] == ended[1]
