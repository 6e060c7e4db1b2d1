"""A table made ready for a study: cleaned columns, target, folds, and test rows under lock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..spec.data_spec import CrossValidationSpec, FoldKind, Task
from .folds import SplitInputs, make_folds
from .schema import Schema
from .split import Split
from .statistics import Statistics, fit_statistics
from .windows import Windows


@dataclass(frozen=True, slots=True)
class TestRows:
    """The rows that judge the winner."""

    __test__ = False  # pytest: this is no test class

    table: Any  # pyarrow.Table as it was read, for the served model
    columns: np.ndarray  # (n_test, n_columns) float32, cleaned; or (n_test, *shape)
    target: np.ndarray  # (n_test, n_outputs) float32
    weights: np.ndarray | None  # (n_test,) float32


class LockedRows:
    """Test rows that can be read once, after the winner is fixed."""

    __slots__ = ("_rows", "n_rows")

    def __init__(self, rows: TestRows) -> None:
        self._rows: TestRows | None = rows
        self.n_rows = len(rows.target)

    def __len__(self) -> int:
        return self.n_rows

    def allows_metric(self, is_defined: Callable[[np.ndarray, np.ndarray | None], bool]) -> bool:
        """Whether a measure has a value on the rows; nothing else of them gets out.

        Args:
            is_defined: Takes the target, (n_test, n_outputs), and the weights, (n_test,) or None.
        """
        assert self._rows is not None
        return is_defined(self._rows.target, self._rows.weights)

    def read(self) -> TestRows:
        """The rows, to the first who asks.

        Raises:
            RuntimeError: If they have been read: a second look would choose by them.
        """
        if self._rows is None:
            raise RuntimeError("the locked test rows have already been read")
        rows, self._rows = self._rows, None
        return rows


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a study knows about its data. Rows are development rows unless they are locked."""

    name: str
    task: Task
    schema: Schema
    scaling: str  # of numeric columns that declare none
    fingerprint: str  # SHA-256 of every cell, name and type that is used
    columns: np.ndarray  # as `Schema.clean` gives them: (n_rows, n_columns) float32, or arrays;
    # where there are windows, the table that they lie in
    target: np.ndarray  # (n_rows, n_outputs) float32: 0/1, one-hot, labels, or numbers
    weights: np.ndarray | None  # (n_rows,) float32
    folds: tuple[Split, ...]
    cross_validation: CrossValidationSpec  # with its kind resolved
    locked_rows: LockedRows | None  # None: there are no test rows
    split_inputs: SplitInputs  # what the folds of the development rows may look at
    rows: np.ndarray  # (n_rows,) places of the development rows in the source, 0-based
    windows: Windows | None  # of the development rows in `columns`; None: a row is its own
    notes: tuple[str, ...]  # what was inferred, left out or looks odd, for people

    @property
    def n_rows(self) -> int:
        """Development rows."""
        return len(self.target)

    @property
    def n_columns(self) -> int:
        """Cleaned columns."""
        return len(self.schema.columns)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row, as a network is given it."""
        n_features = len(self.schema.feature_names)
        if self.windows is not None:
            return self.windows.n_rows, n_features
        return self.schema.shape or (n_features,)

    @property
    def n_features(self) -> int:
        """Numbers of one row, as a network is given it."""
        return int(np.prod(self.shape))

    @property
    def kind(self) -> FoldKind:
        """How the folds were made."""
        assert self.cross_validation.kind is not None
        return self.cross_validation.kind

    @property
    def features(self) -> np.ndarray:
        """(n_rows, *shape) float32 or uint8; NaN is a missing number. The rows of windows."""
        return self.schema.expand(self.columns)

    def redraw_folds(self, seed: int) -> tuple[Split, ...]:
        """Folds of the same kind drawn with another seed; the same ones where nothing is drawn."""
        folds = make_folds(self.split_inputs, self.cross_validation, seed=seed)
        return folds if self.windows is None else self.windows.purge_folds(folds)

    def statistics(self, rows: np.ndarray, scaling: str | None = None) -> Statistics:
        """What these training rows alone say about columns and target.

        Args:
            rows: Indices of the training rows, (n_train,).
            scaling: Of numeric columns that declare none; None: the declared one.
        """
        how = scaling or self.scaling
        read = (
            None
            if self.windows is None
            else self.windows.find_covered_rows(len(self.columns), rows)
        )
        return fit_statistics(self.schema, self.columns, self.target, rows, scaling=how, read=read)
