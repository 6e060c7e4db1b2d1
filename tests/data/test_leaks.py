"""Planted leaks, each of which would raise a model's score, are detected or have no effect."""

import numpy as np
import pandas as pd
import pytest

from hpsearch.data.statistics import fit_statistics
from hpsearch.spec.data_spec import CrossValidationSpec

N = 150


def wild(rng: np.random.Generator) -> pd.DataFrame:
    """Numbers with a far outlier, gaps and a category, so that every statistic moves."""
    x = rng.normal(size=N)
    x[::7] = np.nan
    color = rng.choice(["red", "green"], N)
    return pd.DataFrame({"x": x, "color": color, "y": rng.normal(size=N)})


def test_scaling_on_all_rows_would_be_seen(load_memory):
    """Poison one fold's validation rows: its own statistics stay, those of all rows move."""
    data = load_memory(wild(np.random.default_rng(0)), target="y")
    fold = data.folds[0]
    clean = data.statistics(fold.train)
    everything = np.arange(data.n_rows)
    leaky = data.statistics(everything)
    columns, target = data.columns.copy(), data.target.copy()
    columns[fold.validation, 0] = 1e6
    target[fold.validation] = 1e6
    poisoned = fit_statistics(data.schema, columns, target, fold.train)
    seen = fit_statistics(data.schema, columns, target, everything)
    for name in ("impute", "center", "scale", "target_center", "target_scale"):
        assert getattr(clean, name).tobytes() == getattr(poisoned, name).tobytes()
    assert leaky.center[0] != seen.center[0]
    assert leaky.target_center != seen.target_center


def test_a_transformed_target_is_standardised_by_the_training_rows_alone(load_memory):
    table = wild(np.random.default_rng(8)).assign(y=lambda t: np.exp(t["y"]))
    data = load_memory(table, target="y", columns={"y": {"transform": "log"}})
    train, validation = data.folds[0].train, data.folds[0].validation
    logs = np.log(data.target[train].astype(np.float64))
    target = data.target.copy()
    target[validation] = 1e6
    found = fit_statistics(data.schema, data.columns, target, train)
    np.testing.assert_array_equal(logs.mean(axis=0).astype(np.float32), found.target_center)
    np.testing.assert_array_equal(logs.std(axis=0).astype(np.float32), found.target_scale)


def test_locked_rows_move_nothing_that_training_sees(load_memory):
    """Poison the locked rows: schema, columns, folds and statistics stay, bit for bit."""
    table = wild(np.random.default_rng(1))
    before = load_memory(table, target="y")
    locked = np.setdiff1d(np.arange(N), before.rows)
    table.loc[locked, "x"] = 1e6
    table.loc[locked, "color"] = "poison"
    table.loc[locked, "y"] = 1e6
    after = load_memory(table, target="y")
    assert before.schema == after.schema
    assert before.columns.tobytes() == after.columns.tobytes()
    assert before.target.tobytes() == after.target.tobytes()
    for one, two in zip(before.folds, after.folds, strict=True):
        assert one.train.tolist() == two.train.tolist()
        assert (
            before.statistics(one.train).scale.tolist()
            == after.statistics(two.train).scale.tolist()
        )
    assert before.fingerprint != after.fingerprint


def test_category_of_the_validation_rows_is_hidden_from_the_fold(load_memory):
    """A category that no training row shows would meet untrained weights: it becomes zero."""
    table = wild(np.random.default_rng(2))
    fold = load_memory(table, target="y", test_fraction=0).folds[0]
    table.loc[fold.validation[:3], "color"] = "blue"
    data = load_memory(table, target="y", test_fraction=0)
    assert fold.train.tolist() == data.folds[0].train.tolist()
    at = data.schema.feature_names.index("color=blue")
    assert [0, 1] == [data.statistics(rows).scale[at] for rows in (fold.train, fold.validation)]


def test_duplicates_across_sides_are_told_and_can_be_left_out(load_memory):
    table = wild(np.random.default_rng(3))
    doubled = pd.concat([table, table.iloc[:40]], ignore_index=True)
    told = load_memory(doubled, target="y")
    assert any(n.startswith("40 duplicate rows can stand on both sides") for n in told.notes)
    data = load_memory(doubled, target="y", drop_duplicates=True)
    assert N == data.n_rows + len(data.locked_rows)
    assert len(doubled.drop_duplicates()) == N
    locked = data.locked_rows.read()
    test = {row.tobytes() for row in np.hstack([locked.columns, locked.target])}
    assert not test & {row.tobytes() for row in np.hstack([data.columns, data.target])}


@pytest.mark.parametrize("column", ["x", "color"])
def test_rows_that_differ_in_one_cell_are_no_duplicates(load_memory, column):
    table = wild(np.random.default_rng(4))
    twins = table.copy()
    twins[column] = [5.5] * N if column == "x" else "blue"
    both = pd.concat([table, twins], ignore_index=True)
    data = load_memory(both, target="y", drop_duplicates=True)
    assert 2 * N == data.n_rows + len(data.locked_rows)


def test_what_divides_the_rows_is_no_feature(load_memory):
    table = wild(np.random.default_rng(5))
    table["patient"] = np.arange(N) // 5
    data = load_memory(table, target="y", cv=CrossValidationSpec(kind="group", group="patient"))
    assert ("x", "color=green", "color=red") == data.schema.feature_names


def test_shuffled_time_is_put_in_order_before_it_is_divided(load_memory):
    table = wild(np.random.default_rng(6))
    moments = pd.date_range("2024-01-01", periods=N, freq="D")
    table["at"] = np.random.default_rng(7).permutation(moments.astype(str))
    cv = CrossValidationSpec(kind="time_series", time="at", folds=3)
    data = load_memory(table, target="y", cv=cv)
    at = pd.to_datetime(table["at"]).to_numpy()[data.rows]
    for fold in data.folds:
        assert at[fold.train].max() < at[fold.validation].min()
    assert at.max() < pd.to_datetime(data.locked_rows.read().table.to_pandas()["at"]).min()
