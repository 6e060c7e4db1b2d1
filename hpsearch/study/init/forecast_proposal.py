"""Propose a forecast for a table with a column of dates: its time, series and history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...data.cells import (
    ISO_FORMAT,
    factorize,
    format_cell,
    is_text_column,
    parse_date_column,
    read_number_column,
)
from ...data.text_formats import match_date_formats
from ...data.time_steps import count_time_steps
from ...errors import DataError

MIN_HISTORY = 8  # rows
FOLDS = 3


@dataclass(frozen=True, slots=True)
class ForecastProposal:
    """The declaration that `hpsearch init --horizon` writes."""

    time: str
    series: str | None
    horizon: int
    history: int
    step: str  # name of one time step

    @property
    def data(self) -> Mapping[str, Any]:
        """Keys of the section `data`."""
        series = {} if self.series is None else {"series": self.series}
        forecast = {"horizon": self.horizon, "history": self.history, "time": self.time, **series}
        columns = {} if self.series is None else {"columns": {self.series: {"kind": "categorical"}}}
        return {"forecast": {**forecast, "known": [self.time]}, **columns}

    @property
    def summary(self) -> str:
        """One line for the user."""
        series = "" if self.series is None else f" of each {self.series}"
        return (
            f"forecast of the next {self.horizon} steps of {self.step}{series}, from the last "
            f"{self.history} rows and the calendar of {self.time}"
        )


def propose_forecast(table: Any, target: str, horizon: int) -> ForecastProposal:
    """Find the column of dates, and the column that identifies the series if dates repeat.

    Raises:
        DataError: If there is no column of dates, none tells the series apart, or a date is
            lacking or doubled.
    """
    names = [name for name in table.column_names if name != target]
    time = next((name for name in names if _holds_dates(table[name])), None)
    if time is None:
        raise DataError(
            f"--horizon needs a column of dates like {ISO_FORMAT}, and there is none. Rows in "
            "order of time need none: write data.forecast as docs/time_series.md describes"
        )
    times = parse_date_column(table[time], time, zone="UTC")
    series = None
    codes = np.zeros(len(times), np.intp)
    if len(np.unique(times)) < len(times):
        series, codes = _find_series(table, [n for n in names if n != time], time, times)
    counted = count_time_steps(times, codes, time)
    history = max(MIN_HISTORY, horizon, 2 * (counted.season or horizon))
    return ForecastProposal(time, series, horizon, history, counted.name)


def _holds_dates(column: Any) -> bool:
    if str(column.type).startswith(("date", "timestamp")):
        return True
    if not is_text_column(column) or read_number_column(column) is not None:
        return False
    texts = [format_cell(value) for value in factorize(column)[0]]
    return ISO_FORMAT in match_date_formats([text for text in texts if text])


def _find_series(
    table: Any, names: list[str], time: str, times: np.ndarray
) -> tuple[str, np.ndarray]:
    """Find the column of fewest values that, with the time, tells all rows apart."""
    found: list[tuple[int, str, np.ndarray]] = []
    for name in names:
        codes = factorize(table[name])[1]
        n_series = len(np.unique(codes))
        pairs = np.unique(np.stack([codes, times.astype(np.int64)]), axis=1).shape[1]
        if pairs == len(times) and 2 * n_series < len(times):
            found.append((n_series, name, codes))
    if not found:
        raise DataError(
            f"column {time!r} repeats dates, and no other column tells the series apart: write "
            "data.forecast as docs/time_series.md describes"
        )
    _, name, codes = min(found, key=lambda each: each[:2])
    return name, codes
