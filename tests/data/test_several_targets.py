"""Several targets: inference of the task, and stratification."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_linnerud

from hpsearch.data.schema import Schema
from hpsearch.data.statistics import fit_statistics
from hpsearch.errors import DataError
from hpsearch.spec.data_spec import CrossValidationSpec, DataSpec

N = 200
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3))


def labels(n: int = N) -> np.ndarray:
    """Three labels in a twentieth, a third and nearly all of the rows, any of them together."""
    return (np.random.default_rng(1).random((n, 3)) < [0.1, 0.35, 0.9]).astype(int)


def table(**targets) -> pd.DataFrame:
    return pd.DataFrame({"x": X[:, 0], "g": np.arange(N) // 5, **targets})


def test_numbers_are_a_regression_of_several_targets(load_memory):
    y = 10.0 ** np.arange(2) * RNG.normal(size=(N, 2))
    data = load_memory((X, y))
    assert ("regression", ("target_0", "target_1")) == (data.task, data.schema.target.names)
    np.testing.assert_array_equal(y[data.rows].astype(np.float32), data.target)
    assert "task: regression, because target_0, target_1 are numbers" in data.notes
    assert ("x0", "x1", "x2") == data.schema.feature_names
    assert "kfold" == data.kind


def test_columns_of_two_values_are_labels(load_memory):
    frame = table(a=["yes", "no"] * 100, b=labels()[:, 1], c=labels()[:, 2] > 0)
    data = load_memory(frame, target=["a", "b", "c"])
    assert "multilabel" == data.task
    assert [("no", "yes"), (0, 1), ("false", "true")] == [
        part.classes for part in data.schema.target.parts
    ]
    expected = np.column_stack([frame["a"] == "yes", frame["b"], frame["c"]])[data.rows]
    np.testing.assert_array_equal(expected, data.target)
    assert data.schema == Schema.from_json(json.loads(json.dumps(data.schema.to_json())))


def test_scikit_learns_linnerud_has_three_targets(load_memory, tmp_path):
    from hpsearch.data import load

    cv = CrossValidationSpec(folds=4)
    spec = DataSpec(source="sklearn:linnerud")
    data = load(spec, task=None, cross_validation=cv, seed=1, folder=tmp_path)
    assert ("Weight", "Waist", "Pulse") == data.schema.target.names
    np.testing.assert_array_equal(load_linnerud().target[data.rows], data.target)
    one = DataSpec(source="sklearn:linnerud", target="Waist")
    alone = load(one, task=None, cross_validation=cv, seed=1, folder=tmp_path)
    assert ("Chins", "Situps", "Jumps") == alone.schema.feature_names
    np.testing.assert_array_equal(load_linnerud().target[alone.rows][:, [1]], alone.target)


@pytest.mark.parametrize("kind", ["frame", "array"])
def test_a_target_of_several_columns_in_memory_keeps_its_names(load_memory, kind):
    y = labels()
    x = pd.DataFrame(X, columns=list("pqr"))
    if kind == "frame":
        data = load_memory((x, pd.DataFrame(y, columns=list("abc"))))
        assert ("a", "b", "c") == data.schema.target.names
    else:
        data = load_memory((x, y), target=["d", "e", "f"])
        assert ("d", "e", "f") == data.schema.target.names
    np.testing.assert_array_equal(y[data.rows], data.target)
    assert ("p", "q", "r") == data.schema.feature_names


def test_each_label_is_spread_over_the_folds_and_the_test_rows(load_memory):
    y = labels(600)
    data = load_memory((RNG.normal(size=(600, 2)), y))
    assert "stratified" == data.kind
    rare = [int(data.target[fold.validation, 0].sum()) for fold in data.folds]
    assert max(rare) - min(rare) <= 1
    for fold in data.folds:
        share = data.target[fold.validation].mean(axis=0)
        np.testing.assert_allclose(data.target.mean(axis=0), share, atol=0.03)
    locked = data.locked_rows.read().target.mean(axis=0)
    np.testing.assert_allclose(data.target.mean(axis=0), locked, atol=0.03)


def test_the_statistics_of_each_target_come_from_the_training_rows_alone(load_memory):
    y = np.column_stack([RNG.normal(50, 5, N), np.exp(RNG.normal(size=N))])
    frame = table(a=y[:, 0], b=y[:, 1])
    data = load_memory(frame, target=["a", "b"], columns={"b": {"transform": "log"}})
    assert ("", "log") == data.schema.target.transforms
    train, validation = data.folds[0].train, data.folds[0].validation
    known = data.target[train].astype(np.float64)
    known[:, 1] = np.log(known[:, 1])
    target = data.target.copy()
    target[validation] = 1e6
    found = fit_statistics(data.schema, data.columns, target, train)
    np.testing.assert_allclose(known.mean(axis=0), found.target_center, rtol=1e-6)
    np.testing.assert_allclose(known.std(axis=0), found.target_scale, rtol=1e-6)


def test_a_row_without_one_of_the_targets_is_refused_or_left_out(load_memory):
    a, b = RNG.normal(size=(2, N))
    a[3], b[7] = np.nan, np.nan
    with pytest.raises(DataError, match="target 'a' is missing in 1 of 200 rows, first in row 4"):
        load_memory(table(a=a, b=b), target=["a", "b"])
    data = load_memory(table(a=a, b=b), target=["a", "b"], missing_target="drop")
    assert N - 2 == data.n_rows + len(data.locked_rows)
    assert "2 rows without a or b left out" in data.notes


HALF = np.arange(N) % 2
RARE = (np.arange(N) < 2).astype(int)


@pytest.mark.parametrize(
    ("targets", "more", "message"),
    [
        ({"a": HALF, "b": list("pqrs") * 50}, {}, r"'b' of a regression holds .* are several: all"),
        ({"a": HALF, "b": [0, 1, 2, 3] * 50}, {"task": "multilabel"}, "'b' of a binary task has 4"),
        ({"a": HALF, "b": HALF}, {"task": "binary"}, "are several, which are a task: regression"),
        ({"a": HALF, "b": [1] * N}, {}, "'b' has one value in all rows"),
        ({"a": HALF, "b": RARE}, {}, r"could not tell the labels apart .*'b' is in 0 of"),
        (
            {"a": HALF, "b": HALF},
            {"cv": CrossValidationSpec(kind="stratified_group", group="g")},
            "stratified_group goes by one target",
        ),
        (
            {"a": X[:, 1], "b": X[:, 2]},
            {"cv": CrossValidationSpec(kind="stratified")},
            "stratified goes by one target, and a, b are several",
        ),
    ],
)
def test_what_several_targets_cannot_be_is_refused(load_memory, targets, more, message):
    with pytest.raises(DataError, match=message):
        load_memory(table(**targets), target=["a", "b"], **more)


def test_one_column_is_no_multilabel_task(load_memory):
    with pytest.raises(DataError, match="task: multilabel has several targets, but 'a' is one"):
        load_memory(table(a=HALF), target=["a"], task="multilabel")
    assert "binary" == load_memory(table(a=HALF), target=["a"]).task


def test_names_that_do_not_fit_the_columns_are_refused(load_memory):
    with pytest.raises(DataError, match=r"y has 3 columns, but data\.target names 1: a"):
        load_memory((X, labels()), target="a")
    with pytest.raises(ValueError, match="target: a, a names a column twice"):
        DataSpec(target=["a", "a"])
