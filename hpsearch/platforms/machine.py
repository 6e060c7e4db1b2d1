"""The machine of this process."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path


def count_usable_cores() -> int:
    """Count the cores available to this process, which may be limited by an affinity mask."""
    import psutil

    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):  # macOS has no affinity
        return len(process.cpu_affinity())
    return os.cpu_count() or 1


def explain_missing_gpu() -> str:
    """Explain why JAX finds no accelerator on this platform, and the remedy."""
    if sys.platform == "win32":
        return "JAX runs on the processor on Windows; for an NVIDIA GPU use WSL2 and jax[cuda12]"
    if sys.platform == "darwin":
        return "JAX runs on the processor on macOS; Apple's GPU is not used"
    if Path("/dev/nvidiactl").exists():
        return "there is an NVIDIA GPU: pip install 'jax[cuda12]'"
    return "no NVIDIA GPU here"


def describe_system() -> str:
    """Describe the operating system and the processor."""
    return f"{platform.system()} {platform.release()} on {platform.machine()}"
