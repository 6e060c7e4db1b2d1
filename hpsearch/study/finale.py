"""After the winner is chosen: its final fit, and the one reading of the locked rows."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Dataset, TestRows
from ..data.schema import Schema
from ..data.split import Split
from ..execution.executor import Executor
from ..promotion.package import EXAMPLE_ROWS, MODEL_FOLDER, Lineage, save_served_model
from ..training.final import FinalFit
from ..training.metrics import Metric, confusion
from ..training.problem import Problem
from . import evaluation
from .prepare import with_folds
from .selection import Choice

MOST_NUMBERS = 20_000_000  # of the arrays that a linear model is fitted on


def fit_winner(
    choice: Choice,
    *,
    dataset: Dataset,
    problem: Problem,
    executor: Executor,
    folder: Path,
    meanwhile: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Train the winner on all development rows and judge it on the locked ones.

    An ensemble's best single member is fitted too, and judged beside it.

    While the executor trains, the linear model beside it is fitted and `meanwhile` is called.

    Returns:
        The fields of the journal's `final` event. `folder` then holds the network, its schema,
        the locked rows' truth and predictions, and the MLflow model that is promoted. It appears
        when it is complete; that of an earlier winner stays until then.
    """
    began = time.monotonic()
    locked = dataset.locked.read() if dataset.locked else None
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    rows = np.arange(len(problem.target))
    alone = with_folds(replace(problem, early_stopping=None), dataset, (Split(rows, rows[:0]),))
    schema = _with_threshold(dataset.schema, choice.threshold)
    final = FinalFit(
        members=choice.members,
        problem=alone,
        schema=schema,
        locked=replace(locked, table=None) if locked else None,
        path=partial / "model.keras",
    )
    with ThreadPoolExecutor(1) as pool:
        fitting = pool.submit(executor.finish, final)
        plain = _plain(dataset, alone, locked) if locked else None
        meanwhile()
        said = fitting.result()
    prediction = said.predictions
    limit = choice.threshold
    judged = _judged(alone, locked, prediction, plain, limit) if locked else {}
    if said.importance is not None:
        judged["importance"] = said.importance.as_json()
    if choice.is_ensemble and locked:
        single = replace(final, members=choice.single, path=partial / "single.keras")
        answer = executor.finish(single).predictions
        measured = evaluation.measured(
            _metrics(alone, locked), locked.target, answer, locked.weights, threshold=limit
        )
        judged["single"] = {"trial": choice.trial.number, "metrics": measured}
    _write(partial, schema, dataset, problem, choice, locked, prediction, judged)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return {
        "trial": choice.trial.number,
        "epochs": choice.epochs,
        "members": choice.members_as_json(),
        "files": folder.name,
        "test_rows": len(prediction),
        "seconds": time.monotonic() - began,
        **judged,
    }


def _write(
    folder: Path,
    schema: Schema,
    dataset: Dataset,
    problem: Problem,
    choice: Choice,
    locked: TestRows | None,
    prediction: np.ndarray,
    judged: Mapping[str, Any],
) -> None:
    """The files of the final fit beside the network."""
    text = json.dumps(schema.to_json(), indent=1)
    (folder / "schema.json").write_text(text + "\n", encoding="utf-8")
    if locked:
        weights = np.ones(len(prediction)) if locked.weights is None else locked.weights
        np.savez(
            folder / "predictions.npz",
            truth=locked.target,
            prediction=prediction,
            weights=weights,
            threshold=choice.threshold,
            task=problem.task,
            fingerprint=dataset.fingerprint,
        )
    if "importance" in judged:
        importance = json.dumps(judged["importance"], indent=1)
        (folder / "importance.json").write_text(importance + "\n", encoding="utf-8")
    best = choice.trial
    assert best.score is not None
    assert best.spread is not None
    lineage = Lineage(
        study=folder.parent.name,
        trial=best.number,
        fingerprint=dataset.fingerprint,
        metric=problem.objective,
        score=best.score,
        spread=best.spread,
        epochs=choice.epochs,
        test=judged.get("test", {}),
    )
    save_served_model(
        folder / MODEL_FOLDER,
        model=folder / "model.keras",
        schema=schema,
        columns=dataset.columns[: EXAMPLE_ROWS + sum(dataset.schema.input_shape[:-1])]
        if dataset.windows
        else dataset.columns[:EXAMPLE_ROWS],
        lineage=lineage,
    )


def _plain(dataset: Dataset, problem: Problem, locked: TestRows) -> tuple[str, np.ndarray] | None:
    """A linear model's name and its predictions for the locked rows; None beside large arrays."""
    statistics, n_rows = problem.statistics[0], len(problem.target)
    if len(problem.row_shape) > 1 and n_rows * np.prod(problem.row_shape) > MOST_NUMBERS:
        return None
    features = problem.features if problem.windows is None else problem.take(np.arange(n_rows))
    theirs = dataset.schema.expand(locked.columns)
    return evaluation.baseline(
        problem.task,
        statistics.apply(features).reshape(len(features), -1),
        problem.target,
        statistics.apply(theirs).reshape(len(theirs), -1),
        problem.weights,
        problem.transforms,
    )


def _with_threshold(schema: Schema, threshold: float) -> Schema:
    """The schema whose served labels follow the threshold."""
    assert schema.target is not None
    return replace(schema, target=replace(schema.target, threshold=threshold))


def _metrics(problem: Problem, locked: TestRows) -> list[Metric]:
    """Those that have a value on the locked rows."""
    each = [problem.metric(name) for name in problem.metrics]
    return [metric for metric in each if metric.is_defined(locked.target, locked.weights)]


def _judged(
    problem: Problem,
    locked: TestRows,
    prediction: np.ndarray,
    plain: tuple[str, np.ndarray] | None,
    threshold: float,
) -> dict[str, Any]:
    """What the locked rows say of the winner and, beside it, of a linear model."""
    metrics, truth, weights = _metrics(problem, locked), locked.target, locked.weights
    is_class = problem.task in ("binary", "multiclass")
    return {
        "threshold": threshold,
        "test": evaluation.measured(metrics, truth, prediction, weights, threshold=threshold),
        "intervals": evaluation.intervals(metrics, truth, prediction, weights, threshold=threshold),
        "baseline": {
            "name": plain[0],
            "metrics": evaluation.measured(metrics, truth, plain[1], weights),
        }
        if plain
        else None,
        "confusion": confusion(truth, prediction, threshold=threshold).tolist()
        if is_class
        else None,
    }
