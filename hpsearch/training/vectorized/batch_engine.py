"""Train lanes as one batch, for accelerators: the host's part.

A `TileGroup` holds the trials that share a program; this module turns its measurements into reports
and results. One call to the device trains many epochs. Free slots are filled from the next
population, whose reports wait until the current one has ended, so that the device stays full and
the order of reports does not change. Trials train on beyond a rung where that takes no time.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import suppress

import numpy as np

from ...errors import UnsuitableError
from ...trial import EpochReport, TrialResult, TrialSpec
from ..problem import Problem
from ..trainer import ReportGenerator
from ..trial_progress import TrialProgress
from ..trial_result import require_finite_loss
from .device_data import DeviceData
from .device_health import is_out_of_memory, require_device
from .group_factory import GroupFactory
from .program_cache import ProgramCache
from .segment import MAX_EPOCHS_PER_CALL
from .streamed_group import stream_epoch
from .templates import Templates
from .tile_entry import TileEntry, is_last
from .tile_group import TileGroup, TooLargeError

REPORT_INTERVAL = 0.3  # seconds between two answers of the device, approximately
ForGroups = Callable[[Callable[[TileGroup], int]], int]  # runs a step of every group
Key = tuple[tuple[int, int], ...]  # of a population: number and attempt of each trial
Reports = Generator[list[EpochReport] | TrialResult, Collection[int] | None, None]


class BatchEngine:
    """Trains populations; the groups of a population alternate on the device.

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
        self.factory = GroupFactory(problem, data, programs)
        self._stream = data.stream
        self._groups: dict[str, TileGroup] = {}
        self._epoch_seconds = 0.0  # of the last call; 0: unknown
        self._rounds = 0  # number of populations started
        self._current: Key = ()
        self._prepared: deque[tuple[TrialSpec, ...]] = deque()  # the next populations
        self._next: tuple[Key, list[TileEntry | TrialResult]] | None = None  # started ahead

    def train(self, trials: Sequence[TrialSpec]) -> ReportGenerator:
        """See `trainer.Trainer.train`."""
        made = self._begin_population(trials)
        yield from (m for m in made if isinstance(m, TrialResult))
        running = [m for m in made if isinstance(m, TileEntry)]
        try:
            self._assign_groups(running)
            yield from self._report_epochs(running)  # epochs that were trained ahead
            while running:
                self._train_groups()
                yield from self._report_epochs(running)
        finally:
            if running:  # the caller stopped iterating
                self._groups, self._next = {}, None
            busy = {k: g for k, g in self._groups.items() if g.entries or g.waiting}
            self._groups = busy

    def prepare(self, trials: Sequence[TrialSpec]) -> None:
        """Start these trials when slots are free; see `trainer.Trainer.prepare`."""
        if _population_key(trials) != self._current:
            self._prepared.append(tuple(trials))

    def count_fitting(self, trials: Sequence[TrialSpec]) -> int:
        """Count how many of `trials` fit in the device's memory; trains and allocates nothing.

        Trials whose model cannot be built are left out.
        """
        made = self._make_entries(trials)
        self._assign_groups([entry for entry in made if isinstance(entry, TileEntry)])
        groups, self._groups = list(self._groups.values()), {}
        return sum(group.count_fitting() for group in groups)

    def fit(self, trial: TrialSpec) -> list[np.ndarray]:
        """See `trainer.Trainer.fit`.

        Raises:
            TrainingError: If the training diverges.
        """
        entry = self._make_entry(trial, 1)
        group = self.factory.make("fit " + self.factory.key(entry), [entry], judged=False)
        group.admit()
        while entry.epoch < trial.epochs:
            epoch = entry.epoch
            self._start_epochs(lambda step: step(group), MAX_EPOCHS_PER_CALL, judged=False)
            group.finish()
            while entry.measured:
                require_finite_loss(entry.measured.popleft()[0], epoch)
                epoch += 1
        return group.weights(entry)

    # ---- populations ----

    def _begin_population(self, trials: Sequence[TrialSpec]) -> list[TileEntry | TrialResult]:
        """Return the trials of a population, some of which may have been started ahead."""
        self._current = key = _population_key(trials)
        with suppress(ValueError):
            self._prepared.remove(tuple(trials))
        ahead, self._next = self._next, None
        if ahead is not None and ahead[0] == key:
            return ahead[1]
        for entry in ahead[1] if ahead is not None else ():  # taken back meanwhile
            if isinstance(entry, TileEntry) and entry.group is not None:
                entry.group.release(entry)
        return self._make_entries(trials)

    def _make_entries(self, trials: Sequence[TrialSpec]) -> list[TileEntry | TrialResult]:
        """Prepare each trial for training; one whose model cannot be built fails."""
        self._rounds += 1
        made: list[TileEntry | TrialResult] = []
        for trial in trials:
            try:
                made.append(self._make_entry(trial, len(self.problem.folds)))
            except UnsuitableError:
                raise
            except Exception as error:
                made.append(self._begin(trial).fail(error))
        return made

    def _begin(self, trial: TrialSpec) -> TrialProgress:
        return TrialProgress(self.problem, trial, self.name, self.factory.direction)

    def _make_entry(self, trial: TrialSpec, n_folds: int) -> TileEntry:
        progress = self._begin(trial)
        params, template = self.templates.resolve(trial), self.templates.get(trial)
        numbers = template.numbers(self.problem, trial, params, n_folds)
        progress.n_parameters = template.draws(params)[1]
        return TileEntry(progress, params, template, numbers, self._rounds)

    def _assign_groups(self, entries: Sequence[TileEntry]) -> None:
        """Queue the trials that have no group in one."""
        keyed: dict[str, list[TileEntry]] = {}
        for entry in (e for e in entries if e.group is None):
            keyed.setdefault(self.factory.key(entry), []).append(entry)
        for key, alike in keyed.items():
            if key in self._groups:
                self._groups[key].waiting.extend(alike)
            else:
                self._groups[key] = self.factory.make(key, alike, judged=True)
            for entry in alike:
                entry.group = self._groups[key]

    def _begin_ahead(self) -> None:
        """Queue trials of the next population in groups that have free slots."""
        free = any(group.has_free_slot for group in self._groups.values())
        if self._next is not None or not self._prepared or not free:
            return
        trials = self._prepared.popleft()
        if _population_key(trials) == self._current:
            return
        with suppress(UnsuitableError):  # reported when the trial starts
            made = self._make_entries(trials)
            self._next = (_population_key(trials), made)
            keyed: dict[str, list[TileEntry]] = {}
            for entry in (m for m in made if isinstance(m, TileEntry)):
                keyed.setdefault(self.factory.key(entry), []).append(entry)
            for key, alike in keyed.items():
                if key in self._groups and self._groups[key].holds(alike):
                    self._assign_groups(alike)

    # ---- turns ----

    def _train_groups(self) -> None:
        """Train some epochs of all groups; the measurements are stored in their trials."""
        began, most = time.perf_counter(), self._epochs_per_call()

        def admit(group: TileGroup) -> int:
            group.admit()
            group.compact()
            return 0

        def finish(group: TileGroup) -> int:
            epochs = group.finish()
            group.fetch_tables([entry for entry in group.entries if entry.has_ended])
            return epochs

        self._begin_ahead()
        self._for_groups(admit)
        self._start_epochs(self._for_groups, most)
        if epochs := self._for_groups(finish):
            self._epoch_seconds = (time.perf_counter() - began) / epochs

    def _start_epochs(self, for_groups: ForGroups, most: int, *, judged: bool = True) -> None:
        """Start at most `most` epochs of groups; of streamed rows one, the lowest."""
        if self._stream is not None:
            stream_epoch(self._stream, for_groups, judged=judged)
            return

        def start(group: TileGroup) -> int:
            group.start(most)
            return 0

        for_groups(start)

    def _for_groups(self, step: Callable[[TileGroup], int]) -> int:
        """Run a step of every group; return the largest result. Errors stay with their group."""
        most = 0
        for key, group in list(self._groups.items()):
            try:
                most = max(most, step(group))
            except Exception as error:
                self._handle_error(key, group, error)
        return most

    def _handle_error(self, key: str, group: TileGroup, error: Exception) -> None:
        """Replace a group that exceeds the memory by a smaller one, or fail its trials.

        Raises:
            DeviceLostError: If the device is gone.
        """
        require_device(error)
        entries = sorted([*group.entries, *group.waiting], key=lambda e: e.round)
        size = error.size if isinstance(error, TooLargeError) else group.size.half
        if is_out_of_memory(error) and size is None:
            error = TooLargeError(None)
        if (isinstance(error, TooLargeError) or is_out_of_memory(error)) and size is not None:
            self.factory.limit(key, size)
            for entry in entries:
                entry.restart()
            self._groups[key] = self.factory.make(key, entries, judged=True)
            for entry in entries:
                entry.group = self._groups[key]
            return
        for entry in entries:
            group.release(entry)
            entry.error = error
        del self._groups[key]

    def _epochs_per_call(self) -> int:
        """Return the number of epochs per call to the device; 1 for the first call."""
        if not self._epoch_seconds:
            return 1
        return max(1, min(MAX_EPOCHS_PER_CALL, int(REPORT_INTERVAL / self._epoch_seconds)))

    def _report_epochs(self, running: list[TileEntry]) -> Reports:
        """Yield a report for each measured epoch, and the results of trials that ended.

        An epoch is reported when all trials on the device have measured it.
        """
        while due := _find_due(running):
            results: dict[TileEntry, TrialResult] = {}
            told = {entry: self._make_report(entry, entry.measured[0]) for entry in due}
            for entry, result in told.items():
                if isinstance(result, TrialResult):  # before verdicts on those compared with it
                    due.remove(entry)
                    _end_trial(running, entry)
                    yield result
            reports = [t for t in told.values() if isinstance(t, EpochReport)]
            stopped = ((yield reports) or ()) if reports else ()
            for entry in due:
                figures = entry.measured.popleft()
                if entry.trial.number in stopped:
                    results[entry] = entry.progress.end("PRUNED", None)
                elif is_last(figures):
                    results[entry] = self._complete_result(entry)
            for entry, result in results.items():  # before the next rung, which may wait for them
                _end_trial(running, entry)
                yield result
        failed = [(entry, entry.error) for entry in running if entry.error is not None]
        for entry, error in failed:
            _end_trial(running, entry)
            yield entry.progress.fail(error)

    def _make_report(self, entry: TileEntry, figures: np.ndarray) -> EpochReport | TrialResult:
        """Return the report of a trial's epoch, or the result of a trial that failed in it."""
        measured = {name: figures[i].copy() for i, name in enumerate(self.factory.names)}
        recorded = entry.progress.record_epoch(measured, [figures[-3:-1].copy()])
        if isinstance(recorded, EpochReport):
            return recorded
        raised, self.factory.raised = self.factory.raised, None
        return entry.progress.fail(raised or recorded)

    def _complete_result(self, entry: TileEntry) -> TrialResult:
        assert entry.table is not None
        lengths = [len(fold.validation) for fold in self.problem.folds]
        predictions = [own[:n] for own, n in zip(entry.table, lengths, strict=True)]
        return entry.progress.complete(predictions)


def _end_trial(running: list[TileEntry], entry: TileEntry) -> None:
    """Remove a trial from the running ones, and free its slot."""
    running.remove(entry)
    if entry.group is not None:
        entry.group.release(entry)


def _find_due(entries: Sequence[TileEntry]) -> list[TileEntry]:
    """Return the trials with the fewest epochs, if all of them have measured their next one.

    Trials that wait for a free slot are left out, unless trials are compared at rungs.
    """
    compared = any(entry.trial.rungs for entry in entries)
    begun = [
        entry
        for entry in entries
        if entry.measured or entry.slot is not None or (compared and entry.error is None)
    ]
    first = min((entry.progress.n_epochs for entry in begun), default=0)
    due = [entry for entry in begun if entry.progress.n_epochs == first]
    return due if all(entry.measured for entry in due) else []


def _population_key(trials: Sequence[TrialSpec]) -> Key:
    return tuple((trial.number, trial.attempt) for trial in trials)
