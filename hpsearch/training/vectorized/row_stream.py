"""Put rows that do not fit in an accelerator's memory on it, part by part.

Two parts are there at a time, in a ring, while the next one is read and transferred. A batch that
begins in one part ends in the next. A part is transferred once for all lanes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...errors import TrainingError
from ..batching import WINDOW_BYTES, draw_common_order
from ..problem import Problem

PARTS = 3  # two in the ring, and the one that is transferred
ROWS_SHARE = 0.5  # of an accelerator's memory, for rows that exceed the machine's
GIB = 1 << 30


class RowPart(NamedTuple):
    """The rows on the device after a transfer."""

    ring: Any  # (2 * part_rows, n_features)
    slots: Any  # (n_rows,) int32: where a row is in the ring
    start: int  # the first position of the pass that is on the device
    stop: int  # the position after the last one


class PassOrder(NamedTuple):
    """The order of a pass over rows."""

    rows: np.ndarray  # indices of rows
    positions: tuple[np.ndarray, ...]  # of each fold's rows in `rows`, rising

    def count_loaded(self, part: RowPart, size: int, n_folds: int) -> np.ndarray:
        """Count the batches of each fold whose rows are on the device, or were before.

        Args:
            part: The last part.
            size: Rows of a batch.
            n_folds: Count those of the first folds.
        """
        counts = []
        for own in self.positions[:n_folds]:
            n = int(np.searchsorted(own, part.stop))
            counts.append(-(-n // size) if n == len(own) else n // size)
        return np.array(counts, np.int32)

    def require_rows(self, part: RowPart, first: np.ndarray, last: np.ndarray, size: int) -> None:
        """Require that the rows of the batches `first` to `last` of each fold are on the device.

        Raises:
            TrainingError: If a batch spans more than two parts.
        """
        for own, begin, end in zip(self.positions, first.tolist(), last.tolist(), strict=False):
            if begin < end and own[begin * size] < part.start:
                raise TrainingError(
                    f"a batch of {size} rows spans more than the {part.stop - part.start} rows "
                    "that are on the device at a time: use smaller batches, or trainer: keras_fit"
                )


class RowStream:
    """Transfers the rows of a problem."""

    def __init__(self, problem: Problem, room: int) -> None:
        """Transfer nothing yet; `room`: bytes of the device's memory."""
        self._problem, self._features = problem, problem.features
        row_bytes = problem.features.nbytes // len(problem.features)
        part_bytes = min(WINDOW_BYTES, ROWS_SHARE * room / PARTS)
        self.part_rows = int(part_bytes // row_bytes)
        if self.part_rows < 1:
            raise TrainingError(
                f"training.trainer: a row takes {row_bytes / GIB:.3g} GiB, and the device has "
                f"{ROWS_SHARE * room / GIB:.3g} GiB for rows: use trainer: keras_fit"
            )
        self.transfers = 0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="rows")
        self._put = jax.jit(_put_part, donate_argnums=0)

    @property
    def ring_shape(self) -> tuple[int, ...]:
        """The shape of the rows on the device."""
        return (2 * self.part_rows, *self._features.shape[1:])

    def order_training(self, epoch: int) -> PassOrder:
        """Return the order in which all folds train in an epoch."""
        order = draw_common_order(self._features, epoch)
        return self._order_of([fold.train for fold in self._problem.folds], order)

    def order_validation(self) -> PassOrder:
        """Return the order in which the folds are evaluated, evenly."""
        folds = [fold.validation for fold in self._problem.folds]
        shares = [np.arange(len(rows)) / len(rows) for rows in folds]
        order = np.argsort(np.concatenate(shares), kind="stable")
        where = np.empty_like(order)
        where[order] = np.arange(len(order))
        ends = np.cumsum([len(rows) for rows in folds])[:-1]
        return PassOrder(np.concatenate(folds)[order], tuple(np.split(where, ends)))

    def _order_of(self, folds: Sequence[np.ndarray], order: np.ndarray) -> PassOrder:
        """Return a pass over the rows of any fold, and where each fold's rows are in it."""
        kept = order[_mark(np.concatenate(folds), len(order))[order]]
        marks = [_mark(rows, len(order))[kept] for rows in folds]
        return PassOrder(kept, tuple(np.flatnonzero(mark) for mark in marks))

    def iter_parts(self, order: PassOrder) -> Iterator[RowPart]:
        """Put one part after another on the device; the ring of the part before is invalid then."""
        size, rows = self.part_rows, order.rows
        parts = [rows[start : start + size] for start in range(0, len(rows), size)]
        slots = np.zeros(len(self._features), np.int32)
        ring = jnp.zeros(self.ring_shape, self._features.dtype)
        ahead = self._pool.submit(self._transfer, parts[0]) if parts else None
        for index, part in enumerate(parts):
            assert ahead is not None
            first = index % 2 * size
            ring = self._put(ring, ahead.result(), np.int32(first))
            following = parts[index + 1] if index + 1 < len(parts) else None
            ahead = None if following is None else self._pool.submit(self._transfer, following)
            slots[part] = np.arange(first, first + len(part), dtype=np.int32)
            start = max(0, index - 1) * size
            yield RowPart(ring, jax.device_put(slots.copy()), start, index * size + len(part))

    def _transfer(self, rows: np.ndarray) -> Any:
        """Read a part, padded to the size of parts, and put it on the device."""
        part = np.zeros((self.part_rows, *self._features.shape[1:]), self._features.dtype)
        part[: len(rows)] = self._features[rows]
        self.transfers += 1
        return jax.device_put(part)


def _put_part(ring: Any, part: Any, first: Any) -> Any:
    return jax.lax.dynamic_update_slice_in_dim(ring, part, first, 0)


def _mark(rows: np.ndarray, n: int) -> np.ndarray:
    marked = np.zeros(n, bool)
    marked[rows] = True
    return marked
