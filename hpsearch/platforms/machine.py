"""What this process may use of its machine."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path


def count_usable_cores() -> int:
    """Cores that this process may run on: fewer than the machine has under an affinity mask."""
    import psutil

    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):  # macOS binds no process to cores
        return len(process.cpu_affinity())
    return os.cpu_count() or 1


def explain_missing_gpu() -> str:
    """Why JAX sees no accelerator on this kind of machine, and what to do about it."""
    if sys.platform == "win32":
        return "JAX runs on the processor on Windows; for an NVIDIA GPU use WSL2 and jax[cuda12]"
    if sys.platform == "darwin":
        return "JAX runs on the processor on macOS; Apple's GPU is not used"
    if Path("/dev/nvidiactl").exists():
        return "there is an NVIDIA GPU: pip install 'jax[cuda12]'"
    return "no NVIDIA GPU here"


def describe_system() -> str:
    """The operating system and the processor's kind."""
    return f"{platform.system()} {platform.release()} on {platform.machine()}"
