"""Conditions inferred from trials."""

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hpsearch.search.gp.inferred_conditions import infer_parameters

KNOWN = {
    "kind": CategoricalDistribution(("a", "b", "c")),
    "layers": IntDistribution(1, 4),
    "x": FloatDistribution(0, 1),
    "child": FloatDistribution(0, 1),
    "grandchild": FloatDistribution(0, 1),
}


def inferred(*rows):
    """Parameters by name, of trials with these values."""
    trials = [
        optuna.trial.create_trial(value=0.0, params=row, distributions={n: KNOWN[n] for n in row})
        for row in rows
    ]
    return {p.name: p for p in infer_parameters(trials)}


def test_what_every_trial_has_is_unconditional():
    assert {} == inferred({"x": 0.1}, {"x": 0.2})["x"].when


def test_the_parent_is_the_choice_that_parts_having_from_lacking():
    found = inferred({"x": 0.1, "kind": "a", "child": 0.5}, {"x": 0.1, "kind": "b"})
    assert ["kind"] == list(found["child"].when)
    allowed = found["child"].when["kind"]
    assert "a" in allowed
    assert "b" not in allowed


def test_a_choice_that_was_never_seen_may_have_the_child():
    found = inferred({"kind": "a", "child": 0.5}, {"kind": "b"})
    assert "c" in found["child"].when["kind"]


def test_a_number_of_layers_becomes_a_threshold():
    found = inferred({"layers": 1}, {"layers": 3, "child": 0.5}, {"layers": 4, "child": 0.5})
    allowed = found["child"].when["layers"]
    assert [False, True, True] == [n in allowed for n in (1, 3, 4)]


def test_a_grandchild_hangs_on_its_parent():
    found = inferred(
        {"kind": "a", "layers": 3, "grandchild": 0.5},
        {"kind": "a", "layers": 1},
        {"kind": "b"},
    )
    assert ["layers"] == list(found["grandchild"].when)


def test_an_absence_that_nothing_explains_makes_no_condition():
    assert {} == inferred({"x": 0.1, "child": 0.5}, {"x": 0.1})["child"].when
