"""The rows and folds on the device: one copy of the rows, and small vectors for each fold.

Folds differ in length, so their rows are lists of indices, padded to the longest.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from ...data.statistics import Statistics
from ...trial import Value
from ..batching import derive_order_seed, order_training_rows
from ..problem import Problem
from .device_health import device_memory
from .row_stream import ROWS_SHARE, RowStream

EVALUATION_ROWS = 2048  # rows evaluated at once
ORDER_BYTES = 1 << 26  # of row orders that are kept


class DeviceRows(NamedTuple):
    """The rows, which all lanes share."""

    features: Any  # (n_rows, *shape) float32, NaN: missing; or uint8
    target: Any  # (n_rows, n_outputs) float32
    weights: Any  # (n_rows,) float32, or None
    last: Any = None  # (n_rows,) int32, where windows end in `features`; None: there are none
    offsets: Any = None  # (n_window,) int32, added to `last`
    slots: Any = None  # (n_rows,) int32, where rows are in `features`; None: at their index


class DeviceFold(NamedTuple):
    """The statistics and indices of one fold."""

    impute: Any  # (n_features,)
    center: Any  # (n_features,)
    scale: Any  # (n_features,)
    target_center: Any  # (n_outputs,)
    target_scale: Any  # (n_outputs,)
    quantiles: Any  # `data.statistics.QuantileScaling`, or None
    clip: Any  # (n_features,), or None
    target_range: Any  # (2, n_outputs), or None
    n_train: Any  # int32
    validation: Any  # (n_chunks, n_chunk) int32, padded with 0; None: not needed
    n_validation: Any  # int32


class BatchData(NamedTuple):
    """The inputs that the lanes of a batch share."""

    rows: DeviceRows
    folds: DeviceFold  # with an axis of folds
    train: Any  # (n_folds, capacity) int32, row indices padded with 0
    seeds: Any  # (n_folds,) uint32 seeds of the row orders
    patience: Any  # int32: epochs without improvement after which a trial ends
    min_delta: Any  # float32: an improvement of what `StoppingRules.scope` compares


class RowOrders:
    """The row order of each epoch of each fold, which all trials share."""

    def __init__(self, problem: Problem) -> None:
        self._features, self._on_disk = problem.features, problem.on_disk
        self._rows = [fold.train.astype(np.int32) for fold in problem.folds]
        self.seeds = [derive_order_seed(fold.train) for fold in problem.folds]
        self._kept: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        longest = max(rows.nbytes for rows in self._rows)
        self._most = max(1, ORDER_BYTES // max(1, longest))
        self._lock = threading.Lock()

    def __call__(self, fold: int, epoch: int) -> np.ndarray:
        """Row indices of an epoch, int32."""
        with self._lock:
            if (fold, epoch) in self._kept:
                self._kept.move_to_end((fold, epoch))
                return self._kept[fold, epoch]
        ordered = order_training_rows(
            self._rows[fold], epoch, self._features, on_disk=self._on_disk
        )
        with self._lock:
            self._kept[fold, epoch] = ordered
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return ordered


@dataclass(frozen=True, slots=True)
class DeviceData:
    """A problem's arrays on the device."""

    rows: DeviceRows
    folds: tuple[DeviceFold, ...]
    scaled: Mapping[str, tuple[DeviceFold, ...]]  # by `scaling`, if it is a hyperparameter
    capacity: int  # rows for which programs have room: the training rows of any fold
    orders: RowOrders
    stream: RowStream | None = None  # None: the rows are on the device

    def folds_of(self, params: Mapping[str, Value]) -> tuple[DeviceFold, ...]:
        """Return the folds with the scaling that a trial's hyperparameters select."""
        return self.scaled.get(str(params.get("scaling")), self.folds)

    def steps(self, batch_size: int) -> int:
        """Return the number of batches for which programs have room."""
        return -(-self.capacity // batch_size)


def make_device_data(problem: Problem) -> DeviceData:
    """Copy `problem` to the device.

    On a CPU, aligned rows are not copied, so rows that are mapped from the disk are read from it
    when they are used, and dropped when memory is needed.

    Rows on disk that do not fit in an accelerator's memory are transferred while networks train.

    Raises:
        TrainingError: If not even a row fits.
    """
    stream = _make_stream(problem)
    rows = DeviceRows(
        _put_shared(problem.features) if stream is None else None,
        _put_shared(problem.target),
        None if problem.weights is None else _put_shared(problem.weights),
        *(() if problem.windows is None else (problem.windows.last_rows, problem.windows.offsets)),
    )
    folds = _device_folds(problem, problem.statistics)
    scaled = {
        how: _device_folds(problem, fitted)
        for how, fitted in (problem.statistics_by_scaling or {}).items()
    }
    # Other folds of the same rows, and all of them in the final fit, then share the programs.
    capacity = max(len(problem.target), *(len(f.train) for f in problem.folds))
    return DeviceData(rows, folds, scaled, capacity, RowOrders(problem), stream)


def _make_stream(problem: Problem) -> RowStream | None:
    room = device_memory()
    if not problem.on_disk or room is None or problem.features.nbytes <= ROWS_SHARE * room:
        return None
    return RowStream(problem, room)


def _device_folds(problem: Problem, statistics: tuple[Statistics, ...]) -> tuple[DeviceFold, ...]:
    longest = max((len(f.validation) for f in problem.folds), default=0)
    chunks = -(-longest // EVALUATION_ROWS)
    size = -(-longest // max(1, chunks))
    folds = []
    for split, s in zip(problem.folds, statistics, strict=True):
        validation = np.zeros(chunks * size, np.int32)
        validation[: len(split.validation)] = split.validation
        given = (s.impute, s.center, s.scale, s.target_center, s.target_scale)
        vectors = [np.asarray(v, np.float32) for v in given]
        fold = DeviceFold(
            **dict(zip(DeviceFold._fields, vectors, strict=False)),
            quantiles=s.quantiles,
            clip=s.clip,
            target_range=s.target_range,
            n_train=np.int32(len(split.train)),
            validation=validation.reshape(chunks, size),
            n_validation=np.int32(len(split.validation)),
        )
        folds.append(jax.device_put(fold))
    return tuple(folds)


def _put_shared(array: np.ndarray) -> Any:
    kept = array if array.dtype == np.uint8 else np.asarray(array, np.float32)
    return jax.device_put(kept, may_alias=True)
