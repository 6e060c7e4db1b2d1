"""Properties of every search space, from YAML to the samplers and back."""

import json
import math
import tempfile
from pathlib import Path
from random import Random

import keras_tuner as kt
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from optuna.distributions import distribution_to_json, json_to_distribution

from hpsearch.param_encoding import decode_nearest, decode_value, encode_value, to_distribution
from hpsearch.search.samplers import SAMPLERS, find_sampler_problems, make_sampler
from hpsearch.search.samplers.keras_tuner_sampler import to_hyperparameters
from hpsearch.spec.branches import join_point, merge_ranges, split_branches, split_point
from hpsearch.spec.conditions import NumberRange
from hpsearch.spec.point_counting import count_points
from hpsearch.spec.search_space import Float, SearchSpace
from hpsearch.spec.study_file import load_dict, load_file
from hpsearch.trial import Trial

from .spaces import constrained, declarations

WITHOUT_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)  # it would take minutes
FEW = settings(max_examples=40, deadline=None)
WIDE = SearchSpace((Float("a", 0.0, 1.0), Float("b", 0.0, 1.0)))
INSTALLED = [
    kind
    for kind in SAMPLERS
    if not any("package" in why for _, why in find_sampler_problems(kind, {}, WIDE, objectives=1))
]
LISTED = 3_000  # points that are listed to count them


def space_of(search_space, constraints=()):
    declared = {"data": {}, "search_space": search_space, "constraints": list(constraints)}
    return load_dict(declared).spec.space


@FEW
@given(constrained())
def test_what_is_written_as_yaml_is_read_as_it_was(declared):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.yaml"
        path.write_text(json.dumps(declared), encoding="utf-8")
        assert load_dict(declared).spec.space == load_file(path).spec.space


@FEW
@given(declarations())
def test_every_parameter_stands_after_its_parents_with_the_bounds_it_was_given(declared):
    seen: dict[str, int] = {}
    for p in space_of(declared):
        wanted = declared[p.name]
        if isinstance(wanted, list):
            wanted = wanted[seen.get(p.name, 0)]
        assert p.when.keys() <= seen.keys()
        assert wanted.get("when", {}).keys() == p.when.keys()
        seen[p.name] = seen.get(p.name, 0) + 1
        if wanted["type"] == "categorical":
            assert tuple(wanted["choices"]) == p.choices
        else:
            assert (wanted["low"], wanted["high"]) == (p.low, p.high)
        for parent, allowed in p.when.items():
            assert isinstance(wanted["when"][parent], dict) == isinstance(allowed, NumberRange)


@FEW
@given(declarations(), st.integers(0, 999))
def test_every_drawn_point_lies_in_the_space(declared, seed):
    space = space_of(declared)
    assert space.why_invalid(space.draw(Random(seed))) is None


@FEW
@given(declarations(), st.integers(0, 999))
def test_a_point_without_one_of_its_parameters_or_with_one_too_many_does_not(declared, seed):
    space = space_of(declared)
    params = space.draw(Random(seed))
    for name in params:
        assert space.why_invalid({k: v for k, v in params.items() if k != name}) is not None
    for p in space:
        if p.name not in params:
            assert "its condition fails" in space.why_invalid({**params, p.name: p.value(0)})


@FEW
@given(declarations(), st.integers(0, 999))
def test_a_point_survives_being_told_apart_for_samplers_that_know_one_range_a_name(declared, seed):
    space = space_of(declared)
    names = [p.name for p in split_branches(space)]
    assert len(names) == len(set(names))
    assert {p.name for p in space} == set(join_point(dict.fromkeys(names)))
    there = split_branches(space).draw(Random(seed))
    assert split_branches(space).why_invalid(there) is None
    params = join_point(there)
    assert space.why_invalid(params) is None
    assert params == join_point(split_point(space, params))
    for p in merge_ranges(space):
        assert p.name not in params or isinstance(p, Float) or p.contains(params[p.name])


@FEW
@given(declarations(finite=True, most=5))
def test_the_size_is_the_number_of_points(declared):
    space = space_of(declared)
    assume(space.size <= LISTED)
    points = [tuple((k, type(v), v) for k, v in p.items()) for p in space.points()]
    assert len(points) == len(set(points)) == count_points(space.parameters)
    assert all(space.why_invalid(p) is None for p in space.points())


@FEW
@given(constrained(most=4))
def test_constraints_only_ever_cut_points_away(declared):
    without = space_of(declared["search_space"])
    assume(not math.isinf(without.size))
    assume(without.size <= LISTED)
    space = load_dict(declared).spec.space
    kept = list(space.points())
    assert kept == [p for p in without.points() if space.find_broken_constraint(p) is None]
    assert 0 < len(kept) <= without.size


@FEW
@given(declarations(), st.integers(0, 999))
def test_a_value_survives_optuna_and_its_distribution_allows_no_other(declared, seed):
    space = split_branches(space_of(declared))
    params = space.draw(Random(seed))
    for p in space:
        there = json_to_distribution(distribution_to_json(to_distribution(p)))
        assert p.size == 1 if there.single() else p.size > 1
        if p.name in params:
            kept = encode_value(p, params[p.name])
            assert there._contains(there.to_internal_repr(kept))
            back = decode_value(p, there.to_external_repr(there.to_internal_repr(kept)))
            assert (type(params[p.name]), params[p.name]) == (type(back), back)


@FEW
@given(declarations(), st.integers(0, 999))
def test_a_space_survives_keras_tuner_and_its_random_points_lie_in_it(declared, seed):
    space = split_branches(space_of(declared))
    hp = to_hyperparameters(space)
    there = {p.name: p for p in hp.space}
    assert there.keys() == {p.name for p in space if p.size > 1}
    back = kt.HyperParameters.from_config(json.loads(json.dumps(hp.get_config())))
    assert [p.get_config() for p in hp.space] == [p.get_config() for p in back.space]
    rng = Random(seed)
    drawn = {n: p.random_sample(seed=rng.randrange(2**31)) for n, p in there.items()}
    params = {}
    for p in space:
        if space.is_active(p, params):
            params[p.name] = decode_nearest(p, drawn[p.name]) if p.name in drawn else p.value(0)
        assert (
            p.name not in there
            or p.name not in params
            or all(c.is_active({n: drawn[n] for n in drawn}) for c in there[p.name].conditions)
        )
    assert space.why_invalid(params) is None


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")  # Keras Tuner 1.4
@pytest.mark.parametrize("kind", INSTALLED)
@settings(
    max_examples=2,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    phases=WITHOUT_SHRINKING,
)
@given(declared=constrained(most=5), seed=st.integers(0, 99))
def test_no_suggestion_breaks_a_bound_a_step_a_condition_or_a_constraint(kind, declared, seed):
    space = load_dict(declared).spec.space
    assume(not find_sampler_problems(kind, {}, space, objectives=1))
    sampler = make_sampler(kind, space, direction="minimize", seed=seed)
    # gp and TPE have a model from 12 and 10 trials on; Keras Tuner's takes a second an ask.
    for number in range(4 if kind.startswith("keras_tuner") else 16):
        params = sampler.ask(number)
        if params is None:  # every point has been tried
            return
        assert space.why_invalid(params) is None
        score = sum(v for v in params.values() if type(v) in (int, float))
        sampler.tell(finished(number, params, score))


def finished(number, params, score):
    return Trial(
        number=number,
        attempt=0,
        params=dict(params),
        seed=0,
        epochs=1,
        asked=0,
        scores=[[score]],
        state="COMPLETE",
        score=score,
        best_epoch=0,
    )
