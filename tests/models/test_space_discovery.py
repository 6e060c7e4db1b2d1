"""Discovery of the search space of a define-by-run function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given as generated
from hypothesis import settings
from hypothesis import strategies as st

from hpsearch.errors import SpecError
from hpsearch.models.introspection.space_discovery import (
    AnswerFunction,
    BuildCall,
    BuildFunction,
    MissingAnswerError,
    ParameterRequest,
    answer_from_params,
    explore_space,
)
from hpsearch.spec.study_spec import StudySpec

Ask = Callable[..., Any]


def build_of(function: Callable[[Ask], object]) -> BuildFunction:
    """`function` asks with `ask(name, declaration)`; a default is the first or lowest value."""

    def build(answer: AnswerFunction) -> BuildCall:
        asked: dict[str, ParameterRequest] = {}
        values: dict[str, Any] = {}

        def ask(name: str, declared: dict[str, Any]) -> Any:
            default = declared["choices"][0] if "choices" in declared else declared["low"]
            asked[name] = ParameterRequest(name, declared, default)
            values[name] = answer(asked[name])
            return values[name]

        function(ask)
        return BuildCall(asked, values)

    return build


def choice(*values: Any) -> dict[str, Any]:
    return {"type": "categorical", "choices": list(values)}


def whole(low: int, high: int) -> dict[str, Any]:
    return {"type": "int", "low": low, "high": high}


UNIT = {"type": "float", "low": 0.0, "high": 1.0}


def conditions(function: Callable[[Ask], object]) -> dict[str, Any]:
    return {k: d.get("when") for k, d in explore_space(build_of(function)).search_space.items()}


def test_a_loop_gives_each_turn_the_condition_that_it_runs() -> None:
    def layers(ask: Ask) -> None:
        for i in range(ask("layers", whole(1, 4))):
            ask(f"units_{i}", whole(8, 500))

    expected = {
        "layers": None,
        "units_0": None,
        "units_1": {"layers": [2, 3, 4]},
        "units_2": {"layers": [3, 4]},
        "units_3": {"layers": [4]},
    }
    assert expected == conditions(layers)


def test_a_branch_in_a_branch_is_found_with_its_nearest_parent() -> None:
    def nested(ask: Ask) -> None:
        if ask("optimizer", choice("adam", "sgd")) == "sgd" and ask(
            "nesterov", choice(True, False)
        ):
            ask("momentum", UNIT)

    found = conditions(nested)
    assert {"optimizer": ["sgd"]} == found["nesterov"]
    assert {"nesterov": [True]} == found["momentum"]


def test_two_parents_that_only_together_bring_a_child_are_both_named() -> None:
    def joint(ask: Ask) -> None:
        a, b = ask("a", choice("x", "y", "z")), ask("b", choice("x", "y", "z"))
        if a == "z" and b != "x":
            ask("c", UNIT)

    assert {"a": ["z"], "b": ["y", "z"]} == conditions(joint)["c"]


def test_a_condition_that_no_list_of_values_says_is_left_out_with_a_note() -> None:
    def threshold(ask: Ask) -> None:
        if ask("dropout", UNIT) > 0.4:
            ask("seed", whole(0, 9))

    found = explore_space(build_of(threshold))
    assert "when" not in found.search_space["seed"]
    assert found.notes == ("seed: drawn in every trial that may read it, and in some that do not",)


def test_a_point_that_cannot_be_built_is_noted_and_the_rest_is_found() -> None:
    def fragile(ask: Ask) -> None:
        if ask("kind", choice("a", "b", "c")) == "b":
            raise ValueError("b is not to be had")
        ask("size", whole(1, 2))

    found = explore_space(build_of(fragile))
    assert ["kind", "size"] == list(found.search_space)
    assert "ValueError: b is not to be had" in found.notes[0]


def test_what_fails_with_its_own_defaults_is_raised() -> None:
    def broken(ask: Ask) -> None:
        raise ValueError("never")

    with pytest.raises(ValueError, match="never"):
        explore_space(build_of(broken))


def test_one_name_with_a_range_for_each_branch_has_a_condition_for_each() -> None:
    def twice(ask: Ask) -> None:
        kind = ask("kind", choice("a", "b", "c"))
        if kind != "c":
            ask("units", whole(1, 8) if kind == "a" else whole(10, 900))

    assert [
        {**whole(1, 8), "when": {"kind": ["a"]}},
        {**whole(10, 900), "when": {"kind": ["b"]}},
    ] == explore_space(build_of(twice)).search_space["units"]


def test_a_value_fixed_in_one_branch_and_searched_in_another_is_a_range_of_one_value() -> None:
    def fixed(ask: Ask) -> None:
        still = {"type": "fixed", "value": 0.5, "low": 0.5}
        ask("rate", UNIT if ask("kind", choice("a", "b")) == "a" else still)

    found = explore_space(build_of(fixed)).search_space["rate"]
    assert {"type": "float", "low": 0.5, "high": 0.5, "when": {"kind": ["b"]}} == found[1]


def test_one_name_with_two_ranges_is_refused_where_no_condition_tells_them_apart() -> None:
    def twice(ask: Ask) -> None:
        ask("units", whole(1, 8) if ask("x", UNIT) < 0.3 else whole(1, 16))

    with pytest.raises(
        SpecError, match=r"'units' in two ways, int\(low=1, high=8\) and int\(low=1"
    ):
        explore_space(build_of(twice))


def test_the_same_function_gives_the_same_space_each_time() -> None:
    def function(ask: Ask) -> None:
        if ask("a", UNIT) > 0.5:
            ask("b", UNIT)

    assert explore_space(build_of(function)) == explore_space(build_of(function))


def test_a_trial_without_an_answer_says_what_to_declare() -> None:
    answer = answer_from_params({"units": 8})
    assert 8 == answer(ParameterRequest("units", whole(1, 9), 1))
    with pytest.raises(MissingAnswerError, match=r"'depth', which was not found .* declare it in"):
        answer(ParameterRequest("depth", whole(1, 9), 1))


# A tree of branches: a name, its choices, and what each choice asks for.
TREES = st.recursive(
    st.just({}),
    lambda inner: st.dictionaries(
        st.sampled_from("abcdef"), st.lists(inner, min_size=2, max_size=3), max_size=3
    ),
    max_leaves=12,
)


@settings(max_examples=40, deadline=None)
@generated(TREES)
def test_every_point_of_a_tree_of_branches_has_what_its_build_asks_for(
    tree: dict[str, Any],
) -> None:
    def walk(ask: Ask, branch: dict[str, Any], path: str = "n") -> None:
        for name, choices in branch.items():
            taken = ask(f"{path}{name}", choice(*range(len(choices))))
            ask(f"{path}{name} size", whole(10 * taken, 10 * taken + 3))
            walk(ask, choices[taken], f"{path}{name}{taken}")

    declared = explore_space(build_of(lambda ask: walk(ask, tree))).search_space
    if not declared:
        return
    spec = StudySpec.model_validate({"data": {"source": "a.csv"}, "search_space": declared})
    import random

    for seed in range(20):
        params = spec.space.draw(random.Random(seed))
        read = build_of(lambda ask: walk(ask, tree))(answer_from_params(params)).requests
        assert params.keys() == read.keys()
