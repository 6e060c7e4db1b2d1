"""Assign the trials of one template to tiles of lanes on the device.

Except when a trial starts or ends, the host's cost does not depend on the number of lanes.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...trial import TrialSpec, Value
from ..batching import batch_size
from ..trial_progress import TrialProgress
from .device_health import device_memory
from .program_cache import ProgramCache
from .segment import (
    FOLDED,
    MAX_EPOCHS_PER_CALL,
    N_AFTER,
    N_LOSSES,
    BatchData,
    SegmentOrders,
    StoppingRules,
    Tiles,
    fill_function,
    move_trials,
    segment_function,
)
from .template import Template, TrialNumbers


@dataclass(slots=True, eq=False)
class TileEntry:
    """A running trial."""

    progress: TrialProgress
    params: Mapping[str, Value]
    template: Template
    numbers: TrialNumbers
    round: int = 0  # number of its population
    epoch: int = 0  # trained epochs; `progress` has the reported ones
    slot: tuple[int, int] | None = None  # tile and slot
    group: TileGroup | None = None
    # (n_figures, n_folds) of each unreported epoch; the last figure of the last one says whether
    # the trial has ended.
    measured: deque[np.ndarray] = field(default_factory=deque)
    table: np.ndarray | None = None  # (n_folds, n_rows, n_outputs) predictions of an ended trial
    error: Exception | None = None  # of a failed trial

    @property
    def trial(self) -> TrialSpec:
        """The trial."""
        return self.progress.trial

    @property
    def batch_size(self) -> int:
        """Rows per step."""
        return batch_size(self.params)

    @property
    def has_ended(self) -> bool:
        """Whether the trial needs no more training."""
        return bool(self.measured) and bool(self.measured[-1][-1, 0] > 0)

    def add_figures(self, figures: Sequence[np.ndarray]) -> None:
        """Add the epochs after `epoch`; those before a restart are known already."""
        known = self.progress.n_epochs + len(self.measured)
        self.measured.extend(figures[max(0, known - self.epoch) :])


class TooLargeError(Exception):
    """A group does not fit in the device's memory; `size` is a smaller size, or None."""

    def __init__(self, size: GroupSize | None) -> None:
        super().__init__(
            "not even one trial at a time fits in the device's memory: use smaller layers or "
            "batches, or fewer folds"
        )
        self.size = size


@dataclass(frozen=True, slots=True)
class GroupSize:
    """The size of a group on the device."""

    tiles: int
    trials: int  # per tile

    def holds(self, counts: Iterable[int]) -> bool:
        """Whether there are enough tiles for these numbers of trials of each batch size."""
        return sum(-(-count // self.trials) for count in counts) <= self.tiles

    @property
    def half(self) -> GroupSize | None:
        """Return a size of about half the memory; None if it cannot be smaller."""
        if self.tiles > 1:
            return GroupSize(self.tiles // 2, self.trials)
        return GroupSize(1, self.trials // 2) if self.trials > 1 else None


class TileGroup:
    """Trains trials of one template; those without a free tile wait."""

    def __init__(
        self,
        template: Template,
        data: BatchData,
        rules: StoppingRules,
        programs: ProgramCache,
        *,
        key: str,
        branches: Sequence[int],
        metrics: Any,
        table: tuple[int, ...],
        size: GroupSize,
    ) -> None:
        """Create an empty group.

        Args:
            template: The template of its trials, or one that computes the same.
            data: The data of its lanes.
            rules: The rules for ending trials.
            programs: The compiled programs.
            key: The key of the group's programs.
            branches: Batch sizes in rising order; a trial uses the first that is large enough.
            metrics: The function of predictions, and its number of metrics.
            table: Shape of a lane's predictions.
            size: The size of the group.
        """
        self.size = size
        self.waiting: deque[TileEntry] = deque()
        self._template, self._data, self._rules, self._programs = template, data, rules, programs
        self._branches = tuple(branches)
        self._n_folds = int(data.seeds.shape[0])
        self._measure, n_metrics = metrics
        self._n_figures = N_LOSSES + n_metrics + N_AFTER
        self._table = table
        self._key = f"{key} {branches} {size} {self._n_folds} {table}"
        self._tiles: Tiles | None = None
        self._fits = False  # whether the memory was checked
        self._slots: list[list[TileEntry | None]] = [
            [None] * size.trials for _ in range(size.tiles)
        ]
        self._dropped = np.zeros((size.tiles, size.trials), bool)
        self._asked: dict[int, int] = {}  # tile -> number of requested epochs
        self._rungs: dict[int, set[int]] = {}  # tile -> epochs after which a trial pauses
        self._stops: dict[int, list[int]] = {}  # tile -> epochs after which a trial pauses or ends

    @property
    def entries(self) -> list[TileEntry]:
        """The trials on the device."""
        return [entry for tile in self._slots for entry in tile if entry is not None]

    def holds(self, entries: Sequence[TileEntry]) -> bool:
        """Whether all of these trials fit into the empty group."""
        return self.size.holds(Counter(entry.batch_size for entry in entries).values())

    @property
    def has_free_tile(self) -> bool:
        """Whether a tile is free for other trials than these."""
        return not self.waiting and not all(any(slots) for slots in self._slots)

    def count_fitting(self) -> int:
        """Count how many waiting trials fit in the device's memory at once; allocates nothing."""
        count = len(self.waiting)
        shapes = self._tile_shapes(self._fresh_numbers(self._assign_waiting()))
        program = self._segment_program((shapes, self._make_orders(1), self._data))
        size = self._size_within_memory(program)
        if size == self.size:
            return count
        return 0 if size is None else min(count, size.tiles * size.trials)

    def admit(self) -> None:
        """Move waiting trials into free tiles, in one call to the device."""
        if fresh := self._assign_waiting():
            numbers = self._fresh_numbers(fresh)
            which = np.zeros(self.size.tiles, np.int32)
            which[: len(fresh)] = fresh
            given = (numbers, which, np.int32(len(fresh)))
            self._tiles = self._fill_program(given)(self._tiles or self._empty_tiles(given), *given)

    def _assign_waiting(self) -> list[int]:
        """Assign waiting trials to free tiles, and return these."""
        fresh: list[int] = []
        for tile, slots in enumerate(self._slots):
            if not self.waiting or any(slots):
                continue
            first = (self.waiting[0].batch_size, self.waiting[0].round)
            alike = [entry for entry in self.waiting if (entry.batch_size, entry.round) == first]
            for slot, entry in enumerate(alike[: self.size.trials]):
                self.waiting.remove(entry)
                slots[slot], entry.slot = entry, (tile, slot)
            self._dropped[tile] = False
            self._note_stops(tile)
            fresh.append(tile)
        return fresh

    def _note_stops(self, tile: int) -> None:
        trials = [entry.trial for entry in self._slots[tile] if entry is not None]
        self._rungs[tile] = {rung for trial in trials for rung in trial.rungs}
        self._stops[tile] = sorted(self._rungs[tile] | {trial.epochs for trial in trials})

    def _fresh_numbers(self, fresh: Sequence[int]) -> TrialNumbers:
        """Return the numbers of the fresh tiles' trials; those of other tiles are not used."""
        rows = []
        for tile in range(self.size.tiles):
            entries = self._slots[tile if tile in fresh else fresh[0]]
            some = next(entry for entry in entries if entry is not None)
            nothing = some.numbers._replace(n_epochs=np.int32(0))
            rows += [nothing if entry is None else entry.numbers for entry in entries]
        shape = (self.size.tiles, self.size.trials)
        stacked = jax.tree.map(lambda *a: np.stack(a).reshape(*shape, *np.shape(a[0])), *rows)
        swapped = {
            name: jax.tree.map(lambda a: np.swapaxes(a, 1, 2), getattr(stacked, name))
            for name in FOLDED
        }
        result: TrialNumbers = stacked._replace(**swapped)
        return result

    def _fill_program(self, given: tuple[Any, ...]) -> Any:
        examples = (self._tile_shapes(given[0]), *given)
        return self._programs.get(
            f"fill {self._key}", lambda: self._fill_functions()[1], examples, (0,)
        )

    def _fill_functions(self) -> Any:
        initial = self._template.initial_function()
        return fill_function(initial, self._n_folds, self._n_figures, self._table)

    def _tile_shapes(self, numbers: TrialNumbers) -> Any:
        """Return the shapes of tiles for trials with these numbers."""
        tile_of, _ = self._fill_functions()

        def empty(numbers: TrialNumbers) -> Any:
            tile = tile_of(jax.tree.map(lambda a: a[0], numbers))
            return jax.tree.map(lambda a: jnp.zeros((self.size.tiles, *a.shape), a.dtype), tile)

        return jax.eval_shape(empty, numbers)

    def _empty_tiles(self, given: tuple[Any, ...]) -> Tiles:
        shapes = self._tile_shapes(given[0])
        zeros = self._programs.get(
            f"empty {self._key}",
            lambda: lambda: jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes),
            (),
        )
        tiles: Tiles = zeros()
        return tiles

    def make_room(self) -> None:
        """Restart trials at a rung later, if others must reach the rung first.

        Trials are compared at a rung, so those that wait for a free tile would wait forever.
        """
        if self.waiting and all(map(self._is_held, range(self.size.tiles))):
            for entry in self.entries:
                self.release(entry)
                entry.epoch = 0  # known epochs are not reported twice
                self.waiting.append(entry)

    def _is_held(self, tile: int) -> bool:
        """Whether the trials of a tile are at an unreported rung."""
        some = next((entry for entry in self._slots[tile] if entry is not None), None)
        return some is not None and (
            some.epoch in self._rungs[tile] and some.progress.n_epochs < some.epoch
        )

    def start(self, epochs: int) -> None:
        """Start training each trial for at most `epochs`, or to its next rung or end; one call."""
        orders = self._make_orders(epochs)
        if not self._asked:
            return
        given = (self._tiles, orders, self._data)
        program = self._segment_program(given)
        self._require_memory(program)
        self._tiles, self._figures = program(*given)

    def _make_orders(self, epochs: int) -> SegmentOrders:
        """Make the orders of a call, and note which tiles train in it."""
        self._asked = {}
        n = self.size.tiles
        until, sizes, branches = (np.zeros(n, np.int32) for _ in range(3))
        for tile, slots in enumerate(self._slots):
            some = next((entry for entry in slots if entry is not None), None)
            if some is None or self._is_held(tile):
                continue
            stop = next(stop for stop in self._stops[tile] if stop > some.epoch)
            self._asked[tile] = until[tile] = min(
                stop, some.epoch + min(epochs, MAX_EPOCHS_PER_CALL)
            )
            sizes[tile] = some.batch_size
            branches[tile] = next(i for i, b in enumerate(self._branches) if b >= sizes[tile])
        which = np.zeros(n, np.int32)
        which[: len(self._asked)] = list(self._asked)
        count = np.int32(len(self._asked))
        return SegmentOrders(which, count, until, sizes, branches, self._dropped)

    def _require_memory(self, program: Any) -> None:
        """Refuse a group whose program needs more than the device's memory."""
        if self._fits:
            return
        self._fits = True
        size = self._size_within_memory(program)
        if size != self.size:
            raise TooLargeError(size)

    def _size_within_memory(self, program: Any) -> GroupSize | None:
        """Return the largest size that fits in the device's memory; None: not even one trial."""
        limit = device_memory()
        needed = None if limit is None else program.memory_analysis()
        if limit is None or needed is None:
            return self.size
        state, within = needed.argument_size_in_bytes, needed.temp_size_in_bytes
        size: GroupSize | None = self.size
        while size is not None:
            trials = size.trials / self.size.trials
            tiles = size.tiles / self.size.tiles
            if state * tiles * trials + within * trials <= limit:
                break
            size = size.half
        return size

    def _segment_program(self, given: tuple[Any, ...]) -> Any:
        def make() -> Any:
            recipes = [self._template.recipe.with_rows(rows) for rows in self._branches]
            return segment_function(recipes, self._measure, self._rules, n_figures=self._n_figures)

        return self._programs.get(f"segment {self._key}", make, given, (0,))

    def finish(self) -> int:
        """Store in each trial its measurements since `start`; one transfer.

        Returns:
            The largest number of epochs that a trial was trained.
        """
        if not self._asked:
            return 0
        most = 0
        figures = np.asarray(self._figures)  # (n_tiles, EPOCHS, n_figures, n_folds, n_trials)
        for tile, until in self._asked.items():
            entries = [entry for entry in self._slots[tile] if entry is not None]
            ended = figures[tile, :, -1, 0, :] > 0
            n = until - entries[0].epoch
            alive = [entry.slot[1] for entry in entries if entry.slot is not None]
            over = np.flatnonzero(ended[:n][:, alive].all(axis=1))
            n = int(over[0]) + 1 if len(over) else n
            for entry in entries:
                assert entry.slot is not None
                own = figures[tile, :n, :, :, entry.slot[1]]
                last = np.flatnonzero(ended[:n, entry.slot[1]])
                entry.add_figures(list(own[: int(last[0]) + 1] if len(last) else own))
            for entry in entries:
                entry.epoch += n
            most = max(most, n)
        self._asked = {}
        return most

    def fetch_tables(self, entries: Sequence[TileEntry]) -> None:
        """Fetch the predictions of ended trials, and free their slots; one transfer."""
        if not entries:
            return
        for entry, table in zip(entries, self._predictions(entries), strict=True):
            entry.table = table
            self.release(entry)

    def _predictions(self, entries: Sequence[TileEntry]) -> np.ndarray:
        """Return each trial's predictions of its best epoch, (n, n_folds, n_rows, n_outputs)."""
        n = 1 << max(0, len(entries) - 1).bit_length()
        places = np.zeros((n, 2), np.int32)
        for i, entry in enumerate(entries):
            assert entry.slot is not None
            places[i] = entry.slot
        assert self._tiles is not None
        given = (self._tiles.control.predictions, places)
        program = self._programs.get(
            f"predictions {self._key}",
            lambda: lambda table, at: table[at[:, 0], :, at[:, 1]],
            given,
        )
        return np.asarray(program(*given))[: len(entries)]

    def weights(self, entry: TileEntry) -> list[np.ndarray]:
        """Return the weights of a trial's first fold after its last epoch, as in `get_weights`."""
        assert self._tiles is not None
        assert entry.slot is not None
        tile, slot = entry.slot
        lane = jax.tree.map(lambda a: a[tile, 0, slot], self._tiles.state)
        recipe = self._template.recipe
        values = [lane.vector] if recipe.flat else recipe.network.split(lane.vector)
        kept = recipe.update.final_weights(lane.optimizer, values)
        vector = np.concatenate([np.ravel(v) for v in kept])
        return entry.template.weights_of(entry.params, vector, [np.asarray(o) for o in lane.others])

    def release(self, entry: TileEntry) -> None:
        """Free a trial's slot."""
        if entry in self.waiting:
            self.waiting.remove(entry)
        if entry.slot is not None:
            tile, slot = entry.slot
            self._slots[tile][slot] = entry.slot = None
            self._dropped[tile, slot] = True

    def compact(self) -> bool:
        """Move a population's trials of equal batch size and epoch into as few tiles as possible.

        Uses one call to the device.

        Returns:
            Whether a tile was freed.
        """
        alike: dict[tuple[int, int, int], list[TileEntry]] = {}
        for entry in self.entries:
            alike.setdefault((entry.round, entry.batch_size, entry.epoch), []).append(entry)
        n = self.size.trials
        needed = sum(-(-len(entries) // n) for entries in alike.values())
        if needed == sum(any(slots) for slots in self._slots):
            return False
        slots: list[list[TileEntry | None]] = []
        for entries in alike.values():
            for start in range(0, len(entries), n):
                some: list[TileEntry | None] = list(entries[start : start + n])
                slots.append(some + [None] * (n - len(some)))
        slots += [[None] * n for _ in range(self.size.tiles - len(slots))]
        sources, tile_sources = np.zeros((self.size.tiles, n), np.int32), np.zeros(len(slots), "i4")
        for tile, row in enumerate(slots):
            for slot, moved in enumerate(row):
                if moved is not None and moved.slot is not None:
                    sources[tile, slot] = moved.slot[0] * n + moved.slot[1]
                    tile_sources[tile] = moved.slot[0]
                    moved.slot = (tile, slot)
        given = (self._tiles, sources.ravel(), tile_sources.astype(np.int32))
        self._tiles = self._programs.get(f"move {self._key}", lambda: move_trials, given, (0,))(
            *given
        )
        self._slots = slots
        for tile in range(len(slots)):
            self._note_stops(tile)
        self._dropped = np.array([[entry is None for entry in row] for row in slots])
        return True
