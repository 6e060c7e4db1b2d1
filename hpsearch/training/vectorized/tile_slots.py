"""The slots of tiles, and the trials that hold them.

Plain bookkeeping of the host. All trials of a tile have one batch size. A slot that is empty, or
whose trial has ended or pauses at a rung, costs time on the device for as long as others of its
tile train; so free slots are filled first, and trials are packed into fewer tiles if that helps.
Trials that still pause in such a tile train on: their epochs are reported if the verdict lets them
go on, and dropped otherwise.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .tile_entry import GroupSize, TileEntry

Row = list[TileEntry | None]
IDLE_SHARE = 8  # a tile's call ends when one of 8 trials is idle


@dataclass(slots=True)
class LaneUse:
    """The use of lanes, in epochs of trials."""

    computed: int = 0  # by the device, empty and idle slots included
    trained: int = 0  # of trials, epochs that were dropped later included


class TileSlots:
    """The slots of a group's tiles."""

    def __init__(self, size: GroupSize, lane_use: LaneUse) -> None:
        """Create empty slots; `lane_use` counts their use."""
        self.size, self._lane_use = size, lane_use
        self._rows: list[Row] = [[None] * size.trials for _ in range(size.tiles)]
        self._epochs = np.zeros((size.tiles, size.trials), np.int32)  # trained by each trial
        self._left = np.zeros((size.tiles, size.trials), np.int32)  # `TileEntry.epochs_left`
        # At an unreported rung when last seen; a dict keeps their order.
        self._paused: dict[TileEntry, None] = {}

    @property
    def entries(self) -> list[TileEntry]:
        """The trials in slots."""
        return [entry for row in self._rows for entry in row if entry is not None]

    @property
    def has_free(self) -> bool:
        """Whether a trial of some batch size finds a slot."""
        return any(self._find_free(tile) for tile in range(self.size.tiles))

    def first(self, tile: int) -> TileEntry | None:
        """Return a trial of a tile; None if it is empty."""
        return next((entry for entry in self._rows[tile] if entry is not None), None)

    def assign(self, waiting: deque[TileEntry]) -> list[TileEntry]:
        """Give slots to waiting trials, in their order, and return these trials."""
        free: defaultdict[int, deque[tuple[int, int]]] = defaultdict(deque)
        empty: deque[int] = deque()
        for tile in range(self.size.tiles):
            some = self.first(tile)
            if some is None:
                empty.append(tile)
            else:
                free[some.batch_size].extend(self._find_free(tile))
        fresh: list[TileEntry] = []
        rest: list[TileEntry] = []
        for entry in waiting:
            slots = free[entry.batch_size]
            if not slots and empty:
                tile = empty.popleft()
                slots.extend((tile, slot) for slot in range(self.size.trials))
            if slots:
                self._put(entry, slots.popleft())
            (rest if entry.slot is None else fresh).append(entry)
        waiting.clear()
        waiting.extend(rest)
        return fresh

    def _find_free(self, tile: int) -> list[tuple[int, int]]:
        """Return a tile's slots for new trials; none if its trials stand at too many epochs."""
        standing = {entry.epoch for entry in self._rows[tile] if entry is not None} | {0}
        if len(standing) > self.size.orders:
            return []
        return [(tile, slot) for slot, entry in enumerate(self._rows[tile]) if entry is None]

    def _put(self, entry: TileEntry, slot: tuple[int, int]) -> None:
        entry.slot = slot
        self._rows[slot[0]][slot[1]] = entry
        self._epochs[slot], self._left[slot] = entry.epoch, entry.epochs_left

    def release(self, entry: TileEntry) -> None:
        """Free a trial's slot."""
        if entry.slot is not None:
            self._rows[entry.slot[0]][entry.slot[1]] = None
            self._left[entry.slot] = 0
            entry.slot = None

    def resume_paused(self) -> bool:
        """Let trials go on whose rung was reported; return whether any trial can train."""
        for entry in self._paused:
            if entry.slot is not None:
                self._left[entry.slot] = entry.epochs_left
        paused = (e for e in self._paused if e.slot is not None and not self._left[e.slot])
        self._paused = dict.fromkeys(paused)
        return bool(self._left.any())

    def plan_epochs(self, most: int) -> np.ndarray:
        """Return how many epochs each trial trains in a call, (n_tiles, n_trials).

        If the trials of a tile stand at more than `GroupSize.orders` epochs, as when some have
        paused, the last ones wait.
        """
        epochs: np.ndarray = np.minimum(self._left, most)
        for tile in np.flatnonzero(epochs.any(axis=1)):
            standing = np.unique(self._epochs[tile][epochs[tile] > 0])
            if len(standing) > self.size.orders:
                epochs[tile][self._epochs[tile] >= standing[self.size.orders]] = 0
        return epochs

    def add_paused(self, epochs: np.ndarray) -> None:
        """Plan epochs of paused trials in tiles that train, where they cost nothing."""
        for entry in self._paused:
            if entry.slot is None or entry.has_ended:
                continue
            own = epochs[entry.slot[0]]
            standing = set(self._epochs[entry.slot[0]][own > 0].tolist()) | {entry.epoch}
            if len(standing) <= self.size.orders:
                epochs[entry.slot] = min(own.max(), entry.trial.epochs - entry.epoch)

    def plan_epoch_of(self, epoch: int) -> np.ndarray:
        """Return which trials train the next epoch and stand at `epoch`, (n_tiles, n_trials)."""
        planned: np.ndarray = (self.plan_epochs(1) > 0) & (self._epochs == epoch)
        return planned

    def find_lowest_epoch(self) -> int | None:
        """Return the lowest epoch at which a trial that trains stands; None: none trains."""
        self.resume_paused()
        standing = self._epochs[self._left > 0]
        return int(standing.min()) if standing.size else None

    @staticmethod
    def least_active(epochs: np.ndarray) -> np.ndarray:
        """Return with how many trained trials a tile's call goes on, (n_tiles,)."""
        active: np.ndarray = (epochs > 0).sum(axis=1, dtype=np.int32)
        least: np.ndarray = active - active // IDLE_SHARE
        return least

    def record(self, tile: int, figures: np.ndarray) -> int:
        """Give a tile's trials the figures of a call, (n_epochs, n_figures, n_folds, n_trials).

        Returns:
            The number of epochs that the tile was trained.
        """
        trained = np.count_nonzero(figures[:, -1, 0], axis=0)
        self._epochs[tile] += trained.astype(np.int32)
        self._left[tile] = np.maximum(0, self._left[tile] - trained.astype(np.int32))
        self._lane_use.computed += int(trained.max()) * self.size.trials
        self._lane_use.trained += int(trained.sum())
        for slot, entry in enumerate(self._rows[tile]):
            if entry is not None and trained[slot]:
                entry.add_figures(list(figures[: trained[slot], :, :, slot]))
                if not self._left[tile, slot]:
                    self._paused[entry] = None
        return int(trained.max())

    def pack(self) -> np.ndarray | None:
        """Move trials into as few tiles as possible, those that train first.

        Returns:
            The former index of each slot's trial, (n_tiles * n_trials,); None: nothing is gained.
        """
        rows = self._packed_rows()
        before, after = self._count_tiles(self._rows), self._count_tiles(rows)
        if len(rows) > self.size.tiles or after >= before:
            return None
        n, old = self.size.trials, (self._epochs, self._left)
        rows += [[None] * n for _ in range(self.size.tiles - len(rows))]
        sources = np.zeros((self.size.tiles, n), np.int32)
        for tile, row in enumerate(rows):
            for slot, entry in enumerate(row):
                if entry is not None and entry.slot is not None:
                    sources[tile, slot] = entry.slot[0] * n + entry.slot[1]
                    entry.slot = (tile, slot)
        occupied = np.array([[entry is not None for entry in row] for row in rows])
        self._epochs, self._left = (a.ravel()[sources] * occupied for a in old)
        self._rows = rows
        return sources.ravel()

    def _packed_rows(self) -> list[Row]:
        """Return tiles of trials of equal batch size, sorted by epoch, paused ones last."""
        rows: list[list[TileEntry]] = []
        entries = sorted(self.entries, key=lambda e: (e.batch_size, not self._trains(e), e.epoch))
        for entry in entries:
            if not rows or not self._has_room(rows[-1], entry):
                rows.append([])
            rows[-1].append(entry)
        return [[*row, *[None] * (self.size.trials - len(row))] for row in rows]

    def _has_room(self, row: Sequence[TileEntry], entry: TileEntry) -> bool:
        """Whether a trial can be added to those of a tile."""
        standing = {e.epoch for e in (*row, entry)}
        alike = entry.batch_size == row[0].batch_size
        return alike and len(row) < self.size.trials and len(standing) <= self.size.orders

    def _count_tiles(self, rows: Sequence[Row]) -> tuple[int, int]:
        """Return how many tiles train, and how many are not empty."""
        trains = [any(e is not None and self._trains(e) for e in row) for row in rows]
        return sum(trains), sum(any(row) for row in rows)

    def _trains(self, entry: TileEntry) -> bool:
        return entry.slot is not None and bool(self._left[entry.slot])
