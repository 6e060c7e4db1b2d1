"""Expected improvement and its maximum."""

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hpsearch.search.gp.acquisition import Acquisition, maximize_acquisition
from hpsearch.search.gp.kernel import Features
from hpsearch.search.gp.model import fit_hyperparameters, fit_posterior
from hpsearch.search.gp.model_space import ModelParameter, ModelSpace
from hpsearch.search.gp.terms import Improvement, log_expected_improvement
from hpsearch.search.gp.warp import Scores

SPACE = ModelSpace(
    (
        ModelParameter("x", FloatDistribution(0, 1)),
        ModelParameter("kind", CategoricalDistribution(("a", "b", "c"))),
        ModelParameter("n", IntDistribution(1, 4)),
        ModelParameter("child", FloatDistribution(0, 1), {"kind": ("b",)}),
    )
)


def acquisition():
    points = SPACE.draw(np.random.default_rng(0).random((40, 4)))
    active = SPACE.active(points)
    features = Features(SPACE)
    child = np.where(active[:, 3], (points[:, 3] - 0.2) ** 2, 0.5)
    scores = Scores.from_values(list((points[:, 0] - 0.6) ** 2 + child + points[:, 2]), [0.0] * 40)
    rows = features(points, active)
    posterior = fit_posterior(
        rows, features.owners, scores, fit_hyperparameters(rows, features.owners, scores)
    )
    mean, _ = posterior.predict(rows)
    terms = (Improvement(posterior, float(mean.min())),)
    return Acquisition(SPACE, features, terms), points[np.argsort(mean)]


def everywhere(point):
    return True


def test_expected_improvement_is_that_of_drawn_values():
    mean, variance = np.array([0.0, 1.0, -2.0]), np.array([1.0, 0.25, 4.0])
    draws = mean + np.sqrt(variance) * np.random.default_rng(0).standard_normal((400_000, 3))
    expected = np.log(np.maximum(0.3 - draws, 0).mean(0))
    assert expected == pytest.approx(log_expected_improvement(mean, variance, 0.3)[0], abs=0.02)


def test_its_logarithm_stays_finite_and_falls_where_improvement_is_hopeless():
    mean = np.array([1.0, 10.0, 1e3, 1e6])
    value, by_mean, by_variance = log_expected_improvement(mean, np.ones(4), 0.0)
    assert np.all(np.isfinite([value, by_mean, by_variance]))
    assert np.all(np.diff(value) < 0)
    assert np.all(by_mean < 0)


def test_its_slopes_are_those_of_differences():
    mean, variance = np.array([0.2, 3.0, -1.0, 20.0]), np.array([0.5, 0.1, 2.0, 1.0])
    _, by_mean, by_variance = log_expected_improvement(mean, variance, 0.1)

    def at(m, v):
        return log_expected_improvement(mean + m, variance + v, 0.1)[0]

    assert (at(1e-6, 0) - at(-1e-6, 0)) / 2e-6 == pytest.approx(by_mean, rel=1e-4)
    assert (at(0, 1e-6) - at(0, -1e-6)) / 2e-6 == pytest.approx(by_variance, rel=1e-4)


def test_the_proposal_is_better_than_thousands_of_random_points():
    wanted, centres = acquisition()
    point = maximize_acquisition(wanted, centres, everywhere, np.random.default_rng(0))
    drawn = SPACE.draw(np.random.default_rng(1).random((5000, 4)))
    assert wanted(point[None, :])[0] >= wanted(drawn).max() - 1e-6


def test_what_is_not_allowed_is_not_proposed():
    wanted, centres = acquisition()

    def allowed(point):
        return point[2] > 0.5 and point[0] < 0.5

    point = maximize_acquisition(wanted, centres, allowed, np.random.default_rng(0))
    assert allowed(point)


def test_nothing_is_proposed_where_nothing_is_allowed():
    wanted, centres = acquisition()
    assert (
        maximize_acquisition(wanted, centres, lambda point: False, np.random.default_rng(0)) is None
    )
