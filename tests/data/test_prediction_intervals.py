"""Intervals and sets have the requested coverage on new rows; unknown levels are refused."""

from collections.abc import Callable

import numpy as np
import pytest

from hpsearch.data.prediction_intervals import (
    LEVELS,
    bound_of_level,
    compute_intervals,
    compute_sets,
    find_interval_bounds,
    find_output_bounds,
    find_set_bounds,
)

N_ROWS, N_NEW = 4_000, 20_000
NEAR = 0.03  # four standard errors of the share below a quartile of 4,000 rows


def draw_numbers(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    prediction = rng.uniform(2, 9, n)
    return prediction + rng.gumbel(0, 1, n), prediction  # the errors lean to one side


def draw_factors(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    prediction = np.exp(rng.uniform(0, 6, n))
    return prediction * np.exp(rng.normal(0, 0.3, n)), prediction


@pytest.mark.parametrize(("draw", "transform"), [(draw_numbers, ""), (draw_factors, "log")])
def test_intervals_hold_the_wanted_share_of_new_rows_and_miss_as_often_on_each_side(
    draw: Callable[..., tuple[np.ndarray, np.ndarray]], transform: str
) -> None:
    rng = np.random.default_rng(3)
    bounds = find_interval_bounds(*draw(rng, N_ROWS), transform)
    assert list(LEVELS) == [level for level, *_ in bounds]
    truth, prediction = draw(rng, N_NEW)
    for level in (0.5, 0.8, 0.9, 0.95):
        low, high = compute_intervals(prediction, bound_of_level(bounds, level), transform)
        below, above = (truth < low).mean(), (truth > high).mean()
        assert level == pytest.approx(1 - below - above, abs=2 * NEAR)
        assert (1 - level) / 2 == pytest.approx(below, abs=NEAR)
    if transform:
        assert (low > 0).all()
        ratio = (high - low) / prediction
        assert ratio.min() == pytest.approx(ratio.max())


def test_sets_hold_the_wanted_share_of_new_rows_and_never_nothing() -> None:
    rng = np.random.default_rng(4)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        probabilities = rng.dirichlet([1.0, 1.0, 1.0, 1.0], n)
        truth = np.array([rng.choice(4, p=p) for p in probabilities])
        return truth, probabilities**2 / (probabilities**2).sum(axis=1, keepdims=True)

    bounds = find_set_bounds(*draw(N_ROWS))
    truth, probabilities = draw(N_NEW)
    sizes = []
    for level in (0.6, 0.9, 0.99):
        members = compute_sets(probabilities, bound_of_level(bounds, level))
        assert level == pytest.approx(members[np.arange(N_NEW), truth].mean(), abs=2 * NEAR)
        assert members.any(axis=1).all()
        sizes.append(members.sum(axis=1).mean())
    assert sizes == sorted(sizes)


def test_the_rank_counts_one_row_more_as_the_theory_wants() -> None:
    errors = np.arange(1.0, 40.0)  # 39 rows: the 38th of 40 at 95%, the 2nd from below
    bounds = find_interval_bounds(errors, np.zeros(39))
    assert [2.0, 38.0] == list(bound_of_level(bounds, 0.9))
    assert [1.0, 39.0] == list(bound_of_level(bounds, 0.95))
    with pytest.raises(ValueError, match=r"from 0\.5 to 0\.95 .*; higher ones need .* more rows"):
        bound_of_level(bounds, 0.96)


def test_a_row_of_weight_two_counts_as_two_rows() -> None:
    rng = np.random.default_rng(5)
    truth, prediction = draw_numbers(rng, 50)
    weights = rng.integers(1, 4, 50)
    twice = find_interval_bounds(np.repeat(truth, weights), np.repeat(prediction, weights))
    weighted = find_interval_bounds(truth, prediction, "", weights.astype(np.float32))
    # The row to come weighs one there, the mean weight here: at most one of 100 rows further out.
    for (level, low, high), (same, low_2, high_2) in zip(weighted, twice, strict=False):
        assert level == same
        assert low <= low_2 + 1e-9
        assert high >= high_2 - 1e-9
    uniform = find_interval_bounds(truth, prediction, "", np.full(50, 3.0))
    assert uniform == find_interval_bounds(truth, prediction)


def test_rows_that_were_never_validated_are_left_out() -> None:
    truth, prediction = draw_numbers(np.random.default_rng(6), 60)
    holes = np.concatenate([prediction, np.full(9, np.nan)])
    longer = np.concatenate([truth, np.zeros(9)])
    assert find_interval_bounds(truth, prediction) == find_interval_bounds(longer, holes)


@pytest.mark.parametrize("level", [0.4, 0.905, 1.0])
def test_a_level_that_there_is_not_is_refused_with_those_that_there_are(level: float) -> None:
    bounds = find_interval_bounds(*draw_numbers(np.random.default_rng(7), 300))
    with pytest.raises(ValueError, match=r"levels from 0\.5 to 0\.99 in steps of 0\.01$"):
        bound_of_level(bounds, level)
    with pytest.raises(ValueError, match="no intervals"):
        bound_of_level((), level)


def test_a_level_of_several_outputs_needs_enough_rows_of_each() -> None:
    rng = np.random.default_rng(9)
    truth, prediction = draw_factors(rng, 60)
    pairs = np.stack([truth, truth], axis=1), np.stack([prediction, prediction], axis=1)
    pairs[1][30:, 1] = np.nan  # rows without a prediction of the second output
    both = find_output_bounds(*pairs, ("", "log"))
    first = find_interval_bounds(truth, prediction)
    second = find_interval_bounds(truth[:30], prediction[:30], "log")
    assert [level for level, *_ in both] == [level for level, *_ in second]
    assert len(second) < len(first)
    for level, *ends in both:
        assert list(ends) == [*bound_of_level(first, level), *bound_of_level(second, level)]
    low, high = compute_intervals(prediction, bound_of_level(both, 0.8), "log", output=1)
    expected = compute_intervals(prediction, bound_of_level(second, 0.8), "log")
    np.testing.assert_array_equal((low, high), expected)
