"""Constraints on what is measured, in the loop: who is best, and what samplers learn."""

from dataclasses import replace

import pytest

from hpsearch.events import StudyCreated
from hpsearch.journal import Journal
from hpsearch.search.samplers import make_sampler
from hpsearch.tracking.optuna_study import build_optuna_study
from hpsearch.trial import Limit, Trial
from tests import synthetic
from tests.search.test_loop import SPACE, Quadratic, StopError, by_trial, kill_after, search

SMALL = Limit("parameters", 900.0, is_upper=True)  # x is at most -0.1, and 0 is the best


class Sized(Quadratic):
    """Its networks have more weights the larger x is."""

    def end(self, trial):
        super().end(trial)
        size = round(1000 * (1 + trial.params["x"]))
        self.reports[-1] = replace(self.reports[-1], n_parameters=size)


def run(path, sampler, listeners=()):
    if not path.exists():
        path.parent.mkdir()
        with Journal(path) as journal:
            created = synthetic.event("study", objective={"direction": "maximize"})
            assert isinstance(created, StudyCreated)
            journal.append(replace(created, limits=[SMALL]))
    return search(path, Sized(), sampler=sampler, trials=20, listeners=listeners)


@pytest.mark.parametrize("sampler", ["gp", "tpe", "nsga2"])
def test_a_resumed_study_equals_one_that_was_not_stopped(tmp_path, sampler):
    whole = run(tmp_path / "whole" / "journal.jsonl", sampler)
    path = tmp_path / "killed" / "journal.jsonl"
    with pytest.raises(StopError):
        run(path, sampler, [kill_after(80)])
    history = run(path, sampler)
    assert by_trial(path) == by_trial(tmp_path / "whole" / "journal.jsonl")
    assert whole.best.params["x"] <= -0.1
    assert history.best.number == whole.best.number
    exported = build_optuna_study(history).trials
    assert [t.measured["parameters"] - 900 for t in history.trials] == [
        t.constraints["parameters <= 900"] for t in exported
    ]
    assert history.ranked_trials()
    assert {t.number for t in history.ranked_trials()}.isdisjoint(
        t.number for t in history.infeasible_trials()
    )


def propose(sampler, limits):
    """Return x of the next trial, after feasible and infeasible ones."""
    made = make_sampler(sampler, SPACE, direction="maximize", seed=1, limits=limits)
    for number in range(24):
        x = -0.95 + number * 0.08
        params = {"kind": "a", "x": x}
        known = Trial(number, 0, params, 0, 1, 0, state="COMPLETE", score=-(x**2))
        made.tell(replace(known, scores=[[-(x**2)]], measured={"parameters": 1000 * (1 + x)}))
    return [made.ask(number)["x"] for number in range(24, 30)]


@pytest.mark.parametrize("sampler", ["gp", "tpe"])
def test_samplers_learn_what_is_feasible(sampler):
    free, limited = propose(sampler, []), propose(sampler, [SMALL])
    assert sum(x <= -0.09 for x in limited) > sum(x <= -0.09 for x in free)
