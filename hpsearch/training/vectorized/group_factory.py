"""Group trials that share a program, and choose how many are trained at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..metrics import Metric
from ..problem import EarlyStopping, Problem
from .device_data import ORDER_BYTES, BatchData, DeviceData
from .device_stopping import StoppingRules
from .program import measure_function
from .program_cache import ProgramCache
from .streamed_group import StreamedGroup
from .tile_entry import GroupSize, TileEntry
from .tile_group import TileGroup
from .tile_slots import LaneUse

TILE_TRIALS = 256  # trials of a tile, at most
HALVED_TRIALS = 16  # larger tiles are halved if trials end at different times
APART_TRIALS = 64  # trials of a tile then, at most: the last ones of a population fill few tiles
TILE_ORDERS = 16  # epochs at which the trials of a tile may stand if they end at different times
NEVER = 2**31 - 1  # patience of trials that are not stopped early
MAX_BRANCHES = 6  # batch sizes with a branch of their own; if there are more, powers of two


class GroupFactory:
    """Makes the groups of a problem, and remembers the sizes that fit in the device's memory."""

    def __init__(self, problem: Problem, data: DeviceData, programs: ProgramCache) -> None:
        self.problem = problem
        self._data, self._programs = data, programs
        metrics = [problem.get_metric(name) for name in problem.metrics]
        self._metrics = [m for m in metrics if not m.needs_numpy]
        self._on_host = [m for m in metrics if m.needs_numpy]
        names = [f"val/{m.name}" for m in (*self._metrics, *self._on_host)]
        self.names = ["train/loss", "val/loss", *names]  # of the figures, in order
        self.direction = problem.objective_metric.direction
        self.raised: Exception | None = None  # by a custom metric
        self.lane_use = LaneUse()  # of all groups
        self._early_stopping = problem.early_stopping or EarlyStopping(NEVER)
        self._sizes = programs.group_sizes  # of earlier groups, by key
        self._limited: set[str] = set()  # keys of groups that were limited by memory
        self._batch_data: dict[tuple[str, int], BatchData] = {}

    def key(self, entry: TileEntry) -> str:
        """Return the key that the trials of a group share."""
        scaling = str(entry.params.get("scaling")) if self.problem.statistics_by_scaling else ""
        shapes = [np.shape(a) for a in jax.tree.leaves(entry.numbers)]
        branches = self.branch_sizes(entry.batch_size)
        template = entry.template
        return f"{template.key}|{template.begins}|{shapes}|{branches}|{scaling}"

    def branch_sizes(self, rows: int) -> tuple[int, ...]:
        """Return the batch sizes with a branch in the program that trains batches of `rows`.

        A batch uses the next larger one. They depend only on the search space, so that all trials
        share them.
        """
        sizes = sorted(set(self.problem.sizes.get("batch_size", ())))
        if not sizes or rows > sizes[-1]:
            return (rows,)
        if len(sizes) <= MAX_BRANCHES:
            return tuple(sizes)
        return tuple(sorted({1 << (size - 1).bit_length() for size in sizes}))

    def make(self, key: str, entries: Sequence[TileEntry], *, judged: bool) -> TileGroup:
        """Make a group for `entries`; `judged`: with all folds and their validation rows."""
        first = entries[0]
        n_folds = len(self.problem.folds) if judged else 1
        data = self._batch_data_of(first, n_folds)
        scores = self.names.index(f"val/{self.problem.objective}")
        rules = StoppingRules(self._early_stopping.scope, self.direction, scores, judged)
        # A custom metric is called by the program, with this problem's folds.
        own = f"{id(self)}" if self._on_host else ""
        kind = TileGroup if self._data.stream is None else StreamedGroup
        group = kind(
            first.template,
            data,
            rules,
            self._programs,
            key=f"{rules} {own} {first.template.key} {first.template.begins}",
            branches=self.branch_sizes(first.batch_size) if judged else (first.batch_size,),
            metrics=(self._measure_lane, len(self.names) - 2 if judged else 0),
            table=(int(data.folds.validation[0].size) if judged else 0, self.problem.n_outputs),
            size=self._size(key, entries),
            lane_use=self.lane_use,
        )
        group.waiting.extend(entries)
        return group

    def limit(self, key: str, size: GroupSize) -> None:
        """Limit the size of later groups of `key`."""
        self._sizes[key] = size
        self._limited.add(key)

    def _size(self, key: str, entries: Sequence[TileEntry]) -> GroupSize:
        """Choose the size of a group: its earlier size, if that suffices.

        If memory allows, all trials of a population are trained at once, so that they reach their
        rungs together, in a resumed study too.
        """
        counts = Counter(entry.batch_size for entry in entries)
        known = self._sizes.get(key)
        if known is not None and key in self._limited:
            return known  # the rest waits
        if known is not None and known.holds(counts.values()):
            return known  # another size needs another program
        mean = -(-len(entries) // len(counts))
        trials = min(TILE_TRIALS, 1 << (mean - 1).bit_length())
        apart = self._end_apart(entries)
        if trials >= HALVED_TRIALS and apart:
            trials = min(trials // 2, APART_TRIALS)  # so that half of them can free a tile
        tiles = sum(-(-count // trials) for count in counts.values())
        self._sizes[key] = GroupSize(tiles, trials, self._count_orders() if apart else 1)
        return self._sizes[key]

    def _count_orders(self) -> int:
        """Return how many row orders a tile may need at once; fewer if there are many rows."""
        order_bytes = 4 * len(self.problem.folds) * self._data.capacity
        return int(np.clip(ORDER_BYTES // order_bytes, 1, TILE_ORDERS))

    def _end_apart(self, entries: Sequence[TileEntry]) -> bool:
        trials = [entry.trial for entry in entries]
        differ = len({trial.epochs for trial in trials}) > 1 or any(t.rungs for t in trials)
        return differ or self.problem.early_stopping is not None

    def _batch_data_of(self, entry: TileEntry, n_folds: int) -> BatchData:
        scaling = str(entry.params.get("scaling")) if self.problem.statistics_by_scaling else ""
        if (scaling, n_folds) not in self._batch_data:
            folds = self._data.folds_of(entry.params)[:n_folds]
            stacked = jax.tree.map(lambda *a: np.stack([np.asarray(x) for x in a]), *folds)
            train = np.zeros((n_folds, self._data.capacity), np.int32)
            for row, split in zip(train, self.problem.folds, strict=False):
                row[: len(split.train)] = split.train
            seeds = np.array(self._data.orders.seeds[:n_folds], np.uint32)
            early = self._early_stopping
            compared = n_folds if early.scope == "mean" else 1  # the sum over the folds, or each
            limits = np.int32(early.patience), np.float32(early.min_delta * compared)
            rest = jax.device_put((stacked, train, seeds, *limits))
            self._batch_data[scaling, n_folds] = BatchData(self._data.rows, *rest)
        return self._batch_data[scaling, n_folds]

    def _measure_lane(self, predictions: Any, fold: Any, rows: Any) -> Any:
        """Compute the metrics of a lane; custom ones are computed on the host."""
        found = self._metrics
        parts = [measure_function(found)(predictions, fold, rows)] if found else []
        for metric in self._on_host:
            shape = jax.ShapeDtypeStruct((1,), np.float32)

            def ask(*given: Any, metric: Metric = metric) -> np.ndarray:
                return self._call_user_metric(metric, *(np.asarray(a) for a in given))

            given = (fold.validation.reshape(-1), fold.n_validation, predictions)
            parts.append(jax.pure_callback(ask, shape, *given, vmap_method="sequential"))
        return jnp.concatenate(parts)

    def _call_user_metric(
        self, metric: Metric, rows: np.ndarray, n: np.ndarray, seen: np.ndarray
    ) -> np.ndarray:
        rows, weights = rows[: int(n)], self.problem.weights
        try:
            own = None if weights is None else weights[rows]
            value = metric(self.problem.target[rows], seen[: int(n)], own)
        except Exception as error:
            self.raised, value = error, np.nan
        return np.array([value], np.float32)
