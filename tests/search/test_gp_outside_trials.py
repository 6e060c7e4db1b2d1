"""Trials from before a range was narrowed, or a constraint was added, in the `gp` sampler."""

import math

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hpsearch.search.gp import GaussianProcessSampler, ModelParameter
from hpsearch.search.gp.axes import make_axis
from hpsearch.search.gp.model_space import ModelSpace
from hpsearch.search.gp.study_model import observe_study

optuna.logging.set_verbosity(optuna.logging.ERROR)

WIDE = {"rate": FloatDistribution(1e-5, 1, log=True), "dropout": FloatDistribution(0, 0.8)}
NARROW = {**WIDE, "rate": FloatDistribution(1e-3, 3e-2, log=True)}
SPACE = [ModelParameter(name, distribution) for name, distribution in NARROW.items()]


def loss(params):  # smallest at rate 3e-3, dropout 0.2
    return (math.log10(params["rate"] / 3e-3)) ** 2 + 4 * (params["dropout"] - 0.2) ** 2


def is_inside(params):
    return all(d._contains(params[name]) for name, d in NARROW.items())


def draw_trials(seed, n=12):
    rows = np.random.default_rng(seed).random((n, 2))
    points = [{"rate": 10.0 ** (-5 + 5 * a), "dropout": 0.8 * b} for a, b in rows]
    return [optuna.trial.create_trial(params=p, distributions=WIDE, value=loss(p)) for p in points]


def ask_inside(trials, n=4, seed=0, **options):
    made = optuna.create_study(sampler=GaussianProcessSampler(seed=seed, space=SPACE, **options))
    made.add_trials(trials)
    for _ in range(n):
        trial = made.ask(NARROW)
        assert is_inside(trial.params)
        made.tell(trial, loss(trial.params))
    return made


def test_after_a_narrowing_the_trials_outside_help_to_find_a_better_point():
    better = []
    for seed in range(5):
        trials = draw_trials(seed)
        inside = [t for t in trials if is_inside(t.params)]
        assert 0 < len(inside) < 7
        with_all, without = (ask_inside(known, seed=seed) for known in (trials, inside))
        found = [min(t.value for t in s.trials[-4:]) for s in (with_all, without)]
        better.append(found[0] < found[1])
    assert sum(better) >= 4


@pytest.mark.parametrize(
    ("distribution", "value", "coordinate"),
    [
        (FloatDistribution(1e-3, 1e-1, log=True), 1.0, 1.5),
        (FloatDistribution(0.2, 0.4), 0.1, -0.5),
        (FloatDistribution(0.2, 0.4, step=0.1), 0.5, 1.5),
        (FloatDistribution(0.2, 0.4, step=0.1), 0.1 + 0.2, 0.5),  # rounded
        (IntDistribution(2, 6, step=2), 3, 0.25),
        (IntDistribution(4, 64, log=True), 256, 1.5),
        (IntDistribution(1, 10_001), 20_001, 2.0),
        (CategoricalDistribution((16, 32, 64)), 64, 1.0),
    ],
)
def test_a_number_outside_its_range_is_beyond_the_ends_of_the_axis(distribution, value, coordinate):
    assert math.isclose(coordinate, make_axis(distribution).encode(value), rel_tol=1e-9)


def test_a_number_that_has_no_place_on_a_log_axis_is_refused():
    with pytest.raises(ValueError, match=r"math domain|positive"):
        make_axis(FloatDistribution(1e-3, 1e-1, log=True)).encode(0.0)


def test_a_conditional_number_far_outside_is_not_compared():
    kind = ModelParameter("kind", CategoricalDistribution(("a", "b")))
    when = ModelParameter("x", FloatDistribution(0, 1), when={"kind": ("a",)})
    space = ModelSpace([kind, when, ModelParameter("y", FloatDistribution(0, 1))])
    points = [space.encode({"kind": "a", "x": x, "y": 7.0}) for x in (-0.3, -0.2, 1.2, 1.3)]
    assert [False, True, True, False] == [space.is_comparable(p) for p in points]
    assert [False] * 4 == [space.contains(p) for p in points]
    assert space.contains(space.encode({"kind": "a", "x": 0.3, "y": 1.0}))


@pytest.mark.parametrize("n_objectives", [1, 2])
def test_trials_outside_inform_the_model_and_are_not_improved_on(n_objectives):
    space, rows = ModelSpace(SPACE), [t.params for t in draw_trials(0, 8)]
    trials = [
        optuna.trial.create_trial(params=p, distributions=WIDE, values=[loss(p)] * n_objectives)
        for p in rows
    ]
    for number, trial in enumerate(trials):
        trial.number = number
    points = {number: space.encode(row) for number, row in enumerate(rows)}
    outside = [number for number, row in enumerate(rows) if not is_inside(row)]
    assert 0 < len(outside) < 8
    seen = observe_study(
        trials,
        points,
        maximize=[False] * n_objectives,
        weights=[1.0] * n_objectives,
        outside=outside,
    )
    model = seen.fit(space)
    assert [8] * n_objectives == [len(m.points) for m in model.outputs]
    inside = [points[number] for number in range(8) if number not in outside]
    assert np.array_equal(inside, model.incumbents)


def test_a_trial_that_is_not_feasible_is_not_improved_on():
    made = optuna.create_study()
    made.add_trials(draw_trials(0))
    sampler = GaussianProcessSampler(space=SPACE, feasible=lambda p: p["dropout"] < 0.3)
    known = sampler._read_trials(sampler._declared, made.trials, asking=12)
    fine = {t.number for t in made.trials if is_inside(t.params) and t.params["dropout"] < 0.3}
    assert 0 < len(fine)
    assert set(range(12)) - fine == known.outside


def test_without_any_trial_inside_the_first_ones_are_startup_points():
    outside = [t for t in draw_trials(0, 30) if not is_inside(t.params)]
    first = ask_inside(outside, 1).trials[-1]
    alone = GaussianProcessSampler(space=SPACE)
    expected = optuna.create_study(sampler=alone)
    expected.add_trials(
        [optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL)] * len(outside)
    )
    assert expected.ask(NARROW).params == first.params
