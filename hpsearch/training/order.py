"""The order in which a fold's rows are seen: one definition for both trainers.

Drawn on the host with numpy, so it is the same on every backend and device.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..trial import Value

BATCH_SIZE = 32  # Keras's own, where neither the space nor the study says otherwise


def batch_size(params: Mapping[str, Value]) -> int:
    """Rows in a batch; the last batch of an epoch holds what is left."""
    size = params.get("batch_size", BATCH_SIZE)
    assert isinstance(size, int)
    return size


def epoch_order(seed: int, epoch: int, n_rows: int) -> np.ndarray:
    """The order of one epoch's rows.

    Args:
        seed: `TrialSpec.fold_seed(fold, "order")`.
        epoch: 0-based.
        n_rows: Training rows of the fold.

    Returns:
        A permutation of `range(n_rows)`, int32: batch b holds the places
        `[b * batch_size, (b + 1) * batch_size)`, to look up in the fold's `Split.train`.
    """
    rows = np.arange(n_rows, dtype=np.int32)
    np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch]))).shuffle(rows)
    return rows
