"""The order of a fold's rows in each epoch, for both trainers.

In an epoch, all trials use the same order of a fold's rows (common random numbers), which reduces
the noise of score differences. The order depends only on the fold's rows and the epoch, and is
drawn by a counter-based generator, so a device can draw it.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from ..trial import Value
from .counter_random import random_bits

DEFAULT_BATCH_SIZE = 32  # Keras's default, used if the study declares none
WINDOW_BYTES = 1 << 28  # rows on disk that are shuffled at a time
BLOCK_BYTES = 1 << 20  # of adjacent rows on disk, which come into the same window


def batch_size(params: Mapping[str, Value]) -> int:
    """Return the batch size; the last batch of an epoch may be smaller."""
    size = params.get("batch_size", DEFAULT_BATCH_SIZE)
    assert isinstance(size, int)
    return size


def derive_order_seed(rows: np.ndarray) -> int:
    """Derive the seed of a fold's orders from its training rows (`Split.train`)."""
    return zlib.crc32(np.ascontiguousarray(rows, np.int64).data)


def draw_epoch_order(seed: int, epoch: int, n_rows: int) -> np.ndarray:
    """Draw the order of the rows in one epoch.

    Args:
        seed: `derive_order_seed` of the fold's training rows.
        epoch: 0-based.
        n_rows: Training rows of the fold.

    Returns:
        A permutation of `range(n_rows)`, int32: batch b holds the positions
        `[b * batch_size, (b + 1) * batch_size)`, to look up in the fold's `Split.train`.
    """
    keys = random_bits(np, np.arange(n_rows), seed, epoch).astype(np.uint64) << np.uint64(32)
    keys |= np.arange(n_rows, dtype=np.uint64)  # sorted as single words: no ties, and vectorized
    keys.sort()
    order: np.ndarray = keys.astype(np.uint32).astype(np.int32)
    return order


def order_training_rows(
    train: np.ndarray, epoch: int, features: np.ndarray, *, on_disk: bool
) -> np.ndarray:
    """Return the rows of a fold in the order of an epoch.

    Rows on disk that exceed a window have one order for all folds, of which each fold takes its
    training rows: folds that train side by side then read the same part of the file.

    Args:
        train: The fold's training rows (`Split.train`).
        epoch: 0-based.
        features: The features of all rows.
        on_disk: Whether they are mapped from the disk.
    """
    if not on_disk or features.nbytes <= WINDOW_BYTES:
        taken: np.ndarray = train[draw_epoch_order(derive_order_seed(train), epoch, len(train))]
        return taken
    order = draw_common_order(features, epoch)
    is_training = np.zeros(len(features), bool)
    is_training[train] = True
    chosen: np.ndarray = order[is_training[order]]
    return chosen


def draw_common_order(features: np.ndarray, epoch: int) -> np.ndarray:
    """Draw an order of all rows, of which each fold takes its own."""
    n_rows = len(features)
    return draw_disk_order(n_rows, epoch, n_rows, features.nbytes // n_rows)


def draw_disk_order(seed: int, epoch: int, n_rows: int, row_bytes: int) -> np.ndarray:
    """Draw the order of rows on disk in one epoch, so that they are read nearly in sequence.

    Blocks of adjacent rows are put in random order and divided into windows, in each of which all
    rows are shuffled. Rows that fit in one window have the order of `draw_epoch_order`.

    Args:
        seed: As for `draw_epoch_order`.
        epoch: 0-based.
        n_rows: Training rows of the fold.
        row_bytes: Bytes of a row.
    """
    block, window = (max(1, size // row_bytes) for size in (BLOCK_BYTES, WINDOW_BYTES))
    if n_rows <= window:
        return draw_epoch_order(seed, epoch, n_rows)
    blocks = draw_epoch_order(seed, epoch, -(-n_rows // block))
    order = (blocks[:, None] * block + np.arange(block, dtype=np.int32)).reshape(-1)
    order = order[order < n_rows]
    for start in range(0, n_rows, window):
        part = order[start : start + window]
        own = (seed + start // window + 1) % (1 << 32)
        order[start : start + window] = part[draw_epoch_order(own, epoch, len(part))]
    return order
