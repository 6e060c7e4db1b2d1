"""Search spaces: membership, active parameters, sizes."""

import math

import pytest

from hpsearch.errors import SpecError
from hpsearch.spec.conditions import NumberRange, format_condition
from hpsearch.spec.search_space import Categorical, Float, Int, SearchSpace

SPACE = SearchSpace(
    (
        Categorical("optimizer", ("sgd", "adam")),
        Float("momentum", 0.0, 0.9, step=0.3, when={"optimizer": ("sgd",)}),
        Int("layers", 1, 3),
    )
)


def test_bounds_belong_to_the_space_and_what_lies_beyond_does_not():
    p = Float("x", 0.5, 1.5)
    assert [True, True, False, False] == [p.contains(v) for v in (0.5, 1.5, 1.6, "1")]


def test_steps_are_the_only_values_between_the_bounds():
    assert [True, False] == [Float("x", 0.0, 1.0, step=0.1).contains(v) for v in (0.3, 0.35)]
    assert [True, False] == [Int("x", 1, 9, step=4).contains(v) for v in (5, 6)]


def test_true_and_one_are_different_choices():
    p = Categorical("x", (True, 0))
    assert [True, False, True, False] == [p.contains(v) for v in (True, 1, 0, False)]


def test_a_child_is_active_only_under_its_parents_values():
    momentum = SPACE.parameters[1]
    assert SPACE.is_active(momentum, {"optimizer": "sgd"})
    assert not SPACE.is_active(momentum, {"optimizer": "adam"})
    assert not SPACE.is_active(momentum, {})


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"optimizer": "adam", "layers": 2}, None),
        ({"optimizer": "sgd", "momentum": 0.3, "layers": 2}, None),
        ({"optimizer": "sgd", "layers": 2}, "momentum is missing"),
        ({"optimizer": "adam", "momentum": 0.3, "layers": 2}, "its condition"),
        (
            {"optimizer": "adam", "layers": 4},
            "layers: 4 is not allowed. Allowed: whole numbers from 1 to 3",
        ),
        ({"optimizer": "adam", "layers": 2, "x": 1}, "unknown: x"),
    ],
)
def test_a_point_that_is_none_says_why(params, why):
    violation = SPACE.why_invalid(params)
    assert why is None if violation is None else why in violation


def test_the_size_counts_a_child_only_where_it_is_active():
    assert (4 + 1) * 3 == SPACE.size


def test_a_float_without_step_makes_the_space_infinite():
    assert math.isinf(SearchSpace((Float("x", 0.0, 1.0), Int("n", 1, 2))).size)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Float("x", 1.0, 0.0), "must not be greater"),
        (lambda: Float("x", 0.0, 1.0, log=True), "low > 0"),
        (lambda: Float("x", 0.0, math.inf), "finite"),
        (lambda: Float("x", 1.0, 2.0, log=True, step=0.1), "exclude each other"),
        (lambda: Int("x", 0, 9, step=0), "greater than 0"),
        (lambda: Categorical("x", (1, 1)), "repeats"),
        (lambda: Float("x", 0.0, 1.0, prior=2.0), "between low=0.0 and high=1.0"),
        (lambda: Categorical("x", ("a", "b"), prior="c"), "none of the choices: 'a', 'b'"),
        (
            lambda: Categorical("x", ("a", "b"), prior=(1.0,)),
            "weights in prior, 1, is not",
        ),
        (lambda: Categorical("x", (1, 2), prior=(0.0, 0.0)), "not all 0"),
        (lambda: Categorical("x", (1, 2), prior=(1.0, math.nan)), "finite"),
    ],
)
def test_parameters_that_make_no_sense_cannot_be_made(make, why):
    with pytest.raises(SpecError, match=why):
        make()


def test_a_range_holds_its_ends_and_numbers_alone():
    some = NumberRange(2, 4)
    assert [True, True, False] == [v in some for v in (2, 4.0, 4.1)]
    assert [False, False, False] == [v in some for v in (True, "3", None)]
    assert 10**9 in NumberRange(low=3)
    assert -(10**9) in NumberRange(high=3)


def test_a_number_that_is_the_end_but_for_rounding_belongs_to_the_range():
    assert 0.1 + 0.2 in NumberRange(high=0.3)
    assert 0.3 in NumberRange(low=0.1 + 0.2)
    assert 0.3 + 1e-6 not in NumberRange(high=0.3)


def test_a_child_lives_only_where_all_its_parents_allow_it():
    space = SearchSpace(
        (
            Float("lr", 1e-4, 1e-1, log=True),
            Int("layers", 1, 4),
            Float(
                "rate", 0.0, 1.0, when={"layers": NumberRange(low=2), "lr": NumberRange(high=1e-2)}
            ),
            Int("deep", 1, 3, when={"rate": NumberRange(low=0.5)}),
        )
    )
    rate, deep = space.parameters[2:]
    assert space.is_active(rate, {"lr": 1e-2, "layers": 2})
    assert not space.is_active(rate, {"lr": 1e-2, "layers": 1})
    assert not space.is_active(rate, {"lr": 2e-2, "layers": 3})
    assert not space.is_active(deep, {"lr": 2e-2, "layers": 3})
    assert "rate is at least 0.5" == format_condition(deep.when)
    assert "layers is at least 2 and lr is at most 0.01" == format_condition(rate.when)


def test_the_size_counts_children_of_ranges_without_listing_the_parent():
    parent = Int("n", 1, 10**9)
    child = Int("child", 1, 5, when={"n": NumberRange(2, 3)})
    assert 10**9 - 2 + 2 * 5 == SearchSpace((parent, child)).size


def test_a_continuous_parent_makes_the_space_infinite_and_not_an_error():
    parent = Float("x", 0.0, 1.0)
    assert math.isinf(SearchSpace((parent, Int("n", 1, 2, when={"x": NumberRange(high=0.5)}))).size)


def test_steps_are_counted_and_made_in_decimals():
    p = Float("x", 0.0, 0.35, step=0.1)
    assert [0.0, 0.1, 0.2, 0.3] == [p.value(i) for i in range(int(p.size))]
    assert (0.3, 9) == (p.max_value, Int("n", 0, 10, step=3).max_value)
    assert p.contains(0.1 + 0.2)
    assert not p.contains(0.35)
