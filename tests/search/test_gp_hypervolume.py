"""Expected improvement of a hypervolume, and the probability that constraints are satisfied."""

from itertools import product

import numpy as np
import pytest
from optuna.distributions import FloatDistribution

from hpsearch.search.gp.hypervolume import find_front, improve_front, split_boxes
from hpsearch.search.gp.kernel import Features
from hpsearch.search.gp.model import fit_hyperparameters, fit_posterior
from hpsearch.search.gp.model_space import ModelParameter, ModelSpace
from hpsearch.search.gp.terms import Feasibility
from hpsearch.search.gp.warp import Scores

SPACE = ModelSpace(
    (ModelParameter("x", FloatDistribution(0, 1)), ModelParameter("y", FloatDistribution(0, 1)))
)
POINTS = np.random.default_rng(0).random((12, 2))
ROWS = Features(SPACE)(POINTS, SPACE.active(POINTS))


def fit_values(values):
    owners, scores = Features(SPACE).owners, Scores.from_values(list(values), [0.0] * len(values))
    return fit_posterior(ROWS, owners, scores, fit_hyperparameters(ROWS, owners, scores))


OBJECTIVES = [
    fit_values(values)
    for values in (POINTS[:, 0], (1 - POINTS[:, 0]) ** 2 + POINTS[:, 1], POINTS.sum(axis=1))
]


@pytest.mark.parametrize("n_objectives", [2, 3])
def test_boxes_cover_each_undominated_point_once(n_objectives):
    drawn = np.random.default_rng(1).random((20, n_objectives))
    front, worst = drawn[find_front(drawn)], np.full(n_objectives, 0.9)
    lower, upper = split_boxes(front, worst)
    points = np.random.default_rng(2).random((500, n_objectives))
    inside = (lower[None] <= points[:, None]) & (points[:, None] < upper[None])
    dominated = (front[None] <= points[:, None]).all(axis=2).any(axis=1)
    expected = ~dominated & (points < worst).all(axis=1)
    assert (inside.all(axis=2).sum(axis=1) == expected).all()


def test_a_front_has_one_of_equal_points_and_no_dominated_one():
    points = np.array([[2.0, 2.0], [1.0, 3.0], [1.0, 3.0], [3.0, 3.0], [0.0, 4.0]])
    assert [4, 1, 0] == find_front(points).tolist()


@pytest.mark.parametrize("n_objectives", [2, 3])
def test_the_expected_improvement_is_the_mean_over_draws(n_objectives):
    posteriors = OBJECTIVES[:n_objectives]
    means = np.column_stack([p.predict(ROWS)[0] for p in posteriors])[:6]
    term = improve_front(posteriors, means)
    lower = np.stack([cut[i] for cut, i in zip(term.cuts, term.lower.T, strict=True)], axis=1)
    upper = np.stack([cut[i] for cut, i in zip(term.cuts, term.upper.T, strict=True)], axis=1)
    at = Features(SPACE)(np.array([[0.1, 0.1], [0.7, 0.3]]), np.ones((2, 2), bool))
    rng = np.random.default_rng(0)
    for row, value in zip(at, term.values(at), strict=True):
        moments = [p.predict(row[None]) for p in posteriors]
        drawn = np.column_stack([m + np.sqrt(v) * rng.standard_normal(40_000) for m, v in moments])
        sides = np.maximum(upper[None] - np.maximum(drawn[:, None], lower[None]), 0.0)
        assert np.exp(value) == pytest.approx(sides.prod(axis=2).sum(axis=1).mean(), rel=0.05)


def make_terms():
    means = np.column_stack([p.predict(ROWS)[0] for p in OBJECTIVES])[:6]
    return [
        improve_front(OBJECTIVES[:2], means[:, :2]),
        improve_front(OBJECTIVES, means),
        Feasibility(OBJECTIVES[0], -0.3),
    ]


@pytest.mark.parametrize("index", [0, 1, 2])
def test_slopes_are_those_of_the_values(index):
    term, step = make_terms()[index], 1e-5
    at = Features(SPACE)(np.array([[0.2, 0.3], [0.55, 0.1]]), np.ones((2, 2), bool))
    values, slopes = term.with_slopes(at)
    assert values == pytest.approx(term.values(at))
    for i, j in product(range(2), range(at.shape[1])):
        ends = []
        for sign in (1, -1):
            moved = at.copy()
            moved[i, j] += sign * step
            ends.append(term.values(moved)[i])
        assert slopes[i, j] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-3, abs=1e-5)
