"""Every kind of folds has its documented properties; impossible folds are refused."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.data.folds import SplitInputs, assign_quantile_bins, make_folds, split_test_rows
from hpsearch.errors import DataError
from hpsearch.spec.data_spec import CrossValidationSpec

N = 120
RNG = np.random.default_rng(3)


def frame() -> pd.DataFrame:
    """120 rows: three groups of classes, ten groups, a shuffled clock, four declared folds."""
    return pd.DataFrame(
        {
            "x": RNG.normal(size=N),
            "who": [f"p{k}" for k in np.random.default_rng(8).integers(0, 10, N)],
            "at": RNG.permutation(N),
            "fold": np.arange(N) % 4 - 1,
            "y": np.array(["a", "b", "c"])[(np.arange(N) // 10) % 3],
        }
    )


KINDS = {
    "kfold": {"kind": "kfold", "folds": 4},
    "stratified": {"kind": "stratified", "folds": 4},
    "group": {"kind": "group", "group": "who", "folds": 4},
    "stratified_group": {"kind": "stratified_group", "group": "who", "folds": 4},
    "leave_one_group_out": {"kind": "leave_one_group_out", "group": "who"},
    "time_series": {"kind": "time_series", "time": "at", "folds": 3},
    "predefined": {"kind": "predefined", "column": "fold"},
    "holdout": {"kind": "holdout", "fraction": 0.25},
    "repeated": {"kind": "kfold", "folds": 4, "repeats": 3},
    "repeated stratified": {"kind": "stratified", "folds": 4, "repeats": 3},
}


def split(load_memory, kind, *, seed=7, **data):
    cv = CrossValidationSpec(**KINDS[kind])
    return load_memory(frame(), target="y", cv=cv, seed=seed, drop=_unused(cv), **data)


def _unused(cv: CrossValidationSpec) -> list[str]:
    return [c for c in ("who", "at", "fold") if c not in cv.columns]


@pytest.mark.parametrize("kind", KINDS)
def test_folds_are_disjoint_sorted_and_reproducible(load_memory, kind):
    data, again = (split(load_memory, kind) for _ in range(2))
    assert ("x",) == data.schema.feature_names
    assert 0 == len(np.intersect1d(data.rows, np.setdiff1d(np.arange(N), data.rows)))
    assert N == data.n_rows + len(data.locked_rows)
    for fold, same in zip(data.folds, again.folds, strict=True):
        np.testing.assert_array_equal(fold.validation, same.validation)
        assert 0 == len(np.intersect1d(fold.train, fold.validation))
        assert (np.diff(fold.train) > 0).all()
        assert (np.diff(fold.validation) > 0).all()
        assert fold.validation.max() < data.n_rows


@pytest.mark.parametrize("kind", ["kfold", "stratified", "group", "stratified_group"])
def test_every_row_validates_once(load_memory, kind):
    data = split(load_memory, kind)
    counts = np.bincount(np.concatenate([f.validation for f in data.folds]))
    assert [1] * data.n_rows == counts.tolist()


def test_repeats_validate_every_row_so_often(load_memory):
    for kind in ("repeated", "repeated stratified"):
        data = split(load_memory, kind)
        assert 12 == len(data.folds)
        counts = np.bincount(np.concatenate([f.validation for f in data.folds]))
        assert [3] * data.n_rows == counts.tolist()


def test_another_seed_gives_other_folds_and_other_test_rows(load_memory):
    one, two = (split(load_memory, "stratified", seed=s) for s in (1, 2))
    assert one.rows.tolist() != two.rows.tolist()
    assert one.folds[0].validation.tolist() != two.folds[0].validation.tolist()


def test_stratified_folds_have_the_shares_of_the_classes(load_memory):
    data = split(load_memory, "stratified")
    for fold in data.folds:
        share = data.target[fold.validation].mean(axis=0)
        np.testing.assert_allclose(data.target.mean(axis=0), share, atol=0.05)


@pytest.mark.parametrize("kind", ["stratified", "kfold", "holdout"])
def test_test_rows_have_the_shares_of_the_classes(load_memory, kind):
    data = split(load_memory, kind)
    counts = data.target.sum(axis=0), data.locked_rows.read().target.sum(axis=0)
    assert ([32, 32, 32], [8, 8, 8]) == (counts[0].tolist(), counts[1].tolist())


@given(st.integers(2, 7), st.lists(st.integers(0, 3), min_size=14, max_size=60), st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_folds_differ_by_one_row_in_all_and_in_each_label(folds, labels, seed):
    rows = SplitInputs(np.array(labels), ())
    made = make_folds(rows, CrossValidationSpec(kind="stratified", folds=folds), seed=seed)
    sizes = [len(f.validation) for f in made]
    assert max(sizes) - min(sizes) <= 1
    for label in set(labels):
        shares = [int((rows.labels[f.validation] == label).sum()) for f in made]
        assert max(shares) - min(shares) <= 1


@given(
    st.integers(2, 5),
    st.integers(0, 3),
    st.none() | st.integers(1, 9),
    st.none() | st.integers(1, 6),
)
@settings(max_examples=50, deadline=None)
def test_time_folds_are_scikit_learns(folds, gap, window, size):
    from sklearn.model_selection import TimeSeriesSplit

    cv = CrossValidationSpec(
        kind="time_series", folds=folds, gap=gap, window=window, validation_rows=size
    )
    made = make_folds(SplitInputs(np.zeros(40, int), ()), cv, seed=0)
    splitter = TimeSeriesSplit(folds, max_train_size=window, test_size=size, gap=gap)
    for fold, (train, held) in zip(made, splitter.split(np.zeros(40)), strict=True):
        assert (train.tolist(), held.tolist()) == (fold.train.tolist(), fold.validation.tolist())


@pytest.mark.parametrize("kind", ["group", "stratified_group", "leave_one_group_out"])
def test_no_group_stands_on_two_sides(load_memory, kind):
    data = split(load_memory, kind)
    who = frame()["who"].to_numpy()
    development = who[data.rows]
    assert not set(development) & set(np.delete(who, data.rows))
    for fold in data.folds:
        assert not set(development[fold.train]) & set(development[fold.validation])


@pytest.mark.parametrize("kind", ["group", "stratified_group"])
def test_uneven_groups_give_about_the_wanted_rows(load_memory, kind):
    """One group holds a third of the rows: it is not taken for a fifth of them."""
    who = np.where(np.arange(600) % 3 == 0, 99, np.arange(600) // 20)
    y = RNG.integers(0, 2, 600)
    table = pd.DataFrame({"x": RNG.normal(size=600), "who": who, "y": y})
    cv = CrossValidationSpec(kind=kind, group="who", folds=3)
    data = load_memory(table, target="y", cv=cv)
    assert 90 <= len(data.locked_rows) <= 130
    if kind == "group":
        sizes = [len(f.validation) for f in data.folds]
        assert [200] == sizes[:1]
        assert max(sizes[1:]) - min(sizes[1:]) <= 14


def test_leave_one_group_out_has_a_fold_a_group(load_memory):
    data = split(load_memory, "leave_one_group_out")
    assert len(set(frame()["who"].to_numpy()[data.rows])) == len(data.folds)


def test_time_folds_never_see_the_future(load_memory):
    rows = frame()
    cv = CrossValidationSpec(kind="time_series", time="at", folds=3, gap=2)
    data = load_memory(rows, target="y", cv=cv, drop=_unused(cv))
    at = rows["at"].to_numpy()
    assert (np.diff(at[data.rows]) > 0).all()
    assert at[data.rows].max() < np.delete(at, data.rows).min()
    for fold in data.folds:
        times = at[data.rows]
        assert times[fold.train].max() + 2 < times[fold.validation].min()


def test_sliding_window_keeps_the_latest_rows(load_memory):
    cv = CrossValidationSpec(kind="time_series", folds=3, window=24, validation_rows=20)
    data = load_memory(frame(), target="y", cv=cv, drop=_unused(cv))
    assert [(24, 20)] * 3 == [(len(f.train), len(f.validation)) for f in data.folds]


def test_predefined_folds_validate_as_declared(load_memory):
    data = split(load_memory, "predefined")
    declared = frame()["fold"].to_numpy()[data.rows]
    assert 3 == len(data.folds)
    for k, fold in enumerate(data.folds):
        np.testing.assert_array_equal(np.flatnonzero(declared == k), fold.validation)


def test_unshuffled_holdout_validates_on_the_last_rows(load_memory):
    cv = CrossValidationSpec(kind="holdout", shuffle=False, fraction=0.25)
    data = load_memory(frame(), target="y", cv=cv, drop=_unused(cv))
    (fold,) = data.folds
    np.testing.assert_array_equal(np.arange(96), data.rows)
    np.testing.assert_array_equal(np.arange(72, 96), fold.validation)


def test_stratified_regression_spreads_the_quantiles(load_memory):
    y = np.sort(RNG.lognormal(size=N))
    cv = CrossValidationSpec(kind="stratified", folds=4)
    data = load_memory((RNG.normal(size=(N, 2)), y), cv=cv)
    middle = np.median(data.target)
    shares = [(data.target[f.validation] < middle).mean() for f in data.folds]
    np.testing.assert_allclose([0.5] * 4, shares, atol=0.1)


def test_no_test_rows_where_none_are_wanted(load_memory):
    data = split(load_memory, "kfold", test_fraction=0)
    assert (N, None) == (data.n_rows, data.locked_rows)


def test_locked_rows_are_read_once(load_memory):
    locked = split(load_memory, "kfold").locked_rows
    assert 24 == len(locked.read().target)
    with pytest.raises(RuntimeError, match="already been read"):
        locked.read()


@pytest.mark.parametrize(
    ("y", "cv", "message"),
    [
        (
            ["a"] * 57 + ["b"] * 3,
            {},
            "for 5 stratified folds; class 'b' has 2: set cross_validation.folds: 2, or add rows$",
        ),
        (["a"] * 59 + ["b"], {}, "at least 5 development rows for 5 stratified folds.*: add rows$"),
        (["a", "b"] * 29 + ["c"] * 2, {}, "'c' has 2: .*join classes with data.columns.TARGET"),
        (["a"] * 30 + ["b"] * 30, {"kind": "kfold", "folds": 2, "shuffle": False}, "miss a class"),
        (["a", "b"] * 30, {"kind": "kfold", "folds": 50}, "50 folds, but 48 development rows"),
        (["a"] * 30 + ["b"] * 30, {"kind": "time_series"}, "would miss a class among its training"),
    ],
)
def test_impossible_folds_are_refused_with_the_counts(load_memory, y, cv, message):
    with pytest.raises(DataError, match=message):
        load_memory((RNG.normal(size=(60, 2)), np.array(y)), cv=CrossValidationSpec(**cv))


def test_more_folds_than_groups_is_refused(load_memory):
    cv = CrossValidationSpec(kind="group", group="who", folds=9)
    with pytest.raises(DataError, match="9 folds, but 'who' has 8 groups"):
        load_memory(frame(), target="y", cv=cv, drop=["at", "fold"])


def test_time_folds_without_training_rows_are_refused(load_memory):
    cv = CrossValidationSpec(kind="time_series", folds=5, gap=30)
    with pytest.raises(DataError, match="5 folds of 16 validation rows and a gap of 30 leave no"):
        load_memory(frame(), target="y", cv=cv, drop=_unused(cv))


def test_row_without_a_group_is_refused(load_memory):
    rows = frame()
    rows.loc[5, "who"] = None
    with pytest.raises(DataError, match="column 'who' is missing in row 6"):
        load_memory(rows, target="y", cv=CrossValidationSpec(**KINDS["group"]), drop=["at", "fold"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "group"},
        {"kind": "kfold", "group": "who"},
        {"kind": "predefined"},
        {"kind": "kfold", "gap": 3},
        {"kind": "time_series", "repeats": 2},
        {"repeats": 2, "shuffle": False},
        {"folds": 1},
        {"kind": "magic"},
        {"fold": 5},
    ],
)
def test_contradicting_declarations_are_refused(wrong):
    with pytest.raises(ValueError, match="validation error"):
        CrossValidationSpec(**wrong)


@given(st.lists(st.integers(0, 2), min_size=30, max_size=80), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_any_rows_are_divided_cleanly_or_refused(labels, seed):
    rows = SplitInputs(np.array(labels), ("a", "b", "c"))
    cv = CrossValidationSpec(folds=3)
    try:
        development, test = split_test_rows(rows, cv, fraction=0.2, seed=seed)
        folds = make_folds(rows.take(development), cv, seed=seed)
    except DataError:
        assert min(np.bincount(labels, minlength=3)) < 8
        return
    assert len(labels) == len(set(development) | set(test))
    assert set(range(len(development))) == {i for f in folds for i in f.validation}


@given(st.lists(st.sampled_from([0.0, 0.5, 3.0]) | st.floats(-1e9, 1e9), min_size=4, max_size=60))
def test_quantile_bins_are_ordered_and_none_is_nearly_empty(numbers):
    values = np.array(numbers)
    bins = assign_quantile_bins(values, 2)
    assert (np.diff(bins[np.argsort(values, kind="stable")]) >= 0).all()
    assert min(np.bincount(bins)) >= 2
