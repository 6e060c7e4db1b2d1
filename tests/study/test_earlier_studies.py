"""A study that learns from a study of other data and of another space, from start to resume."""

import numpy as np
import pytest
from sklearn.datasets import load_wine

import hpsearch
from hpsearch.history import load_history
from hpsearch.spec.study_file import load_dict
from hpsearch.study.earlier_studies import find_outside_trials
from tests import synthetic

UNITS = {"type": "int", "low": 4, "high": 64, "log": True}
RATE = {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}
SPEC = {
    "study": "earlier",
    "data": {},
    "objective": {"metric": "accuracy"},
    "cross_validation": {"folds": 2},
    "training": {"epochs": 2},
    "search_space": {"units": UNITS, "learning_rate": RATE, "layers": 1},
    "sampler": {"kind": "random"},
    "budget": {"trials": 6},
    "selection": {"finalists": 0},
}


def test_trials_that_differ_in_what_hyperparameters_they_have_are_an_earlier_study_of_gp():
    space = {
        "units": {"type": "int", "low": 16, "high": 128, "log": True},
        "learning_rate": {"type": "float", "low": 7e-4, "high": 1e-1, "log": True},
        "layers": {"type": "int", "low": 1, "high": 3},  # new; optimizer, dropout: removed
    }
    history = synthetic.history(8)  # trial 2 is pruned, trial 3 fails
    history.outside = frozenset(range(7))
    spec = load_dict({"data": {}, "search_space": space}).spec
    found = find_outside_trials(spec, history)
    complete = [history.last[n] for n in (0, 1, 4, 5, 6)]
    inside = [t for t in complete if t.params["learning_rate"] >= 7e-4]
    assert 3 <= len(inside) < len(complete)
    assert [(t.number, t.score) for t in inside] == [(t.number, t.score) for t in found]
    assert {("units", "learning_rate")} == {tuple(t.params) for t in found}
    tpe = load_dict({"data": {}, "search_space": space, "sampler": {"kind": "tpe"}}).spec
    assert [] == find_outside_trials(tpe, history)
    history.outside = frozenset({0, 1, 2, 3})
    assert [] == find_outside_trials(spec, history)


@pytest.mark.long
@pytest.mark.usefixtures("inline_workers")
def test_a_resumed_study_equals_one_never_stopped_without_the_earlier_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows, target = load_wine(return_X_y=True)
    rows = np.asarray(rows)
    hpsearch.tune(SPEC, (rows[:, :8], target))
    studies = tmp_path / "mlruns" / "studies"
    earlier = load_history(studies / "earlier" / "journal.jsonl")
    space = {"units": UNITS, "learning_rate": RATE, "dropout": [0.0, 0.2]}
    later = {**SPEC, "search_space": space, "sampler": {"kind": "gp"}, "warm_start": ["earlier"]}

    def run(name, n_trials):
        spec = {**later, "study": name, "budget": {"trials": n_trials}}
        hpsearch.tune(spec, (rows, target))
        return [t.params for t in load_history(studies / name / "journal.jsonl").trials]

    whole, begun = run("whole", 8), run("stopped", 4)
    (studies / "earlier" / "journal.jsonl").unlink()
    assert begun == whole[:4]
    assert run("stopped", 8) == whole
    best = max(earlier.trials, key=lambda t: (t.score, -t.number))
    known = {k: best.params[k] for k in ("units", "learning_rate")}
    assert {**known, "dropout": 0.0} == whole[0]
