"""Train an earlier trial again from its record, and compare the score bit for bit.

It reads the journal and writes nothing. The data are read again and must have the recorded
fingerprint; threads and trainer are as recorded.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError, TrainingError
from ...events import Event, StudyCreated, StudyResumed
from ...execution.executor import Executor, Lost
from ...history import History
from ...journal import read_page
from ...redaction import redact
from ...search.event_writer import load_predictions
from ...trial import EpochReport, FoldReport, Trial, TrialResult
from ..declaration import describe_environment
from ..prepare import build_problem, load_data, resolve_study
from ..recorded_declaration import load_declaration
from ..resolved_study import choose_pruner
from ..weight_files import compute_user_digests
from ..worker_pool import WorkerPool


@dataclass(frozen=True, slots=True)
class Rerun:
    """A trial as recorded and as trained again."""

    trial: Trial  # from the journal
    result: TrialResult  # trained again
    is_same: bool  # whether state, fold scores and, if kept, predictions are bit-identical
    difference: float | None  # largest difference of a fold's scores; None if a score is missing
    changed: Mapping[str, tuple[str, str]]  # versions and digests that differ: (before, now)


def rerun_trial(path: Path, number: int, data: Any = None) -> Rerun:
    """Train trial `number` of the study whose journal is `path` again.

    Args:
        path: The journal.
        number: The trial's number; its last attempt is used.
        data: The rows, if they were passed in memory.

    Raises:
        JournalError: If the trial does not exist.
        TrainingError: If it has no result yet or crashes its worker.
        DataError: If the data have changed.
    """
    events = read_page(path).events
    history = History(events)
    trial = history.find_trial(number)
    if not trial.is_finished:
        raise TrainingError(f"trial {number} of study {history.name} has no result yet.")
    declared = history.declaration(trial.revision)
    study = choose_pruner(load_declaration(path, declared))
    threads = _threads(events, trial)
    with (
        tempfile.TemporaryDirectory() as logs,
        WorkerPool(study, workers=1, logs=Path(logs), threads=threads) as workers,
    ):
        dataset = load_data(study, data, history.study.data.versions)
        if dataset.fingerprint != history.study.fingerprint:
            raise DataError(
                f"the data are not those of study {history.name}: fingerprint "
                f"{history.study.fingerprint[:12]} then, {dataset.fingerprint[:12]} now."
            )
        problem = build_problem(resolve_study(study, dataset), dataset)
        workers.set_up(problem)
        if trial.trainer == "keras_fit" != workers.trainer:
            workers.fall_back(problem, "it trained the trial the first time")
        result = _train_trial(workers.executor, trial)
    then = _describe_dependencies(declared.environment or {}, declared.files or {})
    now = _describe_dependencies(describe_environment(), compute_user_digests(study.file))
    return Rerun(
        trial=trial,
        result=result,
        is_same=_is_identical(trial, result, path.parent),
        difference=_largest_difference(trial, result),
        changed={k: (v, now[k]) for k, v in then.items() if k in now and now[k] != v},
    )


def _describe_dependencies(versions: Mapping[str, str], files: Mapping[str, str]) -> dict[str, str]:
    return {**versions, **{f"code {name}": digest[:12] for name, digest in files.items()}}


def _threads(events: tuple[Event, ...], trial: Trial) -> int | None:
    """Return the threads per worker in the run that created the trial."""
    runs = [e for e in events if isinstance(e, StudyCreated | StudyResumed)]
    return [run for run in runs if run.time <= trial.asked][-1].threads


def _train_trial(executor: Executor, trial: Trial) -> TrialResult:
    """Train the trial; a pruned one is pruned at the same epoch."""
    rungs = (len(trial.folds) or trial.n_epochs,) if trial.state == "PRUNED" else ()
    executor.submit(replace(trial.spec, rungs=rungs))
    while True:
        report = executor.wait()
        if isinstance(report, TrialResult):
            return report
        if isinstance(report, Lost):
            raise TrainingError(f"trial {trial.number} crashed its worker: {report.reason}")
        if isinstance(report, EpochReport | FoldReport) and report.epoch + 1 in rungs:
            executor.prune(trial.number)


def _is_identical(trial: Trial, result: TrialResult, folder: Path) -> bool:
    if trial.state != result.state or redact(trial.error or "") != redact(result.error or ""):
        return False
    if result.fold_scores is None:
        return trial.fold_scores is None
    if trial.fold_scores is None or list(trial.fold_scores) != list(map(float, result.fold_scores)):
        return False
    kept = load_predictions(folder, trial)
    if kept is None or result.predictions is None:
        return True
    return bool(kept.tobytes() == result.predictions.tobytes())


def _largest_difference(trial: Trial, result: TrialResult) -> float | None:
    if trial.fold_scores is None or result.fold_scores is None:
        return None
    return float(np.abs(np.subtract(trial.fold_scores, result.fold_scores)).max())
