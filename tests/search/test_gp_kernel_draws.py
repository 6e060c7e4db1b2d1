"""Draws of the kernel's hyperparameters from their posterior."""

import numpy as np
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from hpsearch.search.gp.kernel_draws import draw_kernel_hyperparameters
from hpsearch.search.gp.model import LogPosterior, fit_hyperparameters
from hpsearch.search.gp.model_space import ModelParameter, ModelSpace
from hpsearch.search.gp.observations import REPORTS_ATTRIBUTE
from hpsearch.search.gp.study_model import observe_study
from hpsearch.search.gp.warp import Scores

OWNERS = np.arange(2)
RANGE = FloatDistribution(0, 1)


def density(n):
    x = np.random.default_rng(0).random((n, 2))
    scores = Scores.from_values(list(np.sin(5 * x[:, 0])), [0.0] * n)
    return LogPosterior(x, OWNERS, scores), fit_hyperparameters(x, OWNERS, scores)


def draw_packed(n, count, seed=0):
    log_posterior, mode = density(n)
    drawn = draw_kernel_hyperparameters(log_posterior, mode, count, np.random.default_rng(seed))
    return np.array([log_posterior.pack(found) for found in drawn])


def test_the_draws_have_the_moments_of_the_posterior():
    drawn = draw_packed(5, 1_000)
    log_posterior, mode = density(5)
    rng, spread = np.random.default_rng(1), log_posterior.prior_spread
    theta = log_posterior.prior_mean + spread * rng.standard_normal((20_000, 5))
    theta[:, -1] = log_posterior.pack(mode)[-1]
    prior = 0.5 * (((theta - log_posterior.prior_mean) / spread) ** 2).sum(axis=1)
    logs = prior - np.array([log_posterior.value(row) for row in theta])
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    assert 1 / (weights**2).sum() > 300  # draws from the prior that count
    mean = weights @ theta
    deviation = np.sqrt(weights @ (theta - mean) ** 2)
    assert drawn.mean(axis=0)[:4] == pytest.approx(mean[:4], abs=0.3)
    assert drawn.std(axis=0)[:4] == pytest.approx(deviation[:4], rel=0.2)
    assert drawn[:, -1] == pytest.approx(theta[:1_000, -1])


def test_more_trials_narrow_the_draws():
    few, many = draw_packed(8, 200), draw_packed(60, 200)
    assert many[:, 0].std() < 0.5 * few[:, 0].std()


def test_the_draws_also_differ_in_a_wide_space():
    x = np.random.default_rng(0).random((20, 60))
    scores = Scores.from_values(list(np.sin(5 * x[:, 0]) + x[:, 1]), [0.0] * 20)
    owners = np.arange(60)
    mode = fit_hyperparameters(x, owners, scores)
    rng = np.random.default_rng(0)
    drawn = draw_kernel_hyperparameters(LogPosterior(x, owners, scores), mode, 4, rng)
    assert 1 < len({found.weights.tobytes() for found in drawn})


def test_the_same_seed_draws_the_same():
    assert np.array_equal(draw_packed(8, 4), draw_packed(8, 4))
    assert not np.array_equal(draw_packed(8, 4), draw_packed(8, 4, seed=1))


@pytest.mark.parametrize(("n_pruned", "n_objectives", "n_draws"), [(0, 1, 0), (4, 1, 4), (4, 2, 0)])
def test_a_study_averages_over_draws_if_trials_were_pruned(n_pruned, n_objectives, n_draws):
    space = ModelSpace([ModelParameter("x", RANGE)])
    trials = []
    for number, x in enumerate(np.linspace(0, 1, 8)):
        known = {"params": {"x": float(x)}, "distributions": {"x": RANGE}}
        if number < n_pruned:
            trial = create_trial(
                state=TrialState.PRUNED,
                intermediate_values={0: 1 + x**2},
                user_attrs={REPORTS_ATTRIBUTE: [[1 + x**2, x]]},
                **known,
            )
        else:
            reports = dict.fromkeys(range(3), x**2)
            values = [x**2, x][:n_objectives]
            trial = create_trial(values=values, intermediate_values=reports, **known)
        trial.number = number
        trials.append(trial)
    points = {t.number: space.encode(t.params) for t in trials}
    options = {"maximize": [False] * n_objectives, "weights": [1.0] * n_objectives}
    seen = observe_study(trials, points, **options)
    assert [0] * n_objectives == [len(output.draws) for output in seen.fit(space).outputs]
    model = seen.fit(space, n_draws=4)
    assert [n_draws] * n_objectives == [len(output.draws) for output in model.outputs]
    assert seen.fit(space) is model
