"""Lanes as one batch: what an accelerator wants. The host's part of it.

A `TileGroup` holds the trials that share a program; here they are formed, and what a group has
measured becomes reports and results. The device is asked once for many epochs, and answers once.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Generator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...errors import UnsuitableError
from ...trial import EpochReport, TrialResult, TrialSpec
from ..metrics import Metric
from ..problem import Problem
from ..trainer import ReportGenerator
from ..trial_progress import TrialProgress
from ..trial_result import require_finite_loss
from .device_data import DeviceData
from .program import measure_function
from .program_cache import ProgramCache
from .segment import MAX_EPOCHS_PER_CALL, BatchData, StoppingRules
from .template import Templates
from .tile_group import GroupSize, TileEntry, TileGroup, TooLargeError, is_out_of_memory

REPORT_INTERVAL = 0.3  # between two answers of the device, about
TILE_TRIALS = 256  # of a tile at most
MAX_BRANCHES = 6  # sizes of batches that a program has branches for; of more, powers of two
Tables = dict[int, np.ndarray]  # trial -> predictions of its best epoch


class BatchEngine:
    """Trains populations; the groups of a population take turns on the device.

    Examples:
        >>> from hpsearch.testing.executors import small_problem, small_trial
        >>> from hpsearch.training.vectorized import VectorizedTrainer
        >>> trainer = VectorizedTrainer(small_problem(), placement="batch")
        >>> *reports, result = trainer.train([small_trial(epochs=2)])
        >>> len(reports), result.state
        (2, 'COMPLETE')
    """

    name = "vectorized"

    def __init__(self, problem: Problem, data: DeviceData, programs: ProgramCache) -> None:
        self.problem = problem
        self.templates = Templates(problem)
        self._data, self._programs = data, programs
        metrics = [problem.get_metric(name) for name in problem.metrics]
        self._metrics = [m for m in metrics if not m.needs_numpy] + [
            m for m in metrics if m.needs_numpy
        ]
        self._names = ["train/loss", "val/loss", *(f"val/{m.name}" for m in self._metrics)]
        self._direction = problem.objective_metric.direction
        self._sizes: dict[str, GroupSize] = {}  # of the groups so far, by their key
        self._limited: set[str] = set()  # groups that memory has made smaller
        self._batch_data: dict[tuple[str, int], BatchData] = {}
        self._epoch_seconds = 0.0  # of the last call; 0: not known yet
        self._raised: Exception | None = None  # by a custom metric

    def train(self, trials: Sequence[TrialSpec]) -> ReportGenerator:
        """See `trainer.Trainer.train`."""
        waiting: list[TileEntry] = []
        for progress in map(self._begin, trials):
            try:
                waiting.append(self._make_entry(progress, len(self.problem.folds)))
            except UnsuitableError:
                raise
            except Exception as error:
                yield progress.fail(error)
        groups: dict[str, TileGroup] = {}
        for key, entries in self._group_entries(waiting).items():
            groups[key] = self._make_group(key, entries, judged=True)
        while any(group.waiting or group.entries for group in groups.values()):
            yield from self._train_groups(groups)

    def prepare(self, trials: Sequence[TrialSpec]) -> None:
        """See `trainer.Trainer.prepare`; the running population is all that the device can do."""

    def fit(self, trial: TrialSpec) -> list[np.ndarray]:
        """See `trainer.Trainer.fit`.

        Raises:
            TrainingError: If the training diverges.
        """
        entry = self._make_entry(self._begin(trial), 1)
        group = self._make_group("fit " + self._group_key(entry), [entry], judged=False)
        group.admit()
        epoch = 0
        while entry.epoch < trial.epochs:
            group.start(MAX_EPOCHS_PER_CALL)
            for figures in group.finish()[entry]:
                require_finite_loss(figures[0], epoch)
                epoch += 1
        return group.weights(entry)

    # ---- groups ----

    def _begin(self, trial: TrialSpec) -> TrialProgress:
        return TrialProgress(self.problem, trial, self.name, self._direction)

    def _make_entry(self, progress: TrialProgress, n_folds: int) -> TileEntry:
        trial = progress.trial
        params, template = self.templates.resolve(trial), self.templates.get(trial)
        numbers = template.numbers(self.problem, trial, params, n_folds)
        progress.n_parameters = template.draws(params)[1]
        return TileEntry(progress, params, template, numbers)

    def _group_entries(self, entries: Sequence[TileEntry]) -> dict[str, list[TileEntry]]:
        groups: dict[str, list[TileEntry]] = {}
        for entry in entries:
            groups.setdefault(self._group_key(entry), []).append(entry)
        return groups

    def _group_key(self, entry: TileEntry) -> str:
        """The key that trials of one group share."""
        scaling = str(entry.params.get("scaling")) if self.problem.statistics_by_scaling else ""
        shapes = [np.shape(a) for a in jax.tree.leaves(entry.numbers)]
        branches = self._branch_sizes(entry.batch_size)
        template = entry.template
        return f"{template.key}|{template.begins}|{shapes}|{branches}|{scaling}"

    def _branch_sizes(self, rows: int) -> tuple[int, ...]:
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

    def _make_group(self, key: str, entries: Sequence[TileEntry], *, judged: bool) -> TileGroup:
        first = entries[0]
        n_folds = len(self.problem.folds) if judged else 1
        data = self._batch_data_of(first, n_folds)
        scores = self._names.index(f"val/{self.problem.objective}")
        rules = StoppingRules(self.problem.early_stopping, self._direction, scores, judged)
        group = TileGroup(
            first.template,
            data,
            rules,
            self._programs,
            key=f"{'judged' if judged else 'fit'} {first.template.key} {first.template.begins}",
            branches=self._branch_sizes(first.batch_size) if judged else (first.batch_size,),
            metrics=(self._measure_lane, len(self._metrics) if judged else 0),
            table=(int(data.folds.validation[0].size) if judged else 0, self.problem.n_outputs),
            size=self._group_size(key, entries),
        )
        group.waiting.extend(entries)
        return group

    def _group_size(self, key: str, entries: Sequence[TileEntry]) -> GroupSize:
        """The size of a group: as it was before, where that is not far from what is needed."""
        counts: dict[int, int] = {}
        for entry in entries:
            counts[entry.batch_size] = counts.get(entry.batch_size, 0) + 1
        known = self._sizes.get(key)
        if known is not None and key in self._limited:
            return known  # others wait until there is room
        if known is not None and len(entries) <= known.tiles * known.trials <= 4 * len(entries):
            return known
        mean = -(-len(entries) // len(counts))
        trials = min(TILE_TRIALS, 1 << (mean - 1).bit_length())
        tiles = sum(-(-count // trials) for count in counts.values())
        self._sizes[key] = GroupSize(tiles, trials)
        return self._sizes[key]

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
        found = [m for m in self._metrics if not m.needs_numpy]
        parts = [measure_function(found)(predictions, fold, rows)] if found else []
        for metric in self._metrics[len(found) :]:
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
            self._raised, value = error, np.nan
        return np.array([value], np.float32)

    # ---- turns ----

    def _train_groups(
        self, groups: dict[str, TileGroup]
    ) -> Generator[list[EpochReport] | TrialResult, Collection[int] | None, None]:
        """Some epochs of all groups, and what they brought."""
        began, most = time.perf_counter(), self._epochs_per_call()
        at_work: list[TileGroup] = []
        found: dict[TileEntry, list[np.ndarray]] = {}
        errors: list[tuple[TileGroup, Exception]] = []
        for group in groups.values():
            try:
                group.compact()
                group.admit()
                group.start(most)
                at_work.append(group)
            except Exception as error:
                errors.append((group, error))
        for group in at_work:
            try:
                found |= group.finish()
            except Exception as error:
                errors.append((group, error))
        for group, reason in errors:
            if is_out_of_memory(reason) and (smaller := self._smaller(groups, group, reason)):
                groups |= smaller
                continue
            for entry in [*group.entries, *group.waiting]:
                group.release(entry)
                yield entry.progress.fail(reason)
        if found:
            n = max(len(figures) for figures in found.values())
            self._epoch_seconds = (time.perf_counter() - began) / n
        yield from self._report_epochs(groups, found)

    def _smaller(
        self, groups: Mapping[str, TileGroup], group: TileGroup, error: Exception
    ) -> dict[str, TileGroup]:
        """A group of less memory in place of one, its trials begun again; empty: there is none."""
        size = error.size if isinstance(error, TooLargeError) else group.size.half
        if size is None:
            return {}
        [key] = [key for key, other in groups.items() if other is group]
        self._sizes[key] = size
        self._limited.add(key)
        entries = [*group.entries, *group.waiting]
        for entry in entries:  # what was reported is not reported again
            entry.epoch, entry.slot = 0, None
        return {key: self._make_group(key, entries, judged=True)}

    def _epochs_per_call(self) -> int:
        """Of how many epochs the host hears at once; of the first one alone."""
        if not self._epoch_seconds:
            return 1
        return max(1, min(MAX_EPOCHS_PER_CALL, int(REPORT_INTERVAL / self._epoch_seconds)))

    def _report_epochs(
        self, groups: Mapping[str, TileGroup], found: Mapping[TileEntry, Sequence[np.ndarray]]
    ) -> Generator[list[EpochReport] | TrialResult, Collection[int] | None, None]:
        """Report what was measured, epoch by epoch, and give the results of trials that ended."""
        group_of = {entry: g for g in groups.values() for entry in g.entries}
        ends: dict[TileEntry, TrialResult | None] = {}  # None: complete
        first = min((entry.progress.n_epochs for entry in found), default=0)
        last = max((entry.epoch for entry in found), default=0)
        for epoch in range(first, last):
            reports = []
            for entry, figures in found.items():
                index = epoch - (entry.epoch - len(figures))
                if (
                    entry in ends
                    or not 0 <= index < len(figures)
                    or epoch < entry.progress.n_epochs
                ):
                    continue
                told = self._make_report(entry, figures[index])
                if isinstance(told, EpochReport):
                    reports.append(told)
                else:
                    ends[entry] = told
            stopped = ((yield reports) or ()) if reports else ()
            for entry, figures in found.items():
                index = epoch - (entry.epoch - len(figures))
                if (
                    entry in ends
                    or not 0 <= index < len(figures)
                    or epoch >= entry.progress.n_epochs
                ):
                    continue
                if entry.trial.number in stopped:
                    ends[entry] = entry.progress.end("PRUNED", None)
                elif figures[index][-1, 0] > 0:
                    ends[entry] = None
        complete = [entry for entry, result in ends.items() if result is None]
        tables = self._fetch_predictions(group_of, complete)
        for entry, result in ends.items():
            group_of[entry].release(entry)
            yield self._complete_result(entry, tables[entry]) if result is None else result

    def _fetch_predictions(
        self, group_of: Mapping[TileEntry, TileGroup], complete: Sequence[TileEntry]
    ) -> dict[TileEntry, np.ndarray]:
        tables: dict[TileEntry, np.ndarray] = {}
        for group in {id(group_of[entry]): group_of[entry] for entry in complete}.values():
            own = [entry for entry in complete if group_of[entry] is group]
            tables |= dict(zip(own, group.predictions(own), strict=True))
        return tables

    def _make_report(self, entry: TileEntry, figures: np.ndarray) -> EpochReport | TrialResult:
        """An epoch of a trial, or its result where it has failed with it."""
        measured = {name: figures[i].copy() for i, name in enumerate(self._names)}
        recorded = entry.progress.record_epoch(measured, [figures[-3:-1].copy()])
        if isinstance(recorded, EpochReport):
            return recorded
        raised, self._raised = self._raised, None
        return entry.progress.fail(raised or recorded)

    def _complete_result(self, entry: TileEntry, table: np.ndarray) -> TrialResult:
        lengths = [len(fold.validation) for fold in self.problem.folds]
        return entry.progress.complete([own[:n] for own, n in zip(table, lengths, strict=True)])
