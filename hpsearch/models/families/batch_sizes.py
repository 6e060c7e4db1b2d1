"""Batch sizes that suit the number of rows."""

from __future__ import annotations


def equalize_batches(size: int, n_rows: int) -> int:
    """Return the batch size nearest to `size` by which the batches have equal sizes.

    A last batch of a few rows is a step of full length in a direction that is mostly noise. The
    original RealMLP leaves these rows out; the original TabM takes the step.

    Examples:
        >>> equalize_batches(256, 265), equalize_batches(256, 450), equalize_batches(256, 40)
        (265, 225, 40)
    """
    return -(-n_rows // max(1, round(n_rows / size)))
