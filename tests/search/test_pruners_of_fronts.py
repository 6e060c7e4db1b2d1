"""Pruners of trials with several objectives, on known values."""

import math

import numpy as np
import pytest
import synthetic

from hpsearch.errors import SpecError
from hpsearch.history import History
from hpsearch.search.objectives import values_after_epoch
from hpsearch.search.pruners import SEVERAL_OBJECTIVES, make_pruner
from hpsearch.search.pruners.rungs import rank_trials
from hpsearch.spec.study_file import load_dict
from hpsearch.study.validation import check_study
from hpsearch.trial import EpochReport

OBJECTIVES = [
    {"metric": "roc_auc", "direction": "maximize"},
    {"metric": "parameters", "direction": "minimize"},
    {"metric": "latency_ms", "direction": "minimize"},
]
RUNG = 3


def at_rung(*points):
    """A history whose trials have these values after three epochs and wait there."""
    history = History([synthetic.event("study", objective=OBJECTIVES[0], objectives=OBJECTIVES)])
    for n, values in enumerate(points):
        asked = {"params": {}, "seed": n, "epochs": 27}
        history.apply(synthetic.event("asked", time=n, trial=n, attempt=0, **asked))
        for epoch in range(RUNG):
            fields = {"epoch": epoch, "scores": [values[0]], "values": values, "metrics": {}}
            history.apply(synthetic.event("epoch", time=n, trial=n, attempt=0, **fields))
    return history


def pruned(kind, *points):
    history = at_rung(*points)
    verdicts = make_pruner(kind, {}, epochs=27).verdicts(history.trials, history)
    return {number for number, is_pruned in verdicts.items() if is_pruned}


def test_asha_continues_the_front_and_prunes_what_is_dominated():
    front = [(0.9, 30, 3.0), (0.8, 20, 2.0), (0.7, 10, 1.0)]
    assert {3, 4} == pruned("asha", *front, (0.85, 40, 4.0), (0.7, 10, 1.5))


def test_an_objective_that_is_not_known_of_every_trial_does_not_count():
    assert set() == pruned("asha", (0.9, 10, 2.0), (0.8, 20, 1.0))
    assert {1} == pruned("asha", (0.9, 10, 2.0), (0.8, 20, None))


def test_a_trial_with_a_value_that_is_not_a_number_is_behind_all_others():
    best, dominated = (0.9, 10, 1.0), (0.8, 20, 2.0)
    assert {1, 2} == pruned("asha", best, dominated, (math.nan, 1, 0.5))
    assert {1, 2} == pruned("asha", best, dominated, (0.95, 1, -math.inf))
    history = at_rung((math.nan, 1, 0.5), dominated, best, (0.7, 5, math.inf))
    assert [2, 1] == rank_trials(history.trials, RUNG, history)[:2]


def test_a_first_score_that_is_not_a_number_does_not_stay_the_best():
    history = at_rung((math.nan, 10, 1.0))
    (trial,) = history.trials
    report = EpochReport(0, RUNG, np.array([0.7]), {"val/roc_auc": np.array([0.7])})
    after = values_after_epoch(trial, report, history.objectives)
    assert [0.7, 10, 1.0] == after


def test_a_few_that_dominate_a_trial_among_many_do_not_end_it():
    front = [(0.5 + n / 1000, n, 1.0) for n in range(1, 101)]
    assert set() == pruned("asha", *front, (front[49][0], 51.0, 1.0))
    assert {100} == pruned("asha", *front, (front[49][0], 55.0, 1.0))


def test_halving_continues_the_ends_of_the_front_before_its_middle():
    points = [(0.5 + n / 20, 10**n, 1.0) for n in range(9)]
    assert {0, 4, 8} == set(range(9)) - pruned("halving", *points)


def test_the_trial_of_a_front_continues_that_is_farthest_from_those_that_went_on():
    history = at_rung((0.9, 40, 1.0), (0.85, 30, 1.0), (0.8, 20, 1.0), (0.7, 10, 1.0))
    others = history.trials[1:]
    assert [1, 3, 2] == rank_trials(others, RUNG, history)  # the best of the first objective
    fields = {"epoch": RUNG, "scores": [0.9], "values": (0.9, 40, 1.0), "metrics": {}}
    history.apply(synthetic.event("epoch", time=9, trial=0, attempt=0, **fields))
    assert [3, 1, 2] == rank_trials(others, RUNG, history)


def test_a_trial_that_one_that_went_on_dominates_comes_last():
    history = at_rung((0.9, 20, 1.0), (0.85, 30, 1.0), (0.7, 10, 1.0), (0.6, 40, 1.0))
    fields = {"epoch": RUNG, "scores": [0.9], "values": (0.9, 20, 1.0), "metrics": {}}
    history.apply(synthetic.event("epoch", time=9, trial=0, attempt=0, **fields))
    assert [2, 1, 3] == rank_trials(history.trials[1:], RUNG, history)


@pytest.mark.parametrize("kind", ["median", "patience"])
def test_a_pruner_of_one_objective_is_refused_with_those_of_several(kind):
    study = {
        "data": {"source": "sklearn:breast_cancer"},
        "objectives": [{"metric": "roc_auc"}, {"metric": "parameters"}],
        "search_space": {"units": [4, 8]},
    }
    with pytest.raises(SpecError, match=f"{kind} compares one objective. For several: asha, halv"):
        check_study(load_dict({**study, "pruner": {"kind": kind}}))
    for allowed in SEVERAL_OBJECTIVES:
        check_study(load_dict({**study, "pruner": {"kind": allowed}}))
