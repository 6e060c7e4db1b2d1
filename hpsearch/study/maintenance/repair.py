"""Repair a damaged journal from its sound lines.

Every line has a checksum, so a sound line can be trusted wherever it is. Lines that no longer fit
are dropped: events of a trial whose `asked` line is lost, and the curve after a lost epoch. A trial
without its result is trained again with the same params and seed. Only done on request; the damaged
file is kept.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import JournalError
from ...event_codec import renumber
from ...events import EpochFinished, Event, StudyCreated, TrialAsked, TrialFinished, TrialStarted
from ...journal import SoundLine, encode_line, find_missing_line, salvage_records, take_lock
from ...platforms.files import atomic_write


@dataclass(frozen=True, slots=True)
class Repair:
    """The outcome of a repair."""

    kept: int  # number of kept lines
    lines: tuple[int, ...]  # 1-based numbers of damaged lines
    n_bytes: int  # bytes of damaged lines
    dropped: int  # number of sound lines that no longer fit
    n_vanished: tuple[int, ...]  # trials that are lost entirely
    n_retrained: tuple[int, ...]  # trials that lost their result or an epoch, and are trained again
    aside: Path | None  # the damaged file; None if nothing was damaged

    def format_message(self) -> str:
        """Format the outcome for the user."""
        if self.aside is None:
            return f"the journal is sound: {self.kept:,} lines; nothing was changed"
        if not self.lines and not self.dropped and not self.n_vanished:
            return (
                f"kept all {self.kept:,} lines, with the line ends and the encoding they had\n"
                f"the file as it was found is {self.aside}"
            )
        lines = [
            f"kept {self.kept:,} lines; lost {len(self.lines)} damaged ones "
            f"({self.n_bytes:,} bytes: line {_format_numbers(self.lines)})"
        ]
        if self.dropped:
            lines.append(f"left out {self.dropped:,} sound lines that no longer fit")
        if self.n_vanished:
            lines.append(
                f"nothing is left of trial {_format_numbers(self.n_vanished)}; others take its "
                "place"
            )
        if self.n_retrained:
            lines.append(
                "trained again, with the same params and seed: trial "
                f"{_format_numbers(self.n_retrained)}"
            )
        lines.append(f"the damaged file is {self.aside}")
        return "\n".join(lines)


def repair_journal(path: Path) -> Repair:
    """Replace the journal at `path` by its consistent sound lines.

    Raises:
        JournalError: If the study is running, or the journal's first line, which describes the
            study, is lost.
    """
    with take_lock(path):
        found = salvage_records(path)
        lines = found.lines
        if not lines or not isinstance(lines[0].event, StudyCreated):
            raise JournalError(
                f"{path}: the first line, which describes the study, is lost: this cannot be "
                "repaired. Restore journal.jsonl from the study's run in MLflow, or start over "
                "with hpsearch tune SPEC --fresh."
            )
        whole = find_missing_line(line.event for line in lines) is None
        is_torn = found.damaged == (len(lines) + 1,)  # only at the end
        if whole and found.is_as_written and (is_torn or not found.damaged):
            return Repair(len(lines), (), 0, 0, (), (), None)
        kept = list(_consistent_records(lines))
        aside = _move_aside(path)
        for cursor in path.parent.glob("uploaded-*.json"):  # they are offsets into the old file
            cursor.unlink()
        with atomic_write(path) as file:
            file.writelines(encode_line(renumber(line.text, n)) for n, line in enumerate(kept))
        return Repair(
            kept=len(kept),
            lines=found.damaged,
            n_bytes=found.lost,
            dropped=len(lines) - len(kept),
            n_vanished=_vanished_trials([line.event for line in kept]),
            n_retrained=_unfinished_trials([line.event for line in kept]),
            aside=aside,
        )


def _consistent_records(lines: Sequence[SoundLine]) -> Iterator[SoundLine]:
    """Return the lines that are consistent without the lost ones, in order."""
    epochs: dict[tuple[int, int], int] = {}  # created attempts -> number of epochs
    for line in lines:
        match line.event:
            case TrialAsked() as event:
                epochs[event.trial, event.attempt] = 0
            case TrialStarted() | EpochFinished() | TrialFinished() as event:
                attempt = (event.trial, event.attempt)
                if attempt not in epochs or not _fits(event, epochs[attempt]):
                    continue
                epochs[attempt] += isinstance(event, EpochFinished)
        yield line


def _fits(event: TrialStarted | EpochFinished | TrialFinished, n_epochs: int) -> bool:
    """Whether an event is consistent with this number of epochs of its trial.

    A result is inconsistent if its best epoch is lost; the trial is then trained again.
    """
    match event:
        case EpochFinished():
            return event.epoch == n_epochs
        case TrialFinished():
            return event.best_epoch is None or event.best_epoch < n_epochs
    return True


def _vanished_trials(events: Sequence[Event]) -> tuple[int, ...]:
    asked = {event.trial for event in events if isinstance(event, TrialAsked)}
    return tuple(n for n in range(max(asked, default=-1)) if n not in asked)


def _unfinished_trials(events: Sequence[Event]) -> tuple[int, ...]:
    asked = {event.trial for event in events if isinstance(event, TrialAsked)}
    return tuple(sorted(asked - {e.trial for e in events if isinstance(e, TrialFinished)}))


def _move_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"journal.damaged-{number}.jsonl")).exists():
        number += 1
    try:
        os.link(path, aside)  # the journal is kept until its replacement is complete
    except OSError:  # a file system without hard links
        shutil.copyfile(path, aside)
    return aside


def _format_numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:10]))
    return shown if len(numbers) <= 10 else f"{shown} and {len(numbers) - 10} more"
