"""Counter-based random numbers: an element's bits depend only on a seed and its index.

Equal under numpy and JAX, so a device can draw the initial weights and row orders of all lanes at
once, with the same values as on the host. `xp` is numpy or `jax.numpy`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

GOLDEN = np.uint32(0x9E3779B9)
ERF_OF_TRUNCATED = 0.9544997361036416  # erf(2 / sqrt(2))


def hash_bits(bits: Any) -> Any:
    """Hash uint32 to uint32, with full avalanche.

    The finalizer of H. Prospector's `lowbias32`. Takes arrays, not numpy scalars.
    """
    bits = bits ^ (bits >> 16)
    bits = bits * np.uint32(0x7FEB352D)
    bits = bits ^ (bits >> 15)
    bits = bits * np.uint32(0x846CA68B)
    return bits ^ (bits >> 16)


def random_bits(xp: Any, count: Any, seed: Any, stream: Any) -> Any:
    """Draw a random uint32 for each element of `count`.

    Args:
        xp: numpy or `jax.numpy`.
        count: Indices of the elements.
        seed: An integer in [0, 2**32), or an array that broadcasts to `count`.
        stream: Likewise; streams of one seed are independent.
    """
    first = hash_bits(xp.atleast_1d(xp.asarray(seed, dtype=np.uint32)))
    second = hash_bits(
        first ^ hash_bits(xp.atleast_1d(xp.asarray(stream, dtype=np.uint32)) + GOLDEN)
    )
    return hash_bits(hash_bits(xp.asarray(count, dtype=np.uint32) * GOLDEN + first) ^ second)


def signed_uniform(xp: Any, bits: Any) -> Any:
    """Draw uniform numbers in (-1, 1), exact in float32: odd multiples of 2**-23."""
    # 23 bits of a word and a half: 24 bits, which float32 holds.
    halves = (bits >> 9).astype(np.float32) + np.float32(0.5)
    return halves * np.float32(2.0**-22) - np.float32(1)


def uniform_to_normal(erfinv: Any, signed: Any) -> Any:
    """Convert `signed_uniform` numbers to standard normal ones by the inverse distribution."""
    return erfinv(signed) * np.float32(np.sqrt(2))


def uniform_to_truncated_normal(erfinv: Any, signed: Any) -> Any:
    """Convert to normal numbers truncated at two standard deviations."""
    return erfinv(signed * np.float32(ERF_OF_TRUNCATED)) * np.float32(np.sqrt(2))
