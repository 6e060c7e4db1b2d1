"""A study that learns from a study of other data and of another space, from start to resume."""

import numpy as np
import pytest
from sklearn.datasets import load_wine

import hpsearch
from hpsearch.history import load_history

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
