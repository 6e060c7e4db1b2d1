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

from . import pareto
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
    finalist_score: float | None = None  # its second score, on fresh folds and seeds
    seconds: float | None = None
    n_parameters: int | None = None
    latency_ms: float | None = None  # of predicting one batch; measured where it is an objective
    values: Sequence[float] | None = None  # of the objectives, where there are several
    trainer: str = ""
    error: str | None = None
    traceback: str | None = None
    predictions: str | None = None  # a file, relative to the study's folder
    times: list[int] = field(default_factory=list)  # milliseconds, one an epoch
    scores: list[list[float]] = field(default_factory=list)  # (n_epochs, n_folds)
    folds: list[list[float]] = field(default_factory=list)  # folds in turn: (n_epochs,) each
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

    def again(self, seed: int) -> TrialSpec:
        """The trial trained anew to its best epoch, its learning rate moving as it did."""
        assert self.best_epoch is not None
        watched = tuple(sum(folds) / len(folds) for folds in self.curves.get("val/loss", ()))
        epochs = self.best_epoch + 1
        return TrialSpec(
            self.number, self.params, seed, epochs, planned=self.epochs, watched=watched
        )

    def condense(self) -> None:
        """Let go of its curves but for the means over the folds, which judge other trials.

        The journal has them. A study of many trials would hold little else in memory.
        """
        self.scores = [[score] for score in self.mean_scores()]
        self.curves = {}

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
        self.finalists: dict[int, Record] = {}  # by trial: its score on fresh folds
        self.winner: Record | None = None
        self.final: Record | None = None
        # What the sampler heard and was asked, in order: (event, trial), and for a remembered point
        # the trial that it was known from, with whether that one had ended.
        self.course: list[tuple[str, int] | tuple[str, int, int, bool]] = []
        self.end: Record | None = None  # why the search has ended, where it has
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
            case "finalist":
                return self._scored_again(record)
            case "winner":
                self.winner = record
            case "final":
                self.final = record
            case "ended":
                self.end = record
            case "promoted":
                self.promotions.append(record)
            case "remembered":
                number, known = int(record["trial"]), int(record["of"])
                self.course.append(("remembered", number, known, record["state"] in FINAL_STATES))
            case "asked":
                self.end = None
                return self._asked(record)
            case "started" | "epoch" | "fold" | "result":
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
        if number not in self.last:
            self.course.append(("asked", number))
        self.attempts[number, attempt] = self.last[number] = asked
        return (asked, *lost)

    def _scored_again(self, record: Record) -> tuple[Trial, ...]:
        self.finalists[int(record["trial"])] = record
        trial = self.last.get(int(record["trial"]))
        if trial is None:
            return ()
        trial.finalist_score = record["score"]
        return (trial,)

    def _grown(self, record: Record) -> tuple[Trial, ...]:
        trial = self.attempts.get((record["trial"], record["attempt"]))
        if trial is None or not _GROW[record["event"]](trial, record):
            return ()
        if record["event"] == "result":
            self.ended.append(trial)
            self.course.append(("result", trial.number))
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
    def objectives(self) -> tuple[tuple[str, bool], ...]:
        """Each objective's metric and whether a larger value is better; the first ranks trials."""
        several = self.study.get("objectives") or []
        declared = tuple((str(o["metric"]), o["direction"] == "maximize") for o in several)
        return declared or ((self.metric, self.maximize),)

    @property
    def next_number(self) -> int:
        """The number of the next trial; that of one which a damaged journal lost stays unused."""
        return next(reversed(self.last), -1) + 1  # they are asked for in their order

    @property
    def trials(self) -> list[Trial]:
        """The last attempt of every trial, by number."""
        return [self.last[number] for number in sorted(self.last)]

    def count(self, state: TrialState) -> int:
        """How many trials are in this state."""
        return sum(t.state == state for t in self.last.values())

    @property
    def best(self) -> Trial | None:
        """The best complete trial, the earliest of equals; None where there is none.

        With several objectives it is the member of the front that is best in the first.
        """
        ranked = self.front() or self.ranked()
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

    def front(self) -> list[Trial]:
        """The Pareto front: the complete trials that no other is better than in every respect.

        Best first in the first objective, the earlier of equals first. Empty with one objective.
        """
        if len(self.objectives) == 1:
            return []
        front: list[Trial] = []
        for trial in self.ranked():
            front = self._joined(front, trial) or front
        return front

    @property
    def since_improvement(self) -> int:
        """How many trials have ended since one last was better, or came to the front."""
        several = len(self.objectives) > 1
        best: list[Trial] = []  # so far: one trial, or the front
        waited = 0
        for trial in self.ended:
            waited += 1
            if trial.state != "COMPLETE" or not is_score(trial.score):
                continue
            if several:
                better = self._joined(best, trial)
            else:
                is_first = not best or self._is_better(trial.score, best[0].score)
                better = [trial] if is_first else None
            if better is not None:
                best, waited = better, 0
        return waited

    def _joined(self, front: list[Trial], trial: Trial) -> list[Trial] | None:
        """The front with `trial` in it; None where it has no place there."""
        if not trial.values or not all(map(is_score, trial.values)):
            return None
        maximize = [up for _, up in self.objectives]
        return pareto.joined(front, trial, lambda t: t.values or (), maximize)

    def _is_better(self, score: float | None, than: float | None) -> bool:
        assert score is not None
        assert than is not None
        return score > than if self.maximize else score < than

    def improvements(self) -> Iterator[tuple[Trial, float]]:
        """Every complete trial in the order of ending, with the best score up to it."""
        best: float | None = None
        for trial in self.ended:
            if trial.state != "COMPLETE" or not is_score(trial.score):
                continue
            score = trial.score or 0.0
            if best is None or self._is_better(score, best):
                best = score
            yield trial, best

    def winning_trial(self) -> Trial | None:
        """The trial that was chosen, or the best so far."""
        if self.winner is not None:
            key = (self.winner["trial"], self.winner.get("attempt", 0))
            if key in self.attempts:
                return self.attempts[key]
        return self.best


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


def _fold(trial: Trial, record: Record) -> bool:
    if trial.state not in ("WAITING", "RUNNING") or record["fold"] != len(trial.folds):
        return False
    trial.state = "RUNNING"
    trial.folds.append(record["scores"])
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
    "latency_ms",
    "values",
    "trainer",
    "error",
    "traceback",
    "predictions",
)
_GROW = {"started": _started, "epoch": _epoch, "fold": _fold, "result": _result}
