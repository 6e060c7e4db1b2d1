"""Count the time steps of a calendar: equal durations, working days, or months.

A forecast counts steps, so every series needs a row at each of them. What lacks or doubles one is
refused with the row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import DataError

DAY = 86_400  # seconds
# Seconds between rows -> steps after which people's activity repeats; other steps within a day
# repeat after a day.
SEASONS = {DAY: 7, 7 * DAY: 52}
MONTH_SEASONS = {1: 12, 3: 4}  # months between rows -> steps of a year
WORKING_DAYS = 5


@dataclass(frozen=True, slots=True)
class TimeSteps:
    """The time step of each row."""

    steps: np.ndarray  # (n_rows,) int64
    name: str  # of one step, such as "3600 s"
    season: int = 0  # steps after which the calendar repeats; 0: unknown
    has_dates: bool = False


def count_time_steps(times: np.ndarray, series: np.ndarray, column: str) -> TimeSteps:
    """Count the time steps of rows of one or several series.

    Args:
        times: (n_rows,) float64 or datetime64[s], in any order.
        series: (n_rows,) int, the series of each row.
        column: Name of the time column, for messages.

    Raises:
        DataError: If a series has two rows of a time, or lacks a step between two rows.
    """
    order = np.lexsort((times, series))
    together = series[order][1:] == series[order][:-1]
    pairs = np.stack([order[:-1], order[1:]])[:, together]  # neighbours within a series
    earlier, later = times[pairs[0]], times[pairs[1]]
    doubled = np.flatnonzero(earlier == later)
    if doubled.size:
        first, second = np.sort(pairs[:, doubled[0]]) + 1
        raise DataError(
            f"time {column!r}: rows {first} and {second} of one series have the same time, "
            f"{_format_time(earlier[doubled[0]])}{_count_more(doubled)}. Give one row a time; "
            "rows of several series need data.forecast.series"
        )
    if not together.any():
        raise DataError(f"time {column!r}: no series has two rows")
    found = _count_dates(times, pairs) if times.dtype.kind == "M" else _count_numbers(times, pairs)
    lengths = found.steps[pairs[1]] - found.steps[pairs[0]]
    gaps = np.flatnonzero(lengths != 1)
    if gaps.size:
        first, second = pairs[:, gaps[0]]
        raise DataError(
            f"time {column!r}: {_format_time(times[first])} in row {first + 1} is followed by "
            f"{_format_time(times[second])} in row {second + 1}, but most rows follow after "
            f"{found.name}{_count_more(gaps)}. A forecast counts rows: insert the missing rows "
            "with an empty target, and say data.missing_target: drop"
        )
    return found


def _count_more(rows: np.ndarray) -> str:
    return "" if len(rows) == 1 else f", the first of {len(rows):,} such places"


def _format_time(time: np.generic) -> str:
    text = str(time)
    return text.removesuffix("T00:00:00").replace("T", " ") if time.dtype.kind == "M" else text


def _count_numbers(times: np.ndarray, pairs: np.ndarray) -> TimeSteps:
    usual = float(np.median(times[pairs[1]] - times[pairs[0]]))
    return TimeSteps(_divide(times - times.min(), usual), f"{usual:g}")


def _divide(distances: np.ndarray, step: float) -> np.ndarray:
    """Divide distances by the step, rounded: clocks may be late by less than half a step."""
    return np.round(distances / step).astype(np.int64)


def _count_dates(times: np.ndarray, pairs: np.ndarray) -> TimeSteps:
    """Count months or working days if the dates fit them, and else the usual duration."""
    days, months = times.astype("datetime64[D]"), times.astype("datetime64[M]")
    if (times == days).all():
        if found := _count_months(days, months, pairs):
            return found
        weekdays = (days.astype(np.int64) + 3) % 7  # 0: Monday
        usual = np.median((days[pairs[1]] - days[pairs[0]]).astype(np.int64))
        if weekdays.max() < WORKING_DAYS and usual == 1 and len(np.unique(weekdays)) > 1:
            steps = np.busday_count(days.min(), days).astype(np.int64)
            return TimeSteps(steps, "a working day", WORKING_DAYS, has_dates=True)
    seconds = (times - times.min()).astype(np.int64)
    usual = float(np.median(seconds[pairs[1]] - seconds[pairs[0]]))
    season = SEASONS.get(int(usual), int(DAY // usual) if DAY % usual == 0 and usual < DAY else 0)
    return TimeSteps(_divide(seconds, usual), _name_duration(usual), season, has_dates=True)


def _count_months(days: np.ndarray, months: np.ndarray, pairs: np.ndarray) -> TimeSteps | None:
    """Count months if all dates are the same day of a month, or the last one."""
    numbers = months.astype(np.int64)
    usual = int(np.median(numbers[pairs[1]] - numbers[pairs[0]]))
    same_day = len(np.unique(days - months.astype("datetime64[D]"))) == 1
    last_day = ((days + np.timedelta64(1, "D")).astype("datetime64[M]") != months).all()
    if usual == 0 or not (same_day or last_day):
        return None
    name = "a month" if usual == 1 else f"{usual} months"
    season = MONTH_SEASONS.get(usual, 0)
    return TimeSteps(_divide(numbers - numbers.min(), usual), name, season, has_dates=True)


def _name_duration(seconds: float) -> str:
    for name, length in (("day", DAY), ("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds % length == 0:
            count = int(seconds // length)
            return f"1 {name}" if count == 1 else f"{count} {name}s"
    return f"{seconds:g} seconds"
