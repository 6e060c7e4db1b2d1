"""A fold's initial weights and step factors, including those that a family defines.

Used by both trainers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..models import find_family
from ..models.family_registry import RowInitializer
from ..models.step_factors import StepFactors
from ..trial import Value, derive_seed
from .layer_adaptation import CHUNK_ROWS, Batches, adapt_weights, has_unadapted_weights
from .problem import Problem
from .weight_initialization import draw_weights

if TYPE_CHECKING:
    import keras

MAX_ROWS = 1024  # maximum training rows for data-dependent initialization


def draws_from_rows(problem: Problem, params: Mapping[str, Value], network: keras.Model) -> bool:
    """Whether initial weights depend on the training rows."""
    return _find_initializer(problem, params) is not None or has_unadapted_weights(network)


def make_initial_weights(
    problem: Problem, params: Mapping[str, Value], network: keras.Model, *, fold: int, seed: int
) -> list[np.ndarray]:
    """Draw a fold's initial weights, and adapt `Normalization` layers to its training rows.

    The arguments are those of `draw_fold_weights`.
    """
    drawn = draw_fold_weights(problem, params, network, fold=fold, seed=seed)
    return adapt_weights(network, drawn, make_fold_batches(problem, params, fold))


def draw_fold_weights(
    problem: Problem, params: Mapping[str, Value], network: keras.Model, *, fold: int, seed: int
) -> list[np.ndarray]:
    """Draw initial weights in the order of `keras.Model.get_weights`.

    Args:
        problem: The problem; weights may depend on its training rows.
        params: Hyperparameters, fixed ones included.
        network: From `weight_initialization.build_blueprint`.
        fold: 0-based index of the fold.
        seed: `TrialSpec.fold_seed(fold, "weights")`.
    """
    weights = draw_weights(network, seed)
    initialize = _find_initializer(problem, params)
    if initialize is None or len(problem.row_shape) != 1:
        return weights
    train = problem.folds[fold].train
    rows = train[np.linspace(0, len(train) - 1, min(len(train), MAX_ROWS)).astype(np.intp)]
    features = problem.get_statistics(params)[fold].apply(problem.take(rows))
    arrays = {"arrays": problem.array_inputs} if problem.array_inputs else {}
    rng = np.random.default_rng(derive_seed(seed, "rows"))
    return initialize(network, weights, features, rng, problem.category_ranges, **arrays)


def make_fold_batches(
    problem: Problem,
    params: Mapping[str, Value],
    fold: int,
    split: Callable[[np.ndarray], Any] = lambda features: features,
) -> Batches:
    """Return a function that iterates over a network's inputs of a fold's training rows.

    `split` makes the inputs of the features of rows.
    """
    rows, statistics = problem.folds[fold].train, problem.get_statistics(params)[fold]

    def iterate() -> Iterator[Any]:
        for start in range(0, len(rows), CHUNK_ROWS):
            features = statistics.apply(problem.take(rows[start : start + CHUNK_ROWS]))
            yield split(features)

    return iterate


def get_step_factors(
    problem: Problem, params: Mapping[str, Value], network: keras.Model
) -> StepFactors | None:
    """Return the step factors of each trainable variable; None: all are 1."""
    family = find_family(problem.model)
    if family is None or family.make_step_factors is None:
        return None
    return family.make_step_factors(params, network)


def _find_initializer(problem: Problem, params: Mapping[str, Value]) -> RowInitializer | None:
    """Return the family's data-dependent initializer for these hyperparameters, if it has one."""
    family = find_family(problem.model)
    if family is None or family.find_initializer is None:
        return None
    complete = {**(family.defaults or {}), **params}
    initialize = family.find_initializer(complete)
    return None if initialize is None else partial(initialize, complete)
