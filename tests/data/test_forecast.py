"""Forecasts: windows, targets, known columns and folds against loops written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.data.dataset import Dataset
from hpsearch.data.loading import load
from hpsearch.data.time_steps import count_time_steps
from hpsearch.errors import DataError
from hpsearch.spec.data_spec import CrossValidationSpec, DataSpec

HISTORY, STEPS = 4, (1, 3)
LAST = max(STEPS)


def shops(n_days: int = 60, *, shuffled: bool = True) -> pd.DataFrame:
    """Two series; every cell is different from all others."""
    rng = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=n_days).strftime("%Y-%m-%d")
    parts = [
        pd.DataFrame(
            {
                "day": days,
                "shop": shop,
                "promo": rng.normal(size=n_days).astype(np.float32),
                "sales": rng.normal(level, 1, n_days).astype(np.float32),
            }
        )
        for shop, level in (("a", 10), ("b", 50))
    ]
    frame = pd.concat(parts, ignore_index=True)
    return frame.sample(frac=1, random_state=1, ignore_index=True) if shuffled else frame


def read(frame: pd.DataFrame, cv: dict[str, Any] | None = None, **data: Any) -> Dataset:
    forecast = {"horizons": list(STEPS), "history": HISTORY, "time": "day", "series": "shop"}
    forecast |= data.pop("forecast", {})
    given = DataSpec.model_validate({"target": "sales", "forecast": forecast, **data})
    folds = CrossValidationSpec.model_validate(cv or {"folds": 3})
    return load(given, task=None, cross_validation=folds, seed=0, folder=Path(), arrays=frame)


def refusal(frame: pd.DataFrame, cv: dict[str, Any] | None = None, **data: Any) -> str:
    with pytest.raises(DataError) as error:
        read(frame, cv, **data)
    return str(error.value)


def test_windows_and_targets_equal_those_of_a_loop() -> None:
    frame = shops()
    dataset = read(frame, forecast={"known": ["promo"]}, test_fraction=0)
    assert ["promo", "sales", "promo_h3"] == list(dataset.schema.feature_names)
    assert dataset.windows is not None
    windows = dataset.windows.take(dataset.features, np.arange(dataset.n_rows))
    seen = set()
    for _, series in frame.groupby("shop"):
        rows = series.sort_values("day")
        promo, sales = rows["promo"].to_numpy(), rows["sales"].to_numpy()
        for now in range(HISTORY - 1, len(rows) - LAST):
            index = int(np.flatnonzero(dataset.rows == rows.index[now])[0])
            past = range(now - HISTORY + 1, now + 1)
            expected = [[promo[t], sales[t], promo[t + LAST]] for t in past]
            np.testing.assert_array_equal(expected, windows[index])
            np.testing.assert_array_equal([sales[now + h] for h in STEPS], dataset.target[index])
            seen.add(index)
    assert seen == set(range(dataset.n_rows))


def test_folds_equal_those_of_a_loop_over_the_days_of_all_series() -> None:
    frame = shops()
    dataset = read(frame, {"kind": "time_series", "folds": 3, "window": 20}, test_fraction=0)
    day = pd.to_datetime(frame["day"]).sub(pd.Timestamp("2024-01-01")).dt.days.to_numpy()
    day = day[dataset.rows]
    days = np.unique(day)
    size = len(days) // 4
    for number, fold in enumerate(dataset.folds):
        first = len(days) - (3 - number) * size
        validation = days[first : first + size]
        training = days[max(0, first - LAST - 20) : first - LAST]
        assert set(np.flatnonzero(np.isin(day, validation))) == set(fold.validation)
        assert set(np.flatnonzero(np.isin(day, training))) == set(fold.train)


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(80, 100), min_size=1, max_size=3),
    starts=st.lists(st.integers(0, 12), min_size=3, max_size=3),
    missing=st.sets(st.integers(0, 79), max_size=5),
    horizon=st.integers(1, 4),
    gap=st.integers(0, 5),
)
def test_no_label_of_a_training_row_is_known_only_after_validation_began(
    lengths: list[int], starts: list[int], missing: set[int], horizon: int, gap: int
) -> None:
    """On series that begin and end on different days, with missing targets."""
    parts = []
    for k, length in enumerate(lengths):
        day = pd.date_range("2024-01-01", periods=length) + pd.Timedelta(days=starts[k])
        sales = np.arange(length) * 1.0
        sales[list(missing)] = np.nan
        parts.append(pd.DataFrame({"day": day.strftime("%Y-%m-%d"), "shop": f"s{k}"}))
        parts[-1]["sales"] = sales
        parts[-1]["x"] = sales[::-1]
    frame = pd.concat(parts, ignore_index=True)
    forecast = {"horizon": horizon, "horizons": None, "history": 2}
    cv = {"kind": "time_series", "folds": 2, "gap": gap}
    dataset = read(frame, cv, forecast=forecast, missing_target="drop")
    day = pd.to_datetime(frame["day"]).to_numpy()[dataset.rows]
    for fold in dataset.folds:
        last_label = day[fold.train].max() + np.timedelta64(horizon, "D")
        assert last_label < day[fold.validation].min()


def test_development_rows_end_a_horizon_before_the_locked_ones() -> None:
    frame = shops()
    dataset = read(frame)
    assert dataset.locked_rows is not None
    known = np.unique(frame["day"])
    rows = len(dataset.locked_rows)
    last_development = frame["day"].to_numpy()[dataset.rows].max()
    first_locked = known[len(known) - LAST - rows // 2]
    assert np.datetime64(last_development) + LAST < np.datetime64(first_locked)


def test_an_outer_fold_begins_a_horizon_behind_its_development_rows() -> None:
    """As `hpsearch nested` locks one."""
    frame = shops(90)
    dataset = read(frame, outer_fold={"fold": 2, "folds": 2})
    last = np.datetime64(frame["day"].to_numpy()[dataset.rows].max())
    days = np.unique(frame["day"])[HISTORY - 1 : -LAST]
    assert dataset.locked_rows is not None
    assert last + LAST < np.datetime64(days[-len(dataset.locked_rows) // 2])


def test_folds_of_whole_series_take_every_day() -> None:
    frame = pd.concat([shops(), shops().assign(shop="c"), shops().assign(shop="d")])
    frame = frame.drop_duplicates(["day", "shop"])
    cv = {"kind": "group", "group": "shop", "folds": 3}
    dataset = read(frame.reset_index(drop=True), cv, test_fraction=0)
    series = frame["shop"].to_numpy()[dataset.rows]
    assert 3 == len(dataset.folds)
    for fold in dataset.folds:
        assert not set(series[fold.train]) & set(series[fold.validation])
        assert dataset.n_rows == len(fold.train) + len(fold.validation)


def test_a_series_is_a_feature_if_it_is_declared() -> None:
    dataset = read(shops(), columns={"shop": {"kind": "categorical"}})
    assert ("shop=a", "shop=b") == dataset.schema.feature_names[:2]
    assert "shop=a" not in read(shops()).schema.feature_names


def test_each_target_has_an_output_for_each_quantile() -> None:
    dataset = read(shops(), quantiles=[0.9, 0.1])
    assert dataset.schema.target is not None
    found = [(part.name, part.step, part.quantile) for part in dataset.schema.target.outputs]
    expected = [(f"sales_h{h}_q{q}", h, q) for h in STEPS for q in (0.1, 0.9)]
    assert expected == found
    np.testing.assert_array_equal(dataset.target[:, 0], dataset.target[:, 1])


@pytest.mark.parametrize(
    ("days", "name", "season"),
    [
        (pd.date_range("2024-01-01", periods=50, freq="h"), "1 hour", 24),
        (pd.date_range("2024-01-01", periods=50, freq="15min"), "15 minutes", 96),
        (pd.date_range("2024-01-01", periods=50), "1 day", 7),
        (pd.bdate_range("2024-01-01", periods=50), "a working day", 5),
        (pd.date_range("2024-01-01", periods=50, freq="W"), "7 days", 52),
        (pd.date_range("2024-01-01", periods=50, freq="MS"), "a month", 12),
        (pd.date_range("2024-01-31", periods=50, freq="ME"), "a month", 12),
        (pd.date_range("2024-01-01", periods=50, freq="QS"), "3 months", 4),
    ],
)
def test_the_step_of_a_calendar_and_its_season_are_found(
    days: pd.DatetimeIndex, name: str, season: int
) -> None:
    times = np.random.default_rng(0).permutation(days.to_numpy().astype("datetime64[s]"))
    found = count_time_steps(times, np.zeros(50, int), "day")
    assert (name, season) == (found.name, found.season)
    np.testing.assert_array_equal(np.argsort(np.argsort(times)), found.steps)


def test_a_lacking_day_is_named() -> None:
    frame = shops(shuffled=False).drop(index=20).reset_index(drop=True)
    assert (
        "time 'day': 2024-01-20 in row 20 is followed by 2024-01-22 in row 21, but most rows "
        "follow after 1 day" in refusal(frame)
    )


def test_a_doubled_day_is_named() -> None:
    frame = shops(shuffled=False)
    frame.loc[7, "day"] = "2024-01-07"
    assert "rows 7 and 8 of one series have the same time, 2024-01-07" in refusal(frame)
    single = refusal(shops(shuffled=False), forecast={"series": None})
    assert "need data.forecast.series" in single


def test_what_cannot_be_forecast_is_refused() -> None:
    frame = shops()
    assert "data.forecast.known: 'promotion': no such column. Columns: day, shop" in refusal(
        frame, forecast={"known": ["promotion"]}
    )
    assert "the horizon of 9 steps is longer than a fold, which validates 4 of 29" in refusal(
        frame, {"kind": "time_series", "folds": 5}, forecast={"horizons": [9]}
    )
    assert "none of the 120 rows has another one 500 steps later: use a shorter" in refusal(
        frame, forecast={"horizons": [500]}
    )
    assert "kind: kfold trains on what follows" in refusal(frame, {"kind": "kfold"})
    assert "'sales' is the target, whose future is predicted" in refusal(
        frame, forecast={"known": ["sales"]}
    )
    assert "time 'day' is missing in row 4" in refusal(
        shops(shuffled=False).assign(day=lambda f: f["day"].where(f.index != 3))
    )


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ({"horizon": 3}, "got both"),
        ({"horizons": None}, "got neither"),
        ({"horizons": [1, 1]}, "names a step twice"),
        ({"time": None}, "series needs time"),
        ({"known": ["promo"], "history": 2}, "give history: 3 or more"),
    ],
)
def test_options_that_do_not_fit_are_refused(key: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(shops(), forecast=key)


@pytest.mark.parametrize("levels", [[0.0], [1.0], [0.5, 0.5], []])
def test_a_quantile_lies_between_0_and_1_once(levels: list[float]) -> None:
    with pytest.raises(ValueError, match="quantiles"):
        read(shops(), quantiles=levels)


def test_a_raw_table_gives_the_windows_that_were_trained() -> None:
    """As it is served: rows in order of time, without the derived columns."""
    frame = shops().sort_values(["day", "shop"], ignore_index=True)
    dataset = read(frame, forecast={"known": ["promo", "day"]}, test_fraction=0)
    schema = dataset.schema
    assert ("promo", "sales", "day", "shop") == schema.raw_columns
    cleaned = schema.clean(frame)
    order, last = schema.windows(frame)
    known = np.flatnonzero(last >= 0)
    np.testing.assert_array_equal(np.sort(dataset.rows), known)
    offsets = np.arange(1 - HISTORY, 1)
    served = schema.expand(cleaned[order][last[dataset.rows][:, None] + offsets])
    assert dataset.windows is not None
    trained = dataset.windows.take(dataset.features, np.arange(dataset.n_rows))
    np.testing.assert_array_equal(trained, served)
