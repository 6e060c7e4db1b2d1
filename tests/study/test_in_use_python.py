"""`promote`, `rollback`, `list_models` and `plan` from Python."""

import numpy as np
import pytest
import synthetic
from sklearn.datasets import load_wine

import hpsearch
from hpsearch.errors import JournalError, PromotionError, TrackingError
from hpsearch.journal import Journal
from hpsearch.promotion import NotBetterError
from hpsearch.tracking.store import open_store

from .conftest import invoke

SPEC = {
    "data": {},
    "cross_validation": {"folds": 2},
    "training": {"epochs": 1},
    "search_space": {"units": [4, 8]},
}


def test_a_promoted_study_is_listed_and_its_journal_tells(finished):
    done = hpsearch.promote("cancer", "python", root=finished.root)
    assert ("python", "champion", 1, None) == (done.name, done.alias, done.version, done.comparison)
    rows = [r for r in hpsearch.list_models(root=finished.root) if r.name == "python"]
    assert [(1, ("champion",), "cancer")] == [
        (r.version, r.aliases, r.lineage["study"]) for r in rows
    ]
    assert "python" in invoke(finished.root, "models").stdout
    told = synthetic.read_records(finished.folder / "journal.jsonl")
    assert "python" in {r.get("name") for r in told}
    with pytest.raises(PromotionError, match="has no previous champion"):
        hpsearch.rollback("python", root=finished.root)


def test_rollback_restores_the_champion_before(finished):
    hpsearch.promote("cancer", "back", root=finished.root)
    client = open_store(f"sqlite:///{finished.root}/mlruns/mlflow.db")
    champion = client.get_model_version("back", "1")
    other = client.create_model_version("back", champion.source, champion.run_id)
    client.set_registered_model_alias("back", "previous", other.version)
    done = hpsearch.rollback("back", root=finished.root)
    assert (2, 1) == (done.version, done.before)
    assert 2 == int(client.get_model_version_by_alias("back", "champion").version)
    with pytest.raises(NotBetterError, match="was not registered by hpsearch"):
        hpsearch.promote("cancer", "back", root=finished.root)
    assert 1 == hpsearch.promote("cancer", "back", force=True, root=finished.root).version


def test_what_is_wrong_is_told_before_an_alias_moves(finished):
    with pytest.raises(PromotionError, match=r"confidence: at least .* Received: 95"):
        hpsearch.promote("cancer", "wrong", confidence=95, root=finished.root)
    with pytest.raises(PromotionError, match=r"margin: a finite number is needed\. Received: nan"):
        hpsearch.promote("cancer", "wrong", margin=float("nan"), root=finished.root)
    with pytest.raises(PromotionError, match="are allowed"):
        hpsearch.promote("cancer", "not a name", root=finished.root)
    with pytest.raises(TrackingError, match="has no study 'tumour'"):
        hpsearch.promote("tumour", "wrong", root=finished.root)
    with Journal(finished.folder / "journal.jsonl"), pytest.raises(JournalError, match="being run"):
        hpsearch.promote("cancer", "wrong", root=finished.root)
    assert "wrong" not in {row.name for row in hpsearch.list_models(root=finished.root)}


@pytest.mark.usefixtures("inline_workers")
def test_a_plan_takes_data_and_overrides_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    rows, target = load_wine(return_X_y=True)
    plan = hpsearch.plan(SPEC, (np.asarray(rows), target), overrides=["budget.trials=7"])
    assert (7, 2, 13) == (plan.trials, plan.folds, plan.features)
    assert 3 <= len(plan.probes)
    assert plan.total_seconds > 0
    assert before == sorted(tmp_path.rglob("*"))
