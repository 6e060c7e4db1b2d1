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

from ...errors import TrainingError, UnsuitableError
from ...trial import EpochReport, State, TrialResult, TrialSpec
from ..metrics import Metric
from ..outcome import divergence, ended, failed, unfit_output
from ..problem import Problem
from ..trainer import Reports
from .device_data import DeviceData
from .program import measure_function
from .program_cache import ProgramCache
from .segment import EPOCHS, N_LOSSES, BatchData, Rules
from .template import Templates
from .tile_group import Entry, Size, TileGroup, TooLargeError, is_out_of_memory

REPORT_SECONDS = 0.3  # between two answers of the device, about
TILE_TRIALS = 256  # of a tile at most
BRANCHES = 6  # sizes of batches that a program has branches for; of more, powers of two
Tables = dict[int, np.ndarray]  # trial -> predictions of its best epoch


class BatchEngine:
    """Trains populations; the groups of a population take turns on the device."""

    name = "vectorized"

    def __init__(self, problem: Problem, data: DeviceData, programs: ProgramCache) -> None:
        self.problem = problem
        self.templates = Templates(problem)
        self._data, self._programs = data, programs
        metrics = [problem.metric(name) for name in problem.metrics]
        self._metrics = [m for m in metrics if not m.on_host] + [m for m in metrics if m.on_host]
        self._names = ["train/loss", "val/loss", *(f"val/{m.name}" for m in self._metrics)]
        self._direction = problem.goal.direction
        self._sizes: dict[str, Size] = {}  # of the groups so far, by their key
        self._limited: set[str] = set()  # groups that memory has made smaller
        self._batch_data: dict[tuple[str, int], BatchData] = {}
        self._epoch_seconds = 0.0  # of the last call; 0: not known yet
        self._raised: Exception | None = None  # by a metric of the user's

    def train(self, trials: Sequence[TrialSpec]) -> Reports:
        """See `trainer.Trainer.train`."""
        waiting: list[Entry] = []
        for trial in trials:
            made = self._entry(trial, len(self.problem.folds))
            if isinstance(made, TrialResult):
                yield made
            else:
                waiting.append(made)
        groups: dict[str, TileGroup] = {}
        for key, entries in self._by_group(waiting).items():
            groups[key] = self._group(key, entries, judged=True)
        while any(group.waiting or group.entries for group in groups.values()):
            yield from self._turn(groups)

    def prepare(self, trials: Sequence[TrialSpec]) -> None:
        """See `trainer.Trainer.prepare`; the running population is all that the device can do."""

    def fit(self, trial: TrialSpec) -> list[np.ndarray]:
        """See `trainer.Trainer.fit`.

        Raises:
            TrainingError: If the training diverges.
        """
        params = self.templates.resolve(trial)
        template = self.templates.get(trial)
        numbers = template.numbers(self.problem, trial, params, 1)
        entry = Entry(trial, params, template, numbers, time.perf_counter())
        group = self._group("fit " + self._key(entry), [entry], judged=False)
        group.admit()
        while entry.epoch < trial.epochs:
            group.start(EPOCHS)
            for figures in group.finish()[entry]:
                if reason := divergence({"train/loss": figures[0]}):
                    epoch = len(entry.figures)
                    raise TrainingError(f"final fit, epoch {epoch}: {reason}")
                entry.figures.append(figures)
        return group.weights(entry)

    # ---- groups ----

    def _entry(self, trial: TrialSpec, n_folds: int) -> Entry | TrialResult:
        started = time.perf_counter()
        try:
            params, template = self.templates.resolve(trial), self.templates.get(trial)
            numbers = template.numbers(self.problem, trial, params, n_folds)
        except UnsuitableError:
            raise
        except Exception as error:
            seconds = time.perf_counter() - started
            return failed(trial, error, seconds=seconds, trainer=self.name)
        return Entry(trial, params, template, numbers, started)

    def _by_group(self, entries: Sequence[Entry]) -> dict[str, list[Entry]]:
        groups: dict[str, list[Entry]] = {}
        for entry in entries:
            groups.setdefault(self._key(entry), []).append(entry)
        return groups

    def _key(self, entry: Entry) -> str:
        """What trials have in common that can stand in one group."""
        scaling = str(entry.params.get("scaling")) if self.problem.scaled else ""
        shapes = [np.shape(a) for a in jax.tree.leaves(entry.numbers)]
        branches = self._branches(entry.batch_size)
        template = entry.template
        return f"{template.key}|{template.begins}|{shapes}|{branches}|{scaling}"

    def _branches(self, rows: int) -> tuple[int, ...]:
        """The sizes of batches of the program that trains batches of `rows`.

        A batch is computed in the next larger of them. They hang on the space alone, so that all
        its trials share them.
        """
        sizes = sorted(set(self.problem.sizes.get("batch_size", ())))
        if not sizes or rows > sizes[-1]:
            return (rows,)
        if len(sizes) <= BRANCHES:
            return tuple(sizes)
        return tuple(sorted({1 << (size - 1).bit_length() for size in sizes}))

    def _group(self, key: str, entries: Sequence[Entry], *, judged: bool) -> TileGroup:
        first = entries[0]
        n_folds = len(self.problem.folds) if judged else 1
        data = self._data_of(first, n_folds)
        scores = self._names.index(f"val/{self.problem.objective}")
        rules = Rules(self.problem.early_stopping, self._direction, scores, judged)
        group = TileGroup(
            first.template,
            data,
            rules,
            self._programs,
            key=f"{'judged' if judged else 'fit'} {first.template.key} {first.template.begins}",
            branches=self._branches(first.batch_size) if judged else (first.batch_size,),
            metrics=(self._measure, len(self._metrics) if judged else 0),
            table=(int(data.folds.validation[0].size) if judged else 0, self.problem.n_outputs),
            size=self._size(key, entries),
        )
        group.waiting.extend(entries)
        return group

    def _size(self, key: str, entries: Sequence[Entry]) -> Size:
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
        self._sizes[key] = Size(tiles, trials)
        return self._sizes[key]

    def _data_of(self, entry: Entry, n_folds: int) -> BatchData:
        scaling = str(entry.params.get("scaling")) if self.problem.scaled else ""
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

    def _measure(self, predictions: Any, fold: Any, rows: Any) -> Any:
        """The metrics of a lane; those of the user's own are asked on the host."""
        found = [m for m in self._metrics if not m.on_host]
        parts = [measure_function(found)(predictions, fold, rows)] if found else []
        for metric in self._metrics[len(found) :]:
            shape = jax.ShapeDtypeStruct((1,), np.float32)

            def ask(*given: Any, metric: Metric = metric) -> np.ndarray:
                return self._ask(metric, *(np.asarray(a) for a in given))

            given = (fold.validation.reshape(-1), fold.n_validation, predictions)
            parts.append(jax.pure_callback(ask, shape, *given, vmap_method="sequential"))
        return jnp.concatenate(parts)

    def _ask(self, metric: Metric, rows: np.ndarray, n: np.ndarray, seen: np.ndarray) -> np.ndarray:
        rows, weights = rows[: int(n)], self.problem.weights
        try:
            own = None if weights is None else weights[rows]
            value = metric(self.problem.target[rows], seen[: int(n)], own)
        except Exception as error:
            self._raised, value = error, np.nan
        return np.array([value], np.float32)

    # ---- turns ----

    def _turn(
        self, groups: dict[str, TileGroup]
    ) -> Generator[list[EpochReport] | TrialResult, Collection[int] | None, None]:
        """Some epochs of all groups, and what they brought."""
        began, most = time.perf_counter(), self._epochs_of_a_call()
        at_work: list[TileGroup] = []
        found: dict[Entry, list[np.ndarray]] = {}
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
                yield self._failed(entry, reason)
        if found:
            n = max(len(figures) for figures in found.values())
            self._epoch_seconds = (time.perf_counter() - began) / n
        yield from self._tell(groups, found)

    def _smaller(
        self, groups: Mapping[str, TileGroup], group: TileGroup, error: Exception
    ) -> dict[str, TileGroup]:
        """A group of less memory in place of one, its trials begun again; empty: there is none."""
        size = error.size if isinstance(error, TooLargeError) else group.size.halved
        if size is None:
            return {}
        [key] = [key for key, other in groups.items() if other is group]
        self._sizes[key] = size
        self._limited.add(key)
        entries = [*group.entries, *group.waiting]
        for entry in entries:  # what was reported is not reported again
            entry.epoch, entry.place = 0, None
        return {key: self._group(key, entries, judged=True)}

    def _epochs_of_a_call(self) -> int:
        """Of how many epochs the host hears at once; of the first one alone."""
        if not self._epoch_seconds:
            return 1
        return max(1, min(EPOCHS, int(REPORT_SECONDS / self._epoch_seconds)))

    def _tell(
        self, groups: Mapping[str, TileGroup], found: Mapping[Entry, Sequence[np.ndarray]]
    ) -> Generator[list[EpochReport] | TrialResult, Collection[int] | None, None]:
        """Report what was measured, epoch by epoch, and give the results of trials that ended."""
        group_of = {entry: g for g in groups.values() for entry in g.entries}
        ends: dict[Entry, TrialResult | None] = {}  # None: complete
        first = min((entry.reported for entry in found), default=0)
        last = max((entry.epoch for entry in found), default=0)
        for epoch in range(first, last):
            reports = []
            for entry, figures in found.items():
                index = epoch - (entry.epoch - len(figures))
                if entry in ends or not 0 <= index < len(figures) or epoch < entry.reported:
                    continue
                told = self._report(entry, figures[index])
                if isinstance(told, EpochReport):
                    reports.append(told)
                else:
                    ends[entry] = told
            stopped = ((yield reports) or ()) if reports else ()
            for entry, figures in found.items():
                index = epoch - (entry.epoch - len(figures))
                if entry in ends or not 0 <= index < len(figures) or epoch >= entry.reported:
                    continue
                if entry.trial.number in stopped:
                    ends[entry] = self._result(entry, "PRUNED", None)
                elif figures[index][-1, 0] > 0:
                    ends[entry] = None
        complete = [entry for entry, result in ends.items() if result is None]
        tables = self._predictions(group_of, complete)
        for entry, result in ends.items():
            group_of[entry].release(entry)
            yield self._completed(entry, tables[entry]) if result is None else result

    def _predictions(
        self, group_of: Mapping[Entry, TileGroup], complete: Sequence[Entry]
    ) -> dict[Entry, np.ndarray]:
        tables: dict[Entry, np.ndarray] = {}
        for group in {id(group_of[entry]): group_of[entry] for entry in complete}.values():
            own = [entry for entry in complete if group_of[entry] is group]
            tables |= dict(zip(own, group.predictions(own), strict=True))
        return tables

    def _report(self, entry: Entry, figures: np.ndarray) -> EpochReport | TrialResult:
        """An epoch of a trial, or its result where it has failed with it."""
        epoch = entry.reported
        entry.figures.append(figures)
        entry.reported += 1
        measured = {name: figures[i].copy() for i, name in enumerate(self._names)}
        objective = f"val/{self.problem.objective}"
        vital = {name: measured[name] for name in self._names[:N_LOSSES]}
        if not epoch:
            seen = [figures[-3:-1]]
            if unfit := unfit_output(self.problem.task, seen):
                return self._failed(entry, unfit)
        if reason := divergence({**vital, self.problem.objective: measured[objective]}):
            raised, self._raised = self._raised, None
            return self._failed(entry, raised or reason)
        return EpochReport(entry.trial.number, epoch, measured[objective], measured)

    def _completed(self, entry: Entry, table: np.ndarray) -> TrialResult:
        lengths = [len(fold.validation) for fold in self.problem.folds]
        predictions = [own[:n] for own, n in zip(table, lengths, strict=True)]
        if dead := divergence({}, predictions):
            return self._failed(entry, dead)
        return self._result(entry, "COMPLETE", predictions)

    def _curves(self, entry: Entry) -> dict[str, np.ndarray]:
        if not entry.figures:
            return {}
        table = np.stack(entry.figures)
        return {name: table[:, i].copy() for i, name in enumerate(self._names)}

    def _result(
        self, entry: Entry, state: State, predictions: Sequence[np.ndarray] | None
    ) -> TrialResult:
        return ended(
            self.problem,
            entry.trial,
            state,
            direction=self._direction,
            curves=self._curves(entry),
            predictions=predictions,
            seconds=time.perf_counter() - entry.started,
            trainer=self.name,
            n_parameters=entry.template.draws(entry.params)[1],
        )

    def _failed(self, entry: Entry, reason: str | BaseException) -> TrialResult:
        return failed(
            entry.trial,
            reason,
            seconds=time.perf_counter() - entry.started,
            trainer=self.name,
            curves=self._curves(entry),
            n_parameters=entry.template.draws(entry.params)[1],
        )
