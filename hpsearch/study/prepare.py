"""From a declaration and its data to what every trial shares."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..data import Dataset, load
from ..execution.processes import ProcessExecutor
from ..spec.file import StudyFile
from ..spec.study import StudySpec
from ..training.choice import choose
from ..training.metrics import default_metrics, metric_for
from ..training.problem import EarlyStopping, Problem

DEFAULT_OBJECTIVE = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "rmse"}


def load_data(file: StudyFile, data: Any = None) -> Dataset:
    """The declared data, or those handed over in memory.

    Raises:
        SpecError: If there are neither.
        DataError: If they cannot be used as they are.
    """
    spec = file.spec
    if data is None and spec.data.source is None:
        raise file.problem("data.source", "is required, unless data are handed to hpsearch.tune")
    return load(
        spec.data,
        task=spec.task,
        cross_validation=spec.cross_validation,
        seed=spec.seed,
        folder=file.folder,
        arrays=data,
    )


def problem_of(spec: StudySpec, dataset: Dataset) -> Problem:
    """What every trial of the study shares."""
    objective = objective_of(spec, dataset.task)
    stopping = spec.training.early_stopping
    return Problem(
        task=dataset.task,
        features=dataset.features,
        target=dataset.target,
        folds=dataset.folds,
        statistics=tuple(dataset.statistics(fold.train) for fold in dataset.folds),
        objective=objective,
        metrics=default_metrics(dataset.task, objective),
        model=spec.model,
        fixed=spec.fixed,
        weights=dataset.weights,
        early_stopping=EarlyStopping(**stopping.model_dump()) if stopping else None,
    )


def objective_of(spec: StudySpec, task: str) -> str:
    """The metric that is improved: the declared one, or the task's usual one.

    Raises:
        SpecError: If the metric does not suit the task.
    """
    name = spec.objective.metric if spec.objective else DEFAULT_OBJECTIVE[task]
    return metric_for(name, task).name


class Crew:
    """The workers, started on a guess of the trainer while the data are being read."""

    def __init__(self, spec: StudySpec, *, workers: int, logs: Path) -> None:
        """Start `workers` processes; they import Keras at once."""
        self._kind = spec.training.trainer
        self._workers = workers
        self._logs = logs
        self.trainer: str = "vectorized" if self._kind == "auto" else self._kind
        self.reason = ""  # why this trainer, for people
        self.executor = self._start()

    def _start(self) -> ProcessExecutor:
        ahead = 1 if self.trainer == "vectorized" else 0  # it compiles the next trial meanwhile
        cores = len(os.sched_getaffinity(0))
        return ProcessExecutor(
            trainer=self.trainer,
            workers=self._workers,
            ahead=ahead,
            threads=max(1, cores // self._workers) if self._workers > 1 else None,
            logs=self._logs,
        )

    def set_up(self, problem: Problem) -> None:
        """Settle the trainer, and tell the workers what all trials share."""
        trainer, reason = choose(self._kind, problem)
        if trainer != self.trainer:
            self.fall_back(problem, reason)
            return
        self.reason = reason
        self.executor.set_up(problem)

    def fall_back(self, problem: Problem, reason: str) -> None:
        """Go on with the trainer that takes any model."""
        self.executor.close()
        self.trainer, self.reason = "keras_fit", reason
        self.executor = self._start()
        self.executor.set_up(problem)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.executor.close()


def described(dataset: Dataset) -> dict[str, Any]:
    """The data in a few plain values, for the journal."""
    return {
        "name": dataset.name,
        "rows": dataset.n_rows,
        "columns": dataset.n_columns,
        "features": dataset.n_features,
        "test_rows": len(dataset.locked) if dataset.locked else 0,
        "folds": len(dataset.folds),
        "notes": list(dataset.notes),
    }
