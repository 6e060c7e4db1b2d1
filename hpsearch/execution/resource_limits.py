"""What a worker may use: time for a trial, memory for itself. Looks at processes, ends none.

Slow is not dead: a deadline counts the time that the coordinator watched, so a machine that was
stopped or suspended for an hour has not used an hour up.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

GIB = 1 << 30
LONGEST_TICK = (
    1.0  # seconds between two looks that count; a longer gap means that the machine was suspended
)


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """What a worker may use before it is ended, or replaced."""

    trial_seconds: float | None = None  # of one trial; a population has as often as much
    memory: int | None = None  # bytes, resident
    growth: int = GIB  # bytes beyond those after its first trials, at which it is replaced


class ResourceUsage:
    """One worker's time and memory."""

    def __init__(self, pid: int) -> None:
        """Watch the process `pid`."""
        self.seconds = 0.0  # watched time of the running population
        self.seen = 0  # bytes at the last look
        self._pid = pid
        self._last = time.monotonic()
        self._first: int | None = None  # bytes after the first population
        self._kills = count_oom_kills()

    def start_population(self) -> None:
        """A population begins to train."""
        self.seconds, self._last = 0.0, time.monotonic()

    def measure(self, *, is_training: bool) -> None:
        """Count the time since the last look, and take the memory's measure."""
        now = time.monotonic()
        if is_training:
            self.seconds += min(now - self._last, LONGEST_TICK)
        self._last = now
        self.seen = resident_bytes(self._pid) or self.seen

    def explain_memory_exceeded(self, limits: WorkerLimits) -> str | None:
        """Why the worker has to end: its memory. None where it may go on."""
        if limits.memory is not None and self.seen > limits.memory:
            used, allowed = self.seen / GIB, limits.memory / GIB
            return f"out of memory: the worker used {used:.2f} GiB of {allowed:.2f} GiB"
        return None

    def explain_time_exceeded(self, limits: WorkerLimits, trials: int) -> str | None:
        """Why the running population of this many trials has to end; None where it may go on."""
        if limits.trial_seconds is not None and self.seconds > limits.trial_seconds * trials:
            return f"ran longer than its deadline of {limits.trial_seconds * trials:g} s"
        return None

    def has_grown_too_large(self, limits: WorkerLimits) -> bool:
        """Whether the worker, which has just ended a population, should be replaced."""
        self.seen = resident_bytes(self._pid) or self.seen
        if self._first is None:
            self._first = self.seen
        growth = limits.growth
        if limits.memory is not None:
            growth = min(growth, max(limits.memory - self._first, 0) // 2)
        return self.seen - self._first > growth

    def was_killed_for_memory(self, code: int) -> bool:
        """Whether the kernel ended the worker, whose exit code this is, because memory ran out."""
        return code == -9 and count_oom_kills() > self._kills


def resident_bytes(pid: int) -> int:
    """Bytes of memory that a process holds; 0 where it has ended."""
    import psutil

    with suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


def count_oom_kills() -> int:
    """How many processes the kernel has killed for want of memory; 0 where it does not say."""
    counts = [0]
    for path in ("/proc/vmstat", "/sys/fs/cgroup/memory.events"):
        with suppress(OSError):
            lines = Path(path).read_text(encoding="utf-8").splitlines()
            counts += [int(line.split()[1]) for line in lines if line.startswith("oom_kill ")]
    return sum(counts)
