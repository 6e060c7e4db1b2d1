"""Constraints of a study: declarations, refusals, and feasible points."""

import json
import math

import pytest

from hpsearch.errors import SpecError
from hpsearch.spec import feasibility
from hpsearch.spec.constraints import parse_constraint
from hpsearch.spec.search_space import Categorical, Float, Int, SearchSpace
from hpsearch.spec.study_file import load_dict, load_file

HEAD = "data: {source: a.csv}\nsearch_space:\n"
LAYERS, UNITS = Int("layers", 1, 4), Int("units", 8, 64, step=8)


def space(*texts, parameters=(LAYERS, UNITS), fixed=None):
    return SearchSpace(parameters, tuple(map(parse_constraint, texts)), fixed or {})


def told(tmp_path, text):
    """The lines of the error, without the folder."""
    path = tmp_path / "a.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_file(path)
    return [line.removeprefix(f"{tmp_path}/") for line in str(caught.value).splitlines()]


def test_a_point_that_breaks_a_constraint_is_none_of_the_space():
    some = space("units * layers <= 128")
    assert some.why_invalid({"layers": 2, "units": 64}) is None
    assert "units * layers <= 128" in some.why_invalid({"layers": 4, "units": 64})


def test_a_constraint_says_nothing_where_a_parameter_it_names_is_inactive():
    dropout = Float("dropout", 0.0, 0.5, when={"layers": (2,)})
    some = space("dropout <= 0.1 and layers < 3", parameters=(LAYERS, dropout))
    assert some.why_invalid({"layers": 4}) is None
    assert some.why_invalid({"layers": 2, "dropout": 0.4}) is not None


def test_fixed_hyperparameters_may_be_named():
    spec = load_dict(
        {
            "data": {},
            "search_space": {"units": [8, 64], "layers": 3},
            "constraints": ["units * layers <= 64"],
        }
    ).spec
    assert [{"units": 8}] == list(spec.space.points())


def test_every_mistake_is_told_with_its_line(tmp_path):
    text = "  units: [8, 16]\nconstraints:\n  - units *\n  - units > 3\n  - open('x') == 1\n"
    first, second = told(tmp_path, text)
    assert first.startswith("a.yaml:5: constraints.0: not an expression")
    assert second.startswith("a.yaml:7: constraints.2: \"open('x')\" is not allowed")


def test_every_name_that_no_parameter_has_is_told_with_its_line(tmp_path):
    text = "  units: [8, 16]\nconstraints:\n  - unit > 3\n  - units > x\n"
    assert [
        "a.yaml:5: constraints.0: there is no parameter 'unit'. Did you mean 'units'? "
        "Known: units.",
        "a.yaml:6: constraints.1: there is no parameter 'x'. Known: units."
        " What is measured is compared alone with a number, by <= or >=: latency_ms <= 2.",
    ] == told(tmp_path, text)


def test_a_function_decides_and_its_file_is_relative_to_the_study(tmp_path):
    (tmp_path / "my_rules.py").write_text(
        "def small(params):\n    return params['units'] * params['layers'] <= 16\n"
    )
    path = tmp_path / "a.yaml"
    path.write_text(HEAD + "  units: [8, 16]\n  layers: [1, 2]\nconstraints: [my_rules.py:small]\n")
    points = list(load_file(path).spec.space.points())
    assert [(8, 1), (8, 2), (16, 1)] == [(p["units"], p["layers"]) for p in points]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("def rule(params):\n    return 1 / 0", "raised ZeroDivisionError"),
        ("def rule(params):\n    return 3", "returned 3; return True or False"),
        ("def other(params):\n    return True", "has no function 'rule'"),
        ("import nothing_of_that_name", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_function_that_does_not_answer_is_told(tmp_path, body, why):
    path = tmp_path / "rules.py"
    path.write_text(body)
    ((key, message),) = feasibility.find_failing_constraints(space(f"{path}:rule"))
    assert "constraints.0" == key
    assert why in message


def test_a_constraint_that_fails_at_some_point_is_told_with_the_values():
    kind = Categorical("kind", ("a", "b"))
    ((key, message),) = feasibility.find_failing_constraints(
        space("layers > 0", "kind > 1", parameters=(LAYERS, kind))
    )
    assert "constraints.1" == key
    assert "kind > 1: kind is '" in message


def test_a_finite_space_in_which_nothing_is_feasible_is_refused():
    ((key, message),) = feasibility.find_failing_constraints(space("units > 64", "layers > 0"))
    assert ("constraints", True) == (key, message.startswith("none of the 32 points"))


def test_an_endless_space_in_which_nothing_is_found_names_the_constraint():
    x = Float("x", 0.0, 1.0)
    ((key, message),) = feasibility.find_failing_constraints(space("x > 1", parameters=(x,)))
    assert "constraints" == key
    assert "none of 10,000 random points" in message
    assert "x > 1 is broken by 10,000" in message


def test_feasible_points_are_counted_where_they_can_be_listed():
    few = space("units * layers <= 64")
    by_hand = sum(u * n <= 64 for u in range(8, 65, 8) for n in range(1, 5))
    assert (by_hand, True) == feasibility.count_feasible_points(few)
    many = space("a > 1", parameters=(Int("a", 0, 10**6),))
    assert (10**6 + 1, False) == feasibility.count_feasible_points(many)
    assert (32, True) == feasibility.count_feasible_points(space())


def test_a_random_feasible_point_depends_on_its_seed_alone():
    some = space("units * layers <= 64", parameters=(LAYERS, UNITS, Float("x", 0.0, 1.0)))
    assert feasibility.sample_feasible_point(some, 3) == feasibility.sample_feasible_point(some, 3)
    assert feasibility.sample_feasible_point(some, 3) != feasibility.sample_feasible_point(some, 4)
    assert math.isinf(some.size)


def test_constraints_survive_json(tmp_path):
    raw = {"data": {}, "search_space": {"units": [8, 64]}, "constraints": ["units < 9"]}
    file = load_dict(json.loads(json.dumps(load_dict(raw).raw)))
    assert ["units < 9"] == file.spec.constraints


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nesterov == 'no'", "nesterov is a boolean (true or false), and 'no' is a text"),
        ("units < 9 or nesterov != 1", "nesterov is a boolean (true or false), and 1 is a number"),
        ("units in [8, '16']", "units is a number, and '16' is a text"),
        ("'true' == nesterov", "nesterov is a boolean (true or false), and 'true' is a text"),
        ("optimizer not in [true]", "optimizer is a text, and true is a boolean"),
        ("layers == '2'", "layers is a number, and '2' is a text"),
    ],
)
def test_what_can_never_be_equal_is_refused(tmp_path, text, reason):
    space = "  units: [8, 16]\n  nesterov: [yes, no]\n  optimizer: [sgd, adam]\n  layers: 2\n"
    [line] = told(tmp_path, f"{space}constraints:\n  - {json.dumps(text)}\n")
    assert line.startswith(f"a.yaml:8: constraints.0: {text}: {reason}")


def test_what_can_be_equal_is_compared():
    spec = load_dict(
        {
            "data": {},
            "search_space": {
                "optimizer": "sgd",
                "nesterov": ["yes", "no"],
                "weight_decay": [None, 0.1],
            },
            "constraints": ["nesterov == true or weight_decay == null"],
        }
    ).spec
    assert 3 == len(list(spec.space.points()))


def test_a_violation_is_told_as_yaml_writes_values():
    some = SearchSpace((Categorical("a", (True, None)), Int("b", 1, 2, when={"a": (None, False)})))
    assert "a: false is not allowed. Allowed: " in str(some.why_invalid({"a": False, "b": 1}))
    assert "condition fails: a is null or false" in str(some.why_invalid({"a": True, "b": 1}))
