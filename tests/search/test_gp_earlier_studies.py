"""Earlier studies of other data in the Gaussian process sampler."""

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution

from hpsearch.search.gp import EarlierStudy, GaussianProcessSampler, ModelParameter
from hpsearch.search.gp.earlier_processes import add_earlier_studies, fit_earlier_studies
from hpsearch.search.gp.model_space import ModelSpace
from hpsearch.search.gp.observations import Observation
from hpsearch.search.gp.trial_model import fit_trial_model

optuna.logging.set_verbosity(optuna.logging.ERROR)

RANGES = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}
SPACE = [ModelParameter(name, distribution) for name, distribution in RANGES.items()]


def bowl(params, centre=(0.8, 0.3)):
    return (params["x"] - centre[0]) ** 2 + (params["y"] - centre[1]) ** 2


def draw_study(score, n=20, seed=1):
    rows = [dict(zip("xy", row, strict=True)) for row in np.random.default_rng(seed).random((n, 2))]
    return EarlierStudy(rows, [score(row) for row in rows])


LIKE = draw_study(lambda params: 1000 + 5 * bowl(params))  # of the same order
UNLIKE = draw_study(lambda params: -bowl(params))


def informed_model(*studies, n=8):
    space, seen = ModelSpace(SPACE), draw_study(bowl, n, seed=2)
    observed = [Observation(i, p, bowl(p), 0.0) for i, p in enumerate(seen.params)]
    model = fit_trial_model(space, observed, [space.encode(p) for p in seen.params])
    return model, add_earlier_studies(model, fit_earlier_studies(space, studies))


def test_a_study_of_the_same_order_has_a_weight_and_one_of_the_opposite_order_has_none():
    own, informed = informed_model(LIKE, UNLIKE)
    like = fit_earlier_studies(own.space, [LIKE])[0]
    assert np.array_equal(like.targets, informed.posterior.members[0].targets)
    assert len(informed.posterior.members) <= 2
    assert np.isclose(1.0, sum(informed.posterior.weights))
    plain, unlike = informed_model(UNLIKE)
    assert unlike is plain


def test_the_slopes_of_an_ensemble_are_those_of_its_values():
    _, informed = informed_model(LIKE)
    at, step = np.array([[0.4, 0.6]]), 1e-6
    _, _, d_mean, d_variance = informed.posterior.predict_with_slopes(at)
    for j in range(2):
        moved = at + step * np.eye(2)[[j]]
        above, below = (informed.posterior.predict(p) for p in (moved, 2 * at - moved))
        for k, slopes in enumerate((d_mean, d_variance)):
            assert np.isclose((above[k] - below[k])[0] / (2 * step), slopes[0, j], rtol=1e-3)


def run(earlier, n, made=None):
    sampler = GaussianProcessSampler(seed=3, space=SPACE, earlier=earlier)
    made = made or optuna.create_study()
    made.sampler = sampler
    for _ in range(n):
        trial = made.ask(RANGES)
        made.tell(trial, bowl(trial.params))
    return made


def test_fewer_trials_find_the_optimum_and_a_stopped_study_equals_one_never_stopped():
    informed = run([LIKE], 7)
    assert informed.best_value < 1e-3 < run([], 7).best_value
    resumed = run([LIKE], 2, run([LIKE], 5))
    assert [t.params for t in resumed.trials] == [t.params for t in informed.trials]


def test_a_study_of_the_opposite_order_changes_nothing():
    assert [t.params for t in run([], 10).trials] == [t.params for t in run([UNLIKE], 10).trials]


def test_values_outside_the_space_are_left_out_and_missing_ones_are_in_the_middle():
    kind = ModelParameter("kind", CategoricalDistribution(("a", "b")))
    space = ModelSpace([*SPACE, kind])
    rows = [{"x": 0.1, "z": 9}, {"x": 0.5, "kind": "b"}, {"x": 0.9, "y": 0.2}]
    outside = [{"x": 2.0}, {"x": 0.3, "kind": "c"}, {"x": "much"}]
    (one,) = fit_earlier_studies(space, [EarlierStudy(rows + outside, range(6))])
    assert 3 == len(one.targets)
    assert [] == fit_earlier_studies(space, [EarlierStudy(rows[:2] + outside, range(5))])
