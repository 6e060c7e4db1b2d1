"""Inference of columns and targets, and refusals with a remedy."""

import numpy as np
import pandas as pd
import pytest

from hpsearch.errors import DataError
from hpsearch.spec.data_spec import ColumnSpec, CrossValidationSpec

N = 200
RNG = np.random.default_rng(0)


def frame(**columns) -> pd.DataFrame:
    """200 rows of a harmless feature, the given columns and a binary target."""
    return pd.DataFrame({"ok": RNG.normal(size=N), **columns, "y": np.arange(N) % 2})


def column_of(data, name):
    return next(c for c in data.schema.columns if c.name == name)


def test_text_of_numbers_and_blanks_is_numeric(load_memory):
    cells = ["12.5", " ", "NA", "7", ""] * 40
    data = load_memory(frame(total=cells), target="y")
    assert "numeric" == column_of(data, "total").kind
    assert 0.6 == pytest.approx(np.isnan(data.columns[:, 1]).mean(), abs=0.05)


def test_na_is_a_category_where_there_is_other_text(load_memory):
    data = load_memory(frame(country=["NA", "DE", "FR", ""] * 50), target="y")
    assert ("DE", "FR", "NA") == column_of(data, "country").vocabulary


def test_text_that_python_reads_as_a_number_is_in_order(load_memory):
    data = load_memory(frame(c=["nan", "b", "2", "inf", "a", "10"] * 33 + ["a", "b"]), target="y")
    assert ("2", "10", "a", "b", "inf", "nan") == column_of(data, "c").vocabulary


def test_truth_values_are_two_categories(load_memory):
    data = load_memory(frame(flag=np.arange(N) % 3 == 0), target="y")
    assert ("false", "true") == column_of(data, "flag").vocabulary


def test_override_makes_numbers_categories_in_numeric_order(load_memory):
    data = load_memory(
        frame(grade=np.arange(N) % 12), target="y", columns={"grade": {"kind": "categorical"}}
    )
    assert tuple(str(i) for i in range(12)) == column_of(data, "grade").vocabulary


def test_vocabulary_comes_from_development_rows_alone(load_memory):
    """A category that stands only in locked rows is unknown, like one of tomorrow."""
    rows = frame(color=["red", "green"] * 100)
    locked = np.setdiff1d(np.arange(N), load_memory(rows, target="y").rows)
    rows.loc[locked, "color"] = "blue"
    data = load_memory(rows, target="y")
    assert ("green", "red") == column_of(data, "color").vocabulary
    assert np.isnan(data.locked_rows.read().columns[:, 1]).all()


def test_rare_categories_are_grouped(load_memory):
    color = np.array(["red"] * 120 + ["green"] * 77 + ["a", "b", "c"], dtype=object)
    data = load_memory(frame(color=color), target="y", group_rare=10)
    assert ("green", "red", "(other)") == column_of(data, "color").vocabulary


def test_times_of_day_are_text(load_file):
    rows = "".join(f"{i / 7:.3f},{10 + i % 3}:30,{i % 2}\n" for i in range(60))
    data = load_file("x,at,y\n" + rows)
    assert ("10:30", "11:30", "12:30") == column_of(data, "at").vocabulary


REFUSED = {
    "identifier": (
        [f"id-{i}" for i in range(N)],
        r"'c' holds text with \d+ different.*drop: \[c\].*group_rare: 20.*buckets: 64",
    ),
    "nearly unique": ([f"name {i % 90}" for i in range(N)], "'c' holds text with 8. different"),
    "numbers beside a marker": (
        [f"{i}.5" if i % 9 else "n.d." for i in range(N)],
        r"'c' holds numbers in .* beside 'n\.d\.': .* declare them in data\.missing",
    ),
    "dates": (pd.date_range("2024-01-01", periods=N), r"'c' holds dates.*kind: date"),
    "whole numbers beyond float32": (
        np.arange(N) + 2**53,
        r"'c' holds whole numbers up to 9.007e.15.*200 different.*round: true",
    ),
    "whole numbers beyond int64": (np.arange(1.0, N + 1) * 1e19, "'c' holds whole numbers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_column_that_cannot_be_known_is_refused_with_the_remedy(load_memory, case):
    cells, message = REFUSED[case]
    with pytest.raises(DataError, match=message):
        load_memory(frame(c=cells), target="y")


def test_all_such_columns_are_named_at_once(load_memory):
    both = frame(a=[f"id-{i}" for i in range(N)], b=pd.date_range("2024-01-01", periods=N))
    with pytest.raises(DataError) as caught:
        load_memory(both, target="y")
    assert 2 == len(str(caught.value).splitlines())


@pytest.mark.parametrize(
    ("cells", "spec", "n_features"),
    [
        ([f"id-{i}" for i in range(N)], {"kind": "categorical"}, 160),
        ([f"id-{i}" for i in range(N)], {"buckets": 16}, 16),
        ([f"id-{i // 50 or i}" for i in range(N)], {"group_rare": 20}, 4),
        (pd.date_range("2024-01-01", periods=N), {"kind": "date"}, 4),
        (pd.date_range("2024-01-01", periods=N, freq="h"), {"kind": "date"}, 5),
        (np.arange(N) + 2**53, {"round": True}, 1),
        (np.arange(N) + 2**53, {"transform": "log"}, 1),
        ([f"{i}.5" if i % 9 else "n.d." for i in range(N)], {"missing": ["n.d."]}, 1),
    ],
)
def test_each_remedy_works(load_memory, cells, spec, n_features):
    data = load_memory(frame(c=cells), target="y", columns={"c": ColumnSpec(**spec)})
    assert n_features == data.n_features - 1


def test_large_whole_numbers_that_stay_different_are_taken(load_memory):
    data = load_memory(frame(c=(np.arange(N) + 1) * 10_000_000), target="y")
    assert "numeric" == column_of(data, "c").kind


def test_numbers_beside_few_texts_are_noted(load_memory):
    data = load_memory(frame(c=["1", "2", "3", "?"] * 50), target="y")
    assert any("c: mostly numbers, but read as text because of '?'" in n for n in data.notes)


def test_row_numbers_constants_and_empty_columns_are_noted(load_memory):
    data = load_memory(frame(row=np.arange(N), same=[3.0] * N, empty=[None] * N), target="y")
    said = "\n".join(data.notes)
    assert "row: counts the rows" in said
    assert "1 column with one value in all rows, which the network never sees: same" in said
    assert "1 column without a value, which the network never sees: empty" in said
    statistics = data.statistics(np.arange(data.n_rows))
    assert [0, 0] == statistics.scale[2:].tolist()


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        (["yes", "no"], "binary", ("no", "yes")),
        ([1, 0], "binary", (0, 1)),
        ([True, False], "binary", ("false", "true")),
        ([2.0, 1.0], "binary", (1, 2)),
        (["b", "c", "a"], "multiclass", ("a", "b", "c")),
        ([10, 9, 2], "multiclass", (2, 9, 10)),
        ([0.5, 1.5, 2.5], "regression", ()),
        (list(range(40)), "regression", ()),
    ],
)
def test_task_is_inferred_from_the_target(load_memory, values, task, classes):
    y = (values * N)[:N]
    data = load_memory((RNG.normal(size=(N, 2)), pd.Series(y).to_numpy()))
    assert (task, classes) == (data.task, data.schema.target.classes)
    assert data.notes[0].startswith(f"task: {task}, because target has")


def test_positive_class_can_be_chosen(load_memory):
    x, y = RNG.normal(size=(N, 2)), np.array(["good", "bad"] * 100)
    assert ("good", "bad") == load_memory((x, y), positive="bad").schema.target.classes
    with pytest.raises(DataError, match="'ugly' is not a value of target"):
        load_memory((x, y), positive="ugly")


@pytest.mark.parametrize(
    ("y", "task", "message"),
    [
        ([1] * N, None, "target 'target' has one value in all rows: '1'"),
        ([""] * N, None, "target 'target' has no value in any row"),
        (["a", "b", "c", "d"] * 50, "binary", "of a binary task has 4 values: 'a', 'b', 'c', 'd'"),
        (["a", "b"] * 100, "regression", "of a regression holds 'a', 'b': not numbers"),
        ([1.5, np.inf] * 100, "regression", "column 'target', row 2: inf is infinite"),
        ((np.arange(N) + 2**53).tolist(), "regression", "whole numbers up to"),
        ([1.0, np.nan] * 100, None, "missing in 100 of 200 rows, first in row 2"),
    ],
)
def test_target_that_cannot_be_learned_is_refused(load_memory, y, task, message):
    with pytest.raises(DataError, match=message):
        load_memory((RNG.normal(size=(N, 2)), np.array(y)), task=task)


@pytest.mark.parametrize(
    ("column", "key", "message"),
    [
        ("y", {"clip": (0, 1)}, "clip: 'y' is the target, no feature; of a target, missing, "),
        ("y", {"impute": 0.0, "scaling": "none"}, "impute, scaling: 'y' is the target"),
        ("y", {"group_rare": 3}, "group_rare: 'y' is the target"),
        ("w", {"missing": [0]}, "missing: 'w' is the weights, no feature"),
        ("g", {"kind": "categorical"}, "kind: 'g' is what divides the rows, no feature"),
    ],
)
def test_what_nothing_reads_of_a_column_that_is_no_feature_is_refused(
    load_memory, column, key, message
):
    table = frame(w=np.arange(N), g=np.arange(N) // 5)
    cv = CrossValidationSpec(kind="group", group="g")
    with pytest.raises(DataError, match=f"data.columns.{column}: {message}"):
        load_memory(table, target="y", weights="w", cv=cv, columns={column: key})


def test_a_target_that_its_transform_cannot_take_is_refused_with_its_row(load_memory):
    y = 1 + RNG.random(N)
    y[[7, 50]] = np.nan, 0
    given = {"missing_target": "drop", "columns": {"target": {"transform": "log"}}}
    with pytest.raises(
        DataError, match="column 'target', row 51: log needs numbers above 0, got 0"
    ):
        load_memory((RNG.normal(size=(N, 2)), y), **given)
    given["columns"]["target"]["transform"] = "log1p"
    assert ("log1p",) == load_memory((RNG.normal(size=(N, 2)), y), **given).schema.target.transforms
    with pytest.raises(DataError, match=r"columns\.y\.transform: log1p is for numbers, but target"):
        load_memory(frame(), target="y", columns={"y": {"transform": "log1p"}})


def test_an_infinite_target_is_refused_with_a_remedy_that_works(load_memory):
    y = np.append(RNG.normal(size=N - 1), np.inf)
    pair = (RNG.normal(size=(N, 2)), y)
    with pytest.raises(DataError, match=rf"row {N}: inf .*target.missing, and the row can be left"):
        load_memory(pair)
    data = load_memory(pair, missing_target="drop", columns={"target": {"missing": ["inf"]}})
    assert N - 1 == data.n_rows + len(data.locked_rows)


def test_rows_without_target_are_left_out_when_declared(load_memory):
    y = np.where(np.arange(N) % 4 == 0, np.nan, RNG.normal(size=N))
    data = load_memory((RNG.normal(size=(N, 2)), y), missing_target="drop")
    assert 150 == data.n_rows + len(data.locked_rows)
    assert not np.isin(data.rows, np.arange(0, N, 4)).any()
    assert "50 rows without target left out" in data.notes


def test_declared_column_that_is_missing_is_refused_with_the_closest(load_memory):
    for spec in ({"drop": ["okk"]}, {"columns": {"okk": {}}}, {"weights": "okk"}):
        with pytest.raises(DataError, match="column 'okk' is missing; the closest: ok"):
            load_memory(frame(), target="y", **spec)
    with pytest.raises(DataError, match=r"data\.target is missing: one of ok, y"):
        load_memory(frame())
    with pytest.raises(DataError, match="no column is left"):
        load_memory(frame(), target="y", drop=["ok"])


def test_weights_are_no_feature_and_must_be_weights(load_memory):
    data = load_memory(frame(w=np.arange(N) / 10), target="y", weights="w")
    assert ("ok",) == data.schema.feature_names
    np.testing.assert_allclose(data.rows / 10, data.weights, rtol=1e-6)
    with pytest.raises(DataError, match="weights 'w', row 1: -1 is not a weight"):
        load_memory(frame(w=np.arange(N) - 1), target="y", weights="w")


def test_rows_that_weigh_nothing_together_are_refused(load_memory, load_file):
    table = frame(w=np.ones(N))
    data = load_memory(table, target="y", weights="w")
    locked = np.setdiff1d(np.arange(N), data.rows)
    table.loc[locked, "w"] = 0
    with pytest.raises(DataError, match="the weights of the locked rows are all 0"):
        load_memory(table, target="y", weights="w")
    table["w"] = 1.0
    table.loc[data.rows[data.folds[1].validation], "w"] = 0
    with pytest.raises(DataError, match=r"fold 1 of 5: the weights of its validation rows are all"):
        load_memory(table, target="y", weights="w")
    with pytest.raises(DataError, match=r"fold 0 of 5: the weights of its training rows are all 0"):
        load_memory(frame(w=np.zeros(N)), target="y", weights="w", test_fraction=0)


def test_a_class_whose_rows_weigh_nothing_is_missing_from_a_fold(load_memory):
    y = np.array(["a", "b"] * (N // 2))
    table = frame(w=np.where(y == "a", 0, 1)).assign(y=y)
    with pytest.raises(DataError, match=r"would miss a class among its training rows \('a' 0, 'b'"):
        load_memory(table, target="y", weights="w", test_fraction=0)
