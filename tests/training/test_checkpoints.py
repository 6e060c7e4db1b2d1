"""A trial that was frozen after an epoch goes on bit for bit as if it had never stopped."""

import random
from dataclasses import replace

import numpy as np
import pytest
from small_problem import problem, trial

from hpsearch.training.checkpoint import Checkpoint
from hpsearch.training.keras.keras_fit import KerasFitTrainer
from hpsearch.training.problem import EarlyStopping
from hpsearch.training.vectorized import VectorizedTrainer
from hpsearch.trial import EpochReport, TrialResult

EPOCHS = 7
PARAMS = {"dropout": 0.3, "optimizer": "adam", "schedule": "reduce_on_plateau"}


def vectorized(of):
    return VectorizedTrainer(of, placement="threads")


TRAINERS = [
    pytest.param(vectorized, id="vectorized"),
    pytest.param(KerasFitTrainer, id="keras_fit"),
]


@pytest.fixture(scope="module")
def made():
    """Trainers of one problem, which share their compiled programs."""
    return {make: make(problem()) for make in (vectorized, KerasFitTrainer)}


def spec(**fields):
    return replace(trial(epochs=EPOCHS, **PARAMS), checkpoint=1, **fields)


def train(trainer, of):
    """Return the reports, and the result without its seconds."""
    messages = list(trainer.train([of]))
    result = messages.pop()
    assert isinstance(result, TrialResult)
    assert "COMPLETE" == result.state, result.error
    return [report for reports in messages for report in reports], result


def freeze(trainer, of, epochs):
    """Stop a trial after some epochs; return its checkpoint."""
    reports = trainer.train([of])
    for _ in range(epochs):
        last = next(reports)
    reports.close()
    return last[0].checkpoint


def assert_same(expected, found):
    for a, b in zip(expected[0], found[0], strict=True):
        assert isinstance(a, EpochReport)
        assert a.epoch == b.epoch
        assert {k: v.tobytes() for k, v in a.metrics.items()} == {
            k: v.tobytes() for k, v in b.metrics.items()
        }
    assert expected[1].predictions.tobytes() == found[1].predictions.tobytes()
    assert expected[1].fold_scores.tobytes() == found[1].fold_scores.tobytes()
    assert (expected[1].score, expected[1].best_epoch) == (found[1].score, found[1].best_epoch)


def thaw_repeatedly(make, trainer, *, times, seed):
    """Freeze and thaw a trial at random epochs, and compare it with an uninterrupted one."""
    rng = random.Random(seed)
    expected = train(trainer, replace(spec(), checkpoint="off"))
    for _ in range(times):
        of = spec()
        for epoch in sorted(rng.sample(range(1, EPOCHS), rng.randint(1, 2))):
            of = spec(resume_from=freeze(trainer, of, epoch))
        assert_same(expected, train(trainer, of))


@pytest.mark.parametrize("make", TRAINERS)
def test_a_frozen_trial_gives_the_bits_of_an_uninterrupted_one(make, made):
    thaw_repeatedly(make, made[make], times=1, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("make", TRAINERS)
def test_a_trial_is_frozen_fifty_times(make, made):
    thaw_repeatedly(make, made[make], times=50, seed=2)


@pytest.mark.long
@pytest.mark.parametrize("make", TRAINERS)
def test_folds_that_have_stopped_stay_stopped(make):
    trainer = make(replace(problem(), early_stopping=EarlyStopping(2, 0.01, "fold")))
    of = replace(spec(), epochs=20)
    expected = train(trainer, of)
    stops = [np.ptp(expected[1].curves["val/roc_auc"][-3:], axis=0) == 0]
    assert np.any(stops)
    for epoch in range(1, len(expected[0])):
        found = train(trainer, replace(of, resume_from=expected[0][epoch - 1].checkpoint))
        assert_same(expected, found)


@pytest.mark.parametrize("make", TRAINERS)
def test_the_epochs_of_a_checkpoint_are_reported_and_not_trained(make, made):
    content = freeze(made[make], spec(), 3)
    rows = dict(Checkpoint.decode(content).rows)
    marked = replace(
        Checkpoint.decode(content), rows={n: np.full_like(v, 0.125) for n, v in rows.items()}
    )
    reports = made[make].train([spec(resume_from=marked.encode())])
    assert [0.125] * 3 == [next(reports)[0].scores[0] for _ in range(3)]
    assert 0.125 != next(reports)[0].scores[0]
    reports.close()


@pytest.mark.parametrize("make", TRAINERS)
def test_a_checkpoint_that_does_not_fit_is_not_used(make, made, caplog):
    whole = freeze(made[make], spec(), 1)
    wrong = replace(Checkpoint.decode(whole), states=[[np.zeros(3)]] * 3).encode()
    for content, why in ((b"PK", "not a checkpoint"), (whole[:-9], "zip"), (wrong, "has changed")):
        caplog.clear()
        reports = made[make].train([spec(resume_from=content)])
        assert next(reports)[0].checkpoint is not None  # of an epoch that was trained
        reports.close()
        assert "from the first epoch" in caplog.text
        assert why in caplog.text


def test_a_checkpoint_is_the_same_after_its_bytes():
    arrays = [np.arange(3, dtype=np.uint32), np.zeros((), np.float32)]
    made = Checkpoint({"val/loss": np.ones((2, 2))}, [arrays, []], arrays, arrays, 1.5)
    found = Checkpoint.decode(made.encode())
    assert (2, 1.5, [2, 0]) == (found.n_epochs, found.seconds, [len(s) for s in found.states])
    assert [a.dtype for a in arrays] == [a.dtype for a in found.states[0]]
