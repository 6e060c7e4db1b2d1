"""Groups of trials that share a program: which trials do, and how many stand side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..metrics import Metric
from ..problem import Problem
from .device_data import DeviceData
from .program import measure_function
from .program_cache import ProgramCache
from .segment import BatchData, StoppingRules
from .tile_group import GroupSize, TileEntry, TileGroup

TILE_TRIALS = 256  # of a tile at most
HALVED_TRIALS = 16  # of a tile from which on trials that end apart stand in two
MAX_BRANCHES = 6  # sizes of batches that a program has branches for; of more, powers of two


class GroupFactory:
    """Makes the groups of a problem, and remembers which sizes the device's memory allows."""

    def __init__(self, problem: Problem, data: DeviceData, programs: ProgramCache) -> None:
        self.problem = problem
        self._data, self._programs = data, programs
        metrics = [problem.get_metric(name) for name in problem.metrics]
        self._metrics = [m for m in metrics if not m.needs_numpy]
        self._on_host = [m for m in metrics if m.needs_numpy]
        names = [f"val/{m.name}" for m in (*self._metrics, *self._on_host)]
        self.names = ["train/loss", "val/loss", *names]  # of the figures, in their order
        self.direction = problem.objective_metric.direction
        self.raised: Exception | None = None  # by a custom metric
        self._sizes: dict[str, GroupSize] = {}  # of the groups so far, by their key
        self._limited: set[str] = set()  # groups that memory has made smaller
        self._batch_data: dict[tuple[str, int], BatchData] = {}

    def key(self, entry: TileEntry) -> str:
        """The key that trials of one group share."""
        scaling = str(entry.params.get("scaling")) if self.problem.statistics_by_scaling else ""
        shapes = [np.shape(a) for a in jax.tree.leaves(entry.numbers)]
        branches = self.branch_sizes(entry.batch_size)
        template = entry.template
        return f"{template.key}|{template.begins}|{shapes}|{branches}|{scaling}"

    def branch_sizes(self, rows: int) -> tuple[int, ...]:
        """The sizes of batches of the program that trains batches of `rows`.

        A batch is computed in the next larger of them. They depend on the space alone, so that all
        its trials share them.
        """
        sizes = sorted(set(self.problem.sizes.get("batch_size", ())))
        if not sizes or rows > sizes[-1]:
            return (rows,)
        if len(sizes) <= MAX_BRANCHES:
            return tuple(sizes)
        return tuple(sorted({1 << (size - 1).bit_length() for size in sizes}))

    def make(self, key: str, entries: Sequence[TileEntry], *, judged: bool) -> TileGroup:
        """A group in which `entries` wait; `judged`: on all folds, with their validation rows."""
        first = entries[0]
        n_folds = len(self.problem.folds) if judged else 1
        data = self._batch_data_of(first, n_folds)
        scores = self.names.index(f"val/{self.problem.objective}")
        rules = StoppingRules(self.problem.early_stopping, self.direction, scores, judged)
        group = TileGroup(
            first.template,
            data,
            rules,
            self._programs,
            key=f"{'judged' if judged else 'fit'} {first.template.key} {first.template.begins}",
            branches=self.branch_sizes(first.batch_size) if judged else (first.batch_size,),
            metrics=(self._measure_lane, len(self.names) - 2 if judged else 0),
            table=(int(data.folds.validation[0].size) if judged else 0, self.problem.n_outputs),
            size=self._size(key, entries),
        )
        group.waiting.extend(entries)
        return group

    def limit(self, key: str, size: GroupSize) -> None:
        """Let groups of `key` be no larger from now on."""
        self._sizes[key] = size
        self._limited.add(key)

    def _size(self, key: str, entries: Sequence[TileEntry]) -> GroupSize:
        """The size of a group: as it was before, where that is enough.

        All trials of a population stand side by side where memory allows it, so that they come to
        their rungs together, also in a study that was resumed.
        """
        counts = Counter(entry.batch_size for entry in entries)
        known = self._sizes.get(key)
        if known is not None and key in self._limited:
            return known  # others wait until there is room
        if known is not None and known.holds(counts.values()):
            return known  # free tiles cost nothing, and another size is another program
        mean = -(-len(entries) // len(counts))
        trials = min(TILE_TRIALS, 1 << (mean - 1).bit_length())
        if trials >= HALVED_TRIALS and self._end_apart(entries):
            trials //= 2  # so that a tile is free for others as soon as half of them have ended
        tiles = sum(-(-count // trials) for count in counts.values())
        self._sizes[key] = GroupSize(tiles, trials)
        return self._sizes[key]

    def _end_apart(self, entries: Sequence[TileEntry]) -> bool:
        trials = [entry.trial for entry in entries]
        differ = len({trial.epochs for trial in trials}) > 1 or any(t.rungs for t in trials)
        return differ or self.problem.early_stopping is not None

    def _batch_data_of(self, entry: TileEntry, n_folds: int) -> BatchData:
        scaling = str(entry.params.get("scaling")) if self.problem.statistics_by_scaling else ""
        if (scaling, n_folds) not in self._batch_data:
            folds = self._data.folds_of(entry.params)[:n_folds]
            stacked = jax.tree.map(lambda *a: np.stack([np.asarray(x) for x in a]), *folds)
            train = np.zeros((n_folds, self._data.longest), np.int32)
            for row, split in zip(train, self.problem.folds, strict=False):
                row[: len(split.train)] = split.train
            seeds = np.array(self._data.orders.seeds[:n_folds], np.uint32)
            rest = jax.device_put((stacked, train, seeds))
            self._batch_data[scaling, n_folds] = BatchData(self._data.rows, *rest)
        return self._batch_data[scaling, n_folds]

    def _measure_lane(self, predictions: Any, fold: Any, rows: Any) -> Any:
        """The metrics of a lane; custom ones are computed on the host."""
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
