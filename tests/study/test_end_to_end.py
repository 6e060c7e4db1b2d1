"""A whole study on the command line: MLflow's store, promotion, resuming."""

import csv
import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib import import_module

import numpy as np
import psutil
import pytest
import synthetic
from answer_check import read_answer

from hpsearch.journal import Journal
from hpsearch.study.maintenance.doctor import _check_studies
from hpsearch.study.prepare import load_data
from hpsearch.study.tune import read_spec
from tests.study.conftest import command, invoke


@pytest.fixture(scope="module")
def client(finished):
    from mlflow import MlflowClient

    return MlflowClient(finished.uri)


@pytest.fixture(scope="module")
def locked(finished):
    """The locked rows as a table, as a user would hand them in."""
    return load_data(read_spec(finished.spec)).locked_rows.read().table.to_pandas()


def test_json_is_one_object_and_nothing_else(finished):
    answer = finished.answer
    head = ["study", "tracking_uri", "experiment_id", "run_id", "trials", "best", "test"]
    tail = ["baselines", "verdict", "members", "ensemble", "ms_per_row", "temperature", "coverage"]
    assert [*head, *tail, "seconds", "unsent_bytes", "refused"] == list(answer)
    assert ["logistic_regression", "gradient_boosting", "constant"] == [
        each["name"] for each in answer["baselines"]
    ]
    assert answer["verdict"].endswith("better than a constant")
    assert (0, []) == (answer["unsent_bytes"], answer["refused"])
    best = ["trial", "run_id", "params", "score", "score_std", "epochs"]
    assert [*best, "finalist_score", "finalist_std"] == list(answer["best"])
    counts = answer["trials"]  # ASHA prunes
    assert (5, 0) == (counts["complete"] + counts["pruned"], counts["failed"])
    assert {"accuracy", "roc_auc", "log_loss"} == answer["test"].keys()


def test_the_score_is_a_good_one(finished):
    assert finished.answer["best"]["score"] > 0.97
    assert finished.answer["test"]["roc_auc"] > 0.95


def test_progress_goes_to_stderr_as_plain_lines(finished):
    lines = finished.stderr.splitlines()
    assert lines[0] == "trainer: vectorized (all folds train side by side in compiled programs)"
    ends = (" COMPLETE ", " PRUNED ")
    assert 5 == sum(line.startswith("trial ") and any(e in line for e in ends) for line in lines)
    assert "search finished: 5 of 5 trials" in lines
    assert "5/5 trials" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_mlflow_holds_a_run_a_trial_below_the_study(finished, client):
    answer = finished.answer
    runs = client.search_runs([answer["experiment_id"]])
    study = next(r for r in runs if r.info.run_id == answer["run_id"])
    trials = [r for r in runs if r is not study]
    assert {r.data.tags["mlflow.parentRunId"] for r in trials} == {study.info.run_id}
    assert ["0", "1", "2", "3", "4"] == sorted(r.data.tags["number"] for r in trials)
    assert {"FINISHED"} == {r.info.status for r in runs}
    for name, value in answer["test"].items():
        assert value == study.data.metrics[f"test/{name}"]


def test_a_trials_run_has_params_scores_and_curves_of_the_mean_and_of_each_fold(finished, client):
    best = finished.answer["best"]
    data = client.get_run(best["run_id"]).data
    assert {k: str(v) for k, v in best["params"].items()} == data.params
    assert (best["score"], best["score_std"]) == (data.metrics["score"], data.metrics["score_std"])
    mean = {m.step: m.value for m in client.get_metric_history(best["run_id"], "val/roc_auc")}
    folds = [client.get_metric_history(best["run_id"], f"fold_{k}/val_roc_auc") for k in range(3)]
    assert list(range(1, 13)) == sorted(mean)  # as Keras prints epochs
    for epoch in mean:
        values = [m.value for fold in folds for m in fold if m.step == epoch]
        assert mean[epoch] == pytest.approx(np.mean(values), abs=1e-12)
    assert best["score"] == pytest.approx(max(mean.values()), abs=1e-12)
    assert data.metrics["best_epoch"] == max(mean, key=lambda epoch: mean[epoch])


def test_the_studys_run_holds_plots_spec_dataset_and_the_model(finished, client):
    run_id = finished.answer["run_id"]
    top = {a.path for a in client.list_artifacts(run_id)}
    assert {"final", "plots", "report.html", "spec.yaml", "environment.json"} <= top
    plots = {a.path.split("_", 1)[-1] for a in client.list_artifacts(run_id, "plots")}
    assert {"confusion.png", "roc.png", "learning_curves.png", "plots/interactive.html"} <= plots
    assert "plots/winner.html" in plots
    assert "permutation_importance.png" in plots
    final = {a.path for a in client.list_artifacts(run_id, "final")}
    assert {"final/model", "final/model.keras", "final/schema.json"} <= final
    data = load_data(read_spec(finished.spec))
    importance = json.loads((finished.folder / "final" / "importance.json").read_text())
    assert {c.name for c in data.schema.columns} == importance["columns"].keys()
    assert "roc_auc" == importance["metric"]
    digest = client.get_run(run_id).inputs.dataset_inputs[0].dataset.digest
    assert synthetic.read_records(finished.folder / "journal.jsonl")[0]["fingerprint"].startswith(
        digest
    )


USERS_CODE = """
import sys, mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/cancer@champion")
model.predict(pd.read_csv("rows.csv")).to_csv("answers.csv", index=False)
"""


def test_the_promoted_model_answers_raw_rows_as_it_was_scored(finished, locked):
    locked.to_csv(finished.root / "rows.csv", index=False)
    invoke(finished.root, "promote", "cancer", "--as", "cancer@champion")
    python = [sys.executable, "-c", USERS_CODE, finished.uri]
    subprocess.run(python, cwd=finished.root, check=True, capture_output=True)
    with (finished.root / "answers.csv").open() as file:
        answers = list(csv.DictReader(file))
    with np.load(finished.folder / "final" / "predictions.npz") as file:
        held = dict(file)
    ours = [float(row["probability_1"]) for row in answers]
    np.testing.assert_allclose(held["prediction"][:, 0], ours, atol=1e-6)
    labels = np.array([int(row["label"]) for row in answers])
    right = np.mean(labels == locked["target"].to_numpy())
    assert finished.answer["test"]["accuracy"] == pytest.approx(right)

    printed = invoke(finished.root, "predict", "cancer@champion", "rows.csv").stdout
    told = [float(row["probability_1"]) for row in csv.DictReader(io.StringIO(printed))]
    np.testing.assert_allclose(ours, told, atol=1e-6)


def test_a_second_call_trains_nothing_and_says_the_same(finished):
    again = json.loads(invoke(finished.root, "tune", finished.spec, "--json", "--quiet").stdout)
    first = finished.answer
    for key in ("study", "run_id", "experiment_id", "trials", "best", "test"):
        assert first[key] == again[key]


def test_another_declaration_under_the_same_name_is_refused_with_the_difference(finished):
    done = invoke(finished.root, "tune", finished.spec, "--seed", 4, code=2)
    assert "study cancer exists and was declared otherwise" in done.stderr
    assert "seed: 3 then, 4 now" in done.stderr
    assert "--fresh" in done.stderr
    done = invoke(finished.root, "tune", finished.spec, "--set", "data.drop=[mean radius]", code=2)
    assert "the data: " in done.stderr


def test_top_show_compare_export_and_report_read_the_study(finished):
    assert "0.9" in invoke(finished.root, "top", "cancer").stdout
    assert "hyperparameters" in invoke(finished.root, "show", "cancer", 1).stdout
    assert "learning_rate" in invoke(finished.root, "compare", "cancer", 0, 1).stdout
    invoke(finished.root, "export", "cancer", "-o", "trials.csv")
    with (finished.root / "trials.csv").open() as file:
        assert 5 == sum(1 for _ in csv.DictReader(file))
    invoke(finished.root, "report", "cancer", "-o", "report.html")
    page = (finished.root / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "cancer" in page
    written = (finished.folder / "report.html").read_text()  # when the study ended
    for part in ('<p class="verdict">.*?</p>', '<script type="application/json".*?</script>'):
        assert re.search(part, page)[0] == re.search(part, written)[0]


def test_plan_times_a_few_epochs_and_writes_nothing(finished, monkeypatch):
    before = (finished.folder / "journal.jsonl").read_bytes()
    module = "hpsearch.study.maintenance.plan"
    made = import_module(module).plan(finished.spec)
    monkeypatch.setattr(f"{module}.plan", lambda *_, **__: made)  # timed once, printed twice
    told = invoke(finished.root, "plan", finished.spec).stdout
    assert "trainer: vectorized (" in told
    assert 3 <= told.count("optimizer=") <= 8
    assert "5 trials about" in told
    answer = read_answer("plan", invoke(finished.root, "plan", finished.spec, "--json").stdout)
    assert (5, made.total_seconds) == (answer["trials"], answer["total_seconds"])
    assert told.count("optimizer=") == len(answer["probes"])
    assert before == (finished.folder / "journal.jsonl").read_bytes()


def test_models_lists_what_is_in_use_and_without_a_predecessor_nothing_is_rolled_back(finished):
    done = invoke(finished.root, "promote", "cancer", "--as", "listed", "--json")
    answer = read_answer("promote", done.stdout)
    assert ("listed", "champion", None) == (answer["name"], answer["alias"], answer["before"])
    versions = read_answer("models", invoke(finished.root, "models", "--json").stdout)["models"]
    assert ("cancer", "roc_auc") in {(m["study"], m["metric"]) for m in versions}
    assert [] == [f.message for f in _check_studies(finished.root) if "hpsearch sync" in f.message]
    told = invoke(finished.root, "models").stdout
    assert "listed" in told
    assert "champion" in told
    done = invoke(finished.root, "rollback", "listed", code=2)
    assert "has no previous champion" in done.stderr
    events = [
        r
        for r in synthetic.read_records(finished.folder / "journal.jsonl")
        if "promot" in r["event"]
    ]
    assert "listed" in {r["name"] for r in events}


def test_a_promotion_while_the_study_runs_is_refused_before_the_alias_moves(finished, figure):
    journal = finished.folder / "journal.jsonl"
    with Journal(journal):
        done = invoke(finished.root, "promote", "cancer", "--as", "running", code=2)
    assert "the study is being run by process" in done.stderr
    assert "running" not in invoke(finished.root, "models").stdout
    assert "running" not in {r.get("name") for r in synthetic.read_records(journal)}
    invoke(finished.root, "promote", "cancer", "--as", "running")
    assert "running" in invoke(finished.root, "models").stdout
    assert "running" in {r.get("name") for r in synthetic.read_records(journal)}
    figure(aliases_moved_and_not_told=0)


def test_ui_shows_the_store_of_the_folder_on_loopback_alone(finished):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    child = subprocess.Popen(
        command("ui", "--port", port, "--json"),
        cwd=finished.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    with child:
        try:
            address = read_answer("ui", child.stdout.readline())["address"]
            assert address.startswith(f"http://127.0.0.1:{port}/#/experiments/")
            assert "cancer" in experiments(port)
            listening = psutil.net_connections("tcp")
            family = psutil.Process(child.pid).children(recursive=True)
            assert "mlflow.db" not in str(
                [p.cmdline() for p in family]
            )  # a URI may hold a password
            assert {"127.0.0.1"} == {
                c.laddr.ip for c in listening if c.status == "LISTEN" and c.laddr.port == port
            }
        finally:
            child.terminate()  # it alone: what it has started ends with it
    assert 128 + signal.SIGTERM == child.returncode
    assert port not in {c.laddr.port for c in psutil.net_connections("tcp") if c.status == "LISTEN"}


def experiments(port: int) -> set[str]:
    """The names that the server tells, once it answers; tried for a minute."""
    url = f"http://127.0.0.1:{port}/ajax-api/2.0/mlflow/experiments/search?max_results=10"
    for _ in range(120):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return {e["name"] for e in json.load(answer)["experiments"]}
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    return set()


def test_the_studys_log_says_what_was_decided(finished):
    text = (finished.folder / "logs" / "study.log").read_text(encoding="utf-8")
    assert "INFO    hpsearch.execution:" in text
    assert "hpsearch.search: trial 0: COMPLETE, score" in text
    assert "hpsearch.search: search finished: 5 of 5 trials" in text
    assert "DEBUG" not in text
