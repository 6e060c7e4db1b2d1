"""Query a device's memory, and whether it still computes."""

from __future__ import annotations

import jax
import numpy as np

from ...errors import DeviceLostError


def device_memory() -> int | None:
    """Return the bytes that programs may use; None if the device does not report them (CPU)."""
    stats = jax.devices()[0].memory_stats() or {}
    limit = stats.get("bytes_limit")
    return None if limit is None else int(limit)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of the device means that its memory is exhausted."""
    return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)


def require_device(error: Exception) -> None:
    """Check that a device still computes after an error.

    Raises:
        DeviceLostError: If it does not, after a fault of its driver or its removal.
    """
    if not isinstance(error, jax.errors.JaxRuntimeError) or is_out_of_memory(error):
        return
    if not device_answers():
        first = str(error).strip().partition("\n")[0]
        kind = jax.default_backend()
        raise DeviceLostError(f"the {kind} device no longer answers: {first}") from error


def device_answers() -> bool:
    """Whether the device can compute a sum."""
    try:
        return bool(jax.device_put(np.ones(2, np.float32)).sum() == 2)
    except jax.errors.JaxRuntimeError:
        return False
