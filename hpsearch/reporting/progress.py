"""Track the progress of a running study from the journal's events, and format it as text."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self

from ..events import (
    DeclarationChanged,
    EpochFinished,
    Event,
    SearchEnded,
    StudyCreated,
    StudyPaused,
    StudyResumed,
    StudyUnpaused,
    TrainerChanged,
    TrialFinished,
    WinnerChosen,
)
from ..history import History
from ..trial import Trial, TrialState, is_better
from ..verdict import describe_members, describe_pending_comparison
from .study_follower import describe_phase, find_phase
from .study_status import estimate_left

logger = logging.getLogger("hpsearch.reporting")


def format_duration(seconds: float) -> str:
    """Format a duration as `0:07`, `12:30` or `3:04:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_params(params: Mapping[str, Any]) -> str:
    """Format hyperparameters on one line."""
    short = {k: f"{v:.3g}" if isinstance(v, float) else v for k, v in params.items()}
    return " ".join(f"{k}={v}" for k, v in short.items())


class Progress:
    """The phase, the finished trials, the best so far, the running trial's epoch, the time left."""

    def __init__(self, total: int) -> None:
        """Create the progress of a study of `total` trials."""
        self.total = total
        self.done = 0
        self.states: dict[str, int] = {}
        self.best: Trial | None = None
        self.front = 0  # size of the Pareto front with several objectives
        self.phase = 0  # an index of PHASES
        self.running: tuple[int, int, int] | None = None  # trial, epoch, total epochs
        self._done_before = 0
        self._history = History()  # without epochs
        self.began = time.monotonic()

    def listen(self, event: Event) -> None:
        """Apply one event of the journal."""
        replaced = self._find_replaced(event)
        if not isinstance(event, EpochFinished):
            self._history.apply(event)
        self.phase = find_phase(event, self.phase)
        match event:
            case StudyResumed():
                self._done_before = self.done
            case DeclarationChanged():
                self._find_best_again()
            case EpochFinished():
                epochs = self._history.latest(event.trial).epochs
                self.running = (event.trial, event.epoch + 1, epochs)
            case TrialFinished():
                self._count_result(event, replaced)

    def _find_replaced(self, event: Event) -> TrialState | None:
        """Return the state of the result that the event replaces, if there is one."""
        if isinstance(event, TrialFinished) and event.trial in self._history.extensions:
            return self._history.last[event.trial].state
        return None

    def _count_result(self, event: TrialFinished, replaced: TrialState | None) -> None:
        self.running = None
        if replaced is None:
            self.done += 1
        elif event.state == "FAILED":
            return  # the earlier result stays
        else:
            self.states[replaced] -= 1
        self.states[event.state] = self.states.get(event.state, 0) + 1
        if replaced is not None:
            self._find_best_again()
            return
        self.front = len(self._history.pareto_front())
        trial = self._history.last[event.trial]
        may_win = event.trial not in self._history.outside and self._history.is_feasible(trial)
        if event.state == "COMPLETE" and may_win and self._is_better(event.score):
            self.best = trial

    def _find_best_again(self) -> None:
        """Find the best trial after a change of earlier results, or of which of them may win."""
        self.best, self.front = self._history.best, len(self._history.pareto_front())

    def _is_better(self, score: float | None) -> bool:
        if score is None or self.best is None or self.best.score is None:
            return score is not None
        return is_better(score, self.best.score, self._history.direction)

    @property
    def seconds_left(self) -> float | None:
        """Estimate the seconds left of the search from this run's pace; None if unknown."""
        done = self.done - self._done_before
        if not done or self.phase > 0:
            return None
        rate = done / (time.monotonic() - self.began) * 60
        since = max(0.0, time.time() - self._history.last_time / 1000)
        budget = {**self._history.budget, "trials": self.total}
        return estimate_left(rate, self.done, budget, self._history.seconds + since)

    def format_headline(self) -> str:
        """Format the state of the study on one line."""
        parts = [f"{self.done}/{self.total} trials"]
        if self.best is not None:
            score = f"{self.best.score:.4f} ± {self.best.spread:.4f}"
            parts.append(f"best {self._history.metric} {score} (trial {self.best.number})")
        if self.front:
            parts.append(f"{self.front} on the front")
        for state in ("PRUNED", "FAILED"):
            if n := self.states.get(state, 0):
                parts.append(f"{n} {state.lower()}")
        if (left := self.seconds_left) is not None:
            parts.append(f"{format_duration(left)} of the search left")
        return " · ".join(parts)

    @property
    def is_paused(self) -> bool:
        """Whether the user has paused the study."""
        return self._history.is_paused

    def format_phase(self) -> str:
        """Format the current phase and its progress."""
        return describe_phase(self.phase, self._history)

    def format_comparison(self) -> str:
        """Format when the best trial is compared with baselines; "" once that has been done."""
        history = self._history
        return describe_pending_comparison(history.study, history.final) if self.best else ""

    def format_best(self) -> str:
        """Format the best trial so far and its hyperparameters; "" before one completed."""
        best = self.best
        return f"best: trial {best.number} {self._format_params(best.number)}" if best else ""

    def format_running(self) -> str:
        """Format the trial that finished an epoch last; "" between trials."""
        if self.running is None:
            return ""
        trial, epoch, epochs = self.running
        return f"now:  trial {trial} epoch {epoch}/{epochs} {self._format_params(trial)}"

    def _format_params(self, trial: int) -> str:
        return format_params(self._history.last[trial].params)

    def format_result(self, event: TrialFinished) -> str:
        """Format the end of a trial on one line."""
        score = "" if event.score is None else f" {event.score:.4f}"
        spread = "" if event.score is None or event.spread is None else f" ± {event.spread:.4f}"
        error = f" {event.error}" if event.error else ""
        return (
            f"trial {event.trial} {event.state}{score}{spread}{error}{self._format_limits(event)}"
        )

    def _format_limits(self, event: TrialFinished) -> str:
        """Format the limits that a complete trial violates, so that it cannot be the best."""
        history = self._history
        if event.state != "COMPLETE":
            return ""
        values = history.violations(history.last[event.trial]) or []
        broken = [str(limit) for limit, v in zip(history.limits, values, strict=False) if v > 0]
        return f", violates {' and '.join(broken)}" if broken else ""


class Display(Protocol):
    """A context manager that shows a study's progress."""

    def listen(self, event: Event) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


class SilentDisplay:
    """A display that shows nothing."""

    def listen(self, event: Event) -> None:
        """Ignore the event."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


def guard_listener(
    what: str, listen: Callable[[Event], None], *, skips_past_curves: bool
) -> Callable[[Event], None]:
    """Wrap `listen`: its first error is logged as a warning, and it is not called again.

    Args:
        what: The listener's name in the warning.
        listen: Called with the events of a journal.
        skips_past_curves: Whether it does not need the epochs of a study's earlier runs.
    """
    is_over = False

    def guarded(event: Event) -> None:
        nonlocal is_over
        if is_over:
            return
        try:
            listen(event)
        except Exception as error:  # a display or a disk may raise anything
            is_over = True
            logger.warning("%s failed and stops, the study continues: %s", what, error)

    vars(guarded)["skips_past_curves"] = skips_past_curves
    return guarded


class LineDisplay(SilentDisplay):
    """A display that prints one line per finished trial, for logs."""

    def __init__(self, progress: Progress, write: Callable[[str], None]) -> None:
        """Create a display of `progress`; `write` prints a line."""
        self._progress = progress
        self._write = write
        self._began = time.time() * 1000  # events of an earlier run are not printed

    def listen(self, event: Event) -> None:
        """Print a line if the event belongs to this run."""
        before = self._progress.phase
        self._progress.listen(event)
        if event.time < self._began:
            return
        match event:
            case StudyCreated():
                self._write(f"trainer: {event.trainer} ({event.trainer_reason})")
            case DeclarationChanged():
                for key, then, now in event.changes:
                    self._write(f"accepted: {key}: {then} then, {now} now")
            case StudyResumed():
                self._write(f"resumed: {self._progress.format_headline()}")
                if self._progress.is_paused:
                    self._write(self._progress.format_phase())
            case StudyPaused():
                self._write(self._progress.format_phase())
            case StudyUnpaused():
                self._write("continued")
            case TrialFinished():
                result = self._progress.format_result(event)
                self._write(f"{result} · {self._progress.format_headline()}")
            case TrainerChanged():
                self._write(f"trainer: {event.trainer} ({event.reason})")
            case SearchEnded():
                self._write(f"search finished: {event.reason}")
            case WinnerChosen():
                unit = "epoch" if event.epochs == 1 else "epochs"
                text = f"trial {event.trial}, fitted for {event.epochs} {unit}"
                if event.is_ensemble:
                    text = f"an ensemble of {describe_members(event.members)}"
                self._write(f"winner: {text}")
        if self._progress.phase > before:
            self._write(self._progress.format_phase())
