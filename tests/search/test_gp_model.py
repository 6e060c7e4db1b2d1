"""Fitting and predicting."""

import numpy as np
import pytest

from hpsearch.search.gp.model import (
    KernelHyperparameters,
    LogPosterior,
    fit_hyperparameters,
    fit_posterior,
)
from hpsearch.search.gp.warp import Scores

OWNERS = np.arange(3)


def data(n=40, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random((n, 3))
    y = np.sin(4 * x[:, 0]) + 2 * (x[:, 1] - 0.4) ** 2 + noise * rng.standard_normal(n)
    return x, y


def scores(y, errors=None):
    return Scores.from_values(list(y), list(np.zeros(len(y)) if errors is None else errors))


@pytest.mark.parametrize("has_progress", [False, True])
def test_slopes_of_the_fit_are_those_of_differences(has_progress):
    x, y = data()
    errors = np.abs(y) * 0.1
    errors[3] = np.inf
    posterior = LogPosterior(x, OWNERS, scores(y, errors), has_progress=has_progress)
    theta = posterior.prior_mean + 0.5 * np.random.default_rng(2).standard_normal(6)
    steps = 1e-5 * np.eye(6)
    change = [(posterior(theta + s)[0] - posterior(theta - s)[0]) / 2e-5 for s in steps]
    assert change == pytest.approx(posterior(theta)[1], rel=1e-4, abs=1e-4)


def test_a_parameter_without_effect_gets_the_least_weight():
    x, y = data()
    found = fit_hyperparameters(x, OWNERS, scores(y))
    assert 2 == int(np.argmin(found.weights))


def test_smooth_data_without_noise_are_predicted_where_they_were_not_seen():
    x, y = data(60)
    posterior = fit_posterior(x, OWNERS, scores(y), fit_hyperparameters(x, OWNERS, scores(y)))
    mean, variance = posterior.predict(data(50, seed=9)[0])
    truth = data(50, seed=9)[1]
    assert np.corrcoef(mean, truth)[0, 1] > 0.98
    assert np.all(variance > 0)


def test_scores_after_a_part_of_the_training_predict_those_at_its_end():
    x, y = data(60)
    x[:, 2] = np.where(np.arange(60) < 50, x[:, 2] - 1, 0.0)  # the progress of the training
    told = scores(y - 3 * x[:, 2])
    found = fit_hyperparameters(x, OWNERS, told, has_progress=True)
    posterior = fit_posterior(x, OWNERS, told, found, has_progress=True)
    at, truth = data(50, seed=9)
    at[:, 2] = 0.0
    mean, variance = posterior.predict(at)
    assert np.corrcoef(mean, truth)[0, 1] > 0.98
    assert told.unwarp(mean, found.log_offset) == pytest.approx(truth, abs=0.5)  # not of the part
    assert np.all(variance < 1)


def test_more_noise_is_learned_from_noisier_data():
    def noise(level):
        x, y = data(80, level)
        return fit_hyperparameters(x, OWNERS, scores(y)).noise

    assert noise(0.0) < noise(0.3)


def test_a_score_with_a_large_standard_error_pulls_less():
    x, y = data(30)
    found = KernelHyperparameters(np.full(3, 2.0), 1.0, 1e-4, 1.0)
    y[0] = y.max() + 1  # as far as the worst: the warp is the same in both

    def at_first(error):
        errors = np.zeros(30)
        errors[0] = error
        return fit_posterior(x, OWNERS, scores(y, errors), found).predict(x[:1])[0][0]

    assert at_first(1.0) < at_first(0.3) < at_first(0.0)
    assert at_first(np.inf) < at_first(0.0)


def test_slopes_of_predictions_are_those_of_differences():
    x, y = data()
    posterior = fit_posterior(x, OWNERS, scores(y), fit_hyperparameters(x, OWNERS, scores(y)))
    at = data(5, seed=4)[0]
    _, _, d_mean, d_variance = posterior.predict_with_slopes(at)
    for j, step in enumerate(1e-5 * np.eye(3)):
        above, below = posterior.predict(at + step), posterior.predict(at - step)
        assert (above[0] - below[0]) / 2e-5 == pytest.approx(d_mean[:, j], abs=1e-4)
        assert (above[1] - below[1]) / 2e-5 == pytest.approx(d_variance[:, j], abs=1e-4)


def test_believing_a_pending_point_keeps_its_mean_and_takes_its_variance():
    x, y = data(20)
    posterior = fit_posterior(x, OWNERS, scores(y), fit_hyperparameters(x, OWNERS, scores(y)))
    pending = np.array([[0.5, 0.9, 0.1]])
    before, after = (
        posterior.predict(pending),
        posterior.condition_on_mean(pending).predict(pending),
    )
    assert before[0] == pytest.approx(after[0], abs=1e-3)
    assert after[1][0] < 0.1 * before[1][0]


def test_scores_over_orders_of_magnitude_are_looked_at_by_their_logarithm():
    x, _ = data(60)
    smooth, steep = x[:, 0], np.exp(12 * x[:, 0])
    offsets = [fit_hyperparameters(x, OWNERS, scores(y)).log_offset for y in (smooth, steep)]
    assert offsets[1] < offsets[0] - 1


def test_equal_scores_are_no_error():
    x, _ = data(10)
    found = fit_hyperparameters(x, OWNERS, scores(np.ones(10)))
    assert np.isfinite(fit_posterior(x, OWNERS, scores(np.ones(10)), found).predict(x)[0]).all()
