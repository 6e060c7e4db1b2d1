"""The order in which a fold's rows are seen: one definition for both trainers.

All trials see a fold's rows in the same order in the same epoch (common random numbers): their
scores then differ by less noise. The order depends on the fold's rows and
the epoch alone, and is drawn by counting, so a device draws it itself.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from ..trial import Value
from .counter_random import random_bits

DEFAULT_BATCH_SIZE = 32  # Keras's own, where neither the space nor the study says otherwise


def batch_size(params: Mapping[str, Value]) -> int:
    """Rows in a batch; the last batch of an epoch holds what is left."""
    size = params.get("batch_size", DEFAULT_BATCH_SIZE)
    assert isinstance(size, int)
    return size


def derive_order_seed(rows: np.ndarray) -> int:
    """The seed of the orders of a fold with these training rows (`Split.train`)."""
    return zlib.crc32(np.ascontiguousarray(rows, np.int64).data)


def draw_epoch_order(seed: int, epoch: int, n_rows: int) -> np.ndarray:
    """The order of one epoch's rows: by a random number of each.

    Args:
        seed: `derive_order_seed` of the fold's training rows.
        epoch: 0-based.
        n_rows: Training rows of the fold.

    Returns:
        A permutation of `range(n_rows)`, int32: batch b holds the positions
        `[b * batch_size, (b + 1) * batch_size)`, to look up in the fold's `Split.train`.
    """
    keys = random_bits(np, np.arange(n_rows), seed, epoch).astype(np.uint64) << np.uint64(32)
    keys |= np.arange(n_rows, dtype=np.uint64)  # sorted as one word: no ties, and vectorised
    keys.sort()
    order: np.ndarray = keys.astype(np.uint32).astype(np.int32)
    return order
