"""`hpsearch enqueue`, `extend` and `stop` on the command line."""

import itertools
import shutil
import signal
import threading
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from answer_check import read_answer

import hpsearch
from hpsearch.errors import JournalError, SpecError
from hpsearch.history import load_history
from hpsearch.journal import Journal
from hpsearch.study.steering import explain_not_extendable, find_extensions
from tests import synthetic
from tests.study.conftest import SPEC, invoke
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
        (["units=64"], "units: 64 is not allowed. Allowed: whole numbers from 8 to 32"),
        (["units=64", "dropout=2"], "dropout: 2 is not allowed"),
        (["units=12.5"], "units: 12.5 is not allowed. Allowed: whole numbers from 8 to 32"),
        (["optimizer=adam", "momentum=0.5"], "momentum is given, but its condition fails: opt"),
        (["batch_size=64"], "batch_size: is fixed to 32"),
        (["units"], "write NAME=VALUE"),
        (["units=[1"], "not valid YAML"),
        (["units=9", "units=10"], "units: stands twice, 9 and 10: give one value"),
        (["--like", "99"], "study cancer has no trial 99. Trials: 0 to 4"),
        (["--like", "worst"], "'worst' names no trial of cancer: give 5, trial-5 or best"),
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
        (["trial-3"], "trial 3 of study cancer has ended: "),
        (["99"], "has no trial 99"),
    ],
)
def test_what_cannot_be_stopped_is_refused(copied, arguments, message):
    assert message in invoke(copied, "stop", "cancer", *arguments, code=2).stderr


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("ended", "stops when its running trials have finished"),
        ("winner", "stops when its running finalists have finished"),
        ("final", "stops when the winner is fitted and tested"),
        ("plots", "goes on, as only plots, the report and the upload to MLflow are left"),
    ],
)
def test_when_a_run_stops_depends_on_what_it_does(copied, event, message):
    journal = copied / "mlruns/studies/cancer/journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    begun = itertools.takewhile(lambda line: f'"event":"{event}"'.encode() not in line[:99], lines)
    journal.write_bytes(b"".join(begun))
    with Journal(journal):
        assert message in invoke(copied, "stop", "cancer").stdout


@pytest.mark.parametrize("command", ["stop", "rerun"])
def test_a_name_that_no_trial_has_is_refused_with_the_forms_that_are_allowed(copied, command):
    refused = invoke(copied, command, "cancer", "last", code=2)
    assert "'last' names no trial of cancer: give 5, trial-5 or best" in refused.stderr


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


@pytest.mark.parametrize("epochs", [0, -3, 1.5, "x", True, 100_001])
def test_epochs_that_no_study_can_have_are_refused_before_the_journal_has_them(copied, epochs):
    study, trials = hpsearch.load("cancer", copied), (enqueued(copied), extensions(copied))
    for ask in (partial(study.enqueue, {"units": 9}), partial(study.extend, 0)):
        with pytest.raises(SpecError, match="epochs: a whole number from 1 to 100000 is needed"):
            ask(epochs=epochs)
    assert trials == (enqueued(copied), extensions(copied))


@pytest.mark.parametrize("values", [["units"], None, "units=9"])
def test_what_is_no_mapping_is_no_point(copied, values):
    with pytest.raises(SpecError, match="values: a mapping of hyperparameters to values is needed"):
        hpsearch.load("cancer", copied).enqueue(values)


def test_numbers_of_numpy_are_numbers_of_a_point(copied):
    point = {"units": np.int64(9), "learning_rate": np.float32(0.0625)}
    params = hpsearch.load("cancer", copied).enqueue({**point, "optimizer": "sgd"})
    assert (9, int) == (params["units"], type(params["units"]))


def extensions(root):
    return load_history(root / "mlruns/studies/cancer/journal.jsonl").extensions


def test_an_ended_trial_is_extended_by_the_next_run(copied):
    done = invoke(copied, "extend", "cancer", "0", "--epochs", "20")
    assert "trial 0 is trained on to 20 epochs" in done.stdout
    assert "no process runs cancer: the next hpsearch tune does it" in done.stdout
    assert "stopped: hpsearch tune" in " ".join(invoke(copied, "studies").stdout.split())
    done = invoke(copied, "extend", "cancer", "trial-1", "--epochs", "30", "--json")
    answer = read_answer("extend", done.stdout)
    assert {"study": "cancer", "trial": 1, "epochs": 30, "is_running": False} == answer
    assert {0: (20, 12), 1: (30, 12)} == {
        n: (t.epochs, t.n_epochs) for n, t in extensions(copied).items()
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["99", "--epochs", "20"], "study cancer has no trial 99"),
        (["0", "--epochs", "12"], "trial 0 of study cancer has 12 epochs already"),
        (["0"], "Missing option '--epochs'"),
    ],
)
def test_what_cannot_be_extended_is_refused(copied, arguments, message):
    assert message in invoke(copied, "extend", "cancer", *arguments, code=2).stderr
    assert {} == extensions(copied)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"params": {"schedule": "coslog"}}, "has schedule=coslog, planned for 12 epochs: with "),
        ({"params": {"dropout_schedule": "flat_cosine"}}, "--like 0 --epochs 20"),
        ({"params": {"epochs": 12}}, "hpsearch enqueue cancer --like 0 epochs=20"),
        ({"state": "FAILED", "error": "the loss is nan"}, "has failed: the loss is nan"),
        ({"state": "RUNNING"}, "has not ended"),
        ({"epochs": 40}, "was ended by early stopping after 12 of 40 epochs"),
        ({"training_revision": 1}, "trained before code, versions or training changed"),
        ({"params": {"schedule": "cosine", "decay_epochs": 5}}, None),
        ({"state": "PRUNED", "epochs": 20, "params": {"schedule": "coslog"}}, None),
    ],
)
def test_a_trial_goes_on_only_where_its_first_epochs_stay_the_same(finished, changes, message):
    history = load_history(finished.folder / "journal.jsonl")
    reason = explain_not_extendable(history, replace(history.last[0], **changes), 20)
    assert (message is None) == (reason is None)
    assert message is None or message in reason


def test_raised_epochs_extend_the_complete_trials_that_have_a_checkpoint(finished, tmp_path):
    history = load_history(finished.folder / "journal.jsonl")
    found = find_extensions(history, finished.folder, before=12, epochs=20)
    kept = {int(p.stem) for p in finished.folder.glob("checkpoints/*.ckpt")}
    complete = {t.number for t in history.trials if t.state == "COMPLETE" and t.epochs == 12}
    assert kept & complete == {event.trial for event in found}
    assert [] == find_extensions(history, tmp_path, before=12, epochs=20)
    assert [] == find_extensions(history, finished.folder, before=13, epochs=20)


def test_raised_epochs_are_those_of_trials_that_have_not_ended(finished, tmp_path):
    history = load_history(finished.folder / "journal.jsonl")
    history.last[0].state = history.last[1].state = "RUNNING"
    history.outside = frozenset({1})
    assert [0] == [e.trial for e in find_extensions(history, tmp_path, before=12, epochs=20)]
    assert [] == find_extensions(history, tmp_path, before=12, epochs=9)


def test_epochs_that_are_a_hyperparameter_are_not_given_beside_it(tmp_path):
    records = synthetic.study(2)
    epochs = {"type": "int", "low": 2, "high": 4}
    records[0]["spec"]["search_space"]["epochs"] = epochs
    synthetic.write(tmp_path / "mlruns/studies/churn/journal.jsonl", records)
    study = hpsearch.load("churn", tmp_path)
    with pytest.raises(SpecError, match="epochs: is a hyperparameter of the search space"):
        study.enqueue({"units": 20}, epochs=50)
    assert 3 == study.enqueue({"units": 20, "epochs": 3})["epochs"]


@pytest.mark.parametrize("trial", [[1], "best", True, 77])
def test_what_is_no_number_of_a_trial_is_refused(copied, trial):
    study = hpsearch.load("cancer", copied)
    for ask in (
        partial(study.extend, trial, epochs=20),
        partial(study.enqueue, {}, like=trial),
        partial(study.stop, trial),
    ):
        with pytest.raises(JournalError, match=r"study cancer has no trial .*\. Trials: 0 to 4"):
            ask()


def test_a_study_that_is_paused_says_so_until_it_continues(copied):
    invoke(copied, "enqueue", "cancer", "units=9")  # its search goes on
    done = invoke(copied, "pause", "cancer")
    assert "cancer is paused\nto continue: hpsearch unpause cancer" in done.stdout
    assert "is paused already" in invoke(copied, "pause", "cancer", code=2).stderr
    invoke(copied, "unpause", "cancer")
    answer = read_answer("pause", invoke(copied, "pause", "cancer", "--json").stdout)
    assert {"study": "cancer", "is_paused": True, "is_running": False} == answer
    assert "hpsearch unpause cancer" in " ".join(invoke(copied, "top", "cancer").stdout.split())
    assert "paused: hpsearch" in " ".join(invoke(copied, "studies").stdout.split())
    status = read_answer("watch", invoke(copied, "watch", "cancer", "--json").stdout)
    assert status["is_paused"]
    answer = read_answer("unpause", invoke(copied, "unpause", "cancer", "--json").stdout)
    assert {"study": "cancer", "is_paused": False, "is_running": False} == answer
    assert "is not paused" in invoke(copied, "unpause", "cancer", code=2).stderr


def test_a_study_whose_search_has_ended_is_not_paused(copied):
    refused = invoke(copied, "pause", "cancer", code=2)
    assert "the search of study cancer has ended: 5 of 5 trials" in refused.stderr


@pytest.mark.long  # tests/search/test_pause.py has the same requests without processes
def test_a_paused_process_trains_nothing_and_neither_does_the_next_one(tmp_path):
    journal = tmp_path / "mlruns/studies/cancer/journal.jsonl"

    def wait_until(found, child):
        while not found(load_history(journal)):
            assert child.poll() is None
            time.sleep(0.1)

    with started(tmp_path, "--offline", "--trials", "8") as child:
        read_until(child, "trial 0 ")
        assert "after its running epochs" in invoke(tmp_path, "pause", "cancer").stdout
        threading.Thread(target=child.stderr.read, daemon=True).start()
        wait_until(lambda history: history.is_paused, child)
        time.sleep(2)  # the running epochs end
        size = journal.stat().st_size
        time.sleep(2)
        assert size == journal.stat().st_size
        child.kill()
    asked = load_history(journal).next_number
    assert asked < 8
    with started(tmp_path, "--offline", "--trials", "8") as child:
        read_until(child, "paused: hpsearch unpause cancer continues it")
        threading.Thread(target=child.stderr.read, daemon=True).start()
        time.sleep(5)
        assert asked == load_history(journal).next_number
        assert "cancer continues" in invoke(tmp_path, "unpause", "cancer").stdout
        assert 0 == child.wait(300)
    assert 8 == len(load_history(journal).ended)


@pytest.mark.long  # tests/search/test_extensions.py extends trials without MLflow
def test_an_extended_trial_has_one_run_in_mlflow_with_all_its_points(tmp_path):
    from hpsearch.tracking.store import open_store

    (tmp_path / "s.yaml").write_text(SPEC)
    tune = ("tune", "s.yaml", "--trials", "2", "--set", "selection.finalists=0", "--quiet")
    tune = (*tune, "--set", "training.checkpoint=4")
    invoke(tmp_path, *tune)
    journal = tmp_path / "mlruns/studies/cancer/journal.jsonl"
    before = load_history(journal)
    invoke(tmp_path, "extend", "cancer", "0", "--epochs", "15")
    invoke(tmp_path, *tune)
    history = load_history(journal)
    assert (15, 3) == (history.last[0].n_epochs, len(history.results))
    assert history.best.score >= before.best.score
    answer = read_answer("sync", invoke(tmp_path, "sync", "cancer", "--verify", "--json").stdout)
    assert ([], []) == (answer["replaced"], answer["resent"])
    client = open_store(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    (experiment,) = (e for e in client.search_experiments() if e.name == "cancer")
    runs = client.search_runs([experiment.experiment_id], "tags.`hpsearch.kind` = 'trial'")
    assert 2 == len(runs)
    (run,) = (run for run in runs if run.data.tags["number"] == "0")
    assert history.last[0].score == run.data.metrics["score"]
    assert "FINISHED" == run.info.status
    assert list(range(1, 16)) == [
        point.step for point in client.get_metric_history(run.info.run_id, "val/loss")
    ]
    assert (
        "the same as the first time, bit for bit" in invoke(tmp_path, "rerun", "cancer", "0").stdout
    )
