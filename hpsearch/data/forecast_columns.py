"""Make the columns of a forecast: future values of the target, and of columns that are known.

The rest of `data` then sees a table whose rows are predicted from windows that end with them:
`sales_h1` is the target one step ahead, and `holiday_h24` a feature that is known 24 steps ahead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import DataError
from ..spec.data_spec import ColumnSpec, CrossValidationSpec, DataSpec, ForecastSpec, WindowSpec
from .cells import factorize
from .column_cleaning import require_columns
from .column_roles import mask_missing_targets, read_times
from .columns import RowWindow, Target
from .folds import count_validation_steps
from .schema import Schema
from .source_table import SourceTable
from .time_steps import TimeSteps, count_time_steps
from .windows import Windows

TIME_KINDS = (None, "time_series", "holdout")  # folds that lie behind their training rows
SERIES_KINDS = ("group", "leave_one_group_out")  # folds of whole series


@dataclass(frozen=True, slots=True)
class DerivedTable:
    """A source with derived target columns, and the declaration that goes with them."""

    source: SourceTable
    data: DataSpec
    cross_validation: CrossValidationSpec
    outputs: Mapping[str, tuple[int, float]]  # derived target -> steps ahead, quantile; 0: none
    times: TimeSteps | None = None  # of a forecast
    known: Mapping[str, str] | None = None  # derived feature -> its column
    target: str = ""  # of a forecast: the column whose future values are predicted

    def add_times(self, windows: Windows, order: np.ndarray) -> Windows:
        """Add the time steps of the predicted rows, whose indices in the source are `order`."""
        assert self.times is not None
        assert self.data.forecast is not None
        steps = self.times.steps[order]
        return replace(windows, time_steps=steps, reach=self.data.forecast.reach)

    def require_long_folds(self, n_steps: int) -> None:
        """Refuse folds of fewer validation time steps than the horizon.

        Args:
            n_steps: Time steps of the development rows.

        Raises:
            DataError: With both lengths.
        """
        forecast, cv = self.data.forecast, self.cross_validation
        if forecast is None or cv.kind in SERIES_KINDS:
            return
        size = count_validation_steps(n_steps, cv)
        if cv.kind == "holdout":
            size = int(np.ceil(n_steps * cv.fraction))
        if size < forecast.reach:
            raise DataError(
                f"data.forecast: the horizon of {forecast.reach} steps is longer than a fold, "
                f"which validates {size} of {n_steps} time steps: use a shorter horizon, fewer "
                "folds, or a larger cross_validation.validation_rows"
            )

    def _mark_target(self, target: Target) -> Target:
        """Mark the outputs of a target with their steps and quantiles."""
        if not target.parts:
            step, level = self.outputs[target.name]
            return replace(target, step=step, quantile=level)
        return replace(target, parts=tuple(self._mark_target(part) for part in target.parts))

    def mark_schema(self, schema: Schema) -> Schema:
        """Return the schema of raw tables, which lack the derived features."""
        forecast, window = self.data.forecast, schema.window
        if self.outputs and schema.target is not None:
            schema = replace(schema, target=self._mark_target(schema.target))
        if forecast is None or window is None or self.times is None:
            return schema
        known = self.known or {}
        columns = tuple(
            replace(c, source=known[c.raw_name], ahead=forecast.reach) if c.raw_name in known else c
            for c in schema.columns
        )
        window = RowWindow(
            rows=window.rows,
            by=window.by,
            ahead=forecast.reach if known else 0,
            target=self.target,
            season=forecast.season or self.times.season,
        )
        return replace(schema, columns=columns, window=window)


def derive_columns(source: SourceTable, data: DataSpec, cv: CrossValidationSpec) -> DerivedTable:
    """Add the columns of a forecast, and of quantiles.

    Raises:
        DataError: If a column is missing, a time is doubled or lacking, or the folds are shuffled.
    """
    if data.forecast is None and data.quantiles is None:
        return DerivedTable(source, data, cv, {})
    if source.array is not None:
        key = "forecast" if data.forecast is not None else "quantiles"
        raise DataError(f"data.{key} is for tables; the source holds arrays")
    targets = data.targets or source.targets
    if data.forecast is None:
        return _repeat_quantiles(source, data, cv, targets)
    if len(targets) != 1:
        raise DataError(f"data.forecast is of one target; give data.target, received {targets}")
    return _derive_forecast(source, data, cv, data.forecast, targets[0])


def _derive_forecast(
    source: SourceTable,
    data: DataSpec,
    cv: CrossValidationSpec,
    forecast: ForecastSpec,
    target: str,
) -> DerivedTable:
    table = source.table
    require_columns(table, [n for n in (target, forecast.time, forecast.series) if n])
    _require_known_columns(table.column_names, forecast, target)
    mask_missing_targets(table, [target], data)
    cv = _order_folds(cv, forecast)
    series, times = _count_steps(table, forecast)
    sources: dict[str, np.ndarray] = {
        f"{target}_h{step}": _find_rows_ahead(times.steps, series, step) for step in forecast.steps
    }
    for name, rows in sources.items():
        table = _append(table, name, table[target], rows)
    known = {f"{name}_h{forecast.reach}": name for name in forecast.known}
    ahead = _find_rows_ahead(times.steps, series, forecast.reach)
    if (ahead < 0).all():
        raise DataError(
            f"data.forecast: none of the {len(ahead)} rows has another one {forecast.reach} steps "
            "later: use a shorter horizon"
        )
    for name, column in known.items():
        table = _append(table, name, source.table[column], ahead)
    columns = {n: c for n, c in data.columns.items() if n != forecast.time}
    for name, column in {**dict.fromkeys(sources, target), **known}.items():
        if column in data.columns:
            columns[name] = data.columns[column]
        elif column == forecast.time and times.has_dates:
            columns[name] = ColumnSpec(kind="date")
    derived = data.model_copy(
        update={
            "target": list(sources),
            "columns": columns,
            "missing_target": "drop",
            "windows": WindowSpec(rows=forecast.history, by=forecast.series),
        }
    )
    steps = dict(zip(sources, forecast.steps, strict=True))
    made = _repeat_quantiles(replace(source, table=table), derived, cv, list(sources), steps)
    return replace(made, times=times, known=known, target=target)


def _repeat_quantiles(
    source: SourceTable,
    data: DataSpec,
    cv: CrossValidationSpec,
    targets: Sequence[str],
    steps: Mapping[str, int] | None = None,
) -> DerivedTable:
    """Give each target an output for each quantile, if quantiles are declared."""
    steps = steps or {}
    if data.quantiles is None:
        return DerivedTable(source, data, cv, {name: (steps.get(name, 0), 0.0) for name in targets})
    require_columns(source.table, targets)
    levels = sorted(data.quantiles)
    sources = {f"{target}_q{q:g}": target for target in targets for q in levels}
    columns = {n: c for n, c in data.columns.items() if n not in targets}
    columns |= {n: data.columns[t] for n, t in sources.items() if t in data.columns}
    outputs = {f"{t}_q{q:g}": (steps.get(t, 0), q) for t in targets for q in levels}
    tables = [source.table, source.test_table]
    for k, table in enumerate(tables):
        for name, target in sources.items() if table is not None else ():
            table = _append(table, name, table[target])
        tables[k] = None if table is None else table.drop_columns(list(targets))
    source = replace(source, table=tables[0], test_table=tables[1], targets=())
    data = data.model_copy(update={"target": list(outputs), "columns": columns})
    return DerivedTable(source, data, cv, outputs)


def _append(table: Any, name: str, column: Any, rows: np.ndarray | None = None) -> Any:
    """Append a column, taken from `rows` of it; -1: an empty cell."""
    import pyarrow as pa

    if name in table.column_names:
        raise DataError(
            f"column {name!r} is the name of a predicted or a known column of the study: rename it"
        )
    if rows is not None:
        column = column.combine_chunks().take(pa.array(rows, mask=rows < 0))
    return table.append_column(name, column)


def _require_known_columns(names: Sequence[str], forecast: ForecastSpec, target: str) -> None:
    """Refuse columns as known over the horizon that do not exist, or are what is predicted."""
    missing = [name for name in forecast.known if name not in names]
    if missing:
        raise DataError(
            f"data.forecast.known: {', '.join(map(repr, missing))}: no such column. Columns: "
            f"{', '.join(names)}"
        )
    if target in forecast.known:
        raise DataError(f"data.forecast.known: {target!r} is the target, whose future is predicted")


def _order_folds(cv: CrossValidationSpec, forecast: ForecastSpec) -> CrossValidationSpec:
    """Order the folds by the forecast's time, with a gap of at least the horizon."""
    if cv.time is not None and forecast.time not in (None, cv.time):
        raise DataError(
            f"data.forecast.time is {forecast.time!r} and cross_validation.time {cv.time!r}: leave "
            "the latter out"
        )
    if cv.kind == "holdout" and cv.shuffle:
        raise DataError(
            "data.forecast: kind: holdout would shuffle a time series: shuffle: false, or kind: "
            "time_series"
        )
    if cv.kind not in (*TIME_KINDS, *SERIES_KINDS):
        raise DataError(
            f"data.forecast: cross_validation.kind: {cv.kind} trains on what follows the "
            "validation rows. Use time_series, holdout with shuffle: false, or group for folds of "
            "whole series"
        )
    if cv.kind in SERIES_KINDS and cv.group != forecast.series:
        raise DataError(
            f"data.forecast: cross_validation.group: {cv.group!r} must be the series: "
            f"{forecast.series!r}"
        )
    update: dict[str, Any] = {"time": forecast.time or cv.time}
    if cv.kind in (None, "time_series"):
        update |= {"kind": "time_series", "gap": max(cv.gap, forecast.reach)}
    return cv.model_copy(update=update)


def _count_steps(table: Any, forecast: ForecastSpec) -> tuple[np.ndarray, TimeSteps]:
    """Return the series of each row, and its time step."""
    n_rows = table.num_rows
    series = np.zeros(n_rows, np.intp)
    if forecast.time is None:
        return series, TimeSteps(np.arange(n_rows), "1 row")
    if forecast.series is not None:
        series = factorize(table[forecast.series])[1]
    times = read_times(table, forecast.time)
    return series, count_time_steps(times, series, forecast.time)


def _find_rows_ahead(steps: np.ndarray, series: np.ndarray, ahead: int) -> np.ndarray:
    """Return for each row the row `ahead` steps later in its series, (n_rows,); -1: none."""
    order = np.lexsort((steps, series))
    found = np.full(len(order), -1, np.int64)
    now, later = order[:-ahead], order[ahead:]
    same = series[now] == series[later]
    found[now[same]] = later[same]
    return found
