"""Nested cross-validation: evaluation of the procedure on rows that it has not used."""

import numpy as np
import pytest
import synthetic
from answer_check import read_answer
from inline_worker_pool import training_inline

import hpsearch
from hpsearch.tracking.runs_view import run_page
from hpsearch.tracking.store import open_store

from .conftest import invoke, with_store

SPEC = """\
study: outer
data: {source: "sklearn:breast_cancer"}
cross_validation: {folds: 3}
training: {epochs: 8}
search_space: {units: [8, 16], learning_rate: [0.01, 0.02]}
budget: {trials: 2}
selection: {finalists: 0}
"""


@pytest.fixture(scope="module")
def nested(tmp_path_factory, empty_store):
    root = with_store(tmp_path_factory.mktemp("nested"), empty_store)
    (root / "outer.yaml").write_text(SPEC)
    with training_inline():
        done = invoke(root, "nested", "outer.yaml", "--folds", 2, "--json")
    return root, read_answer("nested", done.stdout)


def test_each_outer_fold_is_a_study_whose_locked_rows_are_the_fold(nested):
    root, answer = nested
    assert ["outer-outer-1-of-2", "outer-outer-2-of-2"] == [s["study"] for s in answer["studies"]]
    rows = []
    for study in answer["studies"]:
        journal = synthetic.read_records(root / "mlruns/studies" / study["study"] / "journal.jsonl")
        told = journal[0]["data"]
        rows.append((told["rows"], told["test_rows"]))
        final = next(r for r in journal if r["event"] == "final")
        assert study["test"] == final["test"]
    assert [(285, 284), (284, 285)] == sorted(rows, reverse=True)


def test_the_answer_is_the_mean_over_the_outer_folds(nested):
    _, answer = nested
    scores = [study["test"]["roc_auc"] for study in answer["studies"]]
    told = answer["test"]["roc_auc"]
    assert scores == told["folds"]
    assert np.isclose(np.mean(scores), told["mean"])
    assert np.isclose(np.std(scores), told["std"])
    assert [study["best"]["score"] for study in answer["studies"]] == answer["promised"]
    assert told["mean"] > 0.95


def outcome(root):
    """The runs of the study's own experiment, and the points of one of its metrics."""
    client = open_store(f"sqlite:///{root}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("outer").experiment_id
    runs = client.search_runs([experiment])
    return runs, client.get_metric_history(runs[0].info.run_id, "outer/roc_auc")


def test_the_summary_is_a_run_in_the_studys_experiment(nested):
    root, answer = nested
    (run,), points = outcome(root)
    told, metrics = answer["test"]["roc_auc"], run.data.metrics
    assert [1, 2] == [p.step for p in points]
    assert told["folds"] == [p.value for p in points]
    assert [told["mean"], told["std"]] == [metrics["test/roc_auc"], metrics["test/roc_auc_std"]]
    assert np.mean(answer["promised"]) == metrics["promised"]
    assert metrics["outer/roc_auc_low"] < points[-1].value < metrics["outer/roc_auc_high"]
    assert ("nested", "FINISHED") == (run.data.tags["hpsearch.kind"], run.info.status)
    for study in answer["studies"]:
        link = run_page(study["experiment_id"], study["run_id"])
        assert f"[{study['study']}]({link})" in run.data.tags["mlflow.note.content"]


def test_the_same_command_trains_nothing_again(nested):
    root, answer = nested
    journals = [root / "mlruns/studies" / s["study"] / "journal.jsonl" for s in answer["studies"]]
    before = [sum(r["event"] == "asked" for r in synthetic.read_records(j)) for j in journals]
    (sent,), points = outcome(root)
    done = invoke(root, "nested", "outer.yaml", "--folds", 2)
    assert before == [
        sum(r["event"] == "asked" for r in synthetic.read_records(j)) for j in journals
    ]
    assert "nested score: roc_auc" in done.stdout
    (again,), told_again = outcome(root)
    assert (sent.info.run_id, sent.data.metrics) == (again.info.run_id, again.data.metrics)
    assert [(p.step, p.value) for p in points] == [(p.step, p.value) for p in told_again]


def test_the_exit_code_says_that_mlflow_has_not_taken_the_summary(nested, caplog):
    root, _ = nested
    client = open_store(f"sqlite:///{root}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("outer").experiment_id
    client.delete_experiment(experiment)
    invoke(root, "nested", "outer.yaml", "--folds", 2, code=4)
    assert "the same command sends it again" in caplog.text
    client.restore_experiment(experiment)
    invoke(root, "nested", "outer.yaml", "--folds", 2)


def test_a_fold_beyond_the_last_is_refused():
    with pytest.raises(hpsearch.errors.SpecError, match="fold: 4 of 3 folds"):
        hpsearch.tune(
            {
                "data": {"source": "sklearn:wine", "outer_fold": {"fold": 4, "folds": 3}},
                "search_space": {"units": [4, 8]},
            }
        )
