"""A study as its journal tells it: the records, folded into trials.

Pure data. The search, the uploader, the plots and the reports all look at a study through this:
the same records give the same history, so a resumed study goes on exactly where it stopped. Knows
no sampler, no MLflow and no other file than the journal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from sys import intern

from . import pareto
from .errors import JournalError
from .journal import RUNS, Record, stream, stream_scores
from .trial import FINAL_STATES, Trial, TrialState, Value, is_score

CURVES = ("epoch", "fold")  # events that a table of results needs none of
BETWEEN_RUNS = ("changed", "promoted")  # events that are written when no run is going on


class History:
    """What is known of a study so far.

    Records are applied in the journal's order. Applying a record twice, or an epoch again,
    changes nothing.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.study: Record = {}
        self._lost: list[Trial] = []  # attempts that a later one took the place of
        self.last: dict[int, Trial] = {}  # number -> last attempt, in the order of asking
        self.ended: list[Trial] = []  # in the order of their results
        self.finalists: dict[int, Record] = {}  # by trial: its score on fresh folds
        self.winner: Record | None = None
        self.fitted: Record | None = None  # the winner's model is saved, and judged by no row yet
        self.final: Record | None = None
        self.reads = 0  # of the locked rows, in the study's life
        self.plots: Record | None = None  # which of them could not be drawn for `final`
        self.end: Record | None = None  # why the search has ended, where it has
        self.promotions: list[Record] = []
        self.changes: list[Record] = []  # of what trials depend on, accepted by the user
        self.last_time = 0  # of the last record, milliseconds since the epoch
        self._began = self._latest = 0  # of the latest run, by its own clock
        self._past = 0  # milliseconds of the runs before
        for record in records:
            self.apply(record)

    def apply(self, record: Record) -> tuple[Trial, ...]:
        """Take one record in; the trials that it changed.

        Raises:
            JournalError: If it lacks a field that this version needs.
        """
        try:
            return self._apply(record)
        except KeyError as missing:
            raise JournalError(
                f"study {self.name}: record {record.get('seq')} ({record.get('event')}) of its "
                f"journal has no {missing}: another version of hpsearch wrote it. Go on with that "
                "one, or start over with --fresh."
            ) from None

    def _apply(self, record: Record) -> tuple[Trial, ...]:
        self._count_time(record["event"], int(record["time"]))
        match record["event"]:
            case "study":
                self.study = record
            case "finalist":
                return self._scored_again(record)
            case "winner":
                self.winner = _complete(record, "trial")
            case "fitted":
                self.fitted = record
            case "reading":
                self.reads += 1
            case "final":
                self.final = {"reads": 1, "members": [], **record}  # format 1 may lack them
                self.plots = None
                self.reads = max(self.reads, int(record.get("reads", 1)))
            case "plots":
                self.plots = record
            case "predictions":
                self._predicted_again(record)
            case "ended":
                self.end = _complete(record, "reason")
            case "promoted":
                self.promotions.append(record)
            case "changed":
                if record not in self.changes:
                    self.changes.append(record)
            case "asked":
                self.end = None
                return self._asked(record)
            case "started" | "epoch" | "fold" | "result":
                return self._grown(record)
        return ()

    def _count_time(self, event: str, time: int) -> None:
        """Each run of a study counts by itself: between two of them somebody may set the clock."""
        self.last_time = max(self.last_time, time)
        if event in RUNS:
            self._past += self._latest - self._began
            self._began = self._latest = time
        elif event not in BETWEEN_RUNS:
            self._latest = max(self._latest, time)

    def _asked(self, record: Record) -> tuple[Trial, ...]:
        number, attempt = record["trial"], record["attempt"]
        if self._attempt(number, attempt) is not None:
            return ()
        lost = []
        if (earlier := self.last.get(number)) is not None:
            self._lost.append(earlier)
            if earlier.state not in FINAL_STATES:
                earlier.state, earlier.ended = "LOST", int(record["time"])
                lost.append(earlier)
        asked = Trial(
            number=number,
            attempt=attempt,
            params=_shared(record["params"]),
            seed=record["seed"],
            epochs=record["epochs"],
            asked=int(record["time"]),
            revision=len(self.changes),
        )
        self.last[number] = asked
        return (asked, *lost)

    def _attempt(self, number: int, attempt: int) -> Trial | None:
        last = self.last.get(number)
        if last is None or last.attempt == attempt:
            return last
        named = (t for t in self._lost if (t.number, t.attempt) == (number, attempt))
        return next(named, None)

    def _scored_again(self, record: Record) -> tuple[Trial, ...]:
        self.finalists[int(record["trial"])] = record
        trial = self.last.get(int(record["trial"]))
        if trial is None:
            return ()
        trial.finalist_score = record["score"]
        return (trial,)

    def _predicted_again(self, record: Record) -> None:
        trial = self._attempt(record["trial"], record["attempt"])
        if trial is not None:
            trial.predictions, trial.predictions_crc32 = record["file"], record["crc32"]

    def _grown(self, record: Record) -> tuple[Trial, ...]:
        trial = self._attempt(record["trial"], record["attempt"])
        if trial is None or not trial.take(record):
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
    def objectives(self) -> tuple[tuple[str, bool], ...]:
        """Each objective's metric and whether a larger value is better; the first ranks trials."""
        several = self.study.get("objectives") or []
        declared = tuple((str(o["metric"]), o["direction"] == "maximize") for o in several)
        return declared or ((self.metric, self.maximize),)

    def declaration(self, revision: int) -> Record:
        """What trials of a revision depend on; see `Trial.revision`."""
        return {**self.study, **self.changes[revision - 1]} if revision else self.study

    def notes_of_changes(self) -> list[str]:
        """A sentence for each change that was accepted, for people."""
        return [
            f"revision {revision} from trial {first}: {_listed(record['changes'])}"
            for revision, record in enumerate(self.changes, start=1)
            if (first := self._first_of(revision)) is not None
        ]

    def _first_of(self, revision: int) -> int | None:
        numbers = (number for number, t in self.last.items() if t.revision >= revision)
        return min(numbers, default=None)

    @property
    def next_number(self) -> int:
        """The number of the next trial; that of one which a damaged journal lost stays unused."""
        return next(reversed(self.last), -1) + 1  # they are asked for in their order

    @property
    def trials(self) -> list[Trial]:
        """The last attempt of every trial, by number."""
        return [self.last[number] for number in sorted(self.last)]

    @property
    def attempts(self) -> list[Trial]:
        """Every attempt at every trial, by number; those whose worker died among them."""
        return sorted([*self._lost, *self.last.values()], key=lambda t: (t.number, t.attempt))

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
        return (self._past + self._latest - self._began) / 1000

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
            chosen = self._attempt(self.winner["trial"], self.winner.get("attempt", 0))
            if chosen is not None:
                return chosen
        return self.best


def load(journal: Path, *, without: Collection[str] = (), but_of: Collection[int] = ()) -> History:
    """The history in a journal file, without the events named in `without` but of some trials.

    Raises:
        JournalError: If there is none, or it is damaged.
    """
    return History(stream(journal, without=without, but_of=but_of))


def load_condensed(journal: Path) -> History:
    """The history in a journal file, of curves the mean over the folds and the winner's whole.

    Raises:
        JournalError: If there is none, or it is damaged.
    """
    history = History()
    for record in stream_scores(journal):
        for trial in history.apply(record):
            if record["event"] == "result":
                trial.condense()
    winner = history.winning_trial()
    recover(history, journal, () if winner is None else (winner.number,))
    return history


def recover(
    history: History, journal: Path, numbers: Collection[int], *, until: int | None = None
) -> None:
    """Give trials the curves back that they let go of, as the journal has them up to `until`.

    Raises:
        JournalError: If it is damaged.
    """
    wanted = [t for t in history.trials if t.number in numbers and t.means is not None]
    named = {trial.number for trial in wanted}
    if not named:
        return
    records = stream(journal, until=until, without=CURVES, but_of=named)
    full = History(record for record in records if record.get("trial") in named)
    for trial in wanted:
        trial.regain(full.last[trial.number])


def _complete(record: Record, *fields: str) -> Record:
    for field in fields:
        record[field]  # whoever needs it later would find it missing
    return record


def _shared(params: Mapping[str, Value]) -> dict[str, Value]:
    """The same params; the texts in them are one object for all trials."""
    return {intern(n): intern(v) if isinstance(v, str) else v for n, v in params.items()}


def _listed(changes: Iterable[Iterable[str]]) -> str:
    return "; ".join(f"{key}: {then} then, {now} now" for key, then, now in changes)
