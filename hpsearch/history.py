"""The state of a study, built from the events of its journal.

Pure data, used by the search, the uploader, the plots and the reports. The same events give the
same history, so a resumed study continues exactly where it stopped.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from sys import intern
from typing import Any

from . import pareto
from .errors import JournalError
from .events import (
    CURVES,
    RUNS,
    DeclarationChanged,
    DuplicateProposed,
    EpochFinished,
    Event,
    FinalistScored,
    FoldFinished,
    LockedRowsRead,
    ModelPromoted,
    PlotsDrawn,
    PointEnqueued,
    PredictionsRestored,
    Request,
    SearchEnded,
    StudyCreated,
    StudyNoted,
    StudyPaused,
    StudyRenamed,
    StudyResumed,
    StudyUnpaused,
    TrialAsked,
    TrialExtended,
    TrialFinished,
    TrialStarted,
    TrialStopRequested,
    WinnerChosen,
    WinnerEvaluated,
    WinnerFitted,
)
from .journal import stream_records, stream_scores
from .trial import (
    FINAL_STATES,
    Direction,
    Limit,
    Trial,
    TrialState,
    Value,
    is_better,
    is_score,
    orient,
)
from .trial_growth import apply_event

# Events that may happen outside of a run.
BETWEEN_RUNS = (
    *(DeclarationChanged, ModelPromoted, StudyNoted, StudyRenamed),
    *(PointEnqueued, TrialStopRequested, TrialExtended, StudyPaused),
)


class History:
    """The state of a study so far.

    Events are applied in the journal's order. Applying an event a second time has no effect.
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.study = StudyCreated()
        self.budget: Mapping[str, Any] = {}  # as declared by the latest run
        self.selection: Mapping[str, Any] = {}  # likewise
        self._lost: list[Trial] = []  # attempts replaced by a later one
        self.last: dict[int, Trial] = {}  # number -> last attempt, in order of creation
        self.ended: list[Trial] = []  # in order of their results
        self.results: list[Trial] = []  # the same, with results that a later one has replaced
        self.extensions: dict[int, Trial] = {}  # ended trials that are trained further, as copies
        self._extended_at: dict[int, int] = {}  # number -> `seq` of the latest request
        # Inputs of the sampler, in order: a trial's number when it is created and again when it
        # ends, and duplicate proposals.
        self.order: list[int | DuplicateProposed] = []
        self.enqueued: list[PointEnqueued] = []  # by the user; not asked for yet
        self.stop_requested: set[int] = set()  # trials that the user wants to stop
        self._stopped_by_edit: set[int] = set()  # of these, the ones outside an edited space
        self.is_paused = False  # by the user
        self._requests: set[str] = set()  # of the user, so far
        self.finalists: dict[int, FinalistScored] = {}  # per trial
        self.winner: WinnerChosen | None = None
        self.former_winners: list[WinnerChosen] = []  # other trials, chosen before it
        self.fitted: WinnerFitted | None = None
        self.final: WinnerEvaluated | None = None
        self.asked_since_final = False  # a finished study continues
        self.reads = 0  # readings of the locked rows so far
        self.plots: PlotsDrawn | None = None  # plots that failed for `final`
        self.end: SearchEnded | None = None
        self.promotions: list[ModelPromoted] = []
        self.limits: Sequence[Limit] = ()  # the constraints on what is measured, as edited last
        self.limits_began = 0  # when they were edited last, milliseconds since the epoch
        self.note = ""  # by the user
        self.names: list[str] = []  # its names so far; the last one applies
        self.changes: list[DeclarationChanged] = []
        self.outside: frozenset[int] = frozenset()  # trials outside the space as edited last
        self.ended_outside: frozenset[int] = frozenset()  # those that had ended by that edit
        self.space_began = 0  # the first trial that was not asked for before that
        self.last_time = 0  # time of the last event, milliseconds since the epoch
        self._began = self._latest = 0  # start of the latest run, by its own clock
        self._past = 0  # milliseconds of earlier runs
        for event in events:
            self.apply(event)

    def apply(self, event: Event) -> tuple[Trial, ...]:
        """Apply one event; returns the trials that it changed."""
        self._count_time(event)
        match event:
            case EpochFinished() | TrialStarted() | FoldFinished() | TrialFinished():
                return self._apply_progress(event)
            case TrialAsked():
                self.end, self.asked_since_final = None, True
                return self._apply_asked(event)
            case FinalistScored():
                return self._apply_finalist(event)
            case StudyCreated():
                self.study, self.names = event, [event.study]
                self.limits = event.limits or ()
                self._apply_declaration(event.resolved or event.spec)
            case StudyResumed():
                self._apply_declaration({"budget": event.budget, "selection": event.selection})
            case DeclarationChanged():
                return self._apply_change(event)
            case SearchEnded():
                self.end = event
            case PredictionsRestored():
                self._apply_predictions(event)
            case DuplicateProposed():
                self.order.append(event)
            case (
                PointEnqueued()
                | TrialStopRequested()
                | TrialExtended()
                | StudyPaused()
                | StudyUnpaused()
            ):
                self._apply_request(event)
            case ModelPromoted():
                self.promotions.append(event)
            case StudyNoted():
                self.note = event.text
            case StudyRenamed():
                self.names.append(event.name)
            case _:
                self._apply_ending(event)
        return ()

    def _apply_declaration(self, declared: Mapping[str, Any]) -> None:
        """Take budget and selection, which every run of a study may declare anew."""
        if isinstance(budget := declared.get("budget"), Mapping):
            self.budget = budget
        if isinstance(selection := declared.get("selection"), Mapping):
            self.selection = selection

    def _apply_change(self, event: DeclarationChanged) -> tuple[Trial, ...]:
        """Take an accepted change; trials outside an edited space no longer count."""
        if event in self.changes:
            return ()
        self.changes.append(event)
        if event.outside is None:
            return ()
        measured = self._take_limits(event)
        self.outside, self.space_began = frozenset(event.outside), self.next_number
        running = {n for n in self.outside if n in self.extensions or not self.last[n].is_finished}
        self.ended_outside = self.outside - running
        self.stop_requested -= self._stopped_by_edit
        self._stopped_by_edit = running - self.stop_requested
        self.stop_requested |= running
        self.end, self.asked_since_final = None, True
        winner = self.winner
        if winner and not self._may_stay(winner):
            self.former_winners.append(winner)
            self.winner = None
        return measured

    def _take_limits(self, event: DeclarationChanged) -> tuple[Trial, ...]:
        """Take edited limits; returns the trials whose violations may have changed."""
        if event.limits is None or [*event.limits] == [*self.limits]:
            return ()
        self.limits, self.limits_began = event.limits, event.time
        return tuple(t for t in self.last.values() if t.measured is not None)

    def _may_stay(self, winner: WinnerChosen) -> bool:
        """Whether a winner lies in the edited space, and within the edited limits."""
        numbers = {winner.trial, *(m.trial for m in winner.members)}
        chosen = self._find_attempt(winner.trial, winner.attempt)
        return not self.outside & numbers and (chosen is None or self.is_feasible(chosen))

    def _apply_ending(self, event: Event) -> None:
        """Apply an event from after the search."""
        match event:
            case WinnerChosen():
                if self.winner is not None and self.winner.trial != event.trial:
                    self.former_winners.append(self.winner)
                self.winner = event
            case WinnerFitted():
                self.fitted = event
            case LockedRowsRead():
                self.reads += 1
            case WinnerEvaluated():
                self.final, self.plots = event, None
                self.asked_since_final = False
                self.reads = max(self.reads, event.reads)
            case PlotsDrawn():
                self.plots = event
                self.asked_since_final = False  # also if the winner has not changed

    def _count_time(self, event: Event) -> None:
        """Add up the time of each run separately: the clock may be changed between runs.

        The time of a pause is not counted, apart from the epochs that it waited for.
        """
        time = event.time
        self.last_time = max(self.last_time, time)
        if isinstance(event, (*RUNS, StudyUnpaused)):
            self._past += self._latest - self._began
            self._began = self._latest = time
        elif not isinstance(event, BETWEEN_RUNS):
            self._latest = max(self._latest, time)

    def _apply_request(self, event: Request) -> None:
        if self.has_request(event.request):
            return
        self._requests.add(event.request)
        match event:
            case TrialStopRequested():
                self.stop_requested.add(event.trial)
            case TrialExtended():
                self._start_extension(event)
            case StudyPaused() | StudyUnpaused():
                # A search that ended before it received the pause has nothing to pause.
                self.is_paused = isinstance(event, StudyPaused) and self.end is None
            case PointEnqueued():
                self.enqueued.append(event)
                self.end = None

    def _start_extension(self, event: TrialExtended) -> None:
        """Copy an ended trial, which keeps its result until the copy has one."""
        number = event.trial
        trial = self.last.get(number)
        if trial is None or number in self.extensions:
            return
        if not trial.is_finished:  # its next attempt has these epochs
            trial.epochs = event.epochs
            return
        self.extensions[number] = trial.make_extension(event.epochs)
        self._extended_at[number] = event.seq
        self.stop_requested.discard(number)
        self.end, self.asked_since_final = None, True

    def _end_extension(self, number: int) -> tuple[Trial, ...]:
        """Replace a trial's result by that of its extension, unless that has failed."""
        extension, earlier = self.extensions.pop(number), self.last[number]
        if extension.state == "FAILED":
            return ()
        if number in self.stop_requested:  # it was planned for no more than it has
            extension.epochs = extension.n_epochs
        self.last[number] = extension
        self.ended = [trial for trial in self.ended if trial is not earlier]
        self.ended.append(extension)
        self.results.append(extension)
        self.finalists.pop(number, None)
        return (extension,)

    def has_request(self, request: str) -> bool:
        """Whether a user's request was recorded."""
        return request in self._requests

    def _apply_asked(self, event: TrialAsked) -> tuple[Trial, ...]:
        number, attempt = event.trial, event.attempt
        self.enqueued = [point for point in self.enqueued if point.request != event.request]
        if self._find_attempt(number, attempt) is not None:
            return ()
        lost = []
        if (earlier := self.last.get(number)) is not None:
            self._lost.append(earlier)
            if earlier.state not in FINAL_STATES:
                earlier.state, earlier.ended = "LOST", event.time
                lost.append(earlier)
        else:
            self.order.append(number)
        asked = Trial(
            number=number,
            attempt=attempt,
            params=_intern_params(event.params),
            seed=event.seed,
            epochs=event.epochs,
            asked=event.time,
            revision=len(self.changes),
            training_revision=self.training_revision,
        )
        self.last[number] = asked
        return (asked, *lost)

    @property
    def training_revision(self) -> int:
        """Number of accepted changes after which an epoch may have another result."""
        return sum(change.affects_training for change in self.changes)

    def latest(self, number: int) -> Trial:
        """Return what a trial's worker trains: the last attempt, or what extends it."""
        return self.extensions.get(number) or self.last[number]

    def _find_attempt(self, number: int, attempt: int) -> Trial | None:
        last = self.last.get(number)
        if last is None or last.attempt == attempt:
            return last
        named = (t for t in self._lost if (t.number, t.attempt) == (number, attempt))
        return next(named, None)

    def _apply_finalist(self, event: FinalistScored) -> tuple[Trial, ...]:
        self.finalists[event.trial] = event
        trial = self.last.get(event.trial)
        if trial is None:
            return ()
        trial.finalist_score = event.score
        return (trial,)

    def _apply_predictions(self, event: PredictionsRestored) -> None:
        trial = self._find_attempt(event.trial, event.attempt)
        if trial is not None:
            trial.predictions, trial.predictions_crc32 = event.file, event.crc32

    def _apply_progress(
        self, event: EpochFinished | TrialStarted | FoldFinished | TrialFinished
    ) -> tuple[Trial, ...]:
        extension = self.extensions.get(event.trial)
        if extension is not None and event.seq < self._extended_at[event.trial]:
            return ()  # an earlier event, which is applied again
        trial = extension or self._find_attempt(event.trial, event.attempt)
        if trial is None or not apply_event(trial, event):
            return ()
        if isinstance(event, TrialFinished):
            if extension is not None:
                return self._end_extension(event.trial)
            self.ended.append(trial)
            self.results.append(trial)
            self.order.append(trial.number)
        return (trial,)

    @property
    def name(self) -> str:
        """The study's name."""
        return self.names[-1] if self.names else ""

    @property
    def key(self) -> str:
        """The study's random id; `--fresh` creates a new one."""
        return self.study.key

    @property
    def metric(self) -> str:
        """The objective's metric."""
        return self.study.objective.metric or "score"

    @property
    def direction(self) -> Direction:
        """The direction of the objective."""
        return self.study.objective.direction

    @property
    def maximize(self) -> bool:
        """Whether larger scores are better."""
        return self.direction == "maximize"

    @property
    def objectives(self) -> tuple[tuple[str, Direction], ...]:
        """The objectives with their directions; the first ranks trials."""
        several = self.study.objectives or ()
        declared = tuple((o.metric, o.direction) for o in several)
        return declared or ((self.metric, self.direction),)

    def violations(self, trial: Trial) -> list[float] | None:
        """Return by how much a trial violates each limit; 0 or less: it does not.

        Infinite for what was not measured. None for a trial without measurements.
        """
        if trial.measured is None or not self.limits:
            return None
        known = trial.measured
        return [
            limit.violation(known[limit.name]) if limit.name in known else math.inf
            for limit in self.limits
        ]

    def is_feasible(self, trial: Trial) -> bool:
        """Whether a trial satisfies the constraints on what is measured."""
        return not self.limits or max(self.violations(trial) or [math.inf]) <= 0

    def infeasible_trials(self) -> list[Trial]:
        """The complete trials that violate a limit, the smallest violation first."""
        broken = [t for t in self._complete_trials() if not self.is_feasible(t)]
        return sorted(broken, key=lambda t: (total_violation(self.violations(t)), t.number))

    def declaration(self, revision: int) -> StudyCreated:
        """Return the declaration of a revision; see `Trial.revision`."""
        return self.study.with_change(self.changes[revision - 1]) if revision else self.study

    def notes_of_changes(self) -> list[str]:
        """One sentence per accepted change, for the user."""
        return [
            f"revision {revision} from trial {first}: {_format_changes(event.changes)}"
            for revision, event in enumerate(self.changes, start=1)
            if (first := self._first_trial_of(revision)) is not None
        ]

    def _first_trial_of(self, revision: int) -> int | None:
        numbers = (number for number, t in self.last.items() if t.revision >= revision)
        return min(numbers, default=None)

    @property
    def next_number(self) -> int:
        """The number of the next trial; numbers lost with damaged lines are not reused."""
        return next(reversed(self.last), -1) + 1  # created in ascending order

    @property
    def trials(self) -> list[Trial]:
        """The last attempt of every trial, by number."""
        return [self.last[number] for number in sorted(self.last)]

    @property
    def attempts(self) -> list[Trial]:
        """Every attempt at every trial, by number, including those whose worker died."""
        return sorted([*self._lost, *self.last.values()], key=lambda t: (t.number, t.attempt))

    def find_trial(self, number: int) -> Trial:
        """Return the last attempt of trial `number`.

        Raises:
            JournalError: If it does not exist; lists the existing trials.
        """
        is_number = isinstance(number, Integral) and not isinstance(number, bool)
        if not is_number or number not in self.last:
            known = f"0 to {max(self.last)}" if self.last else "none yet"
            raise JournalError(f"study {self.name} has no trial {number}. Trials: {known}.")
        return self.last[number]

    def count(self, state: TrialState) -> int:
        """Count the trials in this state."""
        return sum(t.state == state for t in self.last.values())

    @property
    def best(self) -> Trial | None:
        """The best complete trial, the earliest of ties; None if there is none.

        With several objectives, the member of the Pareto front that is best in the first objective.
        """
        ranked = self.pareto_front() or self.ranked_trials()
        return ranked[0] if ranked else None

    @property
    def is_concluded(self) -> bool:
        """Whether the study has finished, and no trial was asked for or extended since."""
        return self.final is not None and not self.asked_since_final

    @property
    def seconds(self) -> float:
        """Total wall-clock time of the study's runs."""
        return (self._past + self._latest - self._began) / 1000

    def ranked_trials(self) -> list[Trial]:
        """The complete trials with a finite score, best first; of ties, the earlier first.

        Without those outside the space, if it was edited, and those that violate a limit.
        """
        done = [t for t in self._complete_trials() if self.is_feasible(t)]
        return sorted(done, key=lambda t: (-orient(t.score or 0.0, self.direction), t.number))

    def _complete_trials(self) -> list[Trial]:
        inside = (t for t in self.trials if t.number not in self.outside)
        return [t for t in inside if t.state == "COMPLETE" and is_score(t.score)]

    def pareto_front(self) -> list[Trial]:
        """The Pareto front: the complete trials that no other trial dominates.

        Sorted by the first objective, best first; of ties, the earlier first. Empty with one
        objective.
        """
        if len(self.objectives) == 1:
            return []
        front: list[Trial] = []
        for trial in self.ranked_trials():
            front = self._extend_front(front, trial) or front
        return front

    def finalist_trials(self, count: int) -> list[Trial]:
        """The `count` best complete trials, best first; of the Pareto front, if there is one."""
        return (self.pareto_front() or self.ranked_trials())[:count]

    @property
    def since_improvement(self) -> int:
        """Number of trials ended since the last improvement of the best score or the front."""
        several = len(self.objectives) > 1
        best: list[Trial] = []  # the best trial, or the front
        waited = 0
        for trial in self.ended:
            waited += 1
            if not self._can_win(trial):
                continue
            if several:
                better = self._extend_front(best, trial)
            else:
                is_first = not best or self._is_better(trial, best[0].score)
                better = [trial] if is_first else None
            if better is not None:
                best, waited = better, 0
        return waited

    def _extend_front(self, front: list[Trial], trial: Trial) -> list[Trial] | None:
        """Add `trial` to the front; None if a member dominates it."""
        if not trial.values or not all(map(is_score, trial.values)):
            return None
        directions = [direction for _, direction in self.objectives]
        return pareto.add_to_front(front, trial, lambda t: t.values or (), directions)

    def _can_win(self, trial: Trial) -> bool:
        is_scored = trial.state == "COMPLETE" and is_score(trial.score)
        return is_scored and self.is_feasible(trial)

    def _is_better(self, trial: Trial, than: float | None) -> bool:
        assert trial.score is not None
        assert than is not None
        return is_better(trial.score, than, self.direction)

    def improvements(self) -> Iterator[tuple[Trial, float]]:
        """The complete trials in order of ending, each with the best score so far."""
        best: float | None = None
        for trial in self.results:
            if not self._can_win(trial):
                continue
            if best is None or self._is_better(trial, best):
                best = trial.score or 0.0
            yield trial, best

    def winning_trial(self) -> Trial | None:
        """The chosen trial, or else the best so far."""
        if self.winner is not None:
            chosen = self._find_attempt(self.winner.trial, self.winner.attempt)
            if chosen is not None:
                return chosen
        return self.best


def total_violation(violations: Sequence[float] | None) -> float:
    """Return the sum of what is beyond the bounds; infinite for a trial without measurements."""
    return math.inf if violations is None else sum(max(v, 0.0) for v in violations)


def load_history(
    journal: Path, *, without: Collection[type[Event]] = (), but_of: Collection[int] = ()
) -> History:
    """Load the history of a journal, skipping the events in `without` except of some trials.

    Raises:
        JournalError: If the journal is missing or damaged.
    """
    return History(stream_records(journal, without=without, but_of=but_of))


def load_condensed_history(journal: Path) -> History:
    """Load the history of a journal; only the winner keeps whole curves, others their means.

    Raises:
        JournalError: If the journal is missing or damaged.
    """
    history = History()
    for event in stream_scores(journal):
        for trial in history.apply(event):
            if isinstance(event, TrialFinished):
                trial.drop_curves()
    winner = history.winning_trial()
    restore_curves(history, journal, () if winner is None else (winner.number,))
    return history


def restore_curves(
    history: History, journal: Path, numbers: Collection[int], *, until: int | None = None
) -> None:
    """Restore dropped curves of trials from the journal, up to offset `until`.

    Raises:
        JournalError: If the journal is damaged.
    """
    wanted = [t for t in history.trials if t.number in numbers and t.means is not None]
    named = {trial.number for trial in wanted}
    if not named:
        return
    stored = stream_records(journal, until=until, without=CURVES, but_of=named)
    full = History(event for event in stored if concerns_trials(event, named))
    for trial in wanted:
        trial.restore_curves(full.last[trial.number])


def concerns_trials(event: Event, trials: Collection[int]) -> bool:
    """Whether an event changes one of these trials."""
    match event:
        case TrialAsked() | TrialStarted() | EpochFinished() | FoldFinished() | TrialFinished():
            return event.trial in trials
        case TrialExtended():
            return event.trial in trials
    return False


def _intern_params(params: Mapping[str, Value]) -> dict[str, Value]:
    """Intern the strings in params, so that trials share them in memory."""
    return {intern(n): intern(v) if isinstance(v, str) else v for n, v in params.items()}


def _format_changes(changes: Iterable[Iterable[str]]) -> str:
    return "; ".join(f"{key}: {then} then, {now} now" for key, then, now in changes)
