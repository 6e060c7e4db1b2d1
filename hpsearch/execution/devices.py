"""Divide a machine's cores and GPUs among workers.

Pure functions, except `detect_machine`, that return numbers and environment variables.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from ctypes.util import find_library
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from ..platforms.machine import count_usable_cores
from ..training.keras_import import GPU_MEMORY_VARIABLE
from ..training.trainer_factory import KERAS_BACKENDS
from ..training.trainer_selection import has_accelerator

CORES_PER_WORKER = {"vectorized": 8, "keras_fit": 4}  # cores that one trial of usual size can use
# Makes frameworks choose kernels deterministically, not by timing or free memory.
DETERMINISTIC = {
    "TF_DETERMINISTIC_OPS": "1",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "XLA_FLAGS": "--xla_gpu_deterministic_ops=true",
}
GPU_MEMORY = 0.9  # share of a GPU's memory for all its workers; the driver needs the rest


@dataclass(frozen=True, slots=True)
class Machine:
    """The cores and GPUs available to this process."""

    cores: int
    gpus: tuple[str, ...] = ()  # names in CUDA_VISIBLE_DEVICES


def detect_machine(trainer: str, environment: Mapping[str, str] = os.environ) -> Machine:
    """Detect the cores by affinity, and the GPUs visible to a trainer's framework.

    As in CUDA, the first invalid name in CUDA_VISIBLE_DEVICES (-1) ends the list.
    """
    cores = count_usable_cores()
    finds_gpus = has_accelerator() if trainer == "vectorized" else _has_cuda()
    if not finds_gpus:
        return Machine(cores)
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return Machine(cores, tuple(str(i) for i in range(len(_nvidia_devices()))))
    names = (name.strip() for name in visible.split(","))
    return Machine(cores, tuple(takewhile(lambda name: name not in ("", "-1"), names)))


def _has_cuda() -> bool:
    """Whether TensorFlow will find an NVIDIA GPU: its device file and cuDNN exist."""
    if not Path("/dev/nvidiactl").exists():
        return False
    packaged = importlib.util.find_spec("nvidia") and importlib.util.find_spec("nvidia.cudnn")
    return bool(packaged) or find_library("cudnn") is not None


def _nvidia_devices() -> Sequence[Path]:
    return sorted(Path("/dev").glob("nvidia[0-9]*"))


def default_workers(machine: Machine, *, trainer: str, gpus: float | None = None) -> int:
    """Return the default number of workers of a machine.

    One per GPU, or as many as fit if a worker uses the fraction `gpus`. Without a GPU, one per
    eight cores, or per four if folds are trained sequentially (the vectorized trainer trains them
    in parallel). So a small machine has one worker, with which a study is repeatable bit for bit.
    """
    if machine.gpus:
        return max(1, int(len(machine.gpus) / (gpus or 1.0) + 1e-6))
    return max(1, machine.cores // CORES_PER_WORKER[trainer])


def threads_per_worker(machine: Machine, workers: int, *, cpus: float | None = None) -> int:
    """Return the threads of each worker: as declared, or its share of the cores."""
    return max(1, int(cpus or machine.cores // workers))


def worker_environment(
    trainer: str, *, threads: int | None = None, gpu: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the variables that a worker needs before its first import."""
    names = ("HPSEARCH_THREADS", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    return {
        "KERAS_BACKEND": KERAS_BACKENDS[trainer],
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONUNBUFFERED": "1",
        **(dict.fromkeys(names, str(threads)) if threads else {}),
        **(gpu or {}),
    }


def assign_gpu(
    index: int, workers: int, machine: Machine, *, gpus: float | None = None
) -> dict[str, str]:
    """Assign GPUs to a worker round-robin; workers on one GPU divide its memory.

    Args:
        index: 0-based index of the worker.
        workers: Number of workers on this machine.
        machine: The machine; without GPUs, nothing is assigned.
        gpus: Number of GPUs per worker, or a fraction of one; None: an equal share.
    """
    if not machine.gpus:
        return {}
    if gpus == 0:
        return {"CUDA_VISIBLE_DEVICES": ""}
    each = max(1, int(gpus or 1))
    mine = index * each % len(machine.gpus)
    if gpus is not None:
        seen = [machine.gpus[(mine + k) % len(machine.gpus)] for k in range(each)]
        names = ",".join(dict.fromkeys(seen))
        return {"CUDA_VISIBLE_DEVICES": names, **gpu_memory_settings(min(1.0, gpus))}
    sharing = len(range(mine, workers, len(machine.gpus)))
    return {"CUDA_VISIBLE_DEVICES": machine.gpus[mine], **gpu_memory_settings(1 / sharing)}


def gpu_memory_settings(fraction: float) -> dict[str, str]:
    """Limit a worker's GPU memory: JAX allocates it at once, TensorFlow as needed."""
    if not fraction:
        return {}
    return {
        GPU_MEMORY_VARIABLE: f"{GPU_MEMORY * min(1.0, fraction):.3f}",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    }
