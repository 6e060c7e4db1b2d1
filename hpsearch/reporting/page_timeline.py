"""Build the timeline of the page: rows of trials that ran one after the other.

Pauses in which nothing ran, such as those between two runs of a study, are shortened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..trial import Trial

LONGEST_PAUSE = 0.05  # as a share of the time in which trials ran
MAX_ROWS = 64


@dataclass(frozen=True, slots=True)
class Timeline:
    """The spans of trials, in seconds of the shortened time."""

    spans: list[tuple[int, float, float, int]]  # trial, start, end, row
    pauses: list[float]  # times at which a pause was shortened
    rows: int
    left_out: int  # trials without a free row


def build_timeline(trials: Sequence[Trial], now: int) -> Timeline:
    """Build the timeline of all attempts that have started.

    Args:
        trials: All attempts.
        now: The end of running trials, in milliseconds since the epoch.
    """
    began = [(t.started, max(t.ended or now, t.started), t) for t in trials if t.started]
    began.sort(key=lambda span: (span[0], span[2].number))
    busy = _merge([(start, end) for start, end, _ in began])
    total = sum(end - start for start, end in busy)
    longest = LONGEST_PAUSE * total
    removed, pauses = 0.0, []
    shifts: list[tuple[float, float]] = []  # (time, seconds removed from this time on)
    origin = busy[0][0] if busy else 0
    for i, (start, _) in enumerate(busy):
        pause = start - busy[i - 1][1] if i else 0
        if pause > longest:
            removed += pause - longest
            pauses.append((start - longest / 2 - removed - origin) / 1000)
        shifts.append((start, removed))
    ends: list[float] = []  # of the last trial in each row
    spans, left_out, index = [], 0, 0
    for start, end, trial in began:
        while index + 1 < len(shifts) and shifts[index + 1][0] <= start:
            index += 1
        row = next((i for i, last in enumerate(ends) if last <= start), len(ends))
        if row >= MAX_ROWS:
            left_out += 1
            continue
        ends[row : row + 1] = [end]
        shown = origin + shifts[index][1]
        spans.append((trial.number, (start - shown) / 1000, (end - shown) / 1000, row))
    return Timeline(spans, pauses, len(ends), left_out)


def _merge(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join sorted spans that overlap."""
    merged: list[tuple[int, int]] = []
    for start, end in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
