"""Messages between coordinator and worker, besides trials and reports.

They are not defined in `worker.py`, which is `__main__` in a worker: classes pickled under that
name could not be loaded by the other side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ..errors import TrainingError, UnsuitableError
from ..training.problem import Problem
from ..trial import TrialSpec, Value

DEVICE_LOST_EXIT_CODE = 5  # of a worker whose accelerator no longer answers


def describe_exit(code: int) -> str:
    """Describe a worker's end by its exit code.

    Examples:
        >>> describe_exit(-9), describe_exit(3), describe_exit(DEVICE_LOST_EXIT_CODE)
        ('by signal 9', 'with exit code 3', 'because its device no longer answered')
    """
    if code == DEVICE_LOST_EXIT_CODE:
        return "because its device no longer answered"
    return f"by signal {-code}" if code < 0 else f"with exit code {code}"


class Connection(Protocol):
    """A worker's end of the connection with the coordinator."""

    def recv(self) -> Any:
        """Wait for the next order."""
        ...

    def send(self, report: Any, /) -> None:
        """Send a report."""
        ...


@dataclass(frozen=True, slots=True)
class Setup:
    """The problem shared by all trials, and the trainer."""

    problem: Problem
    trainer: str  # "vectorized" or "keras_fit"


@dataclass(frozen=True, slots=True)
class Population:
    """Train these trials together."""

    trials: tuple[TrialSpec, ...]


@dataclass(frozen=True, slots=True)
class Prune:
    """Stop this trial at the rung where it waits, or after its current epoch."""

    trial: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Continue this trial beyond the rung at which it waits."""

    trial: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Train nothing after the current epoch, until `Unpause`."""


@dataclass(frozen=True, slots=True)
class Unpause:
    """Continue to train."""


@dataclass(frozen=True, slots=True)
class MemoryRequest:
    """Count how many of these trials fit in the device's memory."""

    problem: Problem
    trials: tuple[TrialSpec, ...]


@dataclass(frozen=True, slots=True)
class InspectionRequest:
    """Inspect a custom model; see `training.model_inspection.inspect_model`."""

    problem: Problem  # a sample, with the model
    points: tuple[Mapping[str, Value], ...]
    losses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recall:
    """Return the trials that have not started."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """The numbers of the returned trials."""

    trials: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """A remote worker has imported Keras and accepts trials."""

    node: str  # address of its machine
    pid: int  # on that machine


@dataclass(frozen=True, slots=True)
class MemoryExceeded:
    """A remote worker exceeds its memory limit, and waits to be ended."""

    reason: str


@dataclass(frozen=True, slots=True)
class ReplaceMe:
    """A remote worker's memory has grown over its trials; it should be replaced."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An order failed: the reason in one line, or a bug's traceback."""

    reason: str
    kind: Literal["mistake", "unsuitable", "bug"]

    def error(self) -> Exception:
        """Build the exception that the coordinator raises."""
        match self.kind:
            case "unsuitable":
                return UnsuitableError(self.reason)
            case "mistake":
                return TrainingError(self.reason)
            case "bug":
                return RuntimeError(f"a worker failed:\n{self.reason}")
