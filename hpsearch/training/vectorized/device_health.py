"""What a device says of its memory, and whether it still answers."""

from __future__ import annotations

import jax
import numpy as np

from ...errors import DeviceLostError


def device_memory() -> int | None:
    """Bytes that programs may use; None where the device does not say, as a CPU."""
    stats = jax.devices()[0].memory_stats() or {}
    limit = stats.get("bytes_limit")
    return None if limit is None else int(limit)


def is_out_of_memory(error: Exception) -> bool:
    """Whether the device says that its memory is not enough."""
    return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)


def require_device(error: Exception) -> None:
    """Look whether a device that has raised an error still computes.

    Raises:
        DeviceLostError: If it does not: its driver has given it up, or it was taken away.
    """
    if not isinstance(error, jax.errors.JaxRuntimeError) or is_out_of_memory(error):
        return
    if not device_answers():
        first = str(error).strip().partition("\n")[0]
        kind = jax.default_backend()
        raise DeviceLostError(f"the {kind} device no longer answers: {first}") from error


def device_answers() -> bool:
    """Whether the device computes a sum."""
    try:
        return bool(jax.device_put(np.ones(2, np.float32)).sum() == 2)
    except jax.errors.JaxRuntimeError:
        return False
