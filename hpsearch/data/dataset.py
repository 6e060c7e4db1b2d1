"""The data of a study: cleaned columns, target, folds and locked test rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..spec.data_spec import CrossValidationSpec, FoldKind, Task
from .folds import SplitInputs
from .row_sample import make_sample_folds
from .schema import Schema
from .split import Split
from .statistics import Statistics, fit_fold_statistics
from .windows import Windows


@dataclass(frozen=True, slots=True)
class TestRows:
    """The test rows, on which the winner is evaluated."""

    __test__ = False  # pytest: this is no test class

    table: Any  # raw pyarrow.Table, for the served model; None: the rows are on disk
    columns: np.ndarray  # (n_test, n_columns) float32, cleaned; or (n_test, *shape)
    target: np.ndarray  # (n_test, n_outputs) float32
    weights: np.ndarray | None  # (n_test,) float32


class LockedRows:
    """Test rows that can be read once, after the winner has been chosen."""

    __slots__ = ("_rows", "n_rows")

    def __init__(self, rows: TestRows) -> None:
        self._rows: TestRows | None = rows
        self.n_rows = len(rows.target)

    def __len__(self) -> int:
        return self.n_rows

    def allows_metric(self, is_defined: Callable[[np.ndarray, np.ndarray | None], bool]) -> bool:
        """Whether a metric is defined on the locked rows, without revealing anything else of them.

        Args:
            is_defined: Called with the target, (n_test, n_outputs), and the weights, (n_test,) or
                None.
        """
        assert self._rows is not None
        return is_defined(self._rows.target, self._rows.weights)

    def read(self) -> TestRows:
        """Return the rows, once.

        Raises:
            RuntimeError: If they have been read before: choosing by them would leak.
        """
        if self._rows is None:
            raise RuntimeError("the locked test rows have already been read")
        rows, self._rows = self._rows, None
        return rows


@dataclass(frozen=True, slots=True)
class Dataset:
    """The data of a study. Rows are development rows unless stated otherwise."""

    name: str
    task: Task
    schema: Schema  # of raw rows, and of `locked_rows`
    scaling: str  # default scaling of numeric columns
    fingerprint: str  # SHA-256 of every cell, name and type that is used
    # Output of `Schema.clean`, (n_rows, n_columns) float32, or arrays; images with a backbone are
    # its outputs, as `Schema.after_backbones` says
    columns: np.ndarray  # with windows, the table that they index
    target: np.ndarray  # (n_rows, n_outputs) float32: 0/1, one-hot, labels, or numbers
    weights: np.ndarray | None  # (n_rows,) float32
    folds: tuple[Split, ...]
    cross_validation: CrossValidationSpec  # kind resolved
    locked_rows: LockedRows | None  # None: no test rows
    split_inputs: SplitInputs  # inputs of the division of the development rows into folds
    rows: np.ndarray  # (n_rows,) indices of the development rows in the source, 0-based
    windows: Windows | None  # into `columns`, one per development row; None: no windows
    notes: tuple[str, ...]  # for the user: what was inferred, left out, or looks suspicious
    sample: np.ndarray | None = None  # indices of the development rows of the search; None: all
    versions: Mapping[str, str] = field(default_factory=dict)  # location -> version that was read
    backbones: Mapping[str, Path] = field(default_factory=dict)  # frozen models by column
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # columns by named input
    stored_features: np.ndarray | None = None  # `features`, mapped from disk like `columns`

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
        """Shape of one row as the network receives it."""
        n_features = len(self.schema.feature_names)
        if self.windows is not None:
            return self.windows.n_rows, n_features
        return self.schema.shape or (n_features,)

    @property
    def n_features(self) -> int:
        """Numbers in one row as the network receives it."""
        return int(np.prod(self.shape))

    @property
    def kind(self) -> FoldKind:
        """The kind of cross-validation."""
        assert self.cross_validation.kind is not None
        return self.cross_validation.kind

    @property
    def features(self) -> np.ndarray:
        """(n_rows, *shape) float32 or uint8, NaN for missing; with windows, the table's rows."""
        if self.stored_features is not None:
            return self.stored_features
        return self.schema.after_backbones.expand(self.columns)

    @property
    def on_disk(self) -> bool:
        """Whether the rows are mapped from disk, because they do not fit in memory."""
        return self.stored_features is not None

    def redraw_folds(self, seed: int) -> tuple[Split, ...]:
        """Draw folds with another seed; a kind that draws nothing returns the same folds."""
        if self.kind == "predefined":
            return self.folds
        folds = make_sample_folds(self.split_inputs, self.cross_validation, self.sample, seed=seed)
        return folds if self.windows is None else self.windows.purge_folds(folds)

    def statistics(self, rows: np.ndarray, scaling: str | None = None) -> Statistics:
        """Fit the statistics of columns and target on these training rows alone.

        Args:
            rows: Indices of the training rows, (n_train,).
            scaling: Default scaling of numeric columns; None: the declared one.
        """
        return self.fold_statistics([rows], scaling)[0]

    def fold_statistics(
        self, folds: Sequence[np.ndarray], scaling: str | None = None
    ) -> tuple[Statistics, ...]:
        """Fit the statistics of each fold on its training rows alone, each column once."""
        windows, read = self.windows, None
        if windows is not None:
            read = [windows.find_covered_rows(len(self.columns), rows) for rows in folds]
        schema, how = self.schema.after_backbones, scaling or self.scaling
        return fit_fold_statistics(schema, self.columns, self.target, folds, scaling=how, read=read)
