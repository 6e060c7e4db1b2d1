"""A study's journal, read as it grows.

What `hpsearch watch` and the report look at: works while another process writes the journal, after
that process was killed and after the study's end, since nothing but the file is read.
"""

from __future__ import annotations

import bisect
from pathlib import Path

from ..errors import JournalError
from ..events import (
    RUNS,
    Event,
    FinalistScored,
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

# What a study does one after the other, and the event with which each begins.
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


class StudyFollower:
    """The history of a study, and what only the order of its events tells."""

    def __init__(self, journal: Path) -> None:
        """Read what the journal holds now.

        Raises:
            JournalError: If there is none, or it is damaged.
        """
        self.journal = journal
        self._begin()
        self.update()

    def _begin(self) -> None:
        self.history = History()
        self.phase = 0  # an index of PHASES
        self.n_finalists = 0  # that were scored again
        self.run_began = 0  # milliseconds since the epoch, of the latest run
        self.ended_before = 0  # trials that had ended when it began
        self.offset = 0  # bytes that were read
        self._file = 0  # the inode of the file that was read
        self._kept: list[tuple[float, int, Trial]] = []  # worst first

    @property
    def trials_with_curves(self) -> list[Trial]:
        """The best complete trials, which keep the curves of every fold; the best one first."""
        return [trial for *_, trial in reversed(self._kept)]

    def update(self) -> bool:
        """Read what was written since; whether there was anything.

        A journal that another one took the place of (`--fresh`) is read anew; one that is away
        meanwhile brings nothing.

        Raises:
            JournalError: If it is damaged, or has never been there.
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
        match event:
            case TrialAsked():
                self.n_finalists = 0
            case FinalistScored():
                self.n_finalists += 1
            case TrialFinished():
                for trial in changed:
                    self._keep_or_drop_curves(trial)
        if isinstance(event, RUNS):
            self.run_began = event.time
            self.ended_before = len(self.history.ended)

    def _keep_or_drop_curves(self, trial: Trial) -> None:
        """Drop the curves of all but the best trials if there are thousands."""
        if trial.state != "COMPLETE" or not is_score(trial.score):
            trial.drop_curves()
            return
        rank = (orient(trial.score or 0.0, self.history.direction), -trial.number, trial)
        bisect.insort(self._kept, rank)
        if len(self._kept) > SHOWN_CURVES:
            self._kept.pop(0)[-1].drop_curves()
