"""Windows over a time series: the table rows that are a predicted row's features.

A window holds indices into a table, not a copy of the rows; trainers gather it with the batch.
This module also prevents leaks: no training window covers a validation or test row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import DataError
from .columns import RowWindow
from .schema import locate_windows
from .split import Split


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of the predicted rows, in a table sorted by group."""

    n_rows: int  # window length
    last_rows: np.ndarray  # (n_predicted,) int32: table index of a window's last row
    predicted_rows: np.ndarray  # (n_predicted,) int32: table index of the predicted row
    # Of a forecast, whose targets lie up to `reach` time steps behind a row; None: not divided by
    # time.
    time_steps: np.ndarray | None = None  # (n_predicted,) int64
    reach: int = 0

    @property
    def offsets(self) -> np.ndarray:
        """(n_rows,) int32, added to `last_rows`."""
        return np.arange(1 - self.n_rows, 1, dtype=np.int32)

    def take(self, table: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Gather the windows of some predicted rows, (n, n_rows, ...)."""
        taken: np.ndarray = table[self.last_rows[rows][:, None] + self.offsets]
        return taken

    def select(self, rows: np.ndarray) -> Windows:
        """Select some predicted rows."""
        return replace(
            self,
            last_rows=self.last_rows[rows],
            predicted_rows=self.predicted_rows[rows],
            time_steps=None if self.time_steps is None else self.time_steps[rows],
        )

    def find_covered_rows(self, n_table: int, rows: np.ndarray) -> np.ndarray:
        """Return the sorted table indices covered by the windows of some predicted rows."""
        marks = np.zeros(n_table + 1, np.int64)
        np.add.at(marks, self.last_rows[rows] - self.n_rows + 1, 1)
        np.add.at(marks, self.last_rows[rows] + 1, -1)
        return np.flatnonzero(np.cumsum(marks)[:-1])

    def mask_overlapping(self, rows: np.ndarray, judging: np.ndarray) -> np.ndarray:
        """Return which windows of `rows` cover a row of `judging`, (len(rows),) bool.

        In a forecast also which targets lie at or behind the first time of `judging`.
        """
        n_table = int(max(self.last_rows.max(), self.predicted_rows.max())) + 1
        marks = np.zeros(n_table + 1, np.int64)
        marks[self.predicted_rows[judging] + 1] = 1
        before = np.cumsum(marks)
        last = self.last_rows[rows]
        found: np.ndarray = before[last + 1] > before[last - self.n_rows + 1]
        if self.time_steps is not None and judging.size:
            found |= self.time_steps[rows] + self.reach >= self.time_steps[judging].min()
        return found

    def purge_folds(self, folds: Sequence[Split]) -> tuple[Split, ...]:
        """Remove the training rows whose window covers a validation row.

        Raises:
            DataError: If a fold has no training row left.
        """
        found = []
        for index, fold in enumerate(folds):
            train = fold.train[~self.mask_overlapping(fold.train, fold.validation)]
            if train.size == 0:
                raise DataError(
                    f"data.windows: in fold {index} every training row's window of {self.n_rows} "
                    "rows holds a validation row. A time series is divided in its order: "
                    "cross_validation.kind: time_series, or a window shorter than a fold"
                )
            found.append(Split(train, fold.validation))
        return tuple(found)


def build_windows(
    window: RowWindow,
    codes: np.ndarray,
    in_time: np.ndarray,
    predicted: np.ndarray,
    names: list[str],
) -> tuple[np.ndarray, np.ndarray, Windows]:
    """Build the table that windows index, and the windows.

    Args:
        window: The declared window.
        codes: (n_source,) int, the group of each source row.
        in_time: Source indices of all rows, sorted by time.
        predicted: Source indices of the rows to predict, sorted by time; a subset of `in_time`.
        names: Names of the groups.

    Returns:
        The source indices of the table's rows; a mask of the `predicted` rows that have a window;
        and the windows.

    Raises:
        DataError: If a group has too few rows for a window.
    """
    order, last = locate_windows(codes[in_time], window.rows, window.horizon)
    table = in_time[order]
    needed = window.rows + window.horizon
    sizes = np.bincount(codes[in_time], minlength=len(names))
    short = [f"{name!r} {n}" for name, n in zip(names, sizes, strict=True) if n < needed]
    if short:
        of = "the table has" if window.by == "" else f"of {window.by},"
        shown = f"{sizes[0]}" if window.by == "" else ", ".join(short[:5]) + " rows"
        raise DataError(
            f"data.windows: {window.rows} rows and a horizon of {window.horizon} need {needed} "
            f"rows in order; {of} {shown}"
        )
    index = np.full(len(codes), -1, np.int32)
    index[table] = np.arange(len(table))
    of_source = np.full(len(codes), -1, np.int64)
    of_source[in_time] = last
    known = np.flatnonzero(of_source[predicted] >= 0)
    rows = predicted[known]
    windows = Windows(window.rows, of_source[rows].astype(np.int32), index[rows])
    return table, known, windows
