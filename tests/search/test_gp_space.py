"""Coordinates of mixed and conditional spaces."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hpsearch.search.gp.axes import ContinuousAxis, OrderedAxis, UnorderedAxis, make_axis
from hpsearch.search.gp.model_space import ModelParameter, ModelSpace

DISTRIBUTIONS = (
    FloatDistribution(-3.0, 7.0),
    FloatDistribution(1e-5, 1e-1, log=True),
    FloatDistribution(0.0, 0.5, step=0.1),
    IntDistribution(1, 5),
    IntDistribution(2, 20, step=3),
    IntDistribution(8, 512, log=True),
    IntDistribution(1, 1_000_000, log=True),
    CategoricalDistribution(("a", True, 2, None)),
    CategoricalDistribution((32, 16, 64)),
    IntDistribution(4, 4),
    FloatDistribution(0.3, 0.3),
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(DISTRIBUTIONS), st.floats(0, 1, exclude_max=True))
def test_every_drawn_coordinate_is_a_value_and_returns_to_itself(distribution, quantile):
    axis = make_axis(distribution)
    coordinate = float(axis.draw(np.array([quantile]))[0])
    value = axis.decode(coordinate)
    assert distribution._contains(distribution.to_internal_repr(value))
    assert coordinate == pytest.approx(axis.encode(value), abs=1e-9)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(DISTRIBUTIONS), st.floats(-2, 6))
def test_snapping_ends_on_a_value_and_changes_nothing_twice(distribution, coordinate):
    axis = make_axis(distribution)
    once = axis.snap(np.array([coordinate]))
    assert distribution._contains(distribution.to_internal_repr(axis.decode(float(once[0]))))
    assert once == pytest.approx(axis.snap(once), abs=1e-12)


def test_log_integers_are_drawn_as_optuna_draws_them():
    drawn = make_axis(IntDistribution(1, 8, log=True)).draw(np.linspace(0, 1, 8000, False))
    first = np.log(1.5 / 0.5) / np.log(8.5 / 0.5)
    assert first == pytest.approx(np.mean(drawn == 0), abs=1e-3)


def test_three_numbers_are_ordered_by_size():
    axis = make_axis(CategoricalDistribution((64, 16, 32)))
    assert isinstance(axis, OrderedAxis)
    assert [0.0, 0.5, 1.0] == [axis.encode(v) for v in (16, 32, 64)]


@pytest.mark.parametrize("choices", [("relu", "tanh"), (0, 1, 2), (True, False), (1, "auto", 2)])
def test_texts_codes_and_flags_are_not_ordered(choices):
    assert isinstance(make_axis(CategoricalDistribution(choices)), UnorderedAxis)


def test_codes_are_ordered_by_what_they_stand_for():
    axis = make_axis(CategoricalDistribution((0, 1, 2)), meaning=(64, 16, 32))
    assert [1.0, 0.0, 0.5] == [axis.encode(v) for v in (0, 1, 2)]


def test_an_integer_with_many_values_is_a_line():
    assert isinstance(make_axis(IntDistribution(1, 1_000_000, log=True)), ContinuousAxis)


NESTED = (
    ModelParameter("leaf", FloatDistribution(0, 1), {"depth": range(2, 9), "kind": ("tree",)}),
    ModelParameter("kind", CategoricalDistribution(("tree", "line"))),
    ModelParameter("depth", IntDistribution(1, 8), {"kind": ("tree",)}),
    ModelParameter("slope", FloatDistribution(0, 1), {"kind": ("line",)}),
)


def test_conditions_hold_at_every_point_to_any_depth():
    space = ModelSpace(NESTED)
    for point in space.draw(np.random.default_rng(0).random((200, 4))):
        params = space.decode(point)
        tree = params["kind"] == "tree"
        assert tree == ("depth" in params)
        assert (not tree) == ("slope" in params)
        assert (tree and params["depth"] >= 2) == ("leaf" in params)


def test_points_that_differ_only_in_what_they_lack_have_one_key():
    space = ModelSpace(NESTED)
    a, b = space.encode({"kind": "line", "slope": 0.5}), space.encode({"kind": "line"})
    b[[p.name for p in space.parameters].index("depth")] = 1.0
    points = np.array([a, b])
    assert 1 == len(set(space.keys(points, space.active(points))))


def test_true_and_one_are_different_conditions():
    space = ModelSpace(
        (
            ModelParameter("flag", CategoricalDistribution((True, 1))),
            ModelParameter("child", FloatDistribution(0, 1), {"flag": (True,)}),
        )
    )
    assert [True, False] == list(space.active(np.array([[0.0, 0.5], [1.0, 0.5]]))[:, 1])


class Below:
    """What answers `in`, as a range of numbers does."""

    def __init__(self, high):
        self.high = high

    def __contains__(self, value):
        return value <= self.high


def test_a_condition_on_a_continuous_parent_parts_its_values():
    space = ModelSpace(
        (
            ModelParameter("rate", FloatDistribution(1e-4, 1e-1, log=True)),
            ModelParameter("child", FloatDistribution(0, 1), {"rate": Below(1e-2)}),
        )
    )
    rates = np.array([1e-4, 9.99e-3, 1.001e-2, 1e-1])
    points = np.array([space.encode({"rate": r, "child": 0.5}) for r in rates])
    assert [True, True, False, False] == space.active(points)[:, 1].tolist()
    assert ["rate"] == list(space.decode(points[-1]))


def test_a_condition_on_an_unknown_parent_says_so():
    with pytest.raises(ValueError, match=r"child: .*unknown parameters: \['lost'\]"):
        ModelSpace((ModelParameter("child", FloatDistribution(0, 1), {"lost": (1,)}),))


def test_conditions_in_a_circle_say_so():
    one = ModelParameter("one", IntDistribution(0, 1), {"two": (1,)})
    two = ModelParameter("two", IntDistribution(0, 1), {"one": (1,)})
    with pytest.raises(ValueError, match="one, two form a circle"):
        ModelSpace((one, two))
