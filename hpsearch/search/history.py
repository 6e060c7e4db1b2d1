"""What a study knows of its trials, rebuilt from the journal's records.

The only state of the search. The same records give the same history, so a resumed study goes on
exactly where it stopped. Knows no sampler and no trainer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from ..journal import Record
from ..trial import State, TrialSpec, Value

Direction = Literal["maximize", "minimize"]


@dataclass(slots=True)
class Trial:
    """One trial, whatever became of it."""

    number: int
    params: dict[str, Value]
    seed: int
    epochs: int
    attempt: int = 0
    curve: list[float] = field(default_factory=list)  # mean over folds after each epoch
    state: State | None = None  # None: still running
    score: float | None = None
    spread: float | None = None
    best_epoch: int | None = None
    seconds: float | None = None
    error: str | None = None

    @property
    def spec(self) -> TrialSpec:
        """What a trainer is asked for."""
        return TrialSpec(self.number, self.params, self.seed, self.epochs, self.attempt)


@dataclass(slots=True)
class History:
    """All trials of a study by number."""

    direction: Direction
    trials: dict[int, Trial] = field(default_factory=dict)
    seconds: float = 0.0  # wall clock that earlier runs of the study took

    @classmethod
    def of(cls, records: Iterable[Record], direction: Direction) -> History:
        """The history that `records` tell."""
        history = cls(direction)
        began = last = None
        for record in records:
            if record["event"] in ("study", "resumed"):
                history.seconds += _passed(began, last)
                began = record["time"]
            last = record["time"]
            history.add(record)
        history.seconds += _passed(began, last)
        return history

    def add(self, record: Record) -> None:
        """Take one event in; events of other kinds say nothing about a trial."""
        match record["event"]:
            case "asked":
                self._ask(record)
            case "epoch":
                self.trials[record["trial"]].curve.append(_mean(record["scores"]))
            case "result":
                self._finish(record)

    def _ask(self, record: Record) -> None:
        trial = self.trials.get(record["trial"])
        if trial is None:
            fields = (record[k] for k in ("trial", "params", "seed", "epochs", "attempt"))
            self.trials[record["trial"]] = Trial(*fields)
        else:  # another attempt at the same trial
            trial.attempt = record["attempt"]
            trial.curve.clear()

    def _finish(self, record: Record) -> None:
        trial = self.trials[record["trial"]]
        for name in ("state", "score", "spread", "best_epoch", "seconds", "error"):
            setattr(trial, name, record.get(name))

    def __iter__(self) -> Iterator[Trial]:
        """The trials in the order of asking."""
        return iter(self.trials.values())

    @property
    def next_number(self) -> int:
        """The number of the trial that will be asked next."""
        return len(self.trials)

    @property
    def running(self) -> list[Trial]:
        """Asked and not finished."""
        return [t for t in self if t.state is None]

    @property
    def finished(self) -> list[Trial]:
        """Finished, in whatever state."""
        return [t for t in self if t.state is not None]

    def count(self, state: State) -> int:
        """How many trials ended so."""
        return sum(t.state == state for t in self)

    @property
    def best(self) -> Trial | None:
        """The best complete trial, the earliest of equals; None where there is none."""
        complete = [t for t in self if t.state == "COMPLETE" and t.score is not None]
        sign = -1 if self.direction == "maximize" else 1
        return min(complete, key=lambda t: sign * _number(t.score), default=None)


def _number(value: float | None) -> float:
    assert value is not None
    return value


def _mean(scores: list[Any]) -> float:
    return float(sum(scores) / len(scores))


def _passed(began: int | None, last: int | None) -> float:
    return 0.0 if began is None or last is None else (last - began) / 1000
