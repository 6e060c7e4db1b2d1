"""Rows on disk as batches for Keras's own `fit` and `predict`, each read when it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..batching import order_training_rows
from ..problem import Problem

if TYPE_CHECKING:
    import keras


def make_batches(
    load: Callable[[np.ndarray], tuple[Any, ...]], rows: np.ndarray, size: int
) -> keras.utils.PyDataset:
    """Return a data set of the batches of `rows`, in their order.

    Args:
        load: Loads the features, targets and weights of some rows.
        rows: Indices of rows.
        size: Rows of a batch; the last one may be smaller.
    """
    return _make_dataset(load, lambda epoch: rows, len(rows), size, first_epoch=0)


def make_training_batches(
    load: Callable[[np.ndarray], tuple[Any, ...]],
    problem: Problem,
    rows: np.ndarray,
    size: int,
    first_epoch: int,
) -> keras.utils.PyDataset:
    """Return a data set of the batches of training rows, in the order of each epoch.

    The arguments are those of `make_batches`; `first_epoch` is the epoch of the first iteration.
    """

    def order(epoch: int) -> np.ndarray:
        return order_training_rows(rows, epoch, problem.features, on_disk=True)

    return _make_dataset(load, order, len(rows), size, first_epoch=first_epoch)


def _make_dataset(
    load: Callable[[np.ndarray], tuple[Any, ...]],
    order: Callable[[int], np.ndarray],
    n_rows: int,
    size: int,
    *,
    first_epoch: int,
) -> keras.utils.PyDataset:
    import keras

    class DiskBatches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras ships no types
        def __init__(self) -> None:
            super().__init__()
            self._epoch, self._rows = first_epoch, order(first_epoch)

        def __len__(self) -> int:
            return -(-n_rows // size)

        def __getitem__(self, index: int) -> tuple[Any, ...]:
            return load(self._rows[index * size : (index + 1) * size])

        def on_epoch_end(self) -> None:
            self._epoch += 1
            self._rows = order(self._epoch)

    return DiskBatches()
