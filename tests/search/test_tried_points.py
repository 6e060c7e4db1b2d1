"""A point of a finite space is trained once."""

import pytest

from hpsearch.search.tried_points import TriedPoints, point_key
from hpsearch.spec.constraints import parse_constraint
from hpsearch.spec.search_space import Categorical, Float, Int, SearchSpace
from hpsearch.trial import Trial

SPACE = SearchSpace(
    (
        Categorical("c", ("a", 1, True)),
        Float("rate", 0.0, 0.3, step=0.1, when={"c": ("a",)}),
        Int("n", 1, 2),
    )
)


def trial(number, params, epochs=5):
    return Trial(number, 0, params, seed=0, epochs=epochs, asked=0)


def test_a_known_point_is_found_whatever_its_rounding():
    memory = TriedPoints(SPACE)
    memory.add(trial(4, {"c": "a", "rate": 0.3, "n": 2, "fixed": 9}))
    assert 4 == memory.find({"c": "a", "rate": 0.1 + 0.2, "n": 2}, 5)
    assert memory.find({"c": "a", "rate": 0.2, "n": 2}, 5) is None


def test_one_and_true_are_different_points():
    keys = {point_key(SPACE, {"c": c, "n": 1}) for c in (1, True)}
    assert 2 == len(keys)


def test_a_point_that_was_trained_for_fewer_epochs_is_trained_again():
    memory = TriedPoints(SPACE)
    memory.add(trial(0, {"c": 1, "n": 1}, epochs=3))
    assert memory.find({"c": 1, "n": 1}, 9) is None
    memory.add(trial(1, {"c": 1, "n": 1}, epochs=9))
    memory.add(trial(2, {"c": 1, "n": 1}, epochs=3))
    assert 1 == memory.find({"c": 1, "n": 1}, 9)


def test_untried_points_come_once_each_until_there_is_none():
    over = SearchSpace(SPACE.parameters, (parse_constraint("n < 2 or c == 'a'"),))
    memory = TriedPoints(over)
    found = []
    while (params := memory.find_untried("seed", len(found))) is not None:
        assert over.why_invalid(params) is None
        found.append(params)
        memory.add(trial(len(found), params))
    assert sorted(map(repr, over.points())) == sorted(map(repr, found))
    assert memory.is_full


@pytest.mark.parametrize("high", [0.3, 0.4])
def test_of_an_infinite_space_nothing_is_kept(high):
    memory = TriedPoints(SearchSpace((Float("x", 0.0, high),)))
    memory.add(trial(0, {"x": 0.1}))
    assert memory.find({"x": 0.1}, 5) is None
    assert not memory.is_full
