"""`hpsearch enqueue` and `hpsearch stop` on the command line."""

import shutil
import signal
import threading
import time

import pytest
from answer_check import read_answer

from hpsearch.history import load_history
from tests.study.conftest import invoke
from tests.study.test_stopping import read_until, started


@pytest.fixture
def copied(finished, tmp_path):
    """A folder with the journal of `finished`."""
    folder = tmp_path / "mlruns" / "studies" / "cancer"
    folder.mkdir(parents=True)
    shutil.copy(finished.folder / "journal.jsonl", folder)
    return tmp_path


def enqueued(root):
    return load_history(root / "mlruns/studies/cancer/journal.jsonl").enqueued


def test_a_point_is_completed_with_defaults_and_the_next_run_trains_it(copied):
    done = invoke(copied, "enqueue", "cancer", "optimizer=sgd", "learning_rate=1e-2", "units=9")
    assert "no process runs cancer: the next hpsearch tune trains it" in done.stdout
    (point,) = enqueued(copied)
    expected = {"optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.0, "units": 9}
    assert {**expected, "dropout": 0.0} == point.params


def test_requests_are_answered_as_json(copied):
    done = invoke(copied, "enqueue", "cancer", "optimizer=adam", "units=9", "--json")
    answer = read_answer("enqueue", done.stdout)
    assert ("cancer", "adam", False) == (
        answer["study"],
        answer["params"]["optimizer"],
        answer["is_running"],
    )
    status = read_answer("watch", invoke(copied, "watch", "cancer", "--json").stdout)
    assert ("cancer", 5, 5) == (status["study"], status["done"], status["total"])
    assert 2 == invoke(copied, "stop", "cancer", "--json", code=2).exit_code  # it does not run


def test_a_point_like_a_trial_keeps_what_is_active_and_its_epochs(copied):
    journal = copied / "mlruns/studies/cancer/journal.jsonl"
    best = load_history(journal).winning_trial()
    invoke(copied, "enqueue", "cancer", "--like", "best", "units=31")
    invoke(copied, "enqueue", "cancer", "--like", str(best.number), "--epochs", "40")
    other = {"adam": "sgd", "sgd": "adam"}[best.params["optimizer"]]
    invoke(copied, "enqueue", "cancer", "--like", "best", f"optimizer={other}")
    first, longer, switched = enqueued(copied)
    tuned = {k: v for k, v in best.params.items() if k != "batch_size"}
    assert {**tuned, "units": 31} == first.params
    assert (12, 40) == (first.epochs, longer.epochs)
    assert tuned == longer.params
    assert ("momentum" in switched.params) == (other == "sgd")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dropuot=0.1"], "dropuot: is not a hyperparameter of the search space. Known: optimizer"),
        (["units=64"], "units: 64 is not allowed. Allowed: 8 to 32"),
        (["units=64", "dropout=2"], "dropout: 2 is not allowed"),
        (["optimizer=adam", "momentum=0.5"], "momentum"),
        (["batch_size=64"], "batch_size: is fixed to 32"),
        (["units"], "write NAME=VALUE"),
        (["units=[1"], "not valid YAML"),
        (["--like", "99"], "study cancer has no trial 99. Trials: 0 to 4"),
    ],
)
def test_what_is_not_a_point_is_refused_and_nothing_is_enqueued(copied, arguments, message):
    assert message in invoke(copied, "enqueue", "cancer", *arguments, code=2).stderr
    assert [] == enqueued(copied)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "cancer: no process runs the study"),
        (["3"], "trial 3 of study cancer has ended: "),
        (["99"], "has no trial 99"),
    ],
)
def test_what_cannot_be_stopped_is_refused(copied, arguments, message):
    assert message in invoke(copied, "stop", "cancer", *arguments, code=2).stderr


@pytest.mark.long  # tests/search/test_steering.py has the same requests without processes
def test_a_running_study_takes_a_point_and_is_stopped_from_another_terminal(tmp_path):
    with started(tmp_path, "--offline", "--trials", "500") as child:
        read_until(child, "trial 0 ")
        invoke(tmp_path, "enqueue", "cancer", "units=9", "dropout=0.25")
        threading.Thread(target=child.stderr.read, daemon=True).start()
        journal = tmp_path / "mlruns/studies/cancer/journal.jsonl"
        while not any(t.params["dropout"] == 0.25 for t in load_history(journal).ended):
            assert child.poll() is None
            time.sleep(0.1)
        assert "stops when its running trials" in invoke(tmp_path, "stop", "cancer").stdout
        assert 128 + signal.SIGINT == child.wait(60)
    history = load_history(journal)
    assert len(history.ended) < 500
    assert not any(trial.state == "RUNNING" and trial.n_epochs for trial in history.trials)
