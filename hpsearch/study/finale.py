"""After the search: the winner, its final fit, and the one reading of the locked rows."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Dataset, TestRows
from ..data.split import Split
from ..errors import TrainingError
from ..execution.executor import Executor
from ..search.history import History, Trial
from ..training.final import FinalFit
from ..training.problem import Problem
from ..trial import TrialSpec
from . import evaluation


def winner_of(history: History) -> Trial:
    """The best complete trial.

    Raises:
        TrainingError: If no trial completed.
    """
    if history.best is not None:
        return history.best
    failed = [t for t in history if t.state == "FAILED"]
    reason = f" The last one, trial {failed[-1].number}: {failed[-1].error}" if failed else ""
    raise TrainingError(f"none of {len(history.finished)} trials completed.{reason}")


def fit_winner(
    best: Trial, *, dataset: Dataset, problem: Problem, executor: Executor, folder: Path
) -> dict[str, Any]:
    """Train the winner on all development rows and judge it on the locked ones.

    Returns:
        The fields of the journal's `final` event. `folder` then holds the model, its schema and
        the locked rows' truth and predictions.
    """
    began = time.monotonic()
    assert best.best_epoch is not None
    rows = np.arange(len(problem.target))
    statistics = dataset.statistics(rows)
    locked = dataset.locked.read() if dataset.locked else None
    folder.mkdir(parents=True, exist_ok=True)
    epochs = best.best_epoch + 1
    alone = replace(
        problem,
        folds=(Split(rows, rows[:0]),),
        statistics=(statistics,),
        early_stopping=None,
    )
    final = FinalFit(
        trial=TrialSpec(best.number, best.params, best.seed, epochs),
        problem=alone,
        schema=dataset.schema,
        locked=locked.columns if locked else dataset.columns[:0],
        path=folder / "model.keras",
    )
    prediction = executor.finish(final)
    schema = json.dumps(dataset.schema.to_json(), indent=1)
    (folder / "schema.json").write_text(schema + "\n", encoding="utf-8")
    judged: Mapping[str, Any] = {}
    if locked:
        weights = np.ones(len(locked.target)) if locked.weights is None else locked.weights
        np.savez(
            folder / "predictions.npz",
            truth=locked.target,
            prediction=prediction,
            weights=weights,
            fingerprint=dataset.fingerprint,
        )
        judged = _judged(dataset, alone, locked, prediction)
    return {
        "trial": best.number,
        "epochs": epochs,
        "files": folder.name,
        "test_rows": len(prediction),
        "seconds": time.monotonic() - began,
        **judged,
    }


def _judged(
    dataset: Dataset, problem: Problem, locked: TestRows, prediction: np.ndarray
) -> Mapping[str, Any]:
    """What the locked rows say of the winner and, beside it, of a linear model."""
    names, statistics, truth = problem.metrics, problem.statistics[0], locked.target
    name, plain = evaluation.baseline(
        problem.task,
        statistics.apply(problem.features),
        problem.target,
        statistics.apply(dataset.schema.expand(locked.columns)),
    )
    is_class = problem.task != "regression"
    return {
        "test": evaluation.measured(names, truth, prediction, locked.weights),
        "intervals": evaluation.intervals(names, truth, prediction, locked.weights),
        "baseline": {
            "name": name,
            "metrics": evaluation.measured(names, truth, plain, locked.weights),
        },
        "confusion": evaluation.confusion(truth, prediction) if is_class else None,
    }
