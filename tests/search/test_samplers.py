"""One suite that every sampler passes."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from hpsearch.errors import SpecError
from hpsearch.search.samplers import SAMPLERS, find_sampler_problems, make_sampler
from hpsearch.search.samplers.optuna_kinds import OPTUNA
from hpsearch.spec.search_space import Categorical, Float, Int, SearchSpace
from hpsearch.testing import SamplerContract
from hpsearch.testing.samplers import MIXED, SamplerCase, mixed_space
from hpsearch.testing.samplers import ended_trial as trial
from hpsearch.trial import Trial

pytestmark = pytest.mark.filterwarnings(
    "ignore:(currentThread|getName):DeprecationWarning"  # Keras Tuner 1.4.8, at every ask
)


ENDLESS, FINITE = mixed_space(), mixed_space(step=0.2)
# Few trials before the models begin, so that the suite meets them soon.
OPTIONS = {
    "keras_tuner_bayesian": {"startup": 4},
    "cmaes": {"population": 4},
    "nsga2": {"population": 4},
    "optuna_gp": {"startup": 5},
}
LENGTH = {"keras_tuner_bayesian": 6, "optuna_gp": 12}  # a second an ask; else 24 trials
KINDS = [
    pytest.param(
        kind,
        marks=pytest.mark.skipif(
            kind in OPTUNA and OPTUNA[kind].package and not find_spec(OPTUNA[kind].package),
            reason="it needs a package that is an extra",
        ),
    )
    for kind in SAMPLERS
]


def space_of(kind):
    return FINITE if kind == "grid" else ENDLESS


def sampler(kind, seed=5, over=None, **arguments):
    arguments = {"options": OPTIONS.get(kind, {}), "epochs": 9, **arguments}
    return make_sampler(kind, over or space_of(kind), direction="minimize", seed=seed, **arguments)


def run(kind, n=None, start=(), states=("COMPLETE",), **arguments):
    """Trials `len(start)` to n of a fresh sampler that was told `start`."""
    s = sampler(kind, **arguments)
    trials = list(start)
    for t in trials:
        s.tell(replace(t, state="RUNNING", score=None, scores=[]))
        s.tell(t)
    for number in range(len(trials), n or LENGTH.get(kind, 24)):
        t = trial(number, s.ask(number), states[number % len(states)])
        s.tell(t)
        trials.append(t)
    return [{k: v for k, v in t.params.items() if k != "fixed"} for t in trials], trials


SLOW = {  # Keras Tuner's process takes five seconds of each of these tests
    "test_the_same_seed_suggests_the_same",
    "test_a_stop_while_a_trial_runs_changes_nothing",
    "test_a_batch_of_asks_without_a_tell_is_diverse",
    "test_suggestions_lie_in_the_space_and_conditions_hold",
    "test_many_at_once_are_what_as_many_asks_propose",
    "test_a_batch_that_was_cut_short_goes_on_as_it_would_have",
    "test_a_large_batch_is_spread",
}


def pytest_generate_tests(metafunc):
    """Every test of the suite for every kind, a slow one marked `long`."""
    if metafunc.cls is TestEverySampler:
        slow = metafunc.function.__name__ in SLOW
        kinds = [
            pytest.param(*kind.values, marks=[*kind.marks, pytest.mark.long])
            if slow and "keras_tuner_bayesian" in kind.values
            else kind
            for kind in KINDS
        ]
        metafunc.parametrize("kind", kinds)


class TestEverySampler(SamplerContract):
    """The suite that samplers of other packages are tested by, too."""

    @pytest.fixture
    def case(self, kind):
        return SamplerCase(
            lambda over, seed: sampler(kind, seed, over),
            length=LENGTH.get(kind, 24),
            is_finite=kind == "grid",
            ignores_seed=kind == "keras_tuner_grid",
        )

    def test_given_points_come_first_and_trials_from_elsewhere_are_told(self, kind, case):
        points = run("random", 3, seed=9, over=space_of(kind))[0]
        elsewhere = run("random", 7, seed=8, over=space_of(kind))[1]
        known = {"points": points[:2], "elsewhere": elsewhere}
        whole, trials = run(kind, **known)
        assert points[:2] == whole[:2]
        assert all(space_of(kind).why_invalid(params) is None for params in whole)
        assert whole == run(kind, start=trials[:5], **known)[0]


@pytest.mark.parametrize("kind", ["grid", "keras_tuner_grid"])
def test_a_grid_ends_after_every_point_came_once(kind):
    over = SearchSpace(
        (
            Categorical("c", ("a", "b")),
            Int("n", 1, 3, when={"c": ("b",)}),
            Float("rate", 0.0, 0.2, step=0.1),
            Float("lr", 0.5, 0.5),
        )
    )
    s = sampler(kind, over=over)
    points = []
    while (params := s.ask(len(points))) is not None:
        s.tell(trial(len(points), params))
        points.append(params)
    expected = sorted(map(repr, over.points()))
    assert 12 == len(expected)
    assert expected == sorted(map(repr, points))


def test_hyperband_trains_few_epochs_first_and_the_better_ones_longer():
    s = sampler("keras_tuner_hyperband")
    trained = {}
    for number in range(40):
        params = s.ask(number)
        trained.setdefault(repr(params), []).append(s.epochs(number))
        s.tell(trial(number, params))
    assert {1, 3, 9} == {epochs for course in trained.values() for epochs in course}
    assert [1, 3, 9] in trained.values()


@pytest.mark.parametrize("kind", ["gp", "nsga2", "tpe", "random", "qmc"])
def test_several_objectives_are_told(kind):
    s = make_sampler(
        kind,
        ENDLESS,
        direction=["minimize", "maximize"],
        seed=5,
        options={"population": 4} if kind == "nsga2" else {},
    )
    for number in range(20):
        t = trial(number, s.ask(number))
        s.tell(replace(t, values=[t.score, t.params["rate"]]))
    assert ENDLESS.why_invalid(s.ask(20)) is None


def test_what_tpe_is_told_of_a_long_study_is_bounded_and_keeps_the_best():
    s = make_sampler("tpe", SearchSpace((Float("x", 0.0, 1.0),)), direction="minimize", seed=0)
    rng = np.random.default_rng(0)
    scores = rng.random(2_600)
    for number, score in enumerate(scores):
        s.tell(Trial(number, 0, {"x": score}, 0, 1, 0, state="COMPLETE", score=float(score)))
    seen = [t.value for t in s._view._get_trials(deepcopy=False)]
    assert len(seen) <= 210
    assert sorted(scores)[:25] == sorted(seen)[:25]


@pytest.mark.parametrize("kind", ["random", "tpe"])
def test_a_long_study_of_which_much_was_forgotten_goes_on_the_same_way(kind):
    whole, trials = run(kind, 260, states=MIXED)
    assert whole == run(kind, 260, start=trials[:230], states=MIXED)[0]


@pytest.mark.parametrize("kind", ["tpe", "gp"])
def test_a_suggestion_knows_where_other_trials_run(kind):
    def suggested(running_at: float) -> float:
        s = make_sampler(kind, SearchSpace((Float("x", 0.0, 1.0),)), direction="minimize", seed=0)
        for number in range(20):
            x = number / 20
            s.tell(Trial(number, 0, {"x": x}, 0, 1, 0, state="COMPLETE", score=(x - 0.4) ** 2))
        s.tell(Trial(20, 0, {"x": running_at}, 0, 1, 0, state="RUNNING"))
        params = s.ask(21)
        assert params is not None
        return params["x"]

    assert suggested(0.41) != suggested(0.93)


def test_keras_tuners_process_works_on_one_thread_and_gives_the_others_back():
    made = sampler("keras_tuner_bayesian", over=SearchSpace((Float("x", 0.0, 1.0),)))
    during, create = [], made._oracle.create_trial

    def threads():
        return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]

    def noting(tuner):
        during.extend(threads())
        return create(tuner)

    made._oracle.create_trial = noting
    with threadpool_limits(limits=2, user_api="blas"):
        before = threads()
        made.ask(0)
        assert before == threads()
    assert {1} == set(during)


def test_keras_tuners_process_answers_as_scikit_learns_does_bit_for_bit():
    from hpsearch.compat.keras_tuner import without_checks

    rng = np.random.default_rng(0)
    points, scores, asked = rng.random((12, 9)), rng.normal(size=12), rng.random((50, 9))
    made = sampler("keras_tuner_bayesian", over=SearchSpace((Float("x", 0.0, 1.0),)))
    theirs = made._oracle._make_gpr()
    ours = without_checks(theirs).fit(points, scores)
    theirs.fit(points, scores)
    for point in asked:
        expected = theirs.predict(point[None], return_std=True)
        np.testing.assert_array_equal(expected, ours.predict(point[None], return_std=True))


def quadratic_with_a_condition(kind, seed, trials=60):
    """The best of the trials; b hides a second parabola that is better at its bottom."""
    over = SearchSpace(
        (
            Categorical("branch", ("a", "b")),
            Float("x", -5.0, 5.0),
            Float("y", -5.0, 5.0, when={"branch": ("b",)}),
        )
    )
    s = make_sampler(kind, over, direction="minimize", seed=seed)
    best = np.inf
    for number in range(trials):
        params = s.ask(number)
        other = 3.0 if params["branch"] == "a" else (params["y"] - 2) ** 2
        score = params["x"] ** 2 + other
        best = min(best, score)
        s.tell(Trial(number, 0, params, 0, 1, 0, state="COMPLETE", score=score))
    return best


@pytest.mark.parametrize(
    ("kind", "least"),
    # 15 of 20: a sign test's p below 0.05; Optuna's own TPE wins 17.
    [pytest.param(*case, marks=pytest.mark.long) for case in (("gp", 18), ("tpe", 15))],
)
def test_a_model_beats_random_on_a_quadratic_with_a_condition(kind, least):
    wins = sum(
        quadratic_with_a_condition(kind, seed) < quadratic_with_a_condition("random", seed)
        for seed in range(20)
    )
    assert wins >= least


@pytest.mark.parametrize(
    ("kind", "options", "over", "objectives", "key", "message"),
    [
        ("foo", {}, ENDLESS, 1, "kind", r"'foo' does not exist. Known: .*tpe"),
        ("random", {"startup": 3}, ENDLESS, 1, "startup", "random does not read .* no option"),
        ("nsga2", {"startup": 3}, ENDLESS, 1, "startup", "nsga2 does not read .* population"),
        ("grid", {}, ENDLESS, 1, "kind", "a grid needs listed values: give lr, child a step"),
        ("cmaes", {}, SearchSpace((Int("n", 1, 9),)), 1, "kind", "two numbers at least"),
        ("keras_tuner_bayesian", {}, ENDLESS, 2, "kind", "takes one objective. For several: .*tpe"),
    ],
)
def test_a_sampler_that_cannot_be_made_says_why(kind, options, over, objectives, key, message):
    import re

    told = dict(find_sampler_problems(kind, options, over, objectives=objectives))
    assert re.search(message, told[key])


@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is installed")
def test_optuna_gp_without_torch_names_the_extra():
    with pytest.raises(SpecError, match=r"optuna_gp needs the package torch.*hpsearch\[torch\]"):
        sampler("optuna_gp")
