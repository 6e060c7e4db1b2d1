"""Pareto fronts of points, and of trials with several objectives."""

import numpy as np
import synthetic
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.history import History
from hpsearch.pareto import add_to_front, dominates
from hpsearch.search.pruners.pareto_order import order_by_fronts

DIRECTIONS = ("maximize", "minimize")
POINTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=30)


def front_of(points):
    front = []
    for point in points:
        front = add_to_front(front, point, lambda p: p, DIRECTIONS) or front
    return front


@given(POINTS)
def test_the_front_is_what_nothing_dominates_however_the_points_come(points):
    expected = [p for p in points if not any(dominates(q, p, DIRECTIONS) for q in points)]
    assert sorted(expected) == sorted(front_of(points)) == sorted(front_of(points[::-1]))


def test_equal_points_are_members_together():
    assert [(1, 1), (1, 1)] == front_of([(1, 1), (1, 1)])


def study(*values, objectives=(("roc_auc", "maximize"), ("parameters", "minimize"))) -> History:
    listed = [{"metric": metric, "direction": direction} for metric, direction in objectives]
    history = History([synthetic.event("study", objective=listed[0], objectives=listed)])
    for n, value in enumerate(values):
        asked = {"params": {}, "seed": n, "epochs": 1}
        history.apply(synthetic.event("asked", time=n, trial=n, attempt=0, **asked))
        ended = {"state": "COMPLETE", "score": value[0], "values": list(value)}
        history.apply(synthetic.event("result", time=n, trial=n, attempt=0, **ended))
    return history


def test_the_front_of_a_study_begins_with_the_best_in_the_first_objective():
    history = study((0.7, 10), (0.9, 100), (0.8, 100), (0.8, 50), (0.6, 20))
    assert [1, 3, 0] == [t.number for t in history.pareto_front()]
    assert 1 == history.best.number == history.winning_trial().number


def test_of_equals_in_the_first_objective_the_one_on_the_front_is_best():
    assert 1 == study((0.9, 100), (0.9, 50)).best.number


def test_a_trial_without_all_values_is_not_on_the_front():
    assert [0] == [t.number for t in study((0.7, 10), (0.9, float("nan"))).pareto_front()]


def test_a_study_of_one_objective_has_no_front():
    history = study((0.7,), (0.9,), objectives=(("roc_auc", "maximize"),))
    assert [] == history.pareto_front()
    assert 1 == history.best.number


def test_a_new_member_of_the_front_is_an_improvement():
    assert 0 == study((0.7, 10), (0.6, 5)).since_improvement
    assert 2 == study((0.7, 10), (0.6, 10), (0.5, 11)).since_improvement


@given(POINTS)
def test_an_order_by_fronts_names_each_point_once_and_none_before_one_that_dominates_it(points):
    order = order_by_fronts(np.array(points).reshape(-1, 2))
    assert list(range(len(points))) == sorted(order)
    for later, index in enumerate(order):
        worse = [points[other] for other in order[later + 1 :]]
        assert not any(dominates(p, points[index], ("minimize", "minimize")) for p in worse)


def test_a_front_is_ordered_so_that_its_ends_come_first_whatever_their_scale():
    assert [0, 9] == order_by_fronts(np.array([(n, 10.0 ** (9 - n)) for n in range(10)]))[:2]
