"""Statistics of a fold equal scikit-learn's, fitted on its training rows only."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hpsearch.data import Column, Schema, Target
from hpsearch.data.statistics import N_KNOTS, fit_statistics

SCHEMA = Schema(
    (
        Column("a", "numeric"),
        Column("b", "numeric", indicator=True, impute="mean"),
        Column("c", "categorical", ("x", "y", "z"), indicator=True),
        Column("d", "numeric", scaling="minmax", impute="most_frequent"),
        Column("e", "numeric", scaling="robust", impute=-1.0),
        Column("f", "numeric", scaling="quantile"),
    ),
    Target("y", "regression"),
)


def rows_of(seed: int, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    columns = rng.integers(-9, 9, size=(n_rows, 6)).astype(np.float32)
    columns[:, 2] = rng.integers(0, 3, n_rows)
    columns[rng.random(columns.shape) < 0.2] = np.nan
    return columns, rng.normal(size=(n_rows, 1)).astype(np.float32)


@pytest.mark.parametrize(
    ("impute", "scaling"),
    [
        (impute, scaling)
        for impute in ("median", "mean", "most_frequent", 3.0)
        for scaling in ("standard", "minmax", "robust", "none")
    ],
)
def test_numbers_are_scikit_learns(impute, scaling):
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import (
        FunctionTransformer,
        MinMaxScaler,
        RobustScaler,
        StandardScaler,
    )

    schema = Schema((Column("a", "numeric", impute=impute, scaling=scaling),))
    columns = rows_of(1, 101)[0][:, :1]
    train, held = np.arange(0, 101, 2), np.arange(1, 101, 2)
    if isinstance(impute, float):
        imputer = SimpleImputer(strategy="constant", fill_value=impute)
    else:
        imputer = SimpleImputer(strategy=impute)
    scaler = {
        "standard": StandardScaler,
        "minmax": MinMaxScaler,
        "robust": RobustScaler,
        "none": FunctionTransformer,
    }[scaling]()
    expected = make_pipeline(imputer, scaler).fit(columns[train]).transform(columns[held])
    statistics = fit_statistics(schema, columns, np.zeros((101, 0)), train)
    np.testing.assert_allclose(expected, statistics.apply(columns[held]), rtol=1e-5, atol=1e-6)


def test_robust_clip_is_the_papers_formula_with_the_quartiles_of_the_training_rows():
    schema = Schema((Column("a", "numeric", scaling="robust_clip"), Column("b", "numeric")))
    columns = np.random.default_rng(0).lognormal(size=(40, 2)).astype(np.float32)
    columns[39, 0] = 1e30  # a row that is not trained on, and an outlier of any size
    train = np.arange(30)
    seen = fit_statistics(schema, columns, np.zeros((40, 0)), train).apply(columns)
    low, middle, high = np.quantile(columns[train, 0], [0.25, 0.5, 0.75])
    scaled = (columns[:, 0].astype(np.float64) - middle) / (high - low)
    np.testing.assert_allclose(scaled / np.sqrt(1 + (scaled / 3) ** 2), seen[:, 0], rtol=1e-5)
    plain = Schema((Column("b", "numeric"),))
    other = fit_statistics(plain, columns[:, 1:], np.zeros((40, 0)), train)
    np.testing.assert_array_equal(other.apply(columns[:, 1:])[:, 0], seen[:, 1])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 0, 0, 0, 0, 0, 0, 8], 8 / 4),  # equal quartiles: half of the range
        ([5, 5, 5, 5, 5, 5, 5, 5], 0),
    ],
)
def test_robust_clip_of_a_column_with_equal_quartiles_is_finite(values, expected):
    schema = Schema((Column("a", "numeric", scaling="robust_clip"),))
    columns = np.array(values, np.float32)[:, None]
    statistics = fit_statistics(schema, columns, np.zeros((8, 0)), np.arange(8))
    clipped = expected / np.sqrt(1 + (expected / 3) ** 2)
    np.testing.assert_allclose(clipped, statistics.apply(columns)[-1, 0], rtol=1e-6)


def test_quantiles_are_scikit_learns_at_the_knots():
    from sklearn.preprocessing import QuantileTransformer

    schema = Schema((Column("a", "numeric", scaling="quantile"), Column("b", "numeric")))
    columns = np.random.default_rng(0).lognormal(size=(1000, 2)).astype(np.float32)
    train = np.arange(800)
    theirs = QuantileTransformer(n_quantiles=N_KNOTS, output_distribution="normal", subsample=None)
    theirs.fit(columns[train, :1])
    statistics = fit_statistics(schema, columns, np.zeros((1000, 0)), train)
    knots = np.tile(theirs.quantiles_, (1, 2)).astype(np.float32)
    seen = statistics.apply(knots)[:, 0]
    np.testing.assert_allclose(theirs.transform(knots[:, :1])[1:-1, 0], seen[1:-1], atol=2e-4)
    np.testing.assert_allclose([-3.0902, 3.0902], seen[[0, -1]], atol=1e-4)
    beyond = statistics.apply(np.array([[-9e9, 0], [9e9, 0]], np.float32))[:, 0]
    np.testing.assert_allclose([-3.0902, 3.0902], beyond, atol=1e-4)


@given(
    arrays(np.float32, 50, elements=st.floats(-1e6, 1e6, width=32)),
    st.sampled_from([0.0, 0.5, 0.9]),
)
@settings(max_examples=100, deadline=None)
def test_quantile_scaling_keeps_the_order_and_stays_in_bounds(values, zeros):
    values[: int(zeros * len(values))] = 0
    schema = Schema((Column("a", "numeric"),))
    columns = np.sort(values)[:, None]
    statistics = fit_statistics(
        schema, columns, np.zeros((50, 0)), np.arange(50), scaling="quantile"
    )
    seen = statistics.apply(columns)[:, 0]
    assert np.isfinite(seen).all()
    assert (np.diff(seen) >= -1e-3).all()
    assert np.abs(seen).max() <= 3.1


def test_a_column_of_many_equal_values_is_near_zero_where_they_are():
    columns = np.concatenate([np.zeros(60), np.arange(1, 41)])[:, None].astype(np.float32)
    schema = Schema((Column("a", "numeric"),))
    statistics = fit_statistics(
        schema, columns, np.zeros((100, 0)), np.arange(100), scaling="quantile"
    )
    seen = statistics.apply(columns)[:, 0]
    assert -0.6 < seen[0] < -0.5  # the middle of the lower 60%
    assert 3 < seen[-1] < 3.1


def test_columns_that_declare_a_scaling_keep_it():
    schema = Schema((Column("a", "numeric", scaling="minmax"), Column("b", "numeric")))
    columns = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    of = {
        how: fit_statistics(schema, columns, np.zeros((50, 0)), np.arange(50), scaling=how)
        for how in ("standard", "robust", "quantile")
    }
    seen = {how: statistics.apply(columns) for how, statistics in of.items()}
    for how in ("robust", "quantile"):
        np.testing.assert_array_equal(seen["standard"][:, 0], seen[how][:, 0])
        assert not np.allclose(seen["standard"][:, 1], seen[how][:, 1])


def test_categories_are_passed_through_and_unseen_ones_hidden():
    schema = Schema((Column("c", "categorical", ("x", "y", "z")),))
    codes = np.array([[0], [1], [np.nan], [2]], np.float32)
    statistics = fit_statistics(schema, codes, np.zeros((4, 1)), np.arange(3))
    np.testing.assert_array_equal(
        [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]], statistics.apply(schema.expand(codes))
    )


def test_constant_and_empty_columns_become_zero():
    schema = Schema((Column("a", "numeric"), Column("b", "numeric")))
    columns = np.array([[0.1, np.nan], [0.1, np.nan], [5, 7]], np.float32)
    statistics = fit_statistics(schema, columns, np.zeros((3, 1)), np.arange(2))
    np.testing.assert_array_equal(np.zeros((3, 2)), statistics.apply(columns))


@pytest.mark.parametrize("scaling", ["standard", "minmax", "robust", "quantile"])
def test_a_column_too_narrow_for_float32_is_a_constant_one(scaling):
    columns = np.array([[0], [3e-42], [3e-42], [3e-42]], np.float32)
    schema = Schema((Column("a", "numeric", scaling=scaling),))
    statistics = fit_statistics(schema, columns, np.zeros((4, 1)), np.arange(4))
    assert 1 == len(np.unique(statistics.apply(columns)))


def test_indicator_is_hidden_where_no_training_row_lacks_the_value():
    schema = Schema((Column("a", "numeric", indicator=True),))
    columns = np.array([[1], [2], [np.nan]], np.float32)
    full = fit_statistics(schema, columns, np.zeros((3, 1)), np.arange(2))
    some = fit_statistics(schema, columns, np.zeros((3, 1)), np.arange(3))
    assert [0, 1] == [full.scale[1], some.scale[1]]


def test_regression_target_is_standardised_and_others_are_not():
    target = np.array([[1.0], [3.0], [99.0]], np.float32)
    of = {
        kind: fit_statistics(Schema((), Target("y", kind)), np.zeros((3, 0)), target, np.arange(2))
        for kind in ("regression", "binary")
    }
    assert ([2], [1]) == (of["regression"].target_center, of["regression"].target_scale)
    assert ([0], [1]) == (of["binary"].target_center, of["binary"].target_scale)


@given(st.integers(0, 10_000), st.integers(4, 40), st.data())
@settings(max_examples=60, deadline=None)
def test_statistics_depend_on_their_training_rows_alone(seed, n_rows, draw):
    """Whatever stands in the other rows, not a bit of a fold's statistics changes."""
    columns, target = rows_of(seed, n_rows)
    train = np.flatnonzero(draw.draw(arrays(bool, n_rows)))
    if train.size == 0:
        return
    before = fit_statistics(SCHEMA, columns, target, train)
    others = np.setdiff1d(np.arange(n_rows), train)
    columns[others], target[others] = rows_of(seed + 1, n_rows)[0][others] * 1e3, 1e6
    after = fit_statistics(SCHEMA, columns, target, train)
    for name in ("impute", "center", "scale", "target_center", "target_scale"):
        assert getattr(before, name).tobytes() == getattr(after, name).tobytes(), name
    for one, other in zip(before.quantiles, after.quantiles, strict=True):
        assert one.tobytes() == other.tobytes()


@given(st.integers(0, 10_000), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_what_the_network_sees_is_finite(seed, n_rows):
    columns, target = rows_of(seed, n_rows)
    statistics = fit_statistics(SCHEMA, columns, target, np.arange(n_rows))
    seen = statistics.apply(SCHEMA.expand(columns))
    assert (n_rows, len(SCHEMA.feature_names)) == seen.shape
    assert np.isfinite(seen).all()
