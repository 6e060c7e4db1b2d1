"""Nested cross-validation: the whole procedure, judged on rows that no part of it has seen."""

import json

import numpy as np
import pytest

import hpsearch
from hpsearch.journal import read

from .conftest import run

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
def nested(tmp_path_factory):
    root = tmp_path_factory.mktemp("nested")
    (root / "outer.yaml").write_text(SPEC)
    return root, json.loads(run(root, "nested", "outer.yaml", "--folds", 2, "--json").stdout)


def test_each_outer_fold_is_a_study_whose_locked_rows_are_the_fold(nested):
    root, answer = nested
    assert ["outer-outer-1-of-2", "outer-outer-2-of-2"] == [s["study"] for s in answer["studies"]]
    rows = []
    for study in answer["studies"]:
        journal = read(root / "mlruns/studies" / study["study"] / "journal.jsonl").records
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


def test_the_same_command_trains_nothing_again(nested):
    root, answer = nested
    journals = [root / "mlruns/studies" / s["study"] / "journal.jsonl" for s in answer["studies"]]
    before = [sum(r["event"] == "asked" for r in read(j).records) for j in journals]
    done = run(root, "nested", "outer.yaml", "--folds", 2)
    assert before == [sum(r["event"] == "asked" for r in read(j).records) for j in journals]
    assert "the procedure: roc_auc" in done.stdout


def test_a_fold_beyond_the_last_is_refused():
    with pytest.raises(hpsearch.errors.SpecError, match="fold: 4 of 3 folds"):
        hpsearch.tune(
            {
                "data": {"source": "sklearn:wine", "outer_fold": {"fold": 4, "folds": 3}},
                "search_space": {"units": [4, 8]},
            }
        )
