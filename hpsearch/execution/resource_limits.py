"""Limits of a worker: time per trial, and memory. Measures processes, does not end them.

A deadline counts only time during which the coordinator ran, so an hour of suspension does not
use up an hour of the limit.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

GIB = 1 << 30
LONGEST_TICK = (
    1.0  # longest gap in seconds that counts; a longer one means that the machine was suspended
)


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """Limits beyond which a worker is ended or replaced."""

    trial_seconds: float | None = None  # seconds per trial; a population's limit is the sum
    memory: int | None = None  # bytes, resident
    growth: int = GIB  # growth in bytes after its first trials beyond which it is replaced


class ResourceUsage:
    """Tracks a worker's time and memory."""

    def __init__(self, pid: int) -> None:
        """Track the process `pid`."""
        self.seconds = 0.0  # observed time of the running population
        self.seen = 0  # bytes at the last measurement
        self._pid = pid
        self._last = time.monotonic()
        self._first: int | None = None  # bytes after the first population
        self._kills = count_oom_kills()

    def start_population(self) -> None:
        """Restart the clock for a new population."""
        self.seconds, self._last = 0.0, time.monotonic()

    def measure(self, *, is_training: bool) -> None:
        """Add the time since the last call, and measure the memory."""
        now = time.monotonic()
        if is_training:
            self.seconds += min(now - self._last, LONGEST_TICK)
        self._last = now
        self.seen = resident_bytes(self._pid) or self.seen

    def explain_memory_exceeded(self, limits: WorkerLimits) -> str | None:
        """Explain an exceeded memory limit; None if it is met."""
        if limits.memory is not None and self.seen > limits.memory:
            used, allowed = self.seen / GIB, limits.memory / GIB
            return f"out of memory: the worker used {used:.2f} GiB of {allowed:.2f} GiB"
        return None

    def explain_time_exceeded(self, limits: WorkerLimits, trials: int) -> str | None:
        """Explain an exceeded time limit of a population of this size; None if it is met."""
        if limits.trial_seconds is not None and self.seconds > limits.trial_seconds * trials:
            return f"ran longer than its deadline of {limits.trial_seconds * trials:g} s"
        return None

    def has_grown_too_large(self, limits: WorkerLimits) -> bool:
        """Whether a worker that has finished a population should be replaced."""
        self.seen = resident_bytes(self._pid) or self.seen
        if self._first is None:
            self._first = self.seen
        growth = limits.growth
        if limits.memory is not None:
            growth = min(growth, max(limits.memory - self._first, 0) // 2)
        return self.seen - self._first > growth

    def was_killed_for_memory(self, code: int) -> bool:
        """Whether the kernel killed the worker with this exit code because memory ran out."""
        return code == -9 and count_oom_kills() > self._kills


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process in bytes; 0 if it has ended.

    Pages of mapped files are not counted where the system tells them: it drops them at will.
    """
    import psutil

    with suppress(psutil.Error):
        memory = psutil.Process(pid).memory_info()
        return int(memory.rss - getattr(memory, "shared", 0))
    return 0


def count_oom_kills() -> int:
    """Return how many processes the kernel has killed for lack of memory; 0 if unknown."""
    counts = [0]
    for path in ("/proc/vmstat", "/sys/fs/cgroup/memory.events"):
        with suppress(OSError):
            lines = Path(path).read_text(encoding="utf-8").splitlines()
            counts += [int(line.split()[1]) for line in lines if line.startswith("oom_kill ")]
    return sum(counts)
