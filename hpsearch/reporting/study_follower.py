"""Follow a study's journal as it grows, for `hpsearch watch` and the report.

Reads only the file, so it works while another process writes the journal, after that process was
killed and after the study's end.
"""

from __future__ import annotations

import bisect
from pathlib import Path

from ..errors import JournalError
from ..events import (
    RUNS,
    Event,
    LockedRowsRead,
    PlotsDrawn,
    SearchEnded,
    TrialAsked,
    TrialFinished,
    WinnerChosen,
    WinnerEvaluated,
)
from ..history import History
from ..journal import read_page
from ..trial import Trial, is_score, orient

# The phases of a study in order, and the event that starts each.
PHASES: tuple[tuple[str, type[Event]], ...] = (
    ("search", TrialAsked),
    ("finalists on fresh folds", SearchEnded),
    ("final fit on all development rows", WinnerChosen),
    ("test rows", LockedRowsRead),
    ("plots and report", WinnerEvaluated),
    ("upload to MLflow", PlotsDrawn),
)
SHOWN_CURVES = 10  # complete trials that keep their curves of every fold, the best ones
CHUNK = 4_000_000  # bytes of a journal that are decoded at once


def find_phase(event: Event, before: int) -> int:
    """Return the index in `PHASES` of the phase that `event` begins; `before` if it begins none."""
    return next((i for i, (_, first) in enumerate(PHASES) if isinstance(event, first)), before)


def describe_phase(phase: int, history: History) -> str:
    """Describe a phase by number and name, the finalists with how many are scored."""
    if history.is_paused and not phase:
        return f"paused: hpsearch unpause {history.name} continues it"
    name, first = PHASES[phase]
    text = f"phase {phase + 1} of {len(PHASES)}: {name}"
    if first is SearchEnded:
        finalists = history.finalist_trials(history.selection.get("finalists", 0))
        scored = sum(trial.number in history.finalists for trial in finalists)
        text += f", {scored} of {len(finalists)} scored" if finalists else ""
    return text


class StudyFollower:
    """The history of a study, and facts that depend on the order of its events."""

    def __init__(self, journal: Path) -> None:
        """Read the journal.

        Raises:
            JournalError: If the journal is missing or damaged.
        """
        self.journal = journal
        self._begin()
        self.update()

    def _begin(self) -> None:
        self.history = History()
        self.phase = 0  # an index of PHASES
        self.run_began = 0  # start of the latest run, in milliseconds since the epoch
        self.ended_before = 0  # trials that had finished when it began
        self.offset = 0  # number of bytes read
        self._file = 0  # inode of the file
        self._kept: list[tuple[float, int, Trial]] = []  # worst first

    @property
    def trials_with_curves(self) -> list[Trial]:
        """Return the best complete trials, best first; they keep the curves of every fold."""
        return [trial for *_, trial in reversed(self._kept)]

    def update(self) -> bool:
        """Read new events; return whether there were any.

        A replaced journal (`--fresh`) is read from its start; while it is missing, nothing is read.

        Raises:
            JournalError: If the journal is damaged, or never existed.
        """
        try:
            found = self.journal.stat()
        except FileNotFoundError:
            if self.offset:
                return False
            raise JournalError(f"{self.journal}: there is no journal") from None
        if self.offset and (found.st_ino != self._file or found.st_size < self.offset):
            self._begin()
        self._file = found.st_ino
        before = self.offset
        while found.st_size > self.offset:
            page = read_page(self.journal, self.offset, until=self.offset + CHUNK)
            if page.end == self.offset:
                break  # a line that is being written
            for event in page.events:
                self._apply(event)
            self.offset = page.end
        return self.offset > before

    def _apply(self, event: Event) -> None:
        changed = self.history.apply(event)
        self.phase = find_phase(event, self.phase)
        if isinstance(event, TrialFinished):
            for trial in changed:
                self._keep_or_drop_curves(trial)
        if isinstance(event, RUNS):
            self.run_began = event.time
            self.ended_before = len(self.history.ended)

    def _keep_or_drop_curves(self, trial: Trial) -> None:
        """Drop the curves of all but the best trials if there are thousands.

        An extended trial takes the place of its earlier result.
        """
        self._kept = [entry for entry in self._kept if entry[-1].number != trial.number]
        if trial.state != "COMPLETE" or not is_score(trial.score) or trial.n_dropped:
            trial.drop_curves()
            return
        rank = (orient(trial.score or 0.0, self.history.direction), -trial.number, trial)
        bisect.insort(self._kept, rank)
        if len(self._kept) > SHOWN_CURVES:
            self._kept.pop(0)[-1].drop_curves()
