"""Priors: where good values are expected, and how samplers follow them."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from hpsearch.search.gp.model_space import ModelSpace
from hpsearch.search.sampler import make_running_trial
from hpsearch.search.samplers import make_sampler
from hpsearch.search.samplers.optuna_kinds import make_model_parameters
from hpsearch.spec.constraints import parse_constraint
from hpsearch.spec.priors import draw_from_prior, find_prior_mode, get_choice_weights
from hpsearch.spec.search_space import Categorical, Float, Int, SearchSpace

RATE = Float("rate", 1e-5, 1e-1, log=True, prior=1e-2)
SPACE = SearchSpace(
    (
        RATE,
        Int("units", 8, 256, log=True, prior=64),
        Categorical("kind", ("a", "b", "c"), prior="b"),
        Categorical("size", (16, 32, 64), prior=(1.0, 0.0, 3.0)),
        Float("share", 0.0, 0.5, step=0.1, when={"kind": ("b",)}, prior=0.2),
    )
)


def test_the_mode_has_every_expected_value_and_draws_the_others():
    mode = find_prior_mode(SPACE, Random(0))
    assert mode.pop("rate") == pytest.approx(1e-2)
    assert {"units": 64, "kind": "b", "size": 64, "share": 0.2} == mode
    drawn = {
        find_prior_mode(SearchSpace((RATE, Float("x", 0.0, 1.0))), Random(i))["x"] for i in range(4)
    }
    assert 4 == len(drawn)


def test_the_mode_has_the_declared_number_itself():
    for number in (1e-2, 1e-3, 3e-4):
        space = SearchSpace((replace(RATE, prior=number),))
        assert {"rate": number} == find_prior_mode(space, Random(0))
    between = SearchSpace((Float("share", 0.0, 0.5, step=0.1, prior=0.22),))
    assert {"share": 0.2} == find_prior_mode(between, Random(0))


def test_weights_whose_sum_overflows_are_equal_if_they_are():
    size = Categorical("size", (16, 32), prior=(1e308, 1e308))
    assert (0.5, 0.5) == get_choice_weights(size)


def test_no_mode_breaks_a_constraint():
    fixed = SearchSpace((RATE,), (parse_constraint("rate < 1e-3"),))
    assert find_prior_mode(fixed, Random(0)) is None
    assert draw_from_prior(fixed, Random(0))["rate"] < 1e-3


def test_an_expected_choice_is_as_likely_as_all_together_and_none_is_excluded():
    kind, size = SPACE.parameters[2:4]
    assert (
        pytest.approx((0.9 * 1 / 6 + 0.1 / 3, 0.9 * 4 / 6 + 0.1 / 3))
        == get_choice_weights(kind)[:2]
    )
    assert pytest.approx((0.9 / 4 + 0.1 / 3, 0.1 / 3)) == get_choice_weights(size)[:2]


def test_the_process_draws_from_the_distributions_that_other_samplers_draw_from():
    model = ModelSpace(make_model_parameters(SPACE))
    points = model.draw_from_prior(np.random.default_rng(0).random((4000, len(model))))
    decoded = [model.decode(p) for p in points[:1000]]
    drawn = [draw_from_prior(SPACE, Random(i)) for i in range(1000)]
    for name, of in (("rate", np.log), ("units", np.log)):
        a, b = (
            np.quantile([of(p[name]) for p in each], [0.1, 0.5, 0.9]) for each in (decoded, drawn)
        )
        assert np.abs(a - b).max() < 0.5  # of 9.2 and 3.5
    for name, value in (("kind", "b"), ("size", 32)):
        decode = SPACE.parameters[[p.name for p in SPACE].index(name)].choices
        shares = [np.mean([decode[p[name]] == value for p in decoded])]
        shares += [np.mean([p[name] == value for p in drawn])]
        assert shares[0] == pytest.approx(shares[1], abs=0.08)


def test_the_density_integrates_to_one_and_its_slopes_are_its_differences():
    model = ModelSpace(make_model_parameters(SearchSpace((RATE,))))
    grid = np.linspace(0, 1, 2001)[:, None]
    active = np.ones(grid.shape, bool)
    values, slopes = model.log_prior(grid, active)
    assert np.exp(values).mean() == pytest.approx(1.0, abs=0.01)
    assert np.gradient(values, grid[:, 0])[1:-1] == pytest.approx(slopes[1:-1, 0], abs=1e-2)
    assert 0.0 == model.log_prior(grid, ~active)[0].max()


def run(kind, space, trials=24, tell_before=()):
    """Ask for trials whose score is best at a rate of 1e-2."""
    sampler = make_sampler(kind, space, direction="minimize", seed=3)
    for trial in tell_before:
        sampler.tell(replace(trial, state="RUNNING", score=None))
        sampler.tell(trial)
    ended = list(tell_before)
    for number in range(len(ended), trials):
        params = sampler.ask(number)
        score = (np.log10(params["rate"]) + 2) ** 2 + (np.log2(params["units"]) - 6) ** 2
        ended.append(replace(make_running_trial(number, params), state="COMPLETE", score=score))
        sampler.tell(ended[-1])
    return ended


def distance(trials):
    return np.mean([abs(np.log10(t.params["rate"]) + 2) for t in trials])


def without_priors(space):
    return replace(space, parameters=tuple(replace(p, prior=None) for p in space))


@pytest.mark.parametrize("kind", ["gp", "tpe", "random"])
def test_the_first_trials_follow_the_priors_and_a_resumed_study_repeats_them(kind):
    found = run(kind, SPACE, 14)
    assert distance(found[:8]) < distance(run(kind, without_priors(SPACE), 8))
    again = run(kind, SPACE, 14, tell_before=found[:9])
    assert [t.params for t in found] == [t.params for t in again]


@pytest.mark.parametrize("kind", ["gp", "tpe", "random"])
def test_priors_that_trials_contradict_are_not_followed(kind):
    wrong = replace(SPACE, parameters=(replace(RATE, prior=1e-5), *SPACE.parameters[1:]))
    found, plain = run(kind, wrong), run(kind, without_priors(SPACE))
    assert distance(found[3:12]) < distance(plain[3:12]) + 0.1
    assert distance(found[12:]) < distance(plain[12:]) + 0.1
    if kind == "random":
        assert [t.params for t in found[4:]] == [t.params for t in plain[4:]]


def test_scores_that_are_worse_where_the_priors_are_denser_contradict_them():
    model = ModelSpace(make_model_parameters(SearchSpace((RATE,))))
    points = np.array([[0.75], [0.5], [0.0]])  # the first at the prior
    assert model.contradicts_priors(points, [3.0, 2.0, 1.0])
    assert model.contradicts_priors(points, [3.0, 1.0, 2.0])
    assert not model.contradicts_priors(points, [1.0, 2.0, 3.0])
    assert not model.contradicts_priors(points, [1.0, 1.0, 1.0])
    assert not model.contradicts_priors(points[:1], [1.0])
    assert not model.contradicts_priors(points[:0], [])


@pytest.mark.parametrize("state", ["FAILED", "PRUNED"])
def test_trials_without_a_score_contradict_the_priors_that_they_follow(state):
    with_prior = SearchSpace((RATE,))
    samplers = [
        make_sampler("random", space, direction="maximize", seed=0)
        for space in (with_prior, without_priors(with_prior))
    ]
    for sampler in samplers:
        for number, (rate, score) in enumerate([(1e-2, None), (1e-5, 0.5)]):
            trial = make_running_trial(number, {"rate": rate})
            sampler.tell(trial)
            sampler.tell(replace(trial, state="COMPLETE" if score else state, score=score))
    followed, plain = ([sampler.ask(number) for number in range(2, 12)] for sampler in samplers)
    assert followed == plain
