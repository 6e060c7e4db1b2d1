"""What coordinator and worker tell each other beside trials and their reports.

They live here and not in `worker.py`, which is `__main__` in a worker: the other side could not
read what is named after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ..errors import TrainingError, UnsuitableError
from ..training.problem import Problem
from ..trial import TrialSpec


class Connection(Protocol):
    """A worker's end of what connects it with the coordinator."""

    def recv(self) -> Any:
        """The next order; waits for it."""
        ...

    def send(self, report: Any, /) -> None:
        """Send a report."""
        ...


@dataclass(frozen=True, slots=True)
class Setup:
    """What all trials share, and the trainer."""

    problem: Problem
    trainer: str  # "vectorized" or "keras_fit"


@dataclass(frozen=True, slots=True)
class Population:
    """Train these together."""

    trials: tuple[TrialSpec, ...]


@dataclass(frozen=True, slots=True)
class Prune:
    """Stop this trial at the rung where it waits, or after its current epoch."""

    trial: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Let this trial go on beyond the rung at which it waits."""

    trial: int


@dataclass(frozen=True, slots=True)
class Recall:
    """Give back the trials that have not begun."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """The numbers of the trials given back."""

    trials: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker that may be anywhere has imported Keras, and takes trials."""

    node: str  # its machine's address
    pid: int  # there


@dataclass(frozen=True, slots=True)
class MemoryExceeded:
    """A worker on another machine holds more memory than it may, and waits for its end."""

    reason: str


@dataclass(frozen=True, slots=True)
class ReplaceMe:
    """A worker on another machine has grown with its trials, and is to be replaced."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What the worker could not do: the reason in a line, or a bug's traceback."""

    reason: str
    kind: Literal["mistake", "unsuitable", "bug"]

    def error(self) -> Exception:
        """What the coordinator raises for it."""
        match self.kind:
            case "unsuitable":
                return UnsuitableError(self.reason)
            case "mistake":
                return TrainingError(self.reason)
            case "bug":
                return RuntimeError(f"a worker failed:\n{self.reason}")
