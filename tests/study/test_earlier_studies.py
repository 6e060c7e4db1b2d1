"""A study that learns from a study of other data and of another space, from start to resume."""

import numpy as np
import pytest
from sklearn.datasets import load_wine

import hpsearch
from hpsearch.events import DeclarationChanged
from hpsearch.history import load_history
from hpsearch.search.event_writer import EventWriter
from hpsearch.spec.study_file import load_dict
from hpsearch.study import search_setup
from hpsearch.study.earlier_studies import find_outside_trials
from hpsearch.study.resolved_study import choose_pruner, with_task
from hpsearch.study.search_setup import make_search
from hpsearch.study.space_edit import find_outside, find_trials_beyond
from tests import synthetic
from tests.search.test_loop import Quadratic, StopError, kill_after

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
    history.ended_outside = frozenset(range(7))
    spec = load_dict({"data": {}, "search_space": space}).spec
    found = find_outside_trials(spec, history)
    complete = [history.last[n] for n in (0, 1, 4, 5, 6)]
    inside = [t for t in complete if t.params["learning_rate"] >= 7e-4]
    assert 3 <= len(inside) < len(complete)
    assert [(t.number, t.score) for t in inside] == [(t.number, t.score) for t in found]
    assert {("units", "learning_rate")} == {tuple(t.params) for t in found}
    tpe = load_dict({"data": {}, "search_space": space, "sampler": {"kind": "tpe"}}).spec
    assert [] == find_outside_trials(tpe, history)
    history.ended_outside = frozenset({0, 1, 2, 3})
    assert [] == find_outside_trials(spec, history)


def test_trials_that_ranges_alone_exclude_are_told_to_gp():
    history = synthetic.history(8)
    history.ended_outside = frozenset(range(7))
    space = {
        **synthetic.SPACE,
        "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-3, "log": True},
        "units": {"type": "int", "low": 32, "high": 64},
        "dropout": {"type": "float", "low": 0.2, "high": 0.3},
    }

    def found(space, **more):
        spec = load_dict({"data": {}, "search_space": space, **more}).spec
        return [(t.number, t.state, t.params) for t in find_trials_beyond(spec, history)]

    every = [(n, t.state, t.params) for n, t in history.last.items() if n < 7]
    assert every == found(space)
    assert [] == found(space, sampler={"kind": "tpe"})
    sgd = [row for row in every if row[2]["optimizer"] == "sgd"]
    assert 0 < len(sgd) < 7
    only = {"type": "categorical", "choices": ["sgd", "rmsprop"]}
    assert sgd == found({**space, "optimizer": only})  # the choice adam was removed
    assert [] == found({**space, "layers": [1, 2]})
    whole = {"type": "float", "low": 0.0, "high": 1.0}
    parent = {"learning_rate": whole, "dropout": {**whole, "when": {"learning_rate": {"max": 1}}}}
    assert every == found({**space, **parent})
    parent["learning_rate"] = {**whole, "low": 0.01}  # on which dropout depends
    above = [row for row in every if row[2]["learning_rate"] >= 0.01]
    assert 0 < len(above) < 7
    assert above == found({**space, **parent})
    assert [] == found({**space, "units": {"type": "int", "low": 900, "high": 900}})
    constrained = found(synthetic.SPACE, constraints=["units <= 1"])
    assert every == constrained


def test_a_narrowed_study_goes_on_as_one_that_was_not_interrupted(tmp_path, monkeypatch):
    x = {"type": "float", "low": -1.0, "high": 1.0}
    spec = {**SPEC, "data": {"source": "sklearn:wine"}, "sampler": {"kind": "gp", "startup": 4}}

    def run(path, low, n_trials, listeners=()):
        space = {"x": {**x, "low": low}, "units": 8}
        given = {**spec, "search_space": space, "budget": {"trials": n_trials}}
        study = with_task(choose_pruner(load_dict(given)), "multiclass")
        with EventWriter(path) as writer:
            if writer.journal.first is None:
                writer.write(synthetic.event("study", objective={"direction": "maximize"}))
            if low > -1 and not writer.history.changes:
                outside = find_outside(study.file, writer.history)
                writer.write(DeclarationChanged(changes=[["x", "", ""]], outside=outside))
            for listener in listeners:
                writer.listen(listener)
            history = make_search(study, writer, Quadratic(), lambda: False).run()
        assert low == -1 or 0 < len(history.outside) < 8
        return [t.params for t in history.trials]

    whole, killed, unaware = (tmp_path / n / "journal.jsonl" for n in ("whole", "killed", "not"))
    for path in (whole, killed, unaware):
        run(path, -1.0, 8)
    expected = run(whole, 0.3, 14)
    assert all(params["x"] >= 0.3 for params in expected[8:])
    with pytest.raises(StopError):
        run(killed, 0.3, 14, [kill_after(11)])
    assert expected == run(killed, 0.3, 14)
    monkeypatch.setattr(search_setup, "find_trials_beyond", lambda spec, history: [])
    assert expected != run(unaware, 0.3, 14)


@pytest.mark.long
@pytest.mark.usefixtures("inline_workers")
def test_a_resumed_study_of_a_narrowed_range_equals_one_never_stopped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows, target = load_wine(return_X_y=True)
    data = (np.asarray(rows)[:, :2], target)
    narrow = {"units": UNITS, "learning_rate": {**RATE, "low": 1e-3, "high": 2e-2}, "layers": 1}

    def run(name, *budgets):
        spec = {**SPEC, "study": name, "sampler": {"kind": "gp", "startup": 4}}
        hpsearch.tune({**spec, "budget": {"trials": 6}}, data)
        spec["search_space"] = narrow
        for n_trials in budgets:
            hpsearch.tune({**spec, "budget": {"trials": n_trials}}, data, accept_changes=True)
        history = load_history(tmp_path / "mlruns" / "studies" / name / "journal.jsonl")
        assert 0 < len(history.outside) < 6
        assert history.outside == history.ended_outside
        assert history.winner.trial not in history.outside
        return [t.params for t in history.trials]

    whole = run("whole", 8)
    assert all(1e-3 <= params["learning_rate"] <= 2e-2 for params in whole[6:])
    assert whole == run("stopped", 7, 8)
    monkeypatch.setattr(search_setup, "find_trials_beyond", lambda spec, history: [])
    unaware = run("unaware", 7)
    assert whole[:6] == unaware[:6]
    assert whole[6] != unaware[6]


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
