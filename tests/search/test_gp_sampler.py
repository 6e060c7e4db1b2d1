"""The Gaussian process sampler in Optuna studies."""

import math

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from threadpoolctl import threadpool_info, threadpool_limits

from hpsearch.search.gp import GaussianProcessSampler, ModelParameter, gp_sampler, study_model
from hpsearch.search.gp.observations import collect_objectives

optuna.logging.set_verbosity(optuna.logging.ERROR)

SPACE = (
    ModelParameter("x", FloatDistribution(-5, 5)),
    ModelParameter("kind", CategoricalDistribution(("a", "b"))),
    ModelParameter("y", FloatDistribution(-5, 5), {"kind": ("b",)}),
    ModelParameter("rate", FloatDistribution(1e-4, 1.0, log=True)),
    ModelParameter("n", IntDistribution(1, 4)),
)


def quadratic(trial):
    """Best at x=0, kind=b, y=2; the branch a ends at 3."""
    x, kind = trial.suggest_float("x", -5, 5), trial.suggest_categorical("kind", ["a", "b"])
    return x * x + (3 if kind == "a" else (trial.suggest_float("y", -5, 5) - 2) ** 2)


def wide(trial):
    """All of SPACE."""
    return (
        quadratic(trial)
        + trial.suggest_float("rate", 1e-4, 1.0, log=True)
        + trial.suggest_int("n", 1, 4)
    )


def study(seed=0, direction="minimize", **arguments):
    sampler = GaussianProcessSampler(seed=seed, **arguments)
    return optuna.create_study(sampler=sampler, direction=direction)


def run(made, objective, n_trials, states=("COMPLETE",)):
    for _ in range(n_trials):
        trial = made.ask()
        value, state = objective(trial), states[trial.number % len(states)]
        trial.report(value, 1)
        if state == "COMPLETE":
            made.tell(trial, value)
        else:
            made.tell(trial, state=TrialState[state])
    return [t.params for t in made.trials]


@pytest.mark.parametrize("space", [None, SPACE], ids=["inferred", "declared"])
class TestWithAndWithoutTheSpace:
    def test_conditions_hold_and_values_lie_in_the_space(self, space):
        for params in run(study(space=space), wide, 25):
            assert ("y" in params) == (params["kind"] == "b")

    def test_the_same_seed_suggests_the_same(self, space):
        again = [run(study(3, space=space), wide, 20) for _ in range(2)]
        assert again[0] == again[1]

    def test_another_seed_suggests_something_else(self, space):
        assert run(study(3, space=space), wide, 5) != run(study(4, space=space), wide, 5)

    def test_a_stopped_study_continued_equals_one_never_stopped(self, space):
        states = ("COMPLETE", "COMPLETE", "PRUNED", "COMPLETE", "FAIL")
        never = run(study(space=space), wide, 26, states)
        stopped = study(space=space)
        run(stopped, wide, 17, states)
        stopped.sampler = GaussianProcessSampler(seed=0, space=space)
        assert never == run(stopped, wide, 9, states)

    def test_a_batch_of_asks_is_diverse(self, space):
        made = study(space=space)
        run(made, wide, 16)
        batch = [made.ask() for _ in range(8)]
        for trial in batch:
            wide(trial)
        assert 8 == len({tuple(sorted(t.params.items())) for t in batch})
        spread = [t.params["x"] for t in batch]
        assert max(spread) - min(spread) > 0.1

    def test_nothing_finite_is_tried_twice(self, space):
        def finite(trial):
            return (trial.suggest_int("i", 0, 4) - 2) ** 2 + trial.suggest_int("j", 0, 4)

        declared = space and [ModelParameter(n, IntDistribution(0, 4)) for n in "ij"]
        tried = run(study(space=declared), finite, 25)
        assert 25 == len({tuple(p.values()) for p in tried})


def test_an_exhausted_space_still_answers():
    def two(trial):
        return float(trial.suggest_categorical("c", ["a", "b"]) == "a")

    assert 9 == len(run(study(), two, 9))


def test_larger_is_better_where_the_study_says_so():
    made = study(direction="maximize", space=SPACE[:1])
    made.optimize(lambda trial: -((trial.suggest_float("x", -5, 5) - 1) ** 2), n_trials=25)
    assert 1 == pytest.approx(made.best_params["x"], abs=0.05)


def test_a_region_where_trials_fail_is_left():
    def crash(trial):
        if trial.suggest_float("x", -5, 5) > 0:
            raise ValueError
        return (trial.params["x"] - 1) ** 2

    made = study()
    made.optimize(crash, n_trials=40, catch=ValueError)
    late = [t.params["x"] for t in made.trials[20:]]
    assert sum(x > 0.5 for x in late) <= 5
    assert -0.2 < made.best_params["x"] <= 0


def test_pruned_trials_shape_the_search():
    def told(state):
        return run(study(), quadratic, 24, ("COMPLETE", "COMPLETE", state))

    assert told("PRUNED") != told("FAIL")


def test_only_feasible_points_are_suggested():
    made = study(space=SPACE, feasible=lambda p: p["x"] + p.get("y", 0) < -1)
    for params in run(made, wide, 30):
        assert params["x"] + params.get("y", 0) < -1


def test_enqueued_values_decide_what_else_exists():
    made = study(space=SPACE)
    made.enqueue_trial({"kind": "b"})
    made.enqueue_trial({"kind": "a"})
    assert [True, False] == ["y" in params for params in run(made, wide, 2)]


def test_known_noise_changes_the_search():
    def told(sem):
        made = study(space=SPACE)
        for _ in range(15):
            trial = made.ask()
            value = wide(trial)
            trial.set_user_attr("score_sem", sem * (1 + trial.number % 3))
            made.tell(trial, value)
        return made.trials[-1].params

    assert told(0.0) != told(2.0)


def test_suggestions_do_not_depend_on_the_threads_of_linear_algebra_which_keep_their_number():
    def threads():
        return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]

    courses = []
    for count in (1, 2):
        with threadpool_limits(limits=count, user_api="blas"):
            before = threads()
            courses.append(run(study(space=SPACE), wide, 60))
            assert before == threads()
    assert courses[0] == courses[1]


def test_a_small_budget_has_a_short_start():
    starts = [GaussianProcessSampler(budget=b)._start for b in (8, 30, 200)]
    assert [4, 7, 12] == starts


def test_several_objectives_are_improved_together():
    """Schaffer's pair: x² and (x - 2)², whose front is 0 <= x <= 2."""
    made = optuna.create_study(
        sampler=GaussianProcessSampler(space=SPACE[:1]), directions=["minimize", "minimize"]
    )
    for _ in range(30):
        asked = made.ask()
        x = asked.suggest_float("x", -5, 5)
        made.tell(asked, [x * x, (x - 2) ** 2])
    late = [t.params["x"] for t in made.trials[12:]]
    assert sum(-0.3 < x < 2.3 for x in late) >= 15
    assert min(late) < 0.5
    assert max(late) > 1.5


def test_the_reports_of_pruned_trials_with_several_objectives_are_learned():
    """Each objective has the best report of a pruned trial, with its progress."""
    x = {"x": SPACE[0].distribution}
    trials = [
        optuna.trial.create_trial(
            state=state,
            values=[1.0 + v, 7.0 - v] if state == TrialState.COMPLETE else None,
            params={"x": v},
            distributions=x,
            user_attrs={"objective_reports": [[3.0 + v, None], [2.0 + v, 7.0 - v]][:steps]},
        )
        for state, v, steps in (
            (TrialState.COMPLETE, 0.0, 2),
            (TrialState.COMPLETE, 1.0, 2),
            (TrialState.PRUNED, 2.0, 2),
            (TrialState.PRUNED, 3.0, 1),
        )
    ]
    for number, trial in enumerate(trials):
        trial.number = number
    first, second = collect_objectives(trials, [False, False])
    assert [1.0, 2.0, 4.0, 6.0] == [o.value for o in first]
    assert [7.0, 6.0, 5.0, 7.0] == [o.value for o in second]  # the last is not known: the worst
    assert [True, True, True, False] == [o.progress == 0 for o in first]
    assert [0.0, 0.0, 0.0, math.inf] == [o.error for o in second]


def test_measured_constraints_are_learned_and_the_best_feasible_is_improved():
    """The best point, 0, is infeasible; the best feasible one is at 1."""
    made = study(space=SPACE[:1])
    for _ in range(24):
        asked = made.ask()
        x = asked.suggest_float("x", -5, 5)
        asked.set_constraint("at least", 1 - x)
        made.tell(asked, x * x)
    late = [t.params["x"] for t in made.trials[16:]]
    assert all(0.9 < x < 1.1 for x in late)
    assert 1 == pytest.approx(min(x for x in late if x >= 1), abs=0.01)


def test_without_a_feasible_trial_one_is_looked_for():
    made = study(space=SPACE[:1])
    for number in range(20):
        if number < 12:
            made.enqueue_trial({"x": -4 + number / 4})
        asked = made.ask()
        x = asked.suggest_float("x", -5, 5)
        asked.set_constraint("close to 4.5", abs(x - 4.5) - 0.2)
        made.tell(asked, x * x)
    assert any(abs(t.params["x"] - 4.5) <= 0.2 for t in made.trials[12:])


def test_trials_of_another_space_are_left_out():
    made = study(space=SPACE)
    other = {"kind": CategoricalDistribution(("a", "z"))}
    made.add_trial(optuna.trial.create_trial(value=0.0, params={"kind": "z"}, distributions=other))
    declared = [ModelParameter("kind", CategoricalDistribution(("a", "b")))]
    sampler = GaussianProcessSampler(space=declared)
    proposed = sampler.sample_relative(made, made.ask()._cached_frozen_trial, {"kind": other})
    assert proposed["kind"] in ("a", "b")


class TestManyAtOnce:
    """More running trials than the model believes in: each ask draws a function instead."""

    def test_many_asks_cost_one_fit_and_read_each_trial_once(self, monkeypatch):
        fits, read = [], []
        made = study(space=SPACE)
        run(made, wide, 20)
        fit, encode = study_model.fit_trial_model, gp_sampler._encode_point
        monkeypatch.setattr(
            study_model, "fit_trial_model", lambda *a, **k: fits.append(a) or fit(*a, **k)
        )
        monkeypatch.setattr(gp_sampler, "_encode_point", lambda *a: read.append(a) or encode(*a))
        with made.sampler.batch():
            for _ in range(200):
                wide(made.ask())
        assert 200 == len({tuple(sorted(t.params.items())) for t in made.trials[20:]})
        assert 1 == len(fits)
        assert 200 >= len(read)

    @pytest.mark.parametrize("size", [8, 64])
    def test_batches_find_what_is_good_and_chance_does_not(self, size):
        def best(sampler):
            made = optuna.create_study(sampler=sampler)
            for _ in range(128 // size):
                trials = [made.ask() for _ in range(size)]
                values = [wide(t) for t in trials]
                for trial, value in zip(trials, values, strict=True):
                    made.tell(trial, value)
            return made.best_value

        by_chance = best(optuna.samplers.RandomSampler(seed=0))
        assert best(GaussianProcessSampler(space=SPACE)) < by_chance / 2
