"""A study as its journal tells it: the records, folded into trials.

Pure data. The search, the uploader, the plots and the reports all look at a study through this:
the same records give the same history, so a resumed study goes on exactly where it stopped. Knows
no sampler, no MLflow and no other file than the journal.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .journal import Record, read
from .trial import TrialSpec, Value

TrialState = Literal["WAITING", "RUNNING", "COMPLETE", "PRUNED", "FAILED", "LOST"]
FINAL_STATES = ("COMPLETE", "PRUNED", "FAILED")


@dataclass(slots=True)
class Trial:
    """One attempt at a trial. It grows while records come in."""

    number: int
    attempt: int
    params: Mapping[str, Value]
    seed: int
    epochs: int  # at most so many
    asked: int  # milliseconds since the epoch
    started: int | None = None  # the same; None while it waits for a worker
    ended: int | None = None  # the same
    state: TrialState = "WAITING"  # LOST: a later attempt took its place
    score: float | None = None
    spread: float | None = None
    best_epoch: int | None = None
    fold_scores: Sequence[float] | None = None
    seconds: float | None = None
    n_parameters: int | None = None
    trainer: str = ""
    error: str | None = None
    traceback: str | None = None
    predictions: str | None = None  # a file, relative to the study's folder
    times: list[int] = field(default_factory=list)  # milliseconds, one an epoch
    scores: list[list[float]] = field(default_factory=list)  # (n_epochs, n_folds)
    curves: dict[str, list[list[float]]] = field(default_factory=dict)  # name -> the same

    @property
    def name(self) -> str:
        """What it is called in tables and in MLflow."""
        retry = f"-retry-{self.attempt}" if self.attempt else ""
        return f"trial-{self.number:03d}{retry}"

    @property
    def spec(self) -> TrialSpec:
        """What a trainer is asked for."""
        return TrialSpec(self.number, self.params, self.seed, self.epochs, self.attempt)

    @property
    def is_finished(self) -> bool:
        """Whether it has a result."""
        return self.state in FINAL_STATES

    @property
    def n_epochs(self) -> int:
        """Epochs that were reported."""
        return len(self.times)

    def mean_scores(self) -> list[float]:
        """The mean over the folds, one an epoch."""
        return [mean(scores) for scores in self.scores]


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean; NaN where one value is."""
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else math.nan


class History:
    """What is known of a study so far.

    Records are applied in the journal's order. Applying a record twice, or an epoch again,
    changes nothing.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.study: Record = {}
        self.attempts: dict[tuple[int, int], Trial] = {}
        self.last: dict[int, Trial] = {}  # number -> last attempt, in the order of asking
        self.ended: list[Trial] = []  # in the order of their results
        self.winner: Record | None = None
        self.final: Record | None = None
        self.promotions: list[Record] = []
        self.last_time = 0  # of the last record, milliseconds since the epoch
        self._began = 0  # the study or its latest resumption, likewise
        self._past = 0  # milliseconds of the runs before
        for record in records:
            self.apply(record)

    def apply(self, record: Record) -> tuple[Trial, ...]:
        """Take one record in; the trials that it changed."""
        if record["event"] in ("study", "resumed"):
            self._past += self.last_time - self._began
            self._began = int(record["time"])
        self.last_time = max(self.last_time, int(record["time"]))
        match record["event"]:
            case "study":
                self.study = record
            case "winner":
                self.winner = record
            case "final":
                self.final = record
            case "promoted":
                self.promotions.append(record)
            case "asked":
                return self._asked(record)
            case "started" | "epoch" | "result":
                return self._grown(record)
        return ()

    def _asked(self, record: Record) -> tuple[Trial, ...]:
        number, attempt = record["trial"], record["attempt"]
        if (number, attempt) in self.attempts:
            return ()
        lost = [
            trial
            for earlier in range(attempt)
            if (trial := self.attempts.get((number, earlier))) and trial.state not in FINAL_STATES
        ]
        for trial in lost:
            trial.state, trial.ended = "LOST", int(record["time"])
        asked = Trial(
            number=number,
            attempt=attempt,
            params=record["params"],
            seed=record["seed"],
            epochs=record["epochs"],
            asked=int(record["time"]),
        )
        self.attempts[number, attempt] = self.last[number] = asked
        return (asked, *lost)

    def _grown(self, record: Record) -> tuple[Trial, ...]:
        trial = self.attempts.get((record["trial"], record["attempt"]))
        if trial is None or not _GROW[record["event"]](trial, record):
            return ()
        if record["event"] == "result":
            self.ended.append(trial)
        return (trial,)

    @property
    def name(self) -> str:
        """The study's name."""
        return str(self.study.get("study", ""))

    @property
    def key(self) -> str:
        """The random id of this life of the study."""
        return str(self.study.get("key", ""))

    @property
    def metric(self) -> str:
        """The objective's metric."""
        return str(self.study.get("objective", {}).get("metric", "score"))

    @property
    def maximize(self) -> bool:
        """Whether a larger score is better."""
        return bool(self.study.get("objective", {}).get("direction", "maximize") == "maximize")

    @property
    def trials(self) -> list[Trial]:
        """The last attempt of every trial, by number."""
        return [self.last[number] for number in sorted(self.last)]

    def count(self, state: TrialState) -> int:
        """How many trials are in this state."""
        return sum(t.state == state for t in self.last.values())

    @property
    def best(self) -> Trial | None:
        """The best complete trial, the earliest of equals; None where there is none."""
        ranked = self.ranked()
        return ranked[0] if ranked else None

    @property
    def seconds(self) -> float:
        """Wall clock of the study's runs together."""
        return (self._past + self.last_time - self._began) / 1000

    def ranked(self) -> list[Trial]:
        """The complete trials with a finite score, best first; the earlier of equals first."""
        done = [t for t in self.trials if t.state == "COMPLETE" and is_score(t.score)]
        sign = -1.0 if self.maximize else 1.0
        return sorted(done, key=lambda t: (sign * (t.score or 0.0), t.number))

    def improvements(self) -> Iterator[tuple[Trial, float]]:
        """Every complete trial in the order of ending, with the best score up to it."""
        best: float | None = None
        for trial in self.ended:
            if trial.state != "COMPLETE" or not is_score(trial.score):
                continue
            score = trial.score or 0.0
            if best is None or (score > best if self.maximize else score < best):
                best = score
            yield trial, best

    def winning_trial(self) -> Trial | None:
        """The trial that was chosen, or the best so far."""
        if self.winner is not None:
            key = (self.winner["trial"], self.winner.get("attempt", 0))
            if key in self.attempts:
                return self.attempts[key]
        ranked = self.ranked()
        return ranked[0] if ranked else None


def load(journal: Path, *, without: Collection[str] = ()) -> History:
    """The history in a journal file, without the events named in `without`.

    Raises:
        JournalError: If there is none, or it is damaged.
    """
    return History(read(journal, without=without).records)


def is_score(score: float | None) -> bool:
    """Whether a trial with this score can be ranked."""
    return score is not None and math.isfinite(score)


def _started(trial: Trial, record: Record) -> bool:
    if trial.state != "WAITING":
        return False
    trial.started, trial.state = int(record["time"]), "RUNNING"
    return True


def _epoch(trial: Trial, record: Record) -> bool:
    if trial.state not in ("WAITING", "RUNNING") or record["epoch"] != trial.n_epochs:
        return False  # told before, or of an attempt that was given up
    trial.state = "RUNNING"
    trial.times.append(int(record["time"]))
    trial.scores.append(record["scores"])
    metrics: dict[str, Any] = record["metrics"]
    for name, values in metrics.items():
        trial.curves.setdefault(name, []).append(values)
    return True


def _result(trial: Trial, record: Record) -> bool:
    if trial.state not in ("WAITING", "RUNNING"):
        return False
    trial.ended = int(record["time"])
    for name in _RESULT_FIELDS:
        if record.get(name) is not None:
            setattr(trial, name, record[name])
    return True


_RESULT_FIELDS = (
    "state",
    "score",
    "spread",
    "best_epoch",
    "fold_scores",
    "seconds",
    "n_parameters",
    "trainer",
    "error",
    "traceback",
    "predictions",
)
_GROW = {"started": _started, "epoch": _epoch, "result": _result}
