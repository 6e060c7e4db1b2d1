"""Windows over a time series: their rows, no overlap with validation rows, and refusals."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from hpsearch.data.schema import Schema
from hpsearch.data.statistics import fit_statistics
from hpsearch.errors import DataError
from hpsearch.spec.data_spec import CrossValidationSpec, DataSpec, WindowSpec

N = 200
IN_ORDER = CrossValidationSpec(kind="kfold", folds=4, shuffle=False)


def series(n: int = N, towns: str = "ab") -> pd.DataFrame:
    """Series of two towns, hour by hour, in a shuffled file; `x` says town and hour."""
    hours = np.arange(n)
    frame = pd.concat(
        pd.DataFrame({"hour": hours, "town": town, "x": 1000.0 * k + hours})
        for k, town in enumerate(towns)
    )
    frame["y"] = np.random.default_rng(0).normal(size=len(frame))
    return frame.sample(frac=1, random_state=0).reset_index(drop=True)


def declared(rows: int = 5, **more) -> dict:
    return {"target": "y", "windows": {"rows": rows, "by": "town", **more}}


def by_hour(**more) -> CrossValidationSpec:
    return CrossValidationSpec(kind="time_series", time="hour", **{"folds": 3, **more})


def test_a_window_holds_the_rows_of_its_series_up_to_its_own(load_memory):
    frame = series()
    data = load_memory(frame, cv=by_hour(), **declared(horizon=2))
    everything = np.arange(data.n_rows)
    held = data.windows.take(data.columns, everything)[..., 0]
    own = frame.loc[data.rows, "x"].to_numpy()
    np.testing.assert_array_equal(own[:, None] - 2 + np.arange(-4, 1), held)
    assert ("x",) == data.schema.raw_columns[:1]  # neither hour nor town is a feature
    assert ((5, 1), 2 * N) == (data.shape, len(data.columns))  # one copy, whatever the window
    late = data.rows.size + data.locked_rows.n_rows
    assert 2 * N - 2 * 6 == late  # the first six hours of each town have no whole window


def test_locked_windows_are_those_of_the_last_rows(load_memory):
    frame = series()
    data = load_memory(frame, cv=by_hour(), **declared())
    test = data.locked_rows.read()
    assert (data.locked_rows.n_rows, 5, 1) == test.columns.shape
    own = test.table["x"].to_numpy()
    np.testing.assert_array_equal(own[:, None] + np.arange(-4, 1), test.columns[..., 0])
    assert min(own % 1000) >= max(frame.loc[data.rows, "x"] % 1000)


@pytest.mark.parametrize("cv", [by_hour(), IN_ORDER])
def test_no_training_window_reaches_a_row_that_validates(load_memory, cv):
    """Poison one fold's validation rows: its training windows and statistics stay, bit for bit."""
    data = load_memory(series(), cv=cv, **declared(include_target=True, horizon=1))
    for fold in data.folds:
        poisoned = data.columns.copy()
        poisoned[data.windows.predicted_rows[fold.validation]] = 1e6
        before = data.windows.take(data.columns, fold.train)
        after = data.windows.take(poisoned, fold.train)
        assert before.tobytes() == after.tobytes()
        read = data.windows.find_covered_rows(len(poisoned), fold.train)
        clean = data.statistics(fold.train)
        again = fit_statistics(data.schema, poisoned, data.target, fold.train, read=read)
        assert clean.center.tobytes() == again.center.tobytes()
        assert clean.scale.tobytes() == again.scale.tobytes()


def test_the_rows_left_out_are_those_behind_the_validation_rows(load_memory):
    """Without it the poison above would be seen: each other fold begins behind one."""
    data = load_memory(series(towns="a"), cv=IN_ORDER, test_fraction=0.0, **declared())
    first = data.folds[0]
    left_out = np.setdiff1d(np.arange(data.n_rows), [*first.train, *first.validation])
    assert [first.validation[-1] + k for k in (1, 2, 3, 4)] == left_out.tolist()
    assert data.windows.mask_overlapping(left_out, first.validation).all()
    assert data.n_rows - len(first.validation) - 4 == len(data.redraw_folds(3)[0].train)


def test_locked_rows_move_nothing_that_training_sees(load_memory):
    frame = series()
    before = load_memory(frame, cv=by_hour(), **declared(include_target=True, horizon=1))
    late = frame["hour"] > frame.loc[before.rows, "hour"].max()
    assert late.any()
    frame.loc[late, ["x", "y"]] = 1e6
    after = load_memory(frame, cv=by_hour(), **declared(include_target=True, horizon=1))
    assert before.columns.tobytes() == after.columns.tobytes()
    assert before.target.tobytes() == after.target.tobytes()
    assert not (after.columns == 1e6).any()


def test_the_targets_own_past_ends_before_the_predicted_row(load_memory):
    frame = series()
    data = load_memory(frame, cv=by_hour(), **declared(include_target=True, horizon=1))
    assert ("x", "y") == data.schema.feature_names
    held = data.windows.take(data.columns, np.arange(data.n_rows))[..., 1]
    known = {(h, t): y for h, t, y in zip(frame.hour, frame.town, frame.y, strict=True)}
    for row, window in zip(data.rows[:40], held, strict=False):
        hour, town = frame.loc[row, ["hour", "town"]]
        expected = [known[hour - k, town] for k in (5, 4, 3, 2, 1)]
        np.testing.assert_allclose(expected, window, rtol=1e-6)


def test_rows_without_a_target_stand_in_windows(load_memory):
    frame = series(towns="a").sort_values("hour", ignore_index=True)
    frame.loc[50:59, "y"] = np.nan
    cv = by_hour()
    data = load_memory(frame, cv=cv, missing_target="drop", test_fraction=0.0, **declared())
    assert N - 4 - 10 == data.n_rows
    held = data.windows.take(data.columns, np.arange(data.n_rows))[..., 0]
    row = int(np.flatnonzero(data.rows == 60)[0])
    assert [56, 57, 58, 59, 60] == held[row].tolist()


def test_time_series_is_the_division_where_none_is_declared(load_memory):
    data = load_memory(series(towns="a").sort_values("hour"), **declared())
    assert "time_series" == data.kind


def test_the_series_belong_to_the_fingerprint(load_memory):
    frame = series()
    before = load_memory(frame, cv=by_hour(), **declared()).fingerprint
    frame["town"] = frame["town"].replace("b", "c")
    assert before != load_memory(frame, cv=by_hour(), **declared()).fingerprint


def test_a_schema_of_windows_survives_json(load_memory):
    schema = load_memory(series(), cv=by_hour(), **declared(horizon=1)).schema
    assert schema == Schema.from_json(schema.to_json())
    assert ("x", "town") == schema.raw_columns


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"windows": WindowSpec(rows=300, by="town")}, r"need 300 rows in order; of town, 'a' 200"),
        ({"windows": WindowSpec(rows=500)}, r"need 500 rows in order; the table has 400"),
        ({"windows": WindowSpec(rows=5, by="city")}, "column 'city' is missing"),
        ({"windows": WindowSpec(rows=180, by="town"), "cv": IN_ORDER}, "in fold 0 every training"),
        ({"cv": CrossValidationSpec(kind="kfold")}, "kind: kfold would shuffle a time series"),
    ],
)
def test_windows_that_cannot_be_are_refused(load_memory, change, said):
    given = {"cv": by_hour(), **declared(), **change}
    with pytest.raises(DataError, match=said):
        load_memory(series(), test_fraction=0.0, **given)


def test_a_target_that_would_be_its_own_feature_is_refused():
    with pytest.raises(ValidationError, match="include_target needs horizon: 1 or more"):
        WindowSpec(rows=5, include_target=True)
    with pytest.raises(ValidationError, match="windows and test_source exclude each other"):
        DataSpec(source="a.csv", test_source="b.csv", windows=WindowSpec(rows=5))
