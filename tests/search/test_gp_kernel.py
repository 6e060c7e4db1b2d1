"""Distances over conditional spaces."""

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from hpsearch.search.gp.kernel import Features, matern52, squared_distances
from hpsearch.search.gp.model_space import ModelParameter, ModelSpace

SPACE = ModelSpace(
    (
        ModelParameter("kind", CategoricalDistribution(("a", "b", "c"))),
        ModelParameter("x", FloatDistribution(0, 1)),
        ModelParameter("child", FloatDistribution(0, 1), {"kind": ("a",)}),
        ModelParameter("mode", CategoricalDistribution(("p", "q")), {"kind": ("a",)}),
    )
)
FEATURES = Features(SPACE)


def distances(*rows):
    """Squared distance of the first of `rows` of coordinates from all, weights 1."""
    points = np.array(rows, float)
    features = FEATURES(points, SPACE.active(points))
    return squared_distances(features, features)[0]


def test_what_both_lack_makes_no_distance():
    assert 0 == pytest.approx(distances([1, 0.3, 0.1, 0], [1, 0.3, 0.9, 1])[1])


def test_what_one_lacks_makes_the_same_distance_whatever_the_other_has():
    lacking = [1, 0.3, 0.5, 0]
    away = distances(lacking, *([0, 0.3, x, m] for x in (0, 0.2, 1) for m in (0, 1)))[1:]
    assert away == pytest.approx(np.full(6, away[0]))


def test_another_choice_is_one_apart_and_a_number_its_difference():
    assert [1.0, 0.16] == pytest.approx(
        list(distances([1, 0.3, 0, 0], [2, 0.3, 0, 0], [1, 0.7, 0, 0])[1:])
    )


def test_a_conditional_number_keeps_near_values_near():
    near, far = distances([0, 0.3, 0.2, 0], [0, 0.3, 0.3, 0], [0, 0.3, 0.9, 0])[1:]
    assert 0.01 == pytest.approx(near, rel=0.01)
    assert near < far


def test_the_covariance_of_any_points_is_positive_definite():
    points = SPACE.draw(np.random.default_rng(0).random((80, 4)))
    features = FEATURES(points, SPACE.active(points))
    features = np.unique(features, axis=0)
    eigenvalues = np.linalg.eigvalsh(matern52(squared_distances(features, features))[0])
    assert eigenvalues.min() > -1e-10


def test_slopes_along_coordinates_are_those_of_differences():
    rng = np.random.default_rng(1)
    points = SPACE.draw(rng.random((12, 4)))
    active = SPACE.active(points)
    weights = rng.standard_normal(len(FEATURES.owners))
    slopes = FEATURES.pull_back(points, active, np.tile(weights, (12, 1)))
    for j in (1, 2):
        step = np.zeros(4)
        step[j] = 1e-6
        change = (FEATURES(points + step, active) - FEATURES(points - step, active)) @ weights
        assert change / 2e-6 == pytest.approx(slopes[:, j], abs=1e-6)
    assert np.all(slopes[:, [0, 3]] == 0)


def test_the_kernel_falls_from_one_and_its_slope_is_exact():
    squares = np.array([0.0, 0.1, 1.0, 9.0])
    kernel, slope = matern52(squares)
    assert 1.0 == kernel[0]
    assert np.all(np.diff(kernel) < 0)
    change = (matern52(squares + 1e-7)[0] - kernel) / 1e-7
    assert change == pytest.approx(slope, rel=1e-3)
