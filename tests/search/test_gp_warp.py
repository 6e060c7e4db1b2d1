"""Warps of the scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.search.gp.model import fit_hyperparameters
from hpsearch.search.gp.warp import Scores


def scores(values, error=0.1):
    return Scores.from_values(list(values), [error] * len(values))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=3, unique=True), st.floats(-8, 8))
def test_a_warp_keeps_the_order_and_standardises(values, log_offset):
    targets = scores(values).warp(log_offset).targets
    assert np.all(np.diff(targets[np.argsort(values)]) >= 0)
    assert 0 == pytest.approx(targets.mean(), abs=1e-6)
    assert 1 == pytest.approx(targets.std(), abs=1e-6)


def test_a_large_offset_leaves_the_scores_as_they_are():
    values = np.random.default_rng(0).random(20)
    assert 1 == pytest.approx(np.corrcoef(values, scores(values).warp(8.0).targets)[0, 1], abs=1e-6)


def test_scale_and_shift_of_the_scores_do_not_matter():
    values = np.random.default_rng(0).random(20)
    moved = Scores.from_values(list(50 * values - 7), [5.0] * 20).warp(0.3)
    assert scores(values).warp(0.3).targets == pytest.approx(moved.targets)
    assert scores(values).warp(0.3).noise == pytest.approx(moved.noise)


def test_slopes_along_the_offset_are_those_of_differences():
    warp = scores(np.random.default_rng(1).lognormal(size=15)).warp
    here, above, below = warp(0.2), warp(0.2 + 1e-5), warp(0.2 - 1e-5)
    for name in ("targets", "noise", "log_density"):
        change = (getattr(above, name) - getattr(below, name)) / 2e-5
        assert change == pytest.approx(getattr(here, f"d_{name}"), abs=1e-5)


def test_noise_grows_where_the_warp_is_steep():
    noise = scores([0.0, 1.0, 2.0, 10.0]).warp(0.0).noise
    assert np.all(np.diff(noise) < 0)


def test_the_offset_is_not_below_the_smallest_gap_of_scores_that_tie_at_the_best():
    rows = np.random.default_rng(0).random((60, 2))
    distances = ((rows - 0.5) ** 2).sum(axis=1)
    steps = np.ceil(np.maximum(0, distances - np.median(distances)) * 30) / 30  # half are 0
    tied = Scores.from_values(steps.tolist(), [0.0] * 60)
    found = fit_hyperparameters(rows, np.array([0, 1]), tied)
    assert found.log_offset >= np.log(tied.smallest_gap)
    assert found.noise < 0.05  # -12 and 0.09 without a bound
