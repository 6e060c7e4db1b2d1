"""Assign the trials of one template to tiles of lanes on the device.

Except when a trial starts or ends, the host's cost does not depend on the number of lanes.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .device_data import BatchData
from .device_health import device_memory
from .device_stopping import N_LOSSES, StoppingRules
from .program import Recipe
from .program_cache import ProgramCache
from .segment import MAX_EPOCHS_PER_CALL, N_AFTER, SegmentOrders, segment_function
from .template import Template, TrialNumbers
from .tile_entry import GroupSize, TileEntry
from .tile_slots import LaneUse, TileSlots
from .tile_state import Tiles, fill_function, map_numbers, move_trials, put_numbers


class TooLargeError(Exception):
    """A group does not fit in the device's memory; `size` is a smaller size, or None."""

    def __init__(self, size: GroupSize | None) -> None:
        super().__init__(
            "not even one trial at a time fits in the device's memory: use smaller layers or "
            "batches, or fewer folds"
        )
        self.size = size


class TileGroup:
    """Trains trials of one template; those without a free slot wait."""

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
        lane_use: LaneUse,
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
            lane_use: Counts the use of its lanes.
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
        self._slots = TileSlots(size, lane_use)
        self._numbers: TrialNumbers | None = None  # of trials to start, in their slots
        self._asked: tuple[int, ...] = ()  # tiles of the call

    @property
    def entries(self) -> list[TileEntry]:
        """The trials on the device."""
        return self._slots.entries

    def holds(self, entries: Sequence[TileEntry]) -> bool:
        """Whether all of these trials fit into the empty group."""
        return self.size.holds(Counter(entry.batch_size for entry in entries).values())

    @property
    def has_free_slot(self) -> bool:
        """Whether a slot is free for other trials than these."""
        return not self.waiting and self._slots.has_free

    def count_fitting(self) -> int:
        """Count how many waiting trials fit in the device's memory at once; allocates nothing."""
        count = len(self.waiting)
        shapes = self._tile_shapes(self._stage_numbers(self._slots.assign(self.waiting)))
        program = self._segment_program((shapes, self._make_orders(1), self._data))
        size = self._size_within_memory(program)
        if size == self.size:
            return count
        return 0 if size is None else min(count, size.tiles * size.trials)

    def admit(self) -> None:
        """Start waiting trials in free slots, in one call to the device.

        Trials are compared at a rung, so those that wait for a slot could wait forever. Trials at a
        rung then make room, and are trained again later.
        """
        fresh = self._slots.assign(self.waiting)
        if self.waiting and not self._slots.resume_paused():
            evicted = self.entries
            for entry in evicted:
                self.release(entry)
                entry.restart()
            self.waiting = deque(sorted([*self.waiting, *evicted], key=lambda e: e.round))
            fresh = self._slots.assign(self.waiting)
        if fresh:
            which, mask = np.zeros(self.size.tiles, np.int32), self._mask(fresh)
            tiles = np.flatnonzero(mask.any(axis=1))
            which[: len(tiles)] = tiles
            given = (self._stage_numbers(fresh), which, np.int32(len(tiles)), mask)
            self._tiles = self._fill_program(given)(self._tiles or self._empty_tiles(given), *given)

    def _mask(self, entries: Sequence[TileEntry]) -> np.ndarray:
        """Return which slots are those of some trials, (n_tiles, n_trials) bool."""
        mask = np.zeros((self.size.tiles, self.size.trials), bool)
        for entry in entries:
            mask[entry.slot] = True
        return mask

    def _stage_numbers(self, fresh: Sequence[TileEntry]) -> TrialNumbers:
        """Return the numbers of all slots; only those of `fresh` trials are used.

        The arrays are written again when the device has finished the call that reads them.
        """

        def empty(axis: int, value: Any) -> np.ndarray:
            before, after = np.shape(value)[:axis], np.shape(value)[axis:]
            return np.zeros((self.size.tiles, *before, self.size.trials, *after), value.dtype)

        if self._numbers is None:
            self._numbers = map_numbers(empty, fresh[0].numbers)
        for entry in fresh:
            assert entry.slot is not None
            put_numbers(self._numbers, entry.numbers, *entry.slot)
        return self._numbers

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

    def start(self, epochs: int) -> None:
        """Start training each trial for at most `epochs`, or to its next rung or end; one call."""
        orders = self._make_orders(epochs)
        if not self._asked:
            return
        given = (self._tiles, orders, self._data)
        program = self._segment_program(given)
        self._require_memory(program)
        self._tiles, self._figures = program(*given)

    def _make_orders(self, most: int) -> SegmentOrders:
        """Make the orders of a call, and note which tiles train in it."""
        self._slots.resume_paused()
        epochs = self._slots.plan_epochs(min(most, MAX_EPOCHS_PER_CALL))
        self._slots.add_paused(epochs)
        self._asked = tuple(map(int, np.flatnonzero(epochs.any(axis=1))))
        which, sizes, branches = self._find_tiles()
        count, least = np.int32(len(self._asked)), self._slots.least_active(epochs)
        return SegmentOrders(which, count, epochs, least, sizes, branches)

    def _find_tiles(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the tiles of the call, and of each its batch size and the size's branch."""
        which, sizes, branches = (np.zeros(self.size.tiles, np.int32) for _ in range(3))
        which[: len(self._asked)] = self._asked
        for tile in self._asked:
            some = self._slots.first(tile)
            assert some is not None
            sizes[tile] = some.batch_size
            branches[tile] = next(i for i, b in enumerate(self._branches) if b >= sizes[tile])
        return which, sizes, branches

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
            return segment_function(
                self._make_recipes(),
                self._measure,
                self._rules,
                n_figures=self._n_figures,
                n_orders=self.size.orders,
            )

        return self._programs.get(f"segment {self._key}", make, given, (0,))

    def _make_recipes(self) -> list[Recipe]:
        """Return the recipe of each branch."""
        return [self._template.recipe.with_rows(rows) for rows in self._branches]

    def finish(self) -> int:
        """Store in each trial its measurements since `start`; one transfer.

        Returns:
            The largest number of epochs that a trial was trained.
        """
        if not self._asked:
            return 0
        figures = np.asarray(self._figures)  # (n_tiles, EPOCHS, n_figures, n_folds, n_trials)
        trained = [self._slots.record(tile, figures[tile]) for tile in self._asked]
        self._asked = ()
        return max(trained)

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
        slots = np.zeros((n, 2), np.int32)
        slots[: len(entries)] = [entry.slot or (0, 0) for entry in entries]
        assert self._tiles is not None
        given = (self._tiles.control.predictions, slots)
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
        self._slots.release(entry)

    def compact(self) -> None:
        """Move trials into fewer tiles if fewer are enough, in one call to the device."""
        sources = self._slots.pack()
        if sources is not None:
            given = (self._tiles, sources)
            move = self._programs.get(f"move {self._key}", lambda: move_trials, given, (0,))
            self._tiles = move(*given)
