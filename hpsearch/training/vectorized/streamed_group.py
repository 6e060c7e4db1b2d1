"""Train the trials of one template on rows that are transferred part by part.

In an epoch, the rows are transferred twice: in the order of training, and to evaluate. All groups
whose trials stand at the lowest epoch use the same transfers; the others wait.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .device_data import BatchData
from .row_stream import PassOrder, RowPart, RowStream
from .streamed_segment import (
    EpochSums,
    PartOrders,
    end_epoch_function,
    evaluate_part_function,
    train_part_function,
)
from .tile_group import TileGroup


def stream_epoch(
    stream: RowStream, for_groups: Callable[[Callable[[Any], int]], int], *, judged: bool
) -> None:
    """Train the next epoch of the trials that stand at the lowest epoch.

    Args:
        stream: Transfers the rows.
        for_groups: Runs a step of every group.
        judged: Whether validation rows are evaluated.
    """
    standing: list[int] = []
    for_groups(lambda group: group.note_epoch(standing))
    if not standing:
        return
    epoch = min(standing)
    order = stream.order_training(epoch)
    for_groups(lambda group: group.begin_epoch(epoch, order, stream.part_rows))
    if not _run_pass(stream, order, for_groups, StreamedGroup.train_part):
        return
    if judged:
        order = stream.order_validation()
        for_groups(lambda group: group.begin_evaluation(order))
        if not _run_pass(stream, order, for_groups, StreamedGroup.evaluate_part):
            return
    for_groups(StreamedGroup.end_epoch)


def _run_pass(
    stream: RowStream,
    order: PassOrder,
    for_groups: Callable[[Callable[[Any], int]], int],
    step: Callable[..., int],
) -> bool:
    """Run a step of every group with each part; no part stays on the device afterwards.

    Returns:
        False if a part could not be transferred: that is an error of each group of the pass.
    """
    try:
        for part in stream.iter_parts(order):
            for_groups(partial(step, part=part))
    except jax.errors.JaxRuntimeError as error:  # a step's errors are handled by `for_groups`
        reason = error
        for_groups(lambda group: group.end_pass(reason))
        return False
    return True


class StreamedGroup(TileGroup):
    """A group whose calls train a part of an epoch."""

    _order: PassOrder | None = None  # of the running pass; None: the group takes no part
    _orders: PartOrders
    _sums: EpochSums

    def note_epoch(self, standing: list[int]) -> int:
        """Add the lowest epoch at which a trial that trains stands."""
        lowest = self._slots.find_lowest_epoch()
        standing += [] if lowest is None else [lowest]
        return 0

    def begin_epoch(self, epoch: int, order: PassOrder, part_rows: int) -> int:
        """Begin the next epoch of the trials that stand at `epoch`."""
        active = self._slots.plan_epoch_of(epoch)
        self._asked = tuple(map(int, np.flatnonzero(active.any(axis=1))))
        if not self._asked:
            return 0
        which, sizes, branches = self._find_tiles()
        none = np.zeros((self.size.tiles, self._n_folds), np.int32)
        count = np.int32(len(self._asked))
        self._orders = PartOrders(which, count, active, sizes, branches, none, none)
        width = self._data.train.shape[1] + max(self._branches)
        rows = np.zeros((self._n_folds, width), np.int32)
        for row, own in zip(rows, order.positions, strict=False):
            row[: len(own)] = order.rows[own]
        self._rows = jax.device_put(rows)
        self._order = order
        self._sums = self._make_sums(part_rows)
        return 0

    def train_part(self, part: RowPart) -> int:
        """Train the batches whose rows have arrived."""
        if self._order is None:
            return 0
        stop = np.zeros_like(self._orders.stop)
        for tile in self._asked:
            size = int(self._orders.batch_size[tile])
            stop[tile] = self._order.count_loaded(part, size, self._n_folds)
            self._order.require_rows(part, self._orders.first[tile], stop[tile], size)
        orders = self._orders._replace(stop=stop)
        given = (self._tiles, self._sums, orders, self._rows, self._add_rows(part))
        program = self._programs.get(f"part {self._key}", self._make_trainer, given, (0, 1))
        self._require_memory(program)
        self._tiles, self._sums = program(*given)
        self._orders = orders._replace(first=stop)
        return 0

    def begin_evaluation(self, order: PassOrder) -> int:
        """Begin to evaluate the trials that were trained."""
        if self._order is not None:
            self._order = order
            self._orders = self._orders._replace(first=np.zeros_like(self._orders.first))
        return 0

    def evaluate_part(self, part: RowPart) -> int:
        """Evaluate the chunks of validation rows that have arrived."""
        if self._order is None:
            return 0
        size = int(self._data.folds.validation.shape[2])
        counts = self._order.count_loaded(part, size, self._n_folds)
        first, stop = self._orders.first, np.broadcast_to(counts, self._orders.stop.shape)
        self._order.require_rows(part, first[0], stop[0], size)
        at_once = self._count_chunks(len(part.ring) // 2)
        while (first < stop).any():
            last = np.minimum(stop, first + at_once)
            orders = self._orders._replace(first=first, stop=last)
            given = (self._tiles, self._sums, orders, self._add_rows(part))
            key = f"judge {at_once} {self._key}"
            make = partial(self._make_evaluator, at_once)
            program = self._programs.get(key, make, given, (1,))
            self._sums = program(*given)
            first = last
        self._orders = self._orders._replace(first=first)
        return 0

    def end_epoch(self) -> int:
        """Decide which trials end."""
        if self._order is None:
            return 0
        self._order = None
        given = (self._tiles, self._sums, self._orders, self._data)
        program = self._programs.get(f"end {self._key}", self._make_ending, given, (0,))
        self._tiles, self._figures = program(*given)
        return 0

    def end_pass(self, error: Exception) -> int:
        """Raise the error of a transfer, if the group takes part in the pass."""
        if self._order is not None:
            self._order = None
            raise error
        return 0

    def _add_rows(self, part: RowPart) -> BatchData:
        rows = self._data.rows._replace(features=part.ring, slots=part.slots)
        return self._data._replace(rows=rows)

    def _count_chunks(self, part_rows: int) -> int:
        """Return how many chunks of each fold are evaluated in a call, about those of a part."""
        n_chunks, size = self._data.folds.validation.shape[1:]
        return min(int(n_chunks), part_rows // (int(size) * self._n_folds) + 1)

    def _make_sums(self, part_rows: int) -> EpochSums:
        lanes = (self.size.tiles, self._n_folds, self.size.trials)
        n_rows, n_outputs = self._table
        if self._rules.judged:
            n_rows += self._count_chunks(part_rows) * int(self._data.folds.validation.shape[2])
        predictions = jnp.zeros((*lanes, n_rows, n_outputs), jnp.float32)
        return EpochSums(jnp.zeros(lanes), jnp.zeros(lanes), predictions)

    def _make_trainer(self) -> Any:
        return train_part_function(self._make_recipes())

    def _make_evaluator(self, n_chunks: int) -> Any:
        return evaluate_part_function(self._template.recipe, n_chunks)

    def _make_ending(self) -> Any:
        return end_epoch_function(self._measure, self._rules, self._n_figures)
