"""Baselines of a forecast: the last value, the value a season ago, and a regression on lags.

They are fitted and scored on the study's own folds, and on its locked rows. For a quantile, each
predicts its number plus that quantile of its errors on the training rows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ...data import TestRows
from ...data.columns import Target
from ...data.schema import Schema
from ...data.statistics import Statistics
from ...data.target_transform import inverse_transform_target
from ...training.problem import Problem
from .holdout_metrics import compute_or_warn

logger = logging.getLogger("hpsearch.study")


@dataclass(frozen=True, slots=True)
class LagInputs:
    """The inputs of a baseline."""

    lags: np.ndarray  # (n, n_history): the target, the last value at the end
    last: np.ndarray  # (n, n_features) float32, scaled: the last row of the window


Model = Callable[[LagInputs], np.ndarray]  # -> (n, n_outputs)
Fit = Callable[[LagInputs, np.ndarray], Model]  # takes the target, (n, n_outputs), too


@dataclass(frozen=True, slots=True)
class LagReader:
    """Reads the inputs of baselines from features."""

    feature: int  # index of the target's past values among the features
    transform: str  # of this column
    statistics: Statistics

    def read(self, past: np.ndarray, last: np.ndarray) -> LagInputs:
        """Read windows.

        Args:
            past: (n, n_history) float32: the target's column, NaN for missing.
            last: (n, n_features) float32: the last row.
        """
        transforms = (self.transform,) * past.shape[1]
        lags = inverse_transform_target(np, past.astype(np.float64), 0.0, 1.0, transforms)
        return LagInputs(_fill_forward(lags), self.statistics.apply(last))


@dataclass(frozen=True, slots=True)
class ForecastBaseline:
    """A fitted baseline of a forecast."""

    name: str
    model: Model
    reader: LagReader
    fold_score: float | None = None  # mean over the folds, by the objective

    def predict(self, schema: Schema, locked: TestRows) -> np.ndarray:
        """Predict the locked rows, (n_test, n_outputs)."""
        features = schema.expand(locked.columns)
        return self.model(self.reader.read(features[..., self.reader.feature], features[:, -1]))


def fit_forecast_baselines(
    folds: Problem, full: Problem, schema: Schema
) -> tuple[ForecastBaseline, ...]:
    """Fit the baselines on all development rows, and score them on the folds.

    Args:
        folds: The study's problem.
        full: The same problem with a single fold, of all development rows.
        schema: The schema, with the target's steps and season.
    """
    assert schema.target is not None
    assert schema.window is not None
    outputs, rows = schema.target.outputs, np.arange(len(full.target))
    fitted = []
    for name, fit in _list_fits(outputs, schema.window.season, schema.window.rows).items():
        model = compute_or_warn(
            f"the baseline {name}", partial(_fit_on, fit, full, schema, rows, full.statistics[0])
        )
        if model is None:
            continue
        score = compute_or_warn(
            f"the baseline {name} on the folds", partial(_score_on_folds, fit, folds, schema)
        )
        fitted.append(replace(model, name=name, fold_score=score))
    return tuple(fitted)


def _list_fits(outputs: tuple[Target, ...], season: int, n_history: int) -> dict[str, Fit]:
    steps = np.array([output.step for output in outputs])
    fits: dict[str, Fit] = {"last_value": partial(_fit_naive, np.zeros_like(steps))}
    if 1 < season <= n_history:
        # The latest known value that is whole seasons before the predicted one.
        lags = season * -(-steps // season) - steps
        fits["seasonal_naive"] = partial(_fit_naive, lags)
    elif season > 1:
        logger.warning(
            "no seasonal naive baseline: data.forecast.history of %d rows is shorter than the "
            "season of %d",
            *(n_history, season),
        )
    fits["linear_on_lags"] = _fit_linear
    levels = [output.quantile for output in outputs]
    return {name: partial(_fit_quantiles, fit, levels) for name, fit in fits.items()}


def _make_reader(schema: Schema, statistics: Statistics) -> LagReader:
    """Find the past values of the target among the features."""
    assert schema.window is not None
    name, start = schema.window.target, 0
    for column in schema.columns:
        if column.name == name:
            return LagReader(start, column.transform, statistics)
        start += column.n_features
    raise ValueError(f"the past values of {name} are no feature")


def _read_inputs(problem: Problem, reader: LagReader, rows: np.ndarray) -> LagInputs:
    assert problem.windows is not None
    past = problem.windows.take(problem.features[:, reader.feature], rows)
    return reader.read(past, problem.features[problem.windows.last_rows[rows]])


def _fit_on(
    fit: Fit, problem: Problem, schema: Schema, rows: np.ndarray, statistics: Statistics
) -> ForecastBaseline:
    reader = _make_reader(schema, statistics)
    model = fit(_read_inputs(problem, reader, rows), problem.target[rows].astype(np.float64))
    return ForecastBaseline("", model, reader)


def _score_on_folds(fit: Fit, problem: Problem, schema: Schema) -> float:
    """Return the mean of the objective over the folds' validation rows."""
    scores = []
    for fold, statistics in zip(problem.folds, problem.statistics, strict=True):
        fitted = _fit_on(fit, problem, schema, fold.train, statistics)
        answer = fitted.model(_read_inputs(problem, fitted.reader, fold.validation))
        weights = None if problem.weights is None else problem.weights[fold.validation]
        truth = problem.target[fold.validation]
        scores.append(problem.objective_metric(truth, answer, weights))
    return float(np.mean(scores))


def _fit_naive(lags: np.ndarray, inputs: LagInputs, target: np.ndarray) -> Model:
    """Repeat the value `lags` before the last one, (n_outputs,); the mean where none is known."""
    mean = target.mean(axis=0)

    def predict(rows: LagInputs) -> np.ndarray:
        values = rows.lags[:, rows.lags.shape[1] - 1 - lags]
        return np.where(np.isnan(values), mean, values)

    return predict


def _fit_linear(inputs: LagInputs, target: np.ndarray) -> Model:
    """Fit a ridge regression on the window's target values and its last row."""
    from sklearn.linear_model import Ridge

    center, scale = target.mean(), target.std() or 1.0

    def join(rows: LagInputs) -> np.ndarray:
        lags = np.nan_to_num((rows.lags - center) / scale)
        return np.concatenate([lags, rows.last.astype(np.float64)], axis=1)

    model = Ridge().fit(join(inputs), target)
    return lambda rows: model.predict(join(rows)).reshape(len(rows.lags), -1)


def _fit_quantiles(fit: Fit, levels: list[float], inputs: LagInputs, target: np.ndarray) -> Model:
    """Add to each output with a level that quantile of the errors on the training rows."""
    model = fit(inputs, target)
    if not any(levels):
        return model
    errors = target - model(inputs)
    shift = [np.quantile(e, q) if q else 0.0 for e, q in zip(errors.T, levels, strict=True)]
    return lambda rows: model(rows) + np.array(shift)


def _fill_forward(lags: np.ndarray) -> np.ndarray:
    """Replace missing values by the last known one of the window; NaN if there is none."""
    index = np.where(np.isnan(lags), 0, np.arange(lags.shape[1]))
    filled: np.ndarray = np.take_along_axis(lags, np.maximum.accumulate(index, axis=1), axis=1)
    return filled
