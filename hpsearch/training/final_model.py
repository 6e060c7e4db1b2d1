"""The final fit: train networks on all development rows and assemble the served model.

It uses no validation rows: the number of epochs comes from the search's mean curve. The locked rows
are predicted in a separate step with the saved file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.dataset import TestRows
from ..data.schema import Schema
from ..models.assembly import WeightedNetwork, assemble_model, average_members
from ..models.named_inputs import pack_inputs, split_features
from ..trial import TrialSpec, Value
from .compiled_model import find_link_activation
from .fold_weights import make_fold_batches
from .importance import Importance, permutation_importance
from .input_layout import find_layout
from .latency import measure_ms_per_row
from .layer_adaptation import adapt_layers, find_refitted_layer
from .own_code import open_saved_model, pack_network, require_same_answers
from .problem import Problem
from .trainer import Trainer

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, slots=True)
class MemberSpec:
    """One network of the final model."""

    trial: TrialSpec  # `epochs` is exact
    weight: float  # weight in the model's prediction; all weights add up to 1


@dataclass(frozen=True, slots=True)
class FinalFitRequest:
    """The request of a final fit."""

    members: tuple[MemberSpec, ...]
    problem: Problem  # one fold: all development rows train, none validates
    schema: Schema
    path: Path  # path of the model, `*.keras`
    backbones: Mapping[str, Path] = field(default_factory=dict)  # frozen models by column


@dataclass(frozen=True, slots=True)
class FinalFitDone:
    """The model was saved and loaded successfully."""

    ms_per_row: float  # time in which it answers, in batches


@dataclass(frozen=True, slots=True)
class LockedPredictionRequest:
    """The request to predict the locked rows."""

    path: Path  # of the saved model, `*.keras`
    locked_rows: TestRows  # without their table
    schema: Schema
    problem: Problem  # the study's, with the objective for the importance of columns
    model_bytes: bytes | None = None  # content of the file, if its folder is on another machine
    n_single: int = 0  # of an ensemble: how many of its first networks are the best single trial's


@dataclass(frozen=True, slots=True)
class LockedPredictionResult:
    """The saved model's predictions for the locked rows."""

    predictions: np.ndarray  # (n_test, n_outputs): probabilities, or the target's own unit
    single: np.ndarray | None = None  # of the first `n_single` networks, without a temperature
    importance: Importance | None = None  # of the columns, by the objective's metric
    importance_error: str = ""  # why the importance could not be computed; None: no error


def fit_final_model(trainer: Trainer, final: FinalFitRequest) -> FinalFitDone:
    """Train, assemble, save and load the model."""
    problem = final.problem
    parts = [_fit_part(trainer, problem, member) for member in final.members]
    model = assemble_model(parts, final.schema, problem.task, final.backbones)
    partial = final.path.with_name(f"partial-{final.path.name}")
    model.save(partial)
    partial.replace(final.path)  # a full disk must not leave an incomplete model
    opened = open_saved_model(final.path, problem)
    require_same_answers(model, opened)
    return FinalFitDone(measure_ms_per_row(opened))


def predict_locked_rows(order: LockedPredictionRequest) -> LockedPredictionResult:
    """Predict the locked rows with the saved model."""
    if order.model_bytes is not None:
        order.path.write_bytes(order.model_bytes)
    saved = open_saved_model(order.path, order.problem)

    def predict(columns: np.ndarray, model: keras.Model = saved) -> np.ndarray:
        size = 256 if columns.ndim > 2 else 4096  # bounds the memory of activations
        parts = [columns[start : start + size] for start in range(0, len(columns), size)]
        # `keras.Model.predict` would import pandas, which takes seconds.
        return np.concatenate([np.asarray(model.predict_on_batch(part)) for part in parts])

    columns, single = order.locked_rows.columns, None
    predictions = predict(columns)
    if order.n_single:
        single = predict(columns, average_members(saved, order.n_single))
    try:
        importance = permutation_importance(
            predict, order.locked_rows, order.schema, order.problem.objective_metric
        )
    except Exception as error:  # a custom metric may raise on new rows
        reason = f"{type(error).__name__}: {error}"
        return LockedPredictionResult(predictions, single, importance_error=reason)
    return LockedPredictionResult(predictions, single, importance)


def _fit_part(trainer: Trainer, problem: Problem, member: MemberSpec) -> WeightedNetwork:
    network, link = _fit_network(trainer, problem, member.trial)
    statistics = problem.get_statistics(member.trial.params)[0]
    return WeightedNetwork(network, statistics, member.weight, link)


def _adapt_to_problem(own: keras.Model, problem: Problem, params: Mapping[str, Value]) -> None:
    """Adapt the layers of a custom model whose statistics are not among its weights."""
    if find_refitted_layer(own) is None:
        return
    layout = find_layout(problem, own, problem.resolve(params))

    def split(features: np.ndarray) -> Any:
        return pack_inputs(own, split_features(features, layout)) if layout else features

    adapt_layers(own, make_fold_batches(problem, params, 0, split))


def _fit_network(
    trainer: Trainer, problem: Problem, trial: TrialSpec
) -> tuple[keras.Model, str | None]:
    """Return the trained network of a trial, and the activation to apply to its outputs."""
    weights = trainer.fit(trial)
    own = problem.make_own_builder(trial.params, trial.seed)()
    _adapt_to_problem(own, problem, trial.params)
    network = problem.join(own, trial.params)  # which shares its weights
    network.set_weights(weights)
    link = find_link_activation(network, problem.task)
    network.compiled = False  # a saved custom loss could not be loaded without its code
    return pack_network(problem, trial.params, trial.seed, own, network), link
